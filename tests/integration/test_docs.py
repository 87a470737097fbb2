"""Every code block of the README and of the documentation runs, in order, as a reader would run it."""

import importlib.util
import inspect
import json
import re
from pathlib import Path

import pytest

from tests.support.code_blocks import LANGUAGES, SERVER, blocks_of, open_session, pages
from tests.support.fake_chat_server import serve

ROOT = Path(__file__).resolve().parents[2]
PAGES = list(pages(ROOT))
TYPES = {"Angela Merkel": "politician", "Paul McCartney": "musician", "Miles Davis": "musician", "Berlin": "city"}
MARKS = ("slow", "background", "not run", "needs ")


def answer(asked: str) -> str:
    """What the language model of the pages says: the right option, or the one entity that it always finds."""
    try:
        question = json.loads(asked)
        options = {n: (e["mention"], e["options"]) for n, e in question["entities"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return '{"entities": [{"entity": "Oslo", "type": "city"}]}'
    chosen = {
        n: next((letter for letter, label in letters.items() if label == TYPES.get(mention)), list(letters)[-1])
        for n, (mention, letters) in options.items()
    }
    return json.dumps({"answers": chosen})


def cases():
    for page in PAGES:
        blocks = blocks_of(page)
        name = str(page.relative_to(ROOT))
        if any(block.language not in ("", "text") for block in blocks):
            yield pytest.param(page, False, id=name)
        if any("slow" in block.marks for block in blocks):
            yield pytest.param(page, True, id=f"{name}, slow blocks", marks=pytest.mark.slow)


@pytest.mark.parametrize(("page", "slow"), list(cases()))
def test_blocks_run(page, slow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = [block for block in blocks_of(page) if "not run" not in block.marks]
    with serve(answer=answer) as server:
        session = open_session(ROOT, tmp_path, server.url)
        try:
            for block in blocks:
                # Slow blocks may build on the others of their page.
                if "slow" in block.marks and not slow:
                    continue
                for package in block.needs:
                    pytest.importorskip(package)
                session.run(block)
        finally:
            session.close()
        asked = any(SERVER in block.code for block in blocks if slow or "slow" not in block.marks)
    assert bool(server.requests) == asked


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_blocks_are_of_a_kind_that_is_tested(page):
    for block in blocks_of(page):
        assert block.language in LANGUAGES, block.where
        assert all(mark.startswith(MARKS) for mark in block.marks), block.where
    # No fence is missed by the pattern.
    assert page.read_text(encoding="utf8").count("```") == 2 * len(blocks_of(page))


MIGRATING = (ROOT / "docs" / "guides" / "migrating.md").read_text(encoding="utf8")


def test_calls_of_gliner_that_the_page_names_are_its_own():
    gliner = pytest.importorskip("gliner.model")
    parameters = set(inspect.signature(gliner.UniEncoderSpanGLiNER.predict_entities).parameters)
    parameters |= set(inspect.signature(gliner.UniEncoderSpanGLiNER.inference).parameters)
    parameters |= set(inspect.signature(gliner.UniEncoderSpanGLiNER.from_pretrained).parameters)
    section = MIGRATING.partition("## gliner\n")[2].partition("## gliner-spacy")[0]
    left = [row.split(" | ")[0] for row in section.splitlines() if row.startswith("| `")]
    named = {name for cell in left for name in re.findall(r"(\w+)=", cell)}
    assert {"threshold", "flat_ner", "multi_label", "load_onnx_model"} <= named
    assert named <= parameters


def test_settings_of_gliner_spacy_that_the_page_names_are_its_own():
    spec = importlib.util.find_spec("gliner_spacy")
    if spec is None:
        pytest.skip("gliner-spacy is not installed")
    from gliner_spacy.pipeline import DEFAULT_SPACY_CONFIG

    section = MIGRATING.partition("## gliner-spacy\n")[2].partition("## spacy-llm")[0]
    left = [row.split(" | ")[0] for row in section.splitlines() if row.startswith("| `")]
    named = {name for cell in left for name in re.findall(r"`(\w+)`", cell)}
    named |= {name for cell in left for name in re.findall(r"`(\w+) =", cell)} | set(
        re.findall(r'^    "(\w+)":', section, re.M)
    )
    assert {"gliner_model", "chunk_size", "style", "map_location"} <= named
    assert named <= set(DEFAULT_SPACY_CONFIG)
