"""The chat-completions client: the real `openai` package against a real server on this machine."""

import asyncio
import gc
import gzip
import json
import logging
import multiprocessing
import os
import pickle
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from spacy_openner.errors import OpenNERWarning, SettingError
from spacy_openner.llm import cache
from spacy_openner.llm.cache import FILE, Cache
from spacy_openner.llm.factory import LLMClient_v1
from spacy_openner.llm.responses import Fault, read, retry_after
from spacy_openner.llm.types import Failure, LLMRequest, LLMResponse
from tests.support.fake_chat_server import serve

SCHEMA = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
KEY = "sk-very-secret-0123456789"
ROOT = Path(__file__).resolve().parents[2]


def echo(text):
    return json.dumps({"said": text})


def ask(text):
    return LLMRequest((("system", "Repeat."), ("user", text)), SCHEMA)


def asks(n, start=0):
    return [ask(f"text {i}") for i in range(start, start + n)]


def values(found):
    return [each.value["said"] if isinstance(each, LLMResponse) else each.kind for each in found]


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    """No key of the machine's user goes anywhere."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def client():
    """Make clients that are closed in the end."""
    made = []

    def make(url, **settings):
        made.append(LLMClient_v1("tiny", base_url=url, **{"timeout": 30.0, "max_wait": 2.0, **settings}))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_answers_in_order(client):
    with serve(answer=echo) as server:
        asked = client(server.url, prices={"input": 1e6, "output": 2e6})
        assert values(asked.ask(asks(20))) == [f"text {i}" for i in range(20)]
        assert asked.ask([]) == []
    body = server.requests[0]
    assert (body["model"], body["temperature"]) == ("tiny", 0)
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    report = asked.report
    assert (report.questions, report.answered, report.requests) == (20, 20, 20)
    assert (report.input_tokens, report.output_tokens, report.unmetered) == (60, 60, 0)
    assert report.cost == 60 + 120
    assert json.loads(json.dumps(report.as_dict()))["tokens"] == 120
    report.clear()
    assert (report.requests, report.prices) == (0, {"input": 1e6, "output": 2e6})


def test_equal_questions_are_asked_once(client):
    with serve(answer=echo) as server:
        asked = client(server.url)
        assert values(asked.ask([ask("a"), ask("b"), ask("a")])) == ["a", "b", "a"]
        assert len(server.requests) == 2
    assert (asked.report.answered, asked.report.cache_hits) == (2, 1)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("429", "rate_limit"),
        ("500", "server"),
        ("503", "server"),
        ("timeout", "timeout"),
        ("disconnect", "connection"),
        ("malformed", "malformed"),
        ("malformed_http", "malformed"),
    ],
)
def test_what_passes_is_tried_again(client, fault, kind):
    timeout = 0.5 if fault == "timeout" else 30.0  # a busy machine is slow, which is no fault of the server
    with serve(answer=echo, script=[fault, fault]) as server:
        asked = client(server.url, timeout=timeout, parameters={"temperature": 0.5})
        assert values(asked.ask([ask("a")])) == ["a"]
        assert len(server.requests) == 3
        assert dict(asked.report.faults) == {kind: 2}
        assert not asked.report.failures
    with serve(answer=echo, script=[fault] * 9) as server:
        asked = client(server.url, timeout=timeout, max_retries=1, parameters={"temperature": 1}, structured="plain")
        (failure,) = asked.ask([ask("a")])
        assert isinstance(failure, Failure)
        assert failure.kind == kind
        assert len(server.requests) == 2
        assert dict(asked.report.failures) == {kind: 1}


@pytest.mark.parametrize(
    ("fault", "kind"), [("400", "refused"), ("422", "refused"), ("truncated", "truncated"), ("filtered", "filtered")]
)
def test_what_does_not_pass_is_not_tried_again(client, fault, kind):
    with serve(answer=echo, script=[fault]) as server:
        asked = client(server.url, structured="plain")
        assert values(asked.ask([ask("a")])) == [kind]
        assert len(server.requests) == 1
        assert values(asked.ask([ask("a")])) == ["a"]


@pytest.mark.parametrize(("fault", "kind"), [("401", "unauthorized"), ("403", "unauthorized"), ("404", "not_found")])
def test_what_all_questions_would_meet_stops_the_batch(client, fault, kind):
    with serve(answer=echo, script=[fault] * 99) as server:
        asked = client(server.url, concurrency=1, structured="plain")
        with pytest.warns(OpenNERWarning, match="W503"):
            found = values(asked.ask(asks(20)))
        assert found == [kind] + ["stopped"] * 19
        assert len(server.requests) == 1
        assert dict(asked.report.failures) == {kind: 1, "stopped": 19}


def test_a_server_that_is_not_there_is_given_up(client):
    asked = client("http://127.0.0.1:9/v1", concurrency=4, max_retries=0)
    with pytest.warns(OpenNERWarning, match="W503"):
        found = values(asked.ask(asks(60)))
    assert 10 <= found.count("connection") < 20
    assert found.count("connection") + found.count("stopped") == 60


def test_retry_after_is_kept(client):
    with serve(answer=echo, script=["429"], retry_after="0.7") as server:
        assert values(client(server.url).ask([ask("a")])) == ["a"]
        assert server.times[1] - server.times[0] >= 0.7
    with serve(answer=echo, script=["429"], retry_after="3600") as server:
        assert values(client(server.url).ask([ask("a")])) == ["rate_limit"]
        assert len(server.requests) == 1


def test_retry_after_as_seconds_or_date():
    assert retry_after({}) is None
    assert retry_after({"retry-after": "1.5"}) == 1.5
    assert retry_after({"retry-after": "-3"}) == 0.0
    assert retry_after({"retry-after": "soon"}) is None
    assert 28 < retry_after({"retry-after": formatdate(time.time() + 30, usegmt=True)}) <= 30


def test_time_limit_is_on_the_whole_request(client):
    with serve(answer=echo, delay=30.0) as server:
        begun = time.monotonic()
        assert values(client(server.url, timeout=0.3, max_retries=0).ask([ask("a")])) == ["timeout"]
        assert time.monotonic() - begun < 15


def test_concurrency_has_a_limit(client):
    with serve(answer=echo, delay=0.05) as server:
        client(server.url, concurrency=3).ask(asks(12))
        assert server.most_at_once == 3


def test_requests_per_minute(client):
    with serve(answer=echo) as server:
        client(server.url, requests_per_minute=600).ask(asks(6))
        gaps = [after - before for before, after in zip(server.times, server.times[1:], strict=False)]
        assert server.times[-1] - server.times[0] >= 0.45
        assert max(gaps) < 0.4


def test_servers_without_schemas(client):
    with serve(answer=lambda text: f"```json\n{echo(text)}\n```", knows_schemas=False) as server:
        asked = client(server.url, concurrency=1)
        with pytest.warns(OpenNERWarning, match=r"W521.*words"):
            assert values(asked.ask(asks(3))) == ["text 0", "text 1", "text 2"]
        kinds = [body.get("response_format", {}).get("type") for body in server.requests]
        assert kinds == ["json_schema", "json_object", None, None, None]
        assert asked.report.in_words == 3
    with serve(answer=echo, knows_schemas=False) as server:
        assert values(client(server.url, structured="schema").ask([ask("a")])) == ["refused"]


def test_servers_that_stream_unasked(client):
    with serve(answer=echo, streams=True) as server:
        asked = client(server.url)
        assert values(asked.ask(asks(3))) == ["text 0", "text 1", "text 2"]
        assert asked.report.tokens == 18
        assert not asked.report.unmetered


@pytest.mark.parametrize(
    "reply",
    [
        None,
        [],
        "",
        {},
        {"choices": []},
        {"choices": [None]},
        {"choices": [{"message": {}}]},
        {"choices": [{"message": {"content": None}}]},
        {"choices": 3},
        "data: {",
        "data: 3",
        "<html>",
    ],
)
def test_replies_that_are_none(reply):
    with serve(answer=echo) as server:
        server.behaviour.reply = reply
        asked = LLMClient_v1("tiny", base_url=server.url, max_retries=0)
        assert values(asked.ask([ask("a")])) == ["malformed"]
        asked.close()


def test_refusals():
    refusal = {"choices": [{"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}]}
    with pytest.raises(Fault) as caught:
        read(refusal).checked()
    assert caught.value.kind == "filtered"


def test_budget_of_requests(client):
    with serve(answer=echo, delay=0.02) as server:
        asked = client(server.url, max_requests=5, concurrency=4)
        with pytest.warns(OpenNERWarning, match="W502"):
            found = values(asked.ask(asks(12)))
        assert len(server.requests) == 5
        assert found.count("budget") == 7
        assert asked.report.failures["budget"] == 7
        asked.report.clear()
        assert values(asked.ask(asks(3))) == ["text 0", "text 1", "text 2"]


def test_budget_of_tokens_without_a_count(client):
    with serve(answer=echo, with_usage=False) as server:
        asked = client(server.url, max_tokens=10, concurrency=1)
        with pytest.warns(OpenNERWarning, match="W502"):
            found = values(asked.ask(asks(9)))
        assert 0 < found.count("budget") < 9
        assert asked.report.unmetered == len(server.requests) == 9 - found.count("budget")
        assert asked.report.tokens >= 10


def test_budget_counts_repetitions(client):
    with serve(answer=echo, script=["500"] * 99) as server:
        asked = client(server.url, max_requests=2)
        with pytest.warns(OpenNERWarning, match="W502"):
            found = asked.ask([ask("a")])
        assert values(found) == ["budget"]
        assert len(server.requests) == 2


# Keys


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(client, monkeypatch, caplog):
    with serve(answer=echo, key=KEY) as server, caplog.at_level(logging.DEBUG):
        monkeypatch.setenv("OPENNER_TEST_KEY", KEY)
        asked = client(server.url, api_key_env="OPENNER_TEST_KEY")
        assert values(asked.ask([ask("a")])) == ["a"]
        assert server.headers[0]["authorization"] == f"Bearer {KEY}"
        everything = [repr(asked), str(vars(asked)), pickle.dumps(asked).decode("latin1"), caplog.text]
        assert not any(KEY in text for text in everything)


def test_a_server_that_repeats_the_key_is_not_quoted(client, monkeypatch):
    with serve(answer=echo, key="another") as server:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        with pytest.warns(OpenNERWarning, match="W503") as warned:
            (failure,) = client(server.url).ask([ask("a")])
        assert "Bearer ***" in failure.message
        assert KEY not in failure.message + "".join(str(each.message) for each in warned)


def test_local_servers_need_no_key_and_openai_does(client):
    with serve(answer=echo) as server:
        assert values(client(server.url, api_key_env="").ask([ask("a")])) == ["a"]
        assert server.headers[0]["authorization"] == "Bearer none"
    with pytest.raises(SettingError, match=r"O504.*OPENAI_API_KEY"):
        LLMClient_v1("tiny").ask([ask("a")])


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"base_url": "http://user:pass@localhost/v1"}, "O507"),
        ({"base_url": "http://localhost/v1?api_key=1"}, "O507"),
        ({"parameters": {"extra_headers": {"Authorization": KEY}}}, "O507"),
        ({"parameters": {"api_key": KEY}}, "O507"),
        ({"parameters": {"messages": []}}, "O001"),
        ({"parameters": {"extra_body": {"top_k": 1}}}, "O001"),
        ({"parameters": {"seed": {1}}}, "O001"),
        ({"base_url": "localhost:8000"}, "O001"),
        ({"model": " "}, "O001"),
        ({"structured": "yes"}, "O001"),
        ({"concurrency": 0}, "O001"),
        ({"concurrency": True}, "O001"),
        ({"max_retries": -1}, "O001"),
        ({"max_requests": -1}, "O001"),
        ({"max_tokens": 1.5}, "O001"),
        ({"timeout": 0}, "O001"),
        ({"requests_per_minute": 0}, "O001"),
        ({"prices": {"input": 1}}, "O001"),
    ],
)
def test_settings_that_are_not_allowed(settings, code):
    with pytest.raises(SettingError, match=code) as caught:
        LLMClient_v1(**{"model": "tiny", **settings})
    assert KEY not in str(caught.value)


# The cache


def test_what_was_answered_is_not_asked_again(client, tmp_path):
    with serve(answer=echo) as server:
        client(server.url, cache_dir=str(tmp_path / "a b")).ask(asks(5))
        again = client(server.url, cache_dir=str(tmp_path / "a b"))
        found = again.ask(asks(7))
        assert values(found) == [f"text {i}" for i in range(7)]
        assert [each.cached for each in found] == [True] * 5 + [False] * 2
        assert len(server.requests) == 7
        assert (again.report.cache_hits, again.report.answered, again.report.requests) == (5, 2, 2)
        other = client(server.url, cache_dir=str(tmp_path / "a b"), parameters={"temperature": 1})
        assert not other.ask([ask("text 0")])[0].cached
    assert stat.S_IMODE((tmp_path / "a b" / FILE).stat().st_mode) == 0o600


def test_failures_are_asked_again(client, tmp_path):
    with serve(answer=echo, script=["500"] * 2) as server:
        asked = client(server.url, cache_dir=str(tmp_path), max_retries=0, concurrency=1, structured="plain")
        assert values(asked.ask(asks(4))) == ["server", "server", "text 2", "text 3"]
        assert values(asked.ask(asks(4))) == [f"text {i}" for i in range(4)]
        assert len(server.requests) == 6


def _interrupt_after(server, requests):
    while len(server.requests) < requests:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


def test_interrupted_runs_go_on(client, tmp_path):
    """Half of the answers come; then the caller is interrupted. These are kept."""
    with serve(answer=echo, delay=0.1) as server:
        asked = client(server.url, cache_dir=str(tmp_path), concurrency=2)
        # A process that was started in the background may ignore the signal.
        before_that = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            threading.Thread(target=_interrupt_after, args=(server, 6), daemon=True).start()
            with pytest.raises(KeyboardInterrupt):
                asked.ask(asks(40))
        finally:
            signal.signal(signal.SIGINT, before_that)
        kept = sqlite3.connect(tmp_path / FILE).execute("SELECT count(*) FROM answers").fetchone()[0]
        assert 0 < kept < 40
        time.sleep(0.3)
        before = len(server.requests)
        assert before < 40
        assert values(asked.ask(asks(40))) == [f"text {i}" for i in range(40)]
        assert len(server.requests) - before == 40 - kept


def test_nothing_is_pickled(client, tmp_path):
    with serve(answer=echo) as server:
        client(server.url, cache_dir=str(tmp_path)).ask([ask("a")])
    (row,) = sqlite3.connect(tmp_path / FILE).execute("SELECT * FROM answers").fetchall()
    assert row[1] == "tiny"
    assert json.loads(row[3]) == {"said": "a"}
    assert all(isinstance(value, str) for value in row)


def test_rows_that_are_no_answers_are_asked_again(client, tmp_path):
    with serve(answer=echo) as server:
        client(server.url, cache_dir=str(tmp_path)).ask([ask("a")])
        with sqlite3.connect(tmp_path / FILE) as edited:
            edited.execute("UPDATE answers SET answer = 'nonsense'")
        again = client(server.url, cache_dir=str(tmp_path))
        assert values(again.ask([ask("a")])) == ["a"]
        assert len(server.requests) == 2


def _fill(args):
    url, directory, start = args
    asked = LLMClient_v1("tiny", base_url=url, cache_dir=directory, timeout=20.0)
    return values(asked.ask(asks(60, start)))


def test_two_processes_share_a_directory(tmp_path):
    with serve(answer=echo) as server, multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.map(_fill, [(server.url, str(tmp_path), 0), (server.url, str(tmp_path), 30)])
        assert found == [[f"text {i}" for i in range(start, start + 60)] for start in (0, 30)]
        assert _fill((server.url, str(tmp_path), 0)) == found[0]
        kept = sqlite3.connect(tmp_path / FILE).execute("SELECT count(*) FROM answers").fetchone()[0]
        assert kept == 90


@pytest.mark.parametrize("kind", ["file", "damaged"])
def test_a_cache_that_cannot_be_used_loses_no_answer(client, tmp_path, kind):
    directory = tmp_path / "cache"
    if kind == "file":
        directory.write_text("something else")
    else:
        directory.mkdir()
        (directory / FILE).write_bytes(b"no database" * 1000)
    with serve(answer=echo) as server:
        asked = client(server.url, cache_dir=str(directory))
        with pytest.warns(OpenNERWarning, match="W501"):
            assert values(asked.ask(asks(3))) == ["text 0", "text 1", "text 2"]
        assert [each.cached for each in asked.ask(asks(3))] == [True] * 3


FULL_DISK = """
import resource, signal, sys, warnings
from pathlib import Path
from spacy_openner.llm.cache import Cache
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
cache = Cache(Path(sys.argv[1]))
cache.put("small", "m", "{}")
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
for i in range(100):
    cache.put(str(i), "m", "x" * 10_000)
