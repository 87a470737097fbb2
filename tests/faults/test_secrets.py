"""A key in every place where it could come to be shown, kept, or sent to somebody else."""

import copy
import gzip
import json
import pickle
import threading
import traceback
import warnings
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest
import spacy

from spacy_openner.errors import SettingError
from spacy_openner.llm import session
from spacy_openner.llm.factory import LLMClient_v1
from spacy_openner.llm.redaction import Redactor
from spacy_openner.llm.responses import UnreadableReply
from spacy_openner.llm.types import Failure, LLMRequest, LLMResponse
from spacy_openner.secret import Secret
from tests.support.fake_chat_server import PatientHTTPServer, serve

KEY = "sk-Very+Secret/0123456789abcdef"
VARIABLE = "OPENNER_TEST_KEY"
SCHEMA = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
REQUEST = LLMRequest((("user", "a"),), SCHEMA)
HALF = len(KEY) // 2


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    monkeypatch.setenv(VARIABLE, KEY)
    monkeypatch.setattr("spacy_openner.llm.server.FIRST_WAIT", 0.01)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def tells(text):
    """Whether a text has eight characters of the key in a row."""
    return any(KEY[i : i + 8] in text for i in range(len(KEY) - 7))


def client(url="http://127.0.0.1:9/v1", **settings):
    return LLMClient_v1("tiny", base_url=url, **{"api_key_env": VARIABLE, "max_retries": 0, **settings})


def shown(problem):
    """All that an error, and what led to it, show: with the variables of each frame of the package and of others."""
    chain = [problem]
    while (problem := problem.__cause__ or problem.__context__) is not None:
        chain.append(problem)
    frames = [traceback.TracebackException.from_exception(each, capture_locals=True, limit=-20) for each in chain]
    # The frames of this file hold the key on purpose.
    own = [frame.locals for each in frames for frame in each.stack if frame.filename != __file__]
    return repr([(each.args, vars(each)) for each in chain]) + repr(own)


