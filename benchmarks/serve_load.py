"""Latency, throughput, start and memory of the service, against the loopback interface.

    pip install -e '.[serve]'
    python -m benchmarks.serve_load --requests 400 --clients 1 8 64 --workers 2
    python -m benchmarks.serve_load --requests 0 --imports

Each request has one text; the clients are threads of this process, so they take a share of the same processors.
"""

import argparse
import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.common import machine, report, run_benchmark
from tests.support.annotated_sets import sentences

LABELS = "person,organization,location,date"
COMMAND = [sys.executable, "-m", "spacy_openner", "serve", "--labels", LABELS, "--threads", "1", "--workers"]


class Service:
    """A service as a process of its own."""

    def __init__(self, pipeline: str | None, workers: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        more = [] if pipeline is None else ["--pipeline", pipeline]
        self.begun = time.perf_counter()
        self.process = subprocess.Popen(
            [*COMMAND, str(workers), "--port", str(self.port), *more],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.DEVNULL,
        )

    def ask(self, connection: http.client.HTTPConnection, text: str) -> float:
        """Make a request; return its seconds."""
        begun = time.perf_counter()
        connection.request("POST", "/entities", json.dumps({"texts": [text]}), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {answer[:200]!r}")
        return time.perf_counter() - begun

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection that stays open."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)

    def first_answer(self, text: str) -> float:
        """Wait for the first answer; return the seconds since the start."""
        while True:
            try:
                self.ask(self.connect(), text)
            except ConnectionRefusedError:
                time.sleep(0.01)
            else:
                return time.perf_counter() - self.begun

    def memory(self) -> dict[str, float]:
        """Return the megabytes that the process holds, and held at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        sizes = dict(re.findall(r"(VmRSS|VmHWM):\s+(\d+)", status))
        return {name: int(size) / 1024 for name, size in sizes.items()}

    def processor_seconds(self) -> float:
        """Return the processor's seconds that the process took."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        """End the service as a service manager does; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def measure_load(service: Service, texts: list[str], clients: int) -> dict[str, Any]:
    """Let clients make requests, each one after the other."""

    def work(own: list[str]) -> list[float]:
        connection = service.connect()
        return [service.ask(connection, text) for text in own]

    busy, begun = service.processor_seconds(), time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        seconds = sorted(s for own in pool.map(work, (texts[i::clients] for i in range(clients))) for s in own)
    whole, busy = time.perf_counter() - begun, service.processor_seconds() - busy
    return {
        "clients": clients,
        "requests": len(texts),
        "p50 ms": 1000 * statistics.median(seconds),
        "p99 ms": 1000 * seconds[min(len(seconds) - 1, int(0.99 * len(seconds)))],
        "requests/s": len(texts) / whole,
        "CPU s/1000": 1000 * busy / len(texts),
    }


def import_times() -> list[dict[str, Any]]:
    """Return what the packages that `serve` imports take for themselves, the slowest first."""
    program = "import sys; sys.argv = ['x', 'serve', '--help']; from spacy_openner.cli.serve import *; " + (
        "import spacy_openner.serve.app, uvicorn, spacy; nlp = spacy.blank('en'); nlp.add_pipe('open_ner_span')"
    )
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program], capture_output=True, text=True, check=True
    )
    own: dict[str, float] = defaultdict(float)
    for line in run.stderr.splitlines():
        if match := re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)", line):
            own[match[2].split(".")[0]] += int(match[1]) / 1e6
    return [{"package": name, "own s": seconds} for name, seconds in sorted(own.items(), key=lambda x: -x[1])[:15]]


def main() -> None:
    """Measure, print tables, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=400, help="of each number of clients; 0 for none")
    parser.add_argument("--clients", nargs="*", type=int, default=[1, 8, 64])
    parser.add_argument("--pipeline", help="a saved pipeline; else the default weights")
    parser.add_argument("--workers", type=int, default=1, help="copies of the pipeline in the service")
    parser.add_argument("--imports", action="store_true", help="say what imports take")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    print(json.dumps(machine()))
    if args.imports:
        report(import_times(), None)
    if not args.requests:
        return
    rows, kind = sentences(args.requests)
    texts = [" ".join(row["tokens"]) for row in rows]
    texts = (texts * (-(-args.requests // len(texts))))[: args.requests]
    service = Service(args.pipeline, args.workers)
    try:
        start = {"first answer s": service.first_answer(texts[0]), "CPU s": service.processor_seconds()}
        loads = [measure_load(service, texts, clients) for clients in args.clients]
        memory = service.memory()
    finally:
        stopped = service.stop()
    print(f"Texts: {kind}. Start: {start}. Memory, MB: {memory}. Exit status: {stopped}")
    report(loads, args.output, start=start, memory=memory)


if __name__ == "__main__":
    run_benchmark(main)
