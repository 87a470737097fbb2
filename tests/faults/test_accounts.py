"""Long runs against servers that fail: every question is accounted for, and the next run asks only for what is missing."""

import json
import warnings
from collections import Counter

import pytest
import spacy

from spacy_openner.errors import OpenNERWarning
from spacy_openner.llm.annotation import AnnotationReport, annotate_docs
from spacy_openner.llm.factory import LLMClient_v1
from spacy_openner.llm.types import Failure, LLMRequest
from tests.support.fake_chat_server import serve

SCHEMA = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
FAULTS = ("429", "500", "503", "disconnect", "malformed", "malformed_http", "truncated", "filtered")


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr("spacy_openner.llm.server.FIRST_WAIT", 0.01)


def client(url, cache, **settings):
    settings = {"timeout": 30.0, "max_wait": 0.2, "cache_dir": str(cache), **settings}
    return LLMClient_v1("tiny", base_url=url, **settings)


@pytest.mark.filterwarnings("ignore::spacy_openner.errors.OpenNERWarning")
@pytest.mark.parametrize("n", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_questions_at_thirty_percent_faults(n, tmp_path):
    requests = [LLMRequest((("user", f"text {i}"),), SCHEMA) for i in range(n)]
    with serve(
        answer=lambda text: json.dumps({"said": text}), faults=FAULTS, fault_rate=0.3, retry_after="0.01"
    ) as server:
        asked = client(server.url, tmp_path)
        found = asked.ask(requests)
        asked.close()
        n_faults = sum(count for fault, count in server.served.items() if fault)
        assert n_faults > 0.2 * n
    report, failed = asked.report, Counter(each.kind for each in found if isinstance(each, Failure))
    assert len(found) == report.questions == report.answered + report.failures.total() == n
    assert report.failures == failed
    assert report.requests == len(server.requests)
    right = [each.value["said"] == f"text {i}" for i, each in enumerate(found) if not isinstance(each, Failure)]
    assert all(right)
    # Answers that are cut, withheld or of another form are not asked for again; all else nearly always succeeds.
    assert len(right) > 0.8 * n
    assert set(failed) <= {"malformed", "truncated", "filtered", "rate_limit", "server", "connection"}
    remembered = failed["truncated"] + failed["filtered"]
    with serve(answer=lambda text: json.dumps({"said": text})) as server:
        asked = client(server.url, tmp_path)
        again = asked.ask(requests)
        asked.close()
        assert len(server.requests) == failed.total() - remembered
    assert sum(isinstance(each, Failure) for each in again) == remembered
    print(f"{n} questions, {report.requests} requests, {n_faults} faults: {report.answered} answered, {dict(failed)}")


def test_texts_of_which_the_first_half_cannot_be_answered(tmp_path):
    nlp = spacy.blank("en")
    docs = [nlp(f"Ada is number {i}") for i in range(48)]
    answer = json.dumps({"entities": [{"entity": "Ada", "type": "person"}]})

    def annotate(server):
        asked, report = client(server.url, tmp_path, concurrency=1), AnnotationReport()
        texts = [
            doc.text for doc in annotate_docs(nlp, [nlp(doc.text) for doc in docs], ["person"], asked, report=report)
        ]
        asked.close()
        return texts, report

    with serve(answer=lambda _: answer, script=["truncated", "filtered", "malformed"] * 8) as server:
        with pytest.warns(OpenNERWarning, match="W520"):
            texts, report = annotate(server)
        assert len(server.requests) == 48
    assert texts == [doc.text for doc in docs[24:]]
    assert report.failures == {"truncated": 8, "filtered": 8, "malformed": 8}
    assert (report.texts, report.done, report.entities) == (48, 24, 24)
    with serve(answer=lambda _: answer) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        texts, report = annotate(server)
        assert len(server.requests) == 8
    assert (report.texts, report.done) == (48, 32)
    assert report.failures == {"truncated": 8, "filtered": 8}
