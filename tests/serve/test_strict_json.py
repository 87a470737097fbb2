"""Bodies that are odd, read alike by all routes: refused with a short reason, and never a failure of the service."""

import json

import pytest

from spacy_openner.errors import SettingError
from spacy_openner.serve.app import create_app
from tests.support.http_calls import TEXT, post, run

CONFIG = '<View><Labels name="l" toName="t"><Label value="person"/></Labels><Text name="t" value="$text"/></View>'
GOOD = {
    "/entities": {"texts": [TEXT]},
    "/analyze": {"text": TEXT},
    "/predict": {"tasks": [{"id": 1, "data": {"text": TEXT}}], "label_config": CONFIG},
    "/setup": {"schema": CONFIG},
}


def nested(depth):
    return "[" * depth + "]" * depth


ODD = {
    "a key twice": lambda inner: f"{{{inner}, {inner}}}",
    "a key twice, inside": lambda inner: f'{{{inner}, "more": {{"a": 1, "a": 2}}}}',
    "NaN": lambda inner: f'{{{inner}, "more": NaN}}',
    "minus infinity": lambda inner: f'{{{inner}, "more": [-Infinity]}}',
    "deep": lambda inner: f'{{{inner}, "more": {nested(500)}}}',
    "very deep": lambda inner: f'{{{inner}, "more": {nested(90_000)}}}',
    "deep, and not closed": lambda inner: "[" * 1_000_000,
    "a number of 6,000 digits": lambda inner: f'{{{inner}, "more": {"9" * 6_000}}}',
    "data behind it": lambda inner: f"{{{inner}}} {{}}",
    "UTF-16": lambda inner: f"{{{inner}}}".encode("utf-16"),
    "Latin-1": lambda inner: f'{{{inner}, "more": "é"}}'.encode("latin-1"),
    "nothing": lambda inner: "",
    "null": lambda inner: "null",
}


@pytest.mark.parametrize("path", GOOD)
def test_odd_bodies(nlp, path):
    inner = json.dumps(GOOD[path])[1:-1]
    bodies = [odd(inner) for odd in ODD.values()]
    calls = [post(body if isinstance(body, bytes) else body.encode(), path) for body in bodies]
    good, *responses = run(create_app(nlp), post(GOOD[path], path), *calls)
    assert good.status_code == 200
    assert {name for name, each in zip(ODD, responses, strict=True) if each.status_code not in (400, 422)} == set()
    assert all(response.json()["detail"] and len(response.content) < 1_000 for response in responses)


HALF = "\ud800"
LONG = "x" * 100_000


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("/entities", {HALF: 1}),
        ("/entities", {f"{LONG}{i}": 1 for i in range(30)}),
        ("/entities", {"label_thresholds": {HALF: 0.5, "unknown": 0.5}, "labels": [HALF]}),
        ("/analyze", {"entities": [HALF]}),
        ("/predict", {"tasks": [{"id": HALF, "data": {}}]}),
        ("/predict", {"tasks": [{"id": LONG, "data": {}}]}),
        ("/predict", {"label_config": CONFIG.replace("$text", f"${LONG}")}),
        ("/predict", {"label_config": CONFIG.replace("person", HALF)}),
        ("/predict", {"label_config": "<View>" * 100_000}),
        ("/predict", {"label_config": '<!--><!DOCTYPE x [<!ENTITY a "a">]>' + CONFIG}),
        ("/setup", {"schema": f"<!<!---->DOCTYPE x>{CONFIG}"}),
    ],
)
def test_what_is_repeated_of_a_request_is_short_and_can_be_written(nlp, path, changes):
    (response,) = run(create_app(nlp), post(json.dumps({**GOOD[path], **changes}).encode(), path))
    assert response.status_code == 422
    assert response.json()["detail"]
    assert len(response.content) < 10_000


@pytest.mark.parametrize("key", ["", "short", 5, b"correct horse", "schlüssel-lang", "with\nnewline inside"])
def test_keys_that_are_none_are_refused_and_not_repeated(nlp, key):
    with pytest.raises(SettingError, match=r"O651.*`key`") as caught:
        create_app(nlp, key=key)
    assert key in ("", 5) or str(key) not in str(caught.value)


def test_the_key_is_shown_nowhere(nlp):
    app = create_app(nlp, key="correct horse")
    assert "horse" not in f"{app!r} {app.state.service!r} {vars(app.state.service)!r}"
