"""Fixtures of the tests of the client."""

import pytest


@pytest.fixture(autouse=True)
def quick_tries(request, monkeypatch):
    """Clients wait for milliseconds, not seconds, before they try again; how long they should is in test_server."""
    if request.module.__name__.rpartition(".")[2] != "test_server":
        monkeypatch.setattr("spacy_openner.llm.server.FIRST_WAIT", 0.02)