assert cache.problem, "the disk was never full"
assert all(cache.get(str(i)) == "x" * 10_000 for i in range(100)), "an answer is lost"
assert cache.get("small") == "{}"
print(cache.problem, len(cache.memory))
"""


def test_a_full_disk_loses_no_answer(tmp_path):
    """The system lets no file grow beyond a limit, which SQLite meets as it meets a full disk."""
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "OperationalError" in run.stdout
    assert Cache(tmp_path).get("small") == "{}"


# Where it may be used


def test_beside_a_running_event_loop(client):
    """As in a notebook."""
    with serve(answer=echo) as server:
        asked = client(server.url)

        async def cell():
            return values(asked.ask(asks(3)))

        assert asyncio.run(cell()) == ["text 0", "text 1", "text 2"]


def test_from_several_threads(client):
    with serve(answer=echo, delay=0.02) as server:
        asked = client(server.url, concurrency=4)
        found = {}

        def work(start):
            found[start] = values(asked.ask(asks(10, start)))

        threads = [threading.Thread(target=work, args=(start,)) for start in (0, 10, 20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert found == {start: [f"text {i}" for i in range(start, start + 10)] for start in (0, 10, 20)}
        assert server.most_at_once <= 4
        assert asked.report.requests == 30


def _in_child(asked, queue):
    queue.put(values(asked.ask(asks(3))))


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_in_other_processes(client, method):
    """Also in a fork of a process that has asked before."""
    with serve(answer=echo) as server:
        asked = client(server.url)
        asked.ask([ask("before")])
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        child = context.Process(target=_in_child, args=(asked, queue))
        child.start()
        assert queue.get(timeout=60) == ["text 0", "text 1", "text 2"]
        child.join(30)
        assert child.exitcode == 0
        assert values(asked.ask([ask("after")])) == ["after"]


def _own_threads():
    return [thread for thread in threading.enumerate() if thread.name == "openner-llm"]


def test_no_thread_outlives_a_client():
    # Clients of other tests may still be there.
    others = {*_own_threads()}
    with serve(answer=echo) as server:
        asked = LLMClient_v1("tiny", base_url=server.url)
        asked.ask([ask("a")])
        (first,) = {*_own_threads()} - others
        asked.close()
        assert not first.is_alive()
        asked.ask([ask("a")])
        (second,) = {*_own_threads()} - others - {first}
        del asked
        gc.collect()
        second.join(5)
        assert not second.is_alive()


# Answers and replies that are odd, large or slow


def test_content_in_parts_and_content_that_is_missing(client):
    part = {"type": "text", "text": echo("a")}
    with serve(answer=echo) as server:
        server.behaviour.reply = {"choices": [{"message": {"content": [part]}}]}
        assert values(client(server.url).ask([ask("a")])) == ["a"]
        usage = {"prompt_tokens": 7, "completion_tokens": 5}
        server.behaviour.reply = {
            "choices": [{"message": {"content": None}, "finish_reason": "length"}],
            "usage": usage,
        }
        before, asked = len(server.requests), client(server.url)
        assert values(asked.ask([ask("a")])) == ["truncated"]
        assert len(server.requests) == before + 1
        assert asked.report.tokens == 12, "it was paid for"


def test_negative_counts_of_tokens_are_no_counts(client):
    usage = {"prompt_tokens": -5000, "completion_tokens": 1}
    with serve(answer=echo) as server:
        server.behaviour.reply = {"choices": [{"message": {"content": echo("a")}}], "usage": usage}
        asked = client(server.url)
        assert values(asked.ask([ask("a")])) == ["a"]
        assert asked.report.input_tokens > 0
        assert asked.report.unmetered == 1


def test_a_reply_that_grows_when_it_is_unpacked_is_not_read(client):
    packed = gzip.compress(b" " * 200_000_000)
    with serve(answer=echo) as server:
        server.behaviour.packed = packed
        (failure,) = client(server.url, max_retries=0).ask([ask("a")])
    assert failure.kind == "malformed"
    assert "more than 16 MB" in failure.message
    with serve(answer=echo) as server:
        server.behaviour.packed = gzip.compress(json.dumps({"choices": [{"message": {"content": echo("a")}}]}).encode())
        assert values(client(server.url).ask([ask("a")])) == ["a"]


def test_texts_at_fault_do_not_stop_the_others(client, tmp_path):
    """Each of twelve texts fails for a reason of its own; what is behind them is asked, and they are remembered."""
    faults = ["filtered", "truncated"] * 6
    with serve(answer=echo, script=faults) as server:
        asked = client(server.url, concurrency=1, cache_dir=str(tmp_path), structured="plain")
        with pytest.warns(OpenNERWarning, match="W520"):
            found = values(asked.ask(asks(15)))
        assert found == [*faults, "text 12", "text 13", "text 14"]
        again = client(server.url, concurrency=1, cache_dir=str(tmp_path), structured="plain")
        assert values(again.ask(asks(15))) == found
        assert len(server.requests) == 15, "nothing is asked twice"


def test_a_text_that_is_too_long_is_asked_once(client):
    with serve(answer=echo) as server:
        server.behaviour.refuse = (400, "This model's maximum context length is 10 tokens")
        asked = client(server.url)
        assert values(asked.ask([ask("a")])) == ["too_long"]
        assert len(server.requests) == 1


def test_what_a_server_says_is_shown_once(client):
    with serve(answer=echo) as server:
        server.behaviour.refuse = (400, "Unsupported value: 'temperature'")
        asked = client(server.url, structured="plain")
        with pytest.warns(OpenNERWarning) as warned:
            values([*asked.ask(asks(3)), *asked.ask(asks(3))])
    shown = [str(each.message) for each in warned if "W520" in str(each.message)]
    assert len(shown) == 1
    assert "Unsupported value: 'temperature'" in shown[0]


def test_models_without_system_messages(client):
    with serve(answer=echo) as server:
        server.behaviour.refuse_system = True
        asked = client(server.url, concurrency=1, structured="plain")
        request = LLMRequest((("system", "Repeat."), ("user", "a")), SCHEMA)
        (response,) = asked.ask([request])
        assert isinstance(response, LLMResponse)
        assert [each["role"] for each in server.requests[-1]["messages"]] == ["user"]
        assert server.requests[-1]["messages"][0]["content"] == "Repeat.\n\na"


def test_a_server_that_fails_at_schemas_is_asked_in_words(client):
    with serve(answer=echo) as server:
        server.behaviour.schema_status = 500
        asked = client(server.url, max_retries=0)
        with pytest.warns(OpenNERWarning, match="W521"):
            assert values(asked.ask([ask("a")])) == ["a"]
        assert values(asked.ask([ask("b")])) == ["b"]
        assert [("response_format" in body) for body in server.requests] == [True, True, False, False]


def test_the_limit_of_tokens_by_its_other_name(client):
    """OpenAI's own, behind another address."""
    request = ask("a")._replace(max_tokens=77)
    with serve(
        answer=lambda _: "{}", refuse_key=("max_tokens", "Unsupported; use 'max_completion_tokens' instead")
    ) as s:
        client(s.url, concurrency=1).ask([request, ask("b")._replace(max_tokens=78)])
        assert [body.get("max_completion_tokens") for body in s.requests] == [None, 77, 78]


