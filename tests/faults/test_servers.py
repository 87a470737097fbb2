"""Each fault of a server of language models, met by the real `openai` client: what comes of it, what it costs, and what
the next run asks for."""

import gzip
import json
import warnings
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from spacy_openner.errors import SettingError
from spacy_openner.llm.factory import LLMClient_v1
from spacy_openner.llm.responses import OF_THE_TEXT
from spacy_openner.llm.types import Failure, LLMRequest
from tests.support.fake_chat_server import serve

KEY = "sk-very-secret-0123456789"
SCHEMA = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
GOOD = '{"said": "yes"}'
ANSWERED = "answered"


def reply(content: Any = GOOD, finish: str = "stop", **more: Any) -> dict[str, Any]:
    """A reply of the protocol."""
    message = {"role": "assistant", "content": content, **more}
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage(1, 1)}


def usage(asked: Any, said: Any) -> dict[str, Any]:
    return {"prompt_tokens": asked, "completion_tokens": said}


def with_usage(counts: Any) -> dict[str, Any]:
    return {**reply(), "usage": counts}


def packed(value: Any) -> bytes:
    return gzip.compress(json.dumps(value).encode())


class Case(NamedTuple):
    """A fault, and what is right.

    server: How the server behaves; see `fake_chat_server.Behaviour`.
    kind: What comes of a question: a kind of failure, or that it is answered.
    requests: How many it takes.
    settings: Of the client.
    """

    server: dict[str, Any]
    kind: str = ANSWERED
    requests: int = 1
    settings: Mapping[str, Any] = MappingProxyType({})


