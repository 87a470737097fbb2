"""A pipeline to serve, and a service as a process of its own."""

import pytest
import spacy

from tests.support.served import served


@pytest.fixture(scope="session")
def nlp():
    """The default weights."""
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span", config={"labels": ["person", "city"]})
    return nlp


@pytest.fixture
def service(tmp_path):
    """A service that a test may end."""
    with served() as (url, process):
        yield url, process


@pytest.fixture(scope="session")
def shared_url():
    """A service that tests leave running."""
    with served() as (url, _):
        yield url