def test_bounds_of_lists_and_of_tokens(client):
    schema = {"properties": {"said": {"type": "array", "maxItems": 3}}, "required": ["said"], "type": "object"}
    request = LLMRequest((("user", "a"),), schema, 77)
    with serve(answer=lambda _: '{"said": []}') as server:
        client(server.url).ask([request])
        body = server.requests[-1]
        assert body["response_format"]["json_schema"]["schema"]["properties"]["said"]["maxItems"] == 3
        assert body["max_tokens"] == 77
        client(server.url, parameters={"max_completion_tokens": 5}).ask([request])
        assert "max_tokens" not in server.requests[-1]
        server.behaviour.refuse_word = "maxItems"
        with pytest.warns(OpenNERWarning, match=r"W521.*without bounds"):
            (response,) = client(server.url).ask([request])
        assert isinstance(response, LLMResponse)
        assert "maxItems" not in json.dumps(server.requests[-1])


def bounded(*, text=False, items=False):
    """A schema of a list of texts."""
    said = {"type": "array", "items": {"type": "string", **({"maxLength": 9} if text else {})}}
    said |= {"maxItems": 3} if items else {}
    return {"type": "object", "properties": {"said": said, "maxLength": {"enum": ["maxItems"]}}, "required": ["said"]}


@pytest.mark.parametrize("structured", ["auto", "schema"])
def test_only_the_bounds_that_a_server_refuses_are_left_out(structured, client):
    """Names and values are no keywords, and a schema without bounds says nothing of those that has them."""
    plain, short = bounded(), bounded(text=True)
    both = bounded(text=True, items=True)
    with serve(answer=lambda _: '{"said": []}', refuse_word='"maxLength": 9') as server:
        asked = client(server.url, structured=structured)
        asked.ask([LLMRequest((("user", "a"),), plain)])
        assert len(server.requests) == 1
        with pytest.warns(OpenNERWarning, match=r"W521.*without lengths of texts"):
            responses = [
                *asked.ask([LLMRequest((("user", "b"),), short)]),
                *asked.ask([LLMRequest((("user", "c"),), both)]),
            ]
        assert all(isinstance(each, LLMResponse) for each in responses)
        sent = [body["response_format"]["json_schema"]["schema"] for body in server.requests]
    assert sent == [plain, short, plain, bounded(items=True)]