ECHO = f"Incorrect API key provided: {KEY}. You said {KEY[:14]}"
CASES = {
    "no fault": Case({}),
    # What a request meets
    "a wrong key": Case({"refuse": (401, ECHO)}, "unauthorized"),
    "no money": Case({"refuse": (402, "pay")}, "unauthorized"),
    "not allowed": Case({"refuse": (403, "no")}, "unauthorized"),
    "no such model": Case({"refuse": (404, "no such model")}, "not_found", 3),
    "a bad request": Case({"refuse": (400, f"bad temperature {KEY}")}, "refused", 3),
    "a bad request in words": Case({"refuse": (422, "bad")}, "refused", 1, {"structured": "plain"}),
    "another method": Case({"refuse": (405, "no")}, "refused", 3),
    "moved": Case({"refuse": (301, "elsewhere")}, "refused", 3),
    "too long by words": Case({"refuse": (400, "This model's maximum context length is 8 tokens")}, "too_long"),
    "too long by status": Case({"refuse": (413, "Payload too large")}, "too_long"),
    "too long by llama.cpp": Case({"refuse": (500, "the request exceeds the available context size")}, "too_long"),
    "busy once": Case({"script": ["429"]}, requests=2),
    "busy for long": Case({"refuse": (429, "slow down")}, "rate_limit", 3),
    "busy until tomorrow": Case({"script": ["429"], "retry_after": "86400"}, "rate_limit"),
    "busy until a date that is none": Case({"script": ["429"], "retry_after": "soon"}, requests=2),
    "busy for NaN seconds": Case({"script": ["429"], "retry_after": "nan"}, requests=2),
    "busy for minus a second": Case({"script": ["429"], "retry_after": "-1"}, requests=2),
    "out of order once": Case({"script": ["500"]}, requests=2),
    "out of order": Case({"refuse": (503, "out of order")}, "server", 3),
    "a gateway": Case({"refuse": (502, "<html>bad gateway</html>")}, "server", 3),
    "no schemas": Case({"knows_schemas": False}, requests=3),
    "fails at schemas": Case({"schema_status": 500}, requests=5),
    "no system role": Case({"refuse_system": True}, requests=2),
    "a limit beyond what it reads, by vLLM": Case(
        {
            "refuse_key": (
                "max_tokens",
                "'max_tokens' is too large: 50. This model's maximum context length is 60 tokens",
            )
        },
        requests=2,
    ),
    "a limit beyond what it reads, by OpenAI": Case(
        {"refuse_key": ("max_tokens", "maximum context length is 60 tokens. You requested 90 (50 in the completion)")},
        requests=2,
    ),
    "a limit by another name": Case(
        {"refuse_key": ("max_tokens", "'max_tokens' is not supported. Use 'max_completion_tokens' instead.")},
        requests=2,
    ),
    "too long with and without a limit": Case({"refuse": (400, "max_tokens: context length is 8")}, "too_long", 2),
    "no answer in time": Case({"script": ["timeout"], "slow": 2.0}, "timeout", 1, {"timeout": 0.2}),
    "hangs up once": Case({"script": ["disconnect"]}, requests=2),
    "hangs up": Case({"script": ["disconnect"] * 9}, "connection", 3),
    # What replies are
    "a page": Case({"script": ["malformed_http"] * 9}, "malformed", 3),
    "nothing": Case({"reply": ""}, "malformed", 3),
    "text": Case({"reply": "Hello."}, "malformed", 3),
    "a list": Case({"reply": []}, "malformed", 3),
    "null": Case({"reply": None}, "malformed", 3),
    "an object of another kind": Case({"reply": {"error": "no"}}, "malformed", 3),
    "no choice": Case({"reply": {"choices": []}}, "malformed", 3),
    "choices of another kind": Case({"reply": {"choices": [1, None]}}, "malformed", 3),
    "a message of another kind": Case({"reply": {"choices": [{"message": "hi"}]}}, "malformed", 3),
    "no content": Case({"reply": reply(None)}, "malformed", 3),
    "content of another kind": Case({"reply": reply({"said": "yes"})}, "malformed", 3),
    "content in parts": Case({"reply": reply([{"type": "text", "text": GOOD}])}),
    "events unasked": Case({"streams": True, "answer": lambda _: GOOD}),
    "events that break off": Case({"reply": 'data: {"choices": [{"delta": {"content": "{"}}]}\n\n'}, "malformed", 3),
    "an event that is none": Case({"reply": "data: {\n\n"}, "malformed", 3),
    "a whole reply too deep": Case({"reply": "[" * 100_000}, "malformed", 3),
    "grows when unpacked": Case({"packed": packed(reply("x" * (20 << 20)))}, "malformed", 1, {"max_retries": 0}),
    "packed, but not": Case({"packed": b"no gzip"}, "malformed", 3),
    "JSON as a page": Case({"reply": reply(), "content_type": "text/html"}),
    "JSON as bytes": Case({"reply": reply(), "content_type": "application/octet-stream"}),
    "events as JSON": Case({"streams": True, "answer": lambda _: GOOD, "content_type": "application/json"}),
    "a page as JSON": Case({"reply": "<html></html>", "content_type": "application/json"}, "malformed", 3),
    "several choices": Case({"reply": {"choices": [*reply()["choices"], *reply('{"said": "no"}')["choices"]]}}),
    "an error without a status": Case({"reply": {"error": {"message": f"overloaded {KEY}"}}}, "malformed", 3),
    "a tool's call": Case(
        {"reply": reply(None, "tool_calls", tool_calls=[{"function": {"name": "f"}}])}, "malformed", 3
    ),
    # What models say
    "cut, by another name": Case({"reply": reply('{"said": "y', "MAX_TOKENS")}, "truncated"),
    "filtered, by another name": Case({"reply": reply(None, "SAFETY")}, "filtered"),
    "thoughts alone": Case({"reply": reply(f"<think>{GOOD}")}, "malformed"),
    "two answers": Case({"reply": reply(f'{GOOD} or {{"said": "no"}}')}, "malformed"),
    "a key twice": Case({"reply": reply('{"said": "yes", "said": "no"}')}, "malformed"),
    "cut": Case({"reply": reply('{"said": "y', "length")}, "truncated"),
    "filtered": Case({"reply": reply(None, "content_filter")}, "filtered"),
    "a refusal": Case({"reply": reply(None, refusal="I can't.")}, "filtered"),
    "prose": Case({"reply": reply("Yes.")}, "malformed", 1, {"parameters": {"temperature": 0}}),
    "prose by chance": Case({"reply": reply("Yes.")}, "malformed", 3, {"parameters": {"temperature": 1}}),
    "another key": Case({"reply": reply('{"told": "yes"}')}, "malformed"),
    "a fence and prose": Case({"reply": reply(f"Sure!\n```json\n{GOOD}\n```\nBye.")}),
    "thoughts": Case({"reply": reply(f"<think>{{no}}</think>{GOOD}")}),
    "single quotes": Case({"reply": reply("{'said': 'yes',}")}),
    "JSON of JSON": Case({"reply": reply(json.dumps(GOOD))}),
    "half a character": Case({"reply": reply('{"said": "\\ud83d"}')}, "malformed"),
    "too deep": Case({"reply": reply('{"said": ' + "[" * 50_000)}, "malformed"),
    "NaN": Case({"reply": reply('{"said": NaN}')}),
    "the key": Case({"reply": reply(json.dumps({"said": "yes", "also": KEY}))}),
    # What replies count
    "no count": Case({"reply": with_usage(None)}),
    "a count of another kind": Case({"reply": with_usage([1])}),
    "a negative count": Case({"reply": with_usage(usage(-1000, -1000))}),
    "a count in words": Case({"reply": with_usage(usage("many", None))}),
    "a huge count": Case({"reply": with_usage(usage(10**30, 1))}),
}


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Waits are of milliseconds, and the key is this one."""
    monkeypatch.setattr("spacy_openner.llm.server.FIRST_WAIT", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("OPENAI_BASE_URL", "nonsense", r"O001.*OPENAI_BASE_URL.*nonsense"),
        ("OPENAI_BASE_URL", "http://localhost:99999/v1", r"O001.*OPENAI_BASE_URL"),
        ("OPENAI_BASE_URL", "http://[::1", r"O001.*OPENAI_BASE_URL"),
        ("OPENAI_BASE_URL", "http://user:very-secret@localhost/v1", r"O507.*OPENAI_BASE_URL"),
        ("OPENAI_BASE_URL", "ftp://user:very-secret@localhost:x/v1", r"O507.*OPENAI_BASE_URL"),
        ("HTTP_PROXY", "socks9://user:very-secret@localhost:9", r"O522.*ValueError.*HTTP_PROXY"),
        ("SSL_CERT_FILE", "/nowhere/at.all", r"O522.*FileNotFoundError.*SSL_CERT_FILE"),
    ],
)
def test_surroundings_that_are_wrong(name, value, message, monkeypatch):
    """The error says where to look, and repeats no password."""
    for each in ("HTTP_PROXY", "http_proxy", "no_proxy", "NO_PROXY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, value)
    url = None if name == "OPENAI_BASE_URL" else "http://localhost:9/v1"
    with pytest.raises(SettingError, match=message) as raised:
        LLMClient_v1("tiny", base_url=url).ask([ask("a")])
    assert "very-secret" not in str(raised.value)


def ask(text):
    return LLMRequest((("system", "Say yes."), ("user", text)), SCHEMA, 50)


def outcome(client, *texts):
    """The kinds of what comes of questions, and the warnings meanwhile."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = client.ask([ask(text) for text in texts])
    kinds = [each.kind if isinstance(each, Failure) else ANSWERED for each in found]
    return kinds, f"{found} {[str(each.message) for each in caught]} {client.report} {client!r}"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_fault(case, tmp_path):
    settings = {"timeout": 20.0, "max_wait": 1.0, "max_retries": 2, "cache_dir": str(tmp_path), **case.settings}
    with serve(**{"answer": lambda _: GOOD, **case.server}) as server:
        first = LLMClient_v1("tiny", base_url=server.url, **settings)
        kinds, said = outcome(first, "a")
        assert (kinds, len(server.requests)) == ([case.kind], case.requests)
        report = first.report
        assert report.questions == report.answered + report.cache_hits + report.failures.total() == 1
        assert report.failures == Counter([case.kind] if case.kind != ANSWERED else [])
        assert report.requests == len(server.requests)
        assert min(report.input_tokens, report.output_tokens, report.unmetered) >= 0
        first.close()
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert KEY.encode() not in kept
    assert KEY[:12] not in said
    # The next run, at a server that works, asks for what is neither known nor the text's own fault.
    with serve(answer=lambda _: GOOD) as server:
        second = LLMClient_v1("tiny", base_url=server.url, **settings)
        kinds, _ = outcome(second, "a", "b")
        remembered = case.kind in (ANSWERED, *OF_THE_TEXT) and "also" not in str(case.server.get("reply"))
        assert kinds == [case.kind if remembered else ANSWERED, ANSWERED]
        assert len(server.requests) == (1 if remembered else 2)
        second.close()
