"""The service: answers, statuses of everything that is refused, batches across requests, a stop without loss."""

import asyncio
import base64
import json
import logging
import threading
import time

import httpx
import pytest
import spacy
from spacy.language import Language

from spacy_openner.errors import SettingError
from spacy_openner.serve.app import create_app
from spacy_openner.serve.batching import Batcher, Expired
from spacy_openner.serve.settings import ServeSettings, api_key
from tests.support.http_calls import TEXT, get, post, run


def test_entities_are_those_of_the_pipeline(nlp):
    (response,) = run(create_app(nlp), post({"texts": [TEXT, ""]}))
    assert response.status_code == 200
    first, second = response.json()["entities"]
    assert [(e["text"], e["label"]) for e in first] == [("Marie Curie", "person"), ("Paris", "city")]
    for entity in first:
        assert TEXT[entity["start"] : entity["end"]] == entity["text"]
        assert 0.5 < entity["score"] <= 1
    assert second == []


def test_settings_of_a_request_are_its_own(nlp):
    plain, other, strict, nested = run(
        create_app(nlp),
        post({"texts": [TEXT]}),
        post({"texts": [TEXT], "labels": {"place": "a city, a country, a region"}}),
        post({"texts": [TEXT], "threshold": 1.0}),
        post({"texts": [TEXT], "labels": ["person", "scientist"], "overlap": "all", "threshold": 0.05}),
    )
    assert {e["label"] for e in plain.json()["entities"][0]} == {"person", "city"}
    assert {e["label"] for e in other.json()["entities"][0]} == {"place"}
    assert strict.json()["entities"] == [[]]
    assert {e["label"] for e in nested.json()["entities"][0]} == {"person", "scientist"}
    pipe = nlp.get_pipe("open_ner_span")
    assert (pipe.labels, pipe.threshold, pipe.overlap) == (("person", "city"), 0.5, "flat")


@pytest.mark.parametrize(
    ("labels", "thresholds", "unknown"),
    [
        (None, {"person": 1.0}, None),
        (None, {"persn": 1.0, "city": 0.5}, "persn"),
        (["scientist"], {"scientist": 1.0}, None),
        (["scientist"], {"person": 1.0}, "person"),
        ({"place": "a city"}, {"a city": 1.0}, "a city"),
        (None, {}, None),
    ],
)
def test_thresholds_are_of_types_that_are_asked_for(labels, thresholds, unknown, nlp):
    body = {"texts": [TEXT], "label_thresholds": thresholds} | ({} if labels is None else {"labels": labels})
    (response,) = run(create_app(nlp), post(body))
    if unknown is None:
        assert response.status_code == 200
        assert not {e["label"] for e in response.json()["entities"][0]} & {"person", "scientist"} & set(thresholds)
    else:
        assert response.status_code == 422
        assert response.json()["detail"].startswith(f"[O653] `label_thresholds` names ['{unknown}'], ")


SHAPED = "Marie Curie\nNiels Bohr\n\nAda Lovelace\tOslo\n- Kim Lee\n- Rome and Paris. Bath"


@pytest.mark.parametrize("boundaries", [None, [], ["lines"], ["paragraphs", "cells"], ["sentences", "lists"]])
@pytest.mark.parametrize("by", ["request", "pipeline"])
def test_boundaries_are_those_of_the_component(boundaries, by, nlp):
    pipe = nlp.get_pipe("open_ner_span")
    before = pipe.boundaries
    body, other = {"texts": [SHAPED]}, {"texts": [SHAPED], "boundaries": []}
    try:
        if boundaries is not None:
            pipe.boundaries = boundaries
        alone = [(ent.start_char, ent.end_char, ent.label_) for ent in nlp(SHAPED).ents]
        if by == "request":
            pipe.boundaries = before
            body |= {} if boundaries is None else {"boundaries": boundaries}
        _, response = run(create_app(nlp), post(other), post(body))
    finally:
        pipe.boundaries = before
    assert [(e["start"], e["end"], e["label"]) for e in response.json()["entities"][0]] == alone
    assert alone


