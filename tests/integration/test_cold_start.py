"""Imports until the first text is read, in a process of its own."""

import json

import pytest
import spacy

from tests.support.command_line import execute

PROGRAM = """
import json, sys
import catalogue
from importlib.metadata import EntryPoints

# Plug-ins of other packages are theirs; spaCy imports them all.
ours = ("spacy_openner", "spacy", "spacy_legacy", "spacy_loggers")
found = catalogue.AVAILABLE_ENTRY_POINTS
every = [each for group in found.groups for each in found.select(group=group)]
catalogue.AVAILABLE_ENTRY_POINTS = EntryPoints(e for e in every if e.value.split(":")[0].split(".")[0] in ours)
import spacy
{program}
print(json.dumps(sorted(sys.modules)))
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


def imported(program):
    done = execute("-c", PROGRAM.replace("{program}", program))
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", ["open_ner_span", "type_filter"])
def test_the_default_weights_need_no_modelling_code(name):
    assert not imported(SPANS.format(name=name)).intersection(HEAVY)


def test_a_saved_pipeline_needs_none_either(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span", config={"labels": ["person", "city"]})
    nlp.to_disk(tmp_path)
    assert not imported(SAVED.format(path=str(tmp_path))).intersection(HEAVY)


def test_what_needs_it_imports_it():
    """The list above would be met by a misspelt one."""
    assert {*HEAVY[:1]} <= imported("from spacy_openner.nn.backbones import in_float32; in_float32()")