SETTINGS = {
    "a header": {"parameters": {"extra_headers": {"A": KEY}}},
    "a header by another name": {"parameters": {"default_headers": {}}},
    "headers": {"parameters": {"headers": {"authorization": "x"}}},
    "a query": {"parameters": {"extra_query": {"key": "x"}}},
    "a key": {"parameters": {"api-key": "x"}},
    "a key, camel case": {"parameters": {"apiKey": "x"}},
    "a token": {"parameters": {"metadata": {"token": "x"}}},
    "a password in a list": {"parameters": {"tools": [{"password": "x"}]}},
    "a bearer": {"parameters": {"user": "Bearer abcdefghijkl"}},
    "the key": {"parameters": {"user": KEY}},
    "the key, deep": {"parameters": {"x": {"y": [1, [KEY]]}}},
    "the key, backwards": {"parameters": {"user": KEY[::-1]}},
    "half of the key": {"parameters": {"user": KEY[:HALF]}},
    "the key as a name": {"parameters": {KEY: 1}},
    "the key beside what is no JSON": {"parameters": {KEY: object()}},
    "the key as the model": {"model": KEY},
    "the key in a directory": {"cache_dir": f"/tmp/{KEY}"},
    "the key as the address": {"base_url": KEY},
    "the key in a path": {"base_url": f"https://example.com/{KEY}/v1"},
    "the key in a query": {"base_url": f"https://example.com/v1?k={KEY}"},
    "the key in a fragment": {"base_url": f"https://example.com/v1#{KEY}"},
    "a password": {"base_url": f"https://user:{KEY}@example.com/v1"},
    "a password, and one slash": {"base_url": f"https:/user:{KEY}@example.com/v1"},
    "a password, and no scheme": {"base_url": f"user:{KEY}@example.com:8000/v1"},
    "the key as a variable": {"api_key_env": KEY},
    "another key as a variable": {"api_key_env": "AKIAIOSFODNN7EXAMPLE"},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_settings_that_hold_a_key_are_refused_and_not_repeated(settings):
    with pytest.raises(SettingError) as caught:
        LLMClient_v1(**{"model": "tiny", "api_key_env": VARIABLE, **settings})
    message = f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"
    assert not tells(message)
    assert str(settings.get("api_key_env", KEY)) not in message


def test_parameters_that_only_sound_like_keys():
    client(
        parameters={
            "max_tokens": 5,
            "stop_token_ids": [1],
            "prompt_cache_key": "a",
            "skip_special_tokens": True,
            "logit_bias": {"12": -3},
            "chat_template_kwargs": {"enable_thinking": False},
            "metadata": {"team": "tokens and keys"},
        }
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (VARIABLE, KEY + "\x01"),
        ("HTTP_PROXY", "socks9://user:password@localhost:9"),
        ("SSL_CERT_FILE", "/nowhere/at.all"),
    ],
)
def test_no_frame_of_an_error_shows_the_key(name, value, monkeypatch):
    """Web frameworks, loggers and pytest show the variables of each frame, also of what led to an error."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError) as caught:
        client().ask([REQUEST])
    assert not tells(shown(caught.value))


ANSWERS = {
    "as it is": {"said": KEY},
    "among other text": {"said": f"It is {KEY}, I think."},
    "as a key": {"said": "a", KEY: 1},
    "in a list": {"said": "a", "more": [KEY]},
    "over two fields": {"said": KEY[:HALF], "more": KEY[HALF:]},
    "deep": {"said": "a", "more": {"b": [{"c": KEY}]}},
}
FORMS = {
    "plain": json.dumps,
    "escaped": lambda answer: json.dumps(answer).replace(KEY, "".join(f"\\u{ord(char):04x}" for char in KEY)),
    "in a fence": lambda answer: f"Sure.\n```json\n{json.dumps(answer)}\n```",
    "single quotes": repr,
    "after prose": lambda answer: f"{KEY} {json.dumps(answer)}",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "in events"])
def test_answers_that_hold_the_key(form, streams, tmp_path):
    """They are handed on without it, are not kept, and nothing of the client shows it."""
    requests = [LLMRequest((("user", name),), SCHEMA) for name in ANSWERS]
    with (
        serve(answer=lambda name: FORMS[form](ANSWERS[name]), key=KEY, streams=streams) as server,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        asked = client(server.url, cache_dir=str(tmp_path))
        responses = asked.ask(requests)
        kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        parts = [asked.settings, asked.report.as_dict(), vars(asked), vars(asked._server), vars(asked._session)]
        shows = [*map(repr, parts), str(asked), str(asked._server.redact.key), repr(vars(copy.deepcopy(asked)))]
        packed = pickle.dumps(asked)
        asked.close()
    assert all(isinstance(each, LLMResponse | Failure) for each in responses)
    assert sum(isinstance(each, LLMResponse) for each in responses) > len(ANSWERS) - 2
    for text in (repr(responses), *shows, *(str(each.message) for each in caught)):
        assert not tells(text)
    assert not tells((kept + packed).decode("latin-1"))


def test_an_answer_that_was_kept_before_there_was_a_key_is_asked_for_again(tmp_path, monkeypatch):
    with serve(answer=lambda _: json.dumps({"said": KEY})) as server:
        monkeypatch.delenv(VARIABLE)
        before = client(server.url, cache_dir=str(tmp_path))
        assert KEY in repr(before.ask([REQUEST]))
        before.close()
        monkeypatch.setenv(VARIABLE, KEY)
        after = client(server.url, cache_dir=str(tmp_path))
        (response,) = after.ask([REQUEST])
        after.close()
    assert response == LLMResponse({"said": "***"})
    assert len(server.requests) == 2


def test_a_pipeline_with_a_client_holds_no_key(tmp_path):
    nlp = spacy.blank("en")
    reassigner = {
        "@misc": "spacy-openner.LLMReassigner.v1",
        "client": {"@misc": "spacy-openner.LLMClient.v1", "model": "m", "base_url": "http://127.0.0.1:9/v1"},
    }
    reassigner["client"]["api_key_env"] = VARIABLE
    table = {"politician": "person"}
    pipe = nlp.add_pipe("lar_reassigner", config={"reassigner": reassigner, "table": table, "labels": ["politician"]})
    asked = pipe.reassigner.client
    asked._running()
    nlp.to_disk(tmp_path / "pipeline")
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    for data in (written, nlp.to_bytes(), pickle.dumps(nlp), pickle.dumps(pipe), repr(nlp.config).encode()):
        assert not tells(data.decode("latin-1"))
    asked.close()


def test_a_secret_is_shown_nowhere():
    secret = Secret(Secret(KEY))
    assert secret == KEY == secret.reveal()
    assert type(secret.reveal()) is str
    assert {repr(secret), str(secret), f"{secret}", f"{secret!r:>3}", repr([secret])} == {"***", "[***]"}
    for holder in (secret, Redactor(KEY)):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(holder)


# Other servers


@contextmanager
def sending_on(where, status):
    """A server that sends all requests on to another address; the headers that it saw."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            seen.append(dict(self.headers))
            self.send_response(status)
            self.send_header("location", where(self))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    http = PatientHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}", seen
    finally:
        http.shutdown()
        http.server_close()
        thread.join(10)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_neither_key_nor_texts_are_sent_on_to_another_server(status):
    with serve(answer=lambda _: '{"said": "a"}') as other:
        with sending_on(lambda _: f"{other.url}/chat/completions", status) as (url, seen):
            asked = client(f"{url}/v1")
            (failure,) = asked.ask([REQUEST])
            asked.close()
        assert not other.requests
    assert len(seen) == 1
    assert isinstance(failure, Failure)
    assert failure.kind == "not_found"
    assert other.url.removesuffix("/v1") in failure.message
    assert "base_url" in failure.message