SMALL = ServeSettings(max_body_bytes=2000, max_texts=3, max_text_chars=100, max_labels=2, max_label_chars=20)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 422),
        (b"[]", 422),
        (b"\xff", 400),
        ({}, 422),
        ({"texts": []}, 422),
        ({"texts": "one"}, 422),
        ({"texts": [1]}, 422),
        ({"texts": ["a"] * 4}, 422),
        ({"texts": ["a" * 101]}, 422),
        ({"texts": ["a"], "labels": ["a", "b", "c"]}, 422),
        ({"texts": ["a"], "labels": ["a" * 21]}, 422),
        ({"texts": ["a"], "labels": [""]}, 422),
        ({"texts": ["a"], "labels": {"a": ""}}, 422),
        ({"texts": ["a"], "threshold": 1.5}, 422),
        ({"texts": ["a"], "threshold": True}, 422),
        ({"texts": ["a"], "threshold": "0.5"}, 422),
        ({"texts": ["a"], "label_thresholds": {"a": "0.5"}}, 422),
        ({"texts": ["a"], "threshold": 1}, 200),
        (b'{"texts": ["a"], "threshold": NaN}', 422),
        ({"texts": ["a"], "overlap": "some"}, 422),
        ({"texts": ["a"], "boundaries": ["pages"]}, 422),
        ({"texts": ["a"], "boundaries": "lines"}, 422),
        ({"texts": ["a"], "unknown": 1}, 422),
        (b'{"texts": ["\\ud800"]}', 422),
        (b'{"texts": ["a"], "labels": ["\\udfff"]}', 422),
        (b"x" * 2001, 413),
        ({"texts": ["a"]}, 200),
    ],
)
def test_statuses(nlp, body, status):
    (response,) = run(create_app(nlp, SMALL), post(body))
    assert response.status_code == status
    if status != 200:
        assert response.json()["detail"]


MANY = {"texts": [TEXT] * 3, "labels": [f"type {i}" for i in range(50)], "threshold": 0, "overlap": "all"}


def test_a_request_finds_no_more_spans_than_it_may(nlp):
    """Words, widths and types multiply: a few kilobytes of a request would take all memory that there is."""
    app = create_app(nlp, ServeSettings(max_spans=500, batch_wait=0.2))
    refused, small, plain = run(app, post(MANY), post(MANY | {"labels": ["person"]}), post({"texts": [TEXT]}))
    assert refused.status_code == 422
    assert "O206" in refused.json()["detail"]
    assert (small.status_code, plain.status_code) == (200, 200)
    assert 0 < sum(map(len, small.json()["entities"])) <= 500
    (whole,) = run(create_app(nlp), post(MANY))
    assert sum(map(len, whole.json()["entities"])) > 500


def test_requests_of_a_batch_do_not_share_the_bound(nlp):
    asked = {"texts": [TEXT], "labels": ["person"], "threshold": 0, "overlap": "all"}
    (alone,) = run(create_app(nlp), post(asked))
    n = len(alone.json()["entities"][0])
    answers = run(create_app(nlp, ServeSettings(max_spans=n, batch_wait=0.2)), *[post(asked) for _ in range(4)])
    assert {each.text for each in answers} == {alone.text}


def test_a_text_is_no_longer_than_the_pipeline_takes(nlp):
    limits = ServeSettings(max_text_chars=10**7, max_body_bytes=10**8)
    (response,) = run(create_app(nlp, limits), post({"texts": ["a" * 1_000_001]}))
    assert response.status_code == 422
    assert "1,000,001 characters; at most 1,000,000" in response.text


def test_a_body_of_unknown_length_is_bounded(nlp):
    async def call(client):
        async def parts():
            for _ in range(100):
                yield b"x" * 100

        return await client.post("/entities", content=parts())

    (response,) = run(create_app(nlp, SMALL), call)
    assert response.status_code == 413


def test_a_body_that_comes_too_slowly_is_refused(nlp, monkeypatch):
    monkeypatch.setattr("spacy_openner.serve.app.BODY_TIMEOUT", 0.05)

    async def call(client):
        async def parts():
            yield b'{"texts": '
            await asyncio.sleep(0.5)
            yield b'["a"]}'

        return await client.post("/entities", content=parts())

    (response,) = run(create_app(nlp, SMALL), call)
    assert response.status_code == 408


BASIC = base64.b64encode(b"anyone:correct horse").decode()


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        ("Bearer correct horse", 200),
        (f"Basic {BASIC}", 200),
        ("Basic !", 401),
        ("Basic /w==", 401),
        ("correct horse", 401),
    ],
)
def test_the_key(nlp, header, status):
    headers = {} if header is None else {"Authorization": header}
    asked, health = run(create_app(nlp, key="correct horse"), post({"texts": [TEXT]}, **headers), get("/healthz"))
    assert (asked.status_code, health.status_code) == (status, 200)


