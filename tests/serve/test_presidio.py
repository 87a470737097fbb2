"""Routes for clients of Presidio's analyzer service."""

import pytest

from spacy_openner.serve.app import create_app
from tests.support.http_calls import TEXT, get, post, run


def test_a_text(nlp):
    body = {"text": TEXT, "language": "en", "entities": ["city"], "correlation_id": "x", "score_threshold": 0.5}
    (response,) = run(create_app(nlp), post(body, "/analyze"))
    (found,) = response.json()
    assert found.keys() == {"entity_type", "start", "end", "score", "analysis_explanation"}
    assert (found["entity_type"], TEXT[found["start"] : found["end"]]) == ("city", "Paris")
    assert 0.5 < found["score"] <= 1


def test_texts_and_types_of_the_pipeline(nlp):
    several, strict, types = run(
        create_app(nlp),
        post({"text": [TEXT, ""], "language": "en", "entities": []}, "/analyze"),
        post({"text": TEXT, "language": "en", "score_threshold": 1}, "/analyze"),
        get("/supportedentities?language=en"),
    )
    assert [[each["entity_type"] for each in found] for found in several.json()] == [["person", "city"], []]
    assert strict.json() == []
    assert types.json() == ["person", "city"]


@pytest.mark.parametrize("body", [{}, {"text": 3}, {"text": []}, {"text": "a", "score_threshold": 2}])
def test_what_is_refused(nlp, body):
    (response,) = run(create_app(nlp), post(body, "/analyze"))
    assert response.status_code == 422
