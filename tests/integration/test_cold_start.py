"""Imports until the first text is read, in one process of its own: each step looks at all that was imported before."""

import json

import pytest
import spacy

from tests.support.command_line import OWN_PLUGINS, execute

BEGIN = f"""
import json, sys
{OWN_PLUGINS}
import spacy
after = {{}}
"""
SPANS = """
nlp = spacy.blank("en")
nlp.add_pipe({name!r}, config={{"labels": ["person", "city"]}})
doc = nlp("Jane Austen lived in Bath.")
assert doc.ents or {name!r} == "type_filter"
"""
SAVED = """
nlp = spacy.load({path!r})
assert nlp("Jane Austen lived in Bath.").ents
"""
# What takes long to be imported, and is only needed for other models, for training, or not at all.
HEAVY = ("transformers", "torch._dynamo", "torch.distributed.tensor", "sympy", "scipy", "onnx", "onnxruntime", "openai")


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """The modules that are there after each step; the last one needs what the others do without."""
    path = tmp_path_factory.mktemp("saved")
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span", config={"labels": ["person", "city"]})
    nlp.to_disk(path)
    steps = {name: SPANS.format(name=name) for name in ("open_ner_span", "type_filter")}
    steps["saved"] = SAVED.format(path=str(path))
    steps["backbones"] = "from spacy_openner.nn.backbones import in_float32; in_float32()"
    program = "".join(f"{code}\nafter[{name!r}] = sorted(sys.modules)\n" for name, code in steps.items())
    done = execute("-c", BEGIN + program + "print(json.dumps(after))")
    assert done.returncode == 0, done.stderr
    return {name: set(modules) for name, modules in json.loads(done.stdout.splitlines()[-1]).items()}


@pytest.mark.parametrize("name", ["open_ner_span", "type_filter"])
def test_the_default_weights_need_no_modelling_code(name, imported):
    assert not imported[name].intersection(HEAVY)


def test_a_saved_pipeline_needs_none_either(imported):
    assert not imported["saved"].intersection(HEAVY)


def test_what_needs_it_imports_it(imported):
    """The list above would be met by a misspelt one."""
    assert {*HEAVY[:1]} <= imported["backbones"]
