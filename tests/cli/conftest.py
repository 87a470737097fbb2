"""Fixtures for tests of the command line."""

import pytest
import spacy
from typer.testing import CliRunner

from spacy_openner.cli import find
from spacy_openner.cli.app import app
from tests.support import command_line  # noqa: F401


@pytest.fixture
def run(monkeypatch):
    """Run the command with a stand-in for the pipeline, which calls every capitalised word a `Name`."""
    seen = {}

    def make_nlp(labels, lang, threshold, overlap, **model):
        seen.update(labels=labels, lang=lang, threshold=threshold, overlap=overlap, model=model)
        nlp = spacy.blank(lang)
        nlp.add_pipe("cli_test_names")
        return nlp

    def invoke(*args, **kwargs):
        result = CliRunner().invoke(app, list(args), **kwargs)
        result.seen = seen
        return result

    monkeypatch.setattr(find, "make_nlp", make_nlp)
    return invoke