def test_another_path_of_the_same_server_is_followed_a_few_times():
    with sending_on(lambda handler: handler.path + "/", 308) as (url, seen):
        asked = client(f"{url}/v1")
        (failure,) = asked.ask([REQUEST._replace(max_tokens=None)])
        asked.close()
    assert isinstance(failure, Failure)
    assert {headers["authorization"] for headers in seen} == {f"Bearer {KEY}"}
    assert len(seen) % (session.MOST_REDIRECTS + 1) == 0


# What a reply unpacks to

BOMB = b"0" * (session.LARGEST_REPLY + 1)
RAW = zlib.compressobj(wbits=-15)


@pytest.mark.parametrize(
    ("data", "encoding", "reason"),
    [
        (gzip.compress(BOMB), "gzip", "more than 16 MB"),
        (zlib.compress(BOMB), "deflate", "more than 16 MB"),
        (RAW.compress(BOMB) + RAW.flush(), "deflate", "more than 16 MB"),
        (gzip.compress(gzip.compress(BOMB)), "gzip, gzip", "not asked for"),
        (b"anything", "br", "not asked for"),
        (b"anything", "zstd", "not asked for"),
        (b"anything", "x" * 10_000, "not asked for"),
        (b"no gzip", "gzip", "damaged"),
        (gzip.compress(b"{}" * 100)[:-12], "gzip", "cut"),
    ],
)
def test_bodies_that_are_not_unpacked(data, encoding, reason):
    with pytest.raises(UnreadableReply, match=reason) as caught:
        session.unpacked(data, encoding)
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "x-GZIP", "deflate"])
def test_bodies_that_are_unpacked(encoding):
    pack = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}.get(encoding.lower(), bytes)
    assert session.unpacked(pack(b'{"a": 1}'), encoding) == b'{"a": 1}'


def test_only_what_is_unpacked_is_asked_for():
    with serve(answer=lambda _: '{"said": "a"}') as server:
        asked = client(server.url)
        asked.ask([REQUEST])
        asked.close()
    assert {headers["accept-encoding"] for headers in server.headers} == {"gzip, deflate"}
