"""The service as a process of its own, behind a real socket."""

import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.http_calls import TEXT
from tests.support.served import served


def ask(url):
    """Ask, and return the status; None where the connection was refused, or never taken from the system's queue."""
    try:
        return httpx.post(f"{url}/entities", json={"texts": [TEXT] * 4}, timeout=300).status_code
    except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
        return None


@pytest.mark.parametrize(
    ("clients", "workers"), [(8, 1), *[pytest.param(64, n, marks=pytest.mark.slow) for n in (1, 2)]]
)
def test_a_stop_under_load_loses_nothing_that_was_accepted(clients, workers):
    with served("--workers", str(workers)) as (url, process), ThreadPoolExecutor(clients) as pool:
        first = [pool.submit(ask, url) for _ in range(clients)]
        assert {future.result() for future in first} == {200}
        under_way = [pool.submit(ask, url) for _ in range(clients)]
        while "openner_waiting_texts 0.0" in httpx.get(f"{url}/metrics").text and not all(f.done() for f in under_way):
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        late = [pool.submit(ask, url) for _ in range(clients)]
        statuses = [future.result() for future in [*first, *under_way, *late]]
        assert set(statuses) <= {200, 503, None}
        assert 200 in {future.result() for future in under_way}
        assert process.wait(60) in (0, -signal.SIGTERM)
        log = process.stderr.read()
        # Each answer that the service has given has arrived: nothing is cut off.
        assert log.count('"path": "/entities", "status": 200') == statuses.count(200)
        assert "Curie" not in log


# Bodies that must be refused, with the status of the answer.
BAD = [
    (b"{", 422),
    (b"[]", 422),
    (b"\xff", 400),
    (b"null", 422),
    (b'{"texts": [], "labels": ["a"]}', 422),
    (b'{"texts": ["a"], "threshold": NaN}', 422),
    (b'{"texts": ["a"], "labels": {"a": 1}}', 422),
    (b'{"texts": ["a"], "labels": [" "]}', 422),
    (b'{"texts": ["\\ud800"]}', 422),
    (json.dumps({"texts": ["a"] * 257}).encode(), 422),
    (json.dumps({"texts": ["a"], "labels": [f"type {i}" for i in range(1001)]}).encode(), 422),
    (json.dumps({"texts": ["a" * 100_001]}).encode(), 422),
    (b" " * (4 * 2**20 + 1), 413),
    (b"[" * 100_000, 422),
]
# Answers of the page of types below are known, so that no two requests can be mixed up.
GOOD = [("person", "Marie Curie"), ("city", "Paris")]


def ask_anything(client, url, i):
    """Make the request of a number, of which three in ten are bad; return what came back and what should have."""
    if i % 10 in (1, 4, 8):
        body, status = BAD[i // 3 % len(BAD)]
        response = client.post(f"{url}/entities", content=body, headers={"Content-Type": "application/json"})
        return (response.status_code, bool(response.json()["detail"])), (status, True)
    label, text = GOOD[i % 2]
    texts = [f"Then {TEXT}"] * (1 + i % 3)
    response = client.post(f"{url}/entities", json={"texts": texts, "labels": [label]})
    found = [[(e["label"], e["text"]) for e in each] for each in response.json()["entities"]]
    return (response.status_code, found), (200, [[(label, text)]] * len(texts))


@pytest.mark.parametrize("n", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_request_gets_the_right_answer(shared_url, n):
    with httpx.Client(timeout=300) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: ask_anything(client, shared_url, i), range(n)))
    wrong = [(i, given, expected) for i, (given, expected) in enumerate(answers) if given != expected]
    assert wrong == []
    assert sum(status != 200 for _, (status, _) in answers) == 0.3 * n


def peak_megabytes(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


@pytest.mark.slow
def test_large_requests_are_answered_or_refused_in_bounded_memory(service):
    url, process = service
    labels = [f"type {i}" for i in range(1000)]
    text = "Marie Curie went from Paris to Warsaw. " * 500
    with httpx.Client(timeout=600) as client:

        def statuses(**request):
            return client.post(f"{url}/entities", json={"texts": [text], "labels": labels, **request}).status_code

        before = peak_megabytes(process)
        assert statuses() == 200
        assert statuses(texts=["word " * 100_000]) == 422
        assert statuses(labels=[*labels, "one more"]) == 422
        for overlap in ("all", "flat"):
            assert statuses(threshold=0, overlap=overlap) == 422
        assert ask(url) == 200
        assert peak_megabytes(process) < before + 1000


def connect(url):
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


BODY = json.dumps({"texts": [TEXT]}).encode()
REQUEST = (
    b"POST /entities HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: " + str(len(BODY)).encode() + b"\r\n\r\n" + BODY
)


def test_slow_clients_hold_up_nobody(shared_url):
    slow = [connect(shared_url) for _ in range(50)]
    try:
        for i, each in enumerate(slow):
            each.sendall(REQUEST[: 10 + 2 * i])
        start = time.monotonic()
        assert ask(shared_url) == 200
        assert time.monotonic() - start < 30
        # Those that go on at last are answered too.
        for i, each in enumerate(slow):
            each.sendall(REQUEST[10 + 2 * i :])
        assert {each.recv(12) for each in slow} == {b"HTTP/1.1 200"}
    finally:
        for each in slow:
            each.close()


@pytest.mark.parametrize("declared", [True, False])
def test_a_client_that_sends_all_before_it_reads_is_told_what_was_wrong(shared_url, declared):
    size = 20 * 2**20
    length = f"Content-Length: {size}" if declared else "Transfer-Encoding: chunked"
    body = b" " * size if declared else f"{size:x}\r\n".encode() + b" " * size + b"\r\n0\r\n\r\n"
    with connect(shared_url) as client:
        client.sendall(f"POST /entities HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode() + body)
        assert client.recv(12) == b"HTTP/1.1 413"


@pytest.mark.parametrize("more", ["Expect: 100-continue\r\nContent-Length: 5000000", f"Content-Length: {10**9}"])
def test_a_client_that_asks_first_or_means_to_send_no_end_is_told_at_once(shared_url, more):
    with connect(shared_url) as client:
        client.sendall(f"POST /entities HTTP/1.1\r\nHost: x\r\n{more}\r\n\r\n".encode())
        assert client.recv(12) == b"HTTP/1.1 413"


@pytest.mark.parametrize("cut", [20, len(REQUEST) - 3, len(REQUEST)])
def test_clients_that_go_away_leave_nothing_behind(shared_url, cut):
    for _ in range(40):
        with connect(shared_url) as gone:
            gone.sendall(REQUEST[:cut])
    assert ask(shared_url) == 200
    deadline = time.monotonic() + 60
    while "openner_waiting_texts 0.0" not in httpx.get(f"{shared_url}/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.05)
