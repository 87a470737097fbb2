"""Speed and memory of bulk annotation: both engines beside `nlp.pipe`, and a long run of short records.

    pip install -e '.[test,ray]'
    python -m benchmarks.bulk_speed --texts 4000 --workers 1 2 --engines local ray
    python -m benchmarks.bulk_speed --texts 0 --short 1000000

Each worker gets a unit of as many texts as `nlp.pipe` gets in one process, and the rate of an engine is the sum of
theirs from the end of a worker's first file on: what a worker takes to start, which a long run does not feel, is left
out; "whole" has it. "efficiency" is the rate by the number of workers and the rate of `nlp.pipe`, which is measured in as
many processes, too: they share caches and memory. The processor's
seconds for a thousand texts, those of starting included, say more on a machine that others use too.
"""

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spacy
import torch

from benchmarks.common import machine, report, run_benchmark
from spacy_openner import run_corpus
from spacy_openner.bulk import plan
from tests.support.annotated_sets import sentences
from tests.support.corpora import rules, write_jsonl

LABELS = ["person", "organization", "location", "date", "event", "product", "award", "law"]
# Records of an output file, as by default.
SHARD = 1000


def processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure_pipe(pipeline: Path, texts: list[str]) -> dict[str, Any]:
    """Measure `nlp.pipe` in this process, after as many texts as the engines' first files have."""
    nlp = spacy.load(pipeline)
    whole = time.perf_counter()
    for _ in nlp.pipe(texts[:SHARD]):
        pass
    begun, busy = time.perf_counter(), processor_seconds()
    for _ in nlp.pipe(texts[SHARD:]):
        pass
    ended, busy = time.perf_counter(), processor_seconds() - busy
    n = len(texts) - SHARD
    return {
        "engine": "nlp.pipe",
        "workers": 1,
        "texts/s": n / (ended - begun),
        "whole s": ended - whole,
        "CPU s/1000": 1000 * busy / n,
    }


def measure_pipes(pipeline: Path, texts: list[str], processes: int) -> dict[str, Any]:
    """Measure `nlp.pipe` in several processes at once: what they cost one another no engine can save."""
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(processes, torch.set_num_threads, (1,)) as pool:
        rows = pool.starmap(measure_pipe, [(pipeline, texts)] * processes, chunksize=1)
    rates, seconds = ([row[name] for row in rows] for name in ("texts/s", "whole s"))
    return {**rows[0], "workers": processes, "texts/s": sum(rates), "whole s": max(seconds)}


def measure_engine(pipeline: Path, source: Path, engine: str, workers: int) -> dict[str, Any]:
    """Measure a run in which each worker has one unit."""
    plan.UNIT_BYTES = -(-source.stat().st_size // workers)
    with tempfile.TemporaryDirectory() as folder:
        dest = Path(folder) / "out"
        begun, busy = time.perf_counter(), processor_seconds()
        report = run_corpus(source, dest, pipeline, engine=engine, workers=workers, shard_size=SHARD)
        seconds, busy = time.perf_counter() - begun, processor_seconds() - busy
        rate = sum(map(steady_rate, files_by_unit(dest).values()))
    # Ray's workers are no children of this process.
    cpu = 1000 * busy / report.counts.records if engine == "local" else float("nan")
    return {"engine": engine, "workers": workers, "texts/s": rate, "whole s": seconds, "CPU s/1000": cpu}


def files_by_unit(dest: Path) -> dict[str, list[Path]]:
    """Return the files of each unit, in order."""
    units: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(dest.glob("part-*")):
        units[path.stem.rpartition("-")[0]].append(path)
    return units


def steady_rate(files: list[Path]) -> float:
    """Return the records per second from the end of the first file to the end of the last."""
    records = sum(path.read_bytes().count(b"\n") for path in files[1:])
    return records / (files[-1].stat().st_mtime - files[0].stat().st_mtime)


def compare_engines(texts: list[str], engines: list[str], workers: list[int]) -> list[dict[str, Any]]:
    """Measure `nlp.pipe`, and each engine with each number of workers, on the default weights."""
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span", config={"labels": LABELS})
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Path(folder) / "pipeline"
        nlp.to_disk(pipeline)
        rows = [measure_pipe(pipeline, texts), *(measure_pipes(pipeline, texts, n) for n in workers if n > 1)]
        for engine in engines:
            for n in workers:
                source = write_jsonl(Path(folder) / "in.jsonl", [{"text": text} for text in texts] * n)
                rows.append(measure_engine(pipeline, source, engine, n))
    for row in rows:
        row["efficiency"] = row["texts/s"] / row["workers"] / rows[0]["texts/s"]
    return rows


def memory_curve(records: int, seconds: float) -> Iterator[tuple[float, int, float]]:
    """Annotate short records by rules, and yield what the process holds meanwhile.

    seconds (float): After which the run is left to end itself, unfinished.
    YIELDS (tuple[float, int, float]): Seconds since the start, records that are finished, megabytes.
    """
    with tempfile.TemporaryDirectory() as folder:
        rules().to_disk(Path(folder) / "rules")
        source = Path(folder) / "in.jsonl"
        with source.open("w") as stream:
            # Each has words of its own: what piles up shows.
            stream.writelines(f'{{"text": "Niels Bohr wrote letter {i} to w{i * 7919}x."}}\n' for i in range(records))
        dest = Path(folder) / "out"
        command = [sys.executable, "-m", "spacy_openner", "run", source, dest, "--pipeline", Path(folder) / "rules"]
        begun = time.perf_counter()
        process = subprocess.Popen([*map(str, command), "--no-progress"])
        try:
            while process.poll() is None and time.perf_counter() - begun < seconds:
                time.sleep(2)
                done = sum(1 for _ in dest.glob("part-*")) * 1000
                yield time.perf_counter() - begun, min(done, records), resident(process.pid)
        finally:
            process.terminate()
            process.wait()


def resident(process: int) -> float:
    """Return the megabytes that a process holds; 0 where that cannot be known."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0.0)


def main() -> None:
    """Measure, print tables, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--texts", type=int, default=4000, help="texts of each worker, over 1,000; 0 for no comparison of engines"
    )
    parser.add_argument("--engines", nargs="*", default=["local"], choices=["local", "ray"])
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--short", type=int, default=0, help="short records for the curve of memory; 0 for none")
    parser.add_argument("--seconds", type=float, default=600, help="after which the curve ends")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(machine()))
    if args.texts:
        rows, kind = sentences(args.texts)
        texts = [" ".join(row["tokens"]) for row in rows]
        texts = (texts * (-(-args.texts // len(texts))))[: args.texts]
        print(f"Texts: {kind}, {sum(map(len, texts)) / len(texts):.0f} characters on average")
        report(compare_engines(texts, args.engines, args.workers), args.output, texts=kind)
    if args.short:
        curve = [
            {"seconds": seconds, "records": done, "MB": size}
            for seconds, done, size in memory_curve(args.short, args.seconds)
        ]
        report(curve[:: max(1, len(curve) // 25)] + curve[-1:], None if args.texts else args.output)


if __name__ == "__main__":
    run_benchmark(main)
