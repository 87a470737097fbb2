"""The service as a process of its own, behind a real socket."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

TEXT = "Marie Curie lived in Paris."


@pytest.fixture
def service():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "spacy_openner", "serve", "--labels", "person,city", "--port", str(port)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, "--threads", "1"], env=environment, stderr=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                if httpx.get(f"{url}/readyz").status_code == 200:
                    break
            except httpx.ConnectError:
                pass
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield url, process
    finally:
        process.kill()
        process.wait()


def ask(url):
    """Ask, and return the status; None where the connection was refused."""
    try:
        return httpx.post(f"{url}/entities", json={"texts": [TEXT] * 4}, timeout=60).status_code
    except httpx.ConnectError:
        return None


def test_a_stop_under_load_loses_nothing_that_was_accepted(service):
    url, process = service
    with ThreadPoolExecutor(8) as pool:
        first = [pool.submit(ask, url) for _ in range(8)]
        assert {future.result() for future in first} == {200}
        under_way = [pool.submit(ask, url) for _ in range(8)]
        while "openner_waiting_texts 0.0" in httpx.get(f"{url}/metrics").text and not all(f.done() for f in under_way):
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        late = [pool.submit(ask, url) for _ in range(8)]
        # A connection is refused, or its request is answered: nothing is cut off.
        assert {future.result() for future in under_way} <= {200, 503, None}
        assert 200 in {future.result() for future in under_way}
        assert {future.result() for future in late} <= {200, 503, None}
    assert process.wait(60) in (0, -signal.SIGTERM)
    log = process.stderr.read()
    assert '"status": 200' in log
    assert "Curie" not in log
