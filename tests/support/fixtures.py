"""Fixtures shared by all tests, and what makes tests quick."""

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import catalogue
import hypothesis
import pytest
import spacy
import torch
from spacy.lang.en import English
from spacy.language import Language
from spacy.util import fix_random_seed

from tests.support import tiny_models as tiny
from tests.support.command_line import OWN_PLUGINS

# How fast a machine is, and what else runs on it, says nothing about what is tested.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

# Tiny networks gain nothing from threads, and lose tenfold to them where other processes use the cores.
torch.set_num_threads(1)

# catalogue looks through the entry points of all installed packages each time that spaCy asks for a function.
catalogue.AVAILABLE_ENTRY_POINTS = {group: list(entry_points().select(group=group)) for group in entry_points().groups}

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

# Most of what it takes to build an English pipeline is spaCy's table of 1,300 special cases, such as "they'd've" and
# "8am". Tests need a few of them; those of weights that are really trained, and of the documentation, have all.
ALL_CASES = English.Defaults.tokenizer_exceptions
FEW = "don't Don't can't won't isn't I'm it's It's Dr. Mr. Jr. St. Co. a.m. e.g."
NEED_ALL = ("test_default", "test_docs", "test_gliner_parity_default", "test_open_types", "test_sample", "test_smollm2")
FEW_CASES = {text: ALL_CASES[text] for text in FEW.split()}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Choose the special cases of English pipelines."""
    English.Defaults.tokenizer_exceptions = ALL_CASES if item.path.name.startswith(NEED_ALL) else FEW_CASES


@pytest.fixture(autouse=True)
def fixed_chance() -> None:
    """No test hangs on luck."""
    fix_random_seed(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real annotated sets, where they lie beside the checkout."""
    if not DATA.is_dir():
        pytest.skip(f"real data sets are not at {DATA}")
    return DATA


@pytest.fixture
def own_plugins(tmp_path_factory, monkeypatch) -> None:
    """Have new processes leave the plug-ins of other packages alone; spaCy imports them all, for seconds."""
    path = tmp_path_factory.mktemp("site")
    (path / "sitecustomize.py").write_text(OWN_PLUGINS)
    monkeypatch.setenv("PYTHONPATH", str(path))


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory) -> Path:
    """A random markerV0 checkpoint on a two-layer BERT."""
    return tiny.saved("bert", tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def bi_encoder_path(tmp_path_factory) -> Path:
    """A random bi-encoder."""
    path = tmp_path_factory.mktemp("bi")
    return tiny.saved("bert", path, labels_encoder=tiny.backbone("bert", path / "labels", seed=1))


@pytest.fixture(scope="session")
def token_path(tmp_path_factory) -> Path:
    """A random token-level checkpoint."""
    return tiny.saved("bert", tmp_path_factory.mktemp("token"), span_mode="token_level")


@pytest.fixture(scope="session")
def t5(tmp_path_factory) -> Path:
    """A random T5."""
    return tiny.saved_generator("t5", tmp_path_factory.mktemp("t5") / "model")


@pytest.fixture
def make_nlp(tiny_path) -> Callable[..., Language]:
    """Build a pipeline with one open_ner_span; random weights score many spans over a threshold of 0.5."""

    def make(model: dict | None = None, lang: str = "en", **config) -> Language:
        nlp = spacy.blank(lang)
        model = {**tiny.span_matcher(tiny_path), "precision": "float32", **(model or {})}
        nlp.add_pipe("open_ner_span", config={"labels": tiny.LABELS, "model": model, **config})
        return nlp

    return make