@pytest.mark.parametrize("path", ["/entities", "/analyze", "/predict"])
@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 5000, b'{"a": NaN}', b"{}"])
def test_the_key_comes_before_the_body(nlp, path, body):
    """Who has no key learns nothing of what a body should be."""

    async def call(client):
        return await client.post(path, content=body)

    (refused,) = run(create_app(nlp, key="correct horse"), call)
    (read,) = run(create_app(nlp), call)
    assert refused.status_code == 401
    assert read.status_code in (400, 422)


@pytest.mark.parametrize("value", ["", "short", "with\nnewline inside", "schlüssel-lang"])
def test_keys_that_are_refused(nlp, monkeypatch, value):
    monkeypatch.setenv("SPACY_OPENNER_API_KEY", value)
    for ask in (api_key, lambda: create_app(nlp, key=value)):
        with pytest.raises(SettingError, match="O651") as problem:
            ask()
        assert not value.strip() or value not in str(problem.value)


def test_a_key_loses_the_line_end_of_a_mounted_secret(monkeypatch):
    monkeypatch.setenv("SPACY_OPENNER_API_KEY", "correct-horse\n")
    assert api_key() == "correct-horse"


@Language.component("slow_tokens")
def slow_tokens(doc):
    """Take a while, and fail on request."""
    import time

    time.sleep(0.02)
    if "fail" in doc.text:
        raise RuntimeError(doc.text)
    return doc


@pytest.fixture(scope="module")
def slow(nlp):
    slow = spacy.blank("en")
    slow.add_pipe("slow_tokens")
    slow.add_pipe("open_ner_span", source=nlp)
    return slow


def test_too_much_at_once_is_told_to_wait(slow):
    app = create_app(slow, ServeSettings(max_waiting_texts=4, batch_texts=2))
    answers = run(app, *[post({"texts": [TEXT]}) for _ in range(20)])
    statuses = sorted(each.status_code for each in answers)
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 4
    assert all(each.headers["retry-after"] == "2" for each in answers if each.status_code == 429)


def test_requests_give_up_after_a_while(slow):
    app = create_app(slow, ServeSettings(timeout=0.01, batch_texts=1))
    statuses = {each.status_code for each in run(app, *[post({"texts": [TEXT] * 3}) for _ in range(8)])}
    assert statuses == {200, 503}


def test_what_the_pipeline_has_not_begun_is_given_up_in_time():
    """And not only when the pipeline is done with what it has; so is what nobody waits for any more."""
    begun, done = threading.Event(), threading.Event()

    def work(texts, key):
        begun.set()
        done.wait(60)
        return texts

    batcher = Batcher([work], batch_texts=1, batch_wait=0.001, max_waiting_texts=100)

    async def submit():
        first = asyncio.create_task(batcher.submit(["a"], None, 0.01))
        await asyncio.to_thread(begun.wait, 60)
        gone = asyncio.create_task(batcher.submit(["b"], None, 60))
        await asyncio.sleep(0)
        with pytest.raises(Expired):
            await batcher.submit(["c"] * 3, None, 0.01)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert batcher.waiting_texts == 1
        # What it has begun is answered, however long that takes.
        done.set()
        return await first

    assert asyncio.run(submit()) == ["a"]
    batcher.stop()
    assert batcher.waiting_texts == 0


def test_a_text_that_fails_costs_its_own_request(slow, caplog):
    caplog.set_level(logging.INFO, logger="spacy_openner.serve")
    bodies = [{"texts": [TEXT]}, {"texts": ["fail with a secret"]}, {"texts": [TEXT]}]
    answers = run(create_app(slow, ServeSettings(batch_wait=0.2)), *map(post, bodies))
    assert [each.status_code for each in answers] == [200, 500, 200]
    assert "secret" not in answers[1].text
    assert "secret" not in caplog.text


def test_requests_share_batches(nlp):
    app = create_app(nlp, ServeSettings(batch_wait=0.3))

    async def call(client):
        answers = await asyncio.gather(*(post({"texts": [TEXT]})(client) for _ in range(10)))
        assert {each.status_code for each in answers} == {200}
        return await client.get("/metrics")

    (metrics,) = run(app, call)
    lines = dict(line.rsplit(" ", 1) for line in metrics.text.splitlines() if not line.startswith("#"))
    assert float(lines["openner_texts_total"]) == 10
    assert float(lines["openner_batch_texts_count"]) <= 3
    assert float(lines['openner_requests_total{path="/entities",status="200"}']) == 10
    assert float(lines["openner_waiting_texts"]) == 0


