"""Stand-ins for tests of the command line."""

import subprocess
import sys

import spacy
from spacy.tokens import Doc, Span, SpanGroup

from spacy_openner.types import DEFAULT_SPANS_KEY

TEXT = "Marie Curie won the Nobel Prize in Paris."
LABELS = ["--labels", "person, award", "--label", "city, town"]
OWN_PLUGINS = """
import catalogue
from importlib.metadata import EntryPoints

ours = ("spacy_openner", "spacy", "spacy_legacy", "spacy_loggers")
found = catalogue.AVAILABLE_ENTRY_POINTS
every = [each for group in found.groups for each in found.select(group=group)]
catalogue.AVAILABLE_ENTRY_POINTS = EntryPoints(e for e in every if e.value.split(":")[0].split(".")[0] in ours)
"""
"""Begins a program that leaves the plug-ins of other packages alone, all of which spaCy would import, for seconds."""


def annotated(text, found, flat=None, lang="en"):
    """Build a doc as the component leaves it: `found` are (start, end, label, score), `flat` picks doc.ents."""
    return annotate(spacy.blank(lang)(text), found, flat)


def annotate(doc: Doc, found, flat=None):
    spans = [Span(doc, start, end, label=label) for start, end, label, _ in found]
    scores = [score for *_, score in found]
    doc.spans[DEFAULT_SPANS_KEY] = SpanGroup(doc, name=DEFAULT_SPANS_KEY, spans=spans, attrs={"scores": scores})
    doc.ents = [spans[i] for i in (range(len(spans)) if flat is None else flat)]
    return doc


def execute(*args, **kwargs):
    return subprocess.run(
        [sys.executable, *args], capture_output=True, encoding="utf-8", timeout=300, check=False, **kwargs
    )


@spacy.Language.component("cli_test_names")
def cli_test_names(doc):
    """Call every capitalised word a `Name`."""
    return annotate(doc, [(t.i, t.i + 1, "Name", 0.75) for t in doc if t.text[0].isupper()])
