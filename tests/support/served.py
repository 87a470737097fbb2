"""A service as a process of its own, behind a real socket."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx


@contextmanager
def served(*options):
    """Start the service, behind a real socket; yield its address and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "spacy_openner", "serve", "--labels", "person,city", "--port", str(port)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command += ["--threads", "1", *options]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 300
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