@Language.component("both_at_once")
def both_at_once(doc):
    """Wait until another thread is here, too."""
    both.wait(timeout=60)
    return doc


both = threading.Barrier(2)


def test_copies_of_a_pipeline_work_at_once(nlp):
    copies = []
    for _ in range(2):
        copy = spacy.blank("en")
        copy.add_pipe("open_ner_span", source=nlp)
        copies.append(copy)
    app = create_app(copies, ServeSettings(batch_texts=1, batch_wait=0.001))

    async def call(client):
        # What makes the service ready is one after the other.
        for copy in copies:
            copy.add_pipe("both_at_once", last=True)
        return await asyncio.gather(*(post({"texts": [TEXT]})(client) for _ in range(6)))

    (answers,) = run(app, call)
    assert [each.status_code for each in answers] == [200] * 6
    assert len({each.text for each in answers}) == 1


def test_what_has_gathered_is_shared_out_among_idle_pipelines():
    begun, sizes = threading.Event(), []

    def work(texts, key):
        begun.wait(60)
        sizes.append(len(texts))
        time.sleep(0.05)
        return texts

    batcher = Batcher([work, work], batch_texts=64, batch_wait=0.2, max_waiting_texts=100)

    async def submit():
        waiting = [asyncio.create_task(batcher.submit([str(i)], None, 60)) for i in range(10)]
        await asyncio.sleep(0)
        begun.set()
        return await asyncio.gather(*waiting)

    assert asyncio.run(submit()) == [[str(i)] for i in range(10)]
    batcher.stop()
    assert sorted(sizes) == [5, 5]


def test_what_was_accepted_is_answered_before_the_stop(slow):
    app = create_app(slow, ServeSettings(batch_texts=1))

    async def main():
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app=app)
            client = httpx.AsyncClient(transport=transport, base_url="http://test")
            waiting = [asyncio.create_task(post({"texts": [TEXT]})(client)) for _ in range(10)]
            while app.state.service.batcher.waiting_texts < 10:
                await asyncio.sleep(0.001)
        return await asyncio.gather(*waiting)

    assert {each.status_code for each in asyncio.run(main())} == {200}


def test_an_application_can_be_started_again(nlp):
    app = create_app(nlp)
    for _ in range(2):
        (response,) = run(app, post({"texts": [TEXT]}))
        assert response.status_code == 200


def test_what_is_refused_before_it_is_read_is_counted(nlp, caplog):
    caplog.set_level(logging.INFO, logger="spacy_openner.serve")
    response, metrics = run(create_app(nlp, SMALL), post(b"x" * 2001), get("/metrics"))
    assert response.status_code == 413
    assert json.loads(caplog.records[0].message)["status"] == 413
    assert 'openner_requests_total{path="other",status="413"} 1.0' in metrics.text


def test_logs_hold_no_texts(nlp, caplog):
    caplog.set_level(logging.INFO, logger="spacy_openner.serve")
    run(create_app(nlp), post({"texts": [TEXT], "labels": ["person"]}), post({"texts": "Curie"}))
    lines = [json.loads(record.message) for record in caplog.records if record.name == "spacy_openner.serve"]
    assert [(line["path"], line["status"]) for line in lines] == [("/entities", 422), ("/entities", 200)]
    assert "Curie" not in caplog.text


def test_the_page_and_health(nlp):
    page, ready, settings = run(create_app(nlp), get("/"), get("/readyz"), get("/pipeline"))
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert ready.json() == {"status": "ready"}
    assert settings.json() == {
        "labels": ["person", "city"],
        "threshold": 0.5,
        "overlap": "flat",
        "boundaries": ["paragraphs", "lists", "cells"],
        "needs_key": False,
    }


def test_a_pipeline_that_names_no_types_is_refused():
    with pytest.raises(SettingError, match="O652"):
        create_app(spacy.blank("en"))


@pytest.mark.parametrize(
    "change", [{"max_texts": 0}, {"timeout": float("nan")}, {"batch_wait": -1}, {"max_labels": True}]
)
def test_settings_that_are_refused(change):
    with pytest.raises(SettingError, match=next(iter(change))):
        ServeSettings(**change)