def test_timeouts_are_not_repeated_at_temperature_0_and_are_paid_for(client):
    request = ask("a")._replace(max_tokens=50)
    with serve(answer=echo, script=["timeout"]) as server:
        asked = client(server.url, timeout=0.5)
        assert values(asked.ask([request])) == ["timeout"]
        assert len(server.requests) == 1
    assert asked.report.output_tokens == 50
    assert asked.report.input_tokens == len("Repeat.a") // 4
    assert asked.report.unmetered == 1


def test_a_dead_server_costs_one_try_a_question(client):
    with serve(answer=echo, script=["503"] * 99) as server:
        asked = client(server.url, max_retries=4, max_wait=0.01, structured="plain", concurrency=1)
        with pytest.warns(OpenNERWarning, match="W503"):
            kinds = [values(asked.ask([ask(str(i))]))[0] for i in range(40)]
        assert kinds == ["server"] * 10 + ["stopped"] * 30
        assert len(server.requests) == 5 + 9


def test_closing_ends_what_waits(client):
    with serve(answer=echo, script=["503"] * 99) as server:
        asked = client(server.url, max_retries=9, max_wait=60.0, structured="plain")
        found = []
        thread = threading.Thread(target=lambda: found.append(values(asked.ask([ask("a")]))))
        thread.start()
        while not server.requests:
            time.sleep(0.01)
        time.sleep(0.2)
        asked.close()
        thread.join(20)
    assert found == [["stopped"]]


def test_a_cache_that_another_process_locks_is_waited_for_once(client, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "WAIT", 0.2)
    Cache(tmp_path).put("a", "m", "{}")
    holder = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with serve(answer=echo) as server:
        asked = client(server.url, cache_dir=str(tmp_path), concurrency=1)
        begun = time.monotonic()
        with pytest.warns(OpenNERWarning, match=r"W501.*locked"):
            assert values(asked.ask(asks(30))) == [f"text {i}" for i in range(30)]
        assert time.monotonic() - begun < 5
        assert all(each.cached for each in asked.ask(asks(30)))
    holder.close()


def test_half_characters_poison_nothing(client, tmp_path):
    with serve(answer=lambda text: '{"said": "\\ud83d"}' if text == "a" else echo(text)) as server:
        asked = client(server.url, cache_dir=str(tmp_path), structured="plain")
        assert values(asked.ask([ask("a"), ask("b")])) == ["malformed", "b"]
        assert sqlite3.connect(tmp_path / FILE).execute("SELECT count(*) FROM answers").fetchone() == (1,)
        assert values(client(server.url, cache_dir=str(tmp_path)).ask([ask("b"), ask("c\ud83d")])) == ["b", "malformed"]
