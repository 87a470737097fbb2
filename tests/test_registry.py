"""Everything that the package registers resolves, and importing it costs next to nothing."""

import importlib
import subprocess
import sys
from importlib.metadata import distribution, entry_points
from pathlib import Path

import pytest
import spacy
from spacy.util import registry

OWN = list(distribution("spacy-openner").entry_points)
# They find nothing themselves.
UNSCORED = {"merge_openner_entities", "copy_openner_scores"}
REGISTRIES = {"spacy_architectures": "architectures", "spacy_scorers": "scorers"}


def test_there_are_entry_points_of_each_kind():
    assert {point.group for point in OWN} >= {*REGISTRIES, "spacy_factories", "spacy_cli", "console_scripts"}


@pytest.mark.parametrize("point", OWN, ids=lambda point: point.name)
def test_entry_points_load(point):
    assert callable(point.load())


@pytest.mark.parametrize("point", [p for p in OWN if p.group in REGISTRIES], ids=lambda point: point.name)
def test_registered_names_resolve_and_carry_a_version(point):
    assert registry.get(REGISTRIES[point.group], point.name) is point.load()
    assert point.name.startswith("spacy-openner.")
    assert point.name.split(".")[-1].startswith("v")


@pytest.mark.parametrize("point", [p for p in OWN if p.group == "spacy_factories"], ids=lambda point: point.name)
def test_factories_build_from_their_defaults(point):
    nlp = spacy.blank("en")
    nlp.add_pipe(point.name)
    meta = nlp.get_factory_meta(point.name)
    assert bool(meta.default_score_weights) == (point.name not in UNSCORED)
    assert point in entry_points(group="spacy_factories")


def seconds(code: str) -> float:
    """The least of a few runs in fresh processes, each timed from the inside."""
    program = f"import time, spacy\nbegun = time.perf_counter()\n{code}\nprint(time.perf_counter() - begun)"
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in range(3)
    ]
    return min(float(run.stdout.splitlines()[-1]) for run in runs)


@pytest.mark.slow
def test_import_is_light():
    assert seconds("import spacy_openner") < 0.05


def test_nothing_heavy_is_imported_before_it_is_needed():
    """`spacy.blank` imports every installed factory: ours must not bring transformers or its friends along."""
    code = (
        "import sys, spacy; before = set(sys.modules); import spacy_openner.components.open_ner_span;"
        "import spacy_openner.components.lar_reassigner;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(new & {'transformers', 'openai', 'onnx', 'onnxruntime', 'huggingface_hub', 'typer'}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_component_adds_little_to_spacy_blank():
    assert seconds("import spacy_openner.components.open_ner_span") < 0.1


def test_public_names():
    module = importlib.import_module("spacy_openner")
    assert module.__version__ == distribution("spacy-openner").version
    assert sorted(module.__all__) == sorted(["__version__", *module._MODULE_OF])
    for name in module.__all__:
        value = getattr(module, name)
        assert name == "__version__" or value.__name__ == name
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = module.nonsense
    assert (Path(module.__file__).parent / "py.typed").is_file()


@pytest.mark.slow
def test_type_checkers_see_the_public_names(tmp_path):
    """The installed package: a wheel in continuous integration, where `test_packaging` makes sure of that."""
    program = tmp_path / "user.py"
    names = [name for name in importlib.import_module("spacy_openner").__all__ if name != "__version__"]
    lines = [
        f"from spacy_openner import {', '.join(names)}",
        "def use(pipe: OpenNERSpan) -> None:",
        "    reveal_type(pipe.threshold)",
        "    reveal_type(pipe.labels)",
        "    pipe.labels = {'person': 'a human'}",
        "    pipe.annotate_ents = 'no'",
        "reveal_type(get_labels)",
    ]
    program.write_text("\n".join(lines), encoding="utf8")
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports", str(program)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert 'user.py:3: note: Revealed type is "float"' in run.stdout.replace("builtins.", "")
    assert 'user.py:4: note: Revealed type is "tuple[str, ...]"' in run.stdout.replace("builtins.", "")
    assert "user.py:6: error: Incompatible types in assignment" in run.stdout
    assert "Overload" in run.stdout
    assert run.stdout.count("error:") == 1, run.stdout


def test_importing_the_package_is_immediate():
    """It must load nothing of spaCy, nor of this package."""
    heavy = "spacy_openner", "spacy", "thinc", "torch", "numpy"
    program = f"import sys, spacy_openner; print([name for name in sys.modules if name.split('.')[0] in {heavy}])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['spacy_openner']"
