"""Speed of span matchers by the number of types asked for: one run, same texts, same threads, systems in turn.

    python -m benchmarks.speed_by_types --types 8 25 100 1000 --systems default type-cache gliner gliner-spacy
    python -m benchmarks.speed_by_types --baseline OTHER/bin/python --type-cache DIRECTORY --output speed.json

Each system runs in a process of its own, so that another release of the package can be one of them (`--baseline`: the
Python of an environment where it is installed; its default weights are run). "type-cache" is the architecture TypeCacheSpanMatcher on the weights of
--type-cache, or, for speed alone, on the encoder and head of the default weights. Types are drawn once from
assets/open_types; milliseconds a text of the whole `nlp.pipe`, tokenisation included, types encoded before (the first
pass of each system is not counted). Megabytes are the growth of the largest resident size from before the first pass.
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.common import report, run_benchmark
from benchmarks.speed_worker import SYSTEMS
from tests.support.annotated_sets import DATA, sentences

ROOT = Path(__file__).resolve().parent.parent
TYPES = re.compile(r"\]\(([^()\[\]]+)\)")


def open_types(folder: Path) -> list[str]:
    """All types of assets/open_types, in one random order."""
    found = [
        t.strip() for f in sorted(folder.glob("*.txt")) for m in TYPES.finditer(f.read_text()) for t in m[1].split(";")
    ]
    types = list(dict.fromkeys(found))
    random.Random(0).shuffle(types)
    return types


class Worker:
    """A system in its own process."""

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        python, path = (args.baseline, "") if name == "baseline" else (sys.executable, str(ROOT))
        command = [str(python), str(Path(__file__).with_name("speed_worker.py")), name, "--threads", str(args.threads)]
        command += ["--model", str(args.model), *(["--type-cache", str(args.type_cache)] if args.type_cache else [])]
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(args.threads)}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def __call__(self, **task: Any) -> dict[str, float]:
        """Run one task."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"a system's process ended with {self.process.wait()}")
        return json.loads(answer)


def main() -> None:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", type=Path, default=ROOT / "assets" / "default", help="for gliner and gliner-spacy")
    parser.add_argument("--type-cache", type=Path)
    parser.add_argument("--baseline", type=Path, help="the Python of another environment")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=["default", "type-cache", "gliner"])
    parser.add_argument("--types", type=int, nargs="+", default=[8, 25, 100, 1000])
    parser.add_argument("--texts", type=int, default=64, help="CrossNER politics sentences; a quarter beyond 100 types")
    parser.add_argument("--slow", nargs="+", default=["gliner-spacy"], help="systems left out from 100 types on")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    measure(parser.parse_args())


def measure(args: argparse.Namespace) -> None:
    """Run all systems in turn for each number of types."""
    names = [*args.systems, *(["baseline"] if args.baseline and "baseline" not in args.systems else [])]
    workers = {name: Worker(name, args) for name in names}
    drawn, source = sentences(args.texts, args.data, ("crossner_politics",))
    texts = [" ".join(row["tokens"]) for row in drawn]
    types = open_types(ROOT / "assets" / "open_types")
    rows = []
    for count in args.types:
        chosen = texts if count <= 100 else texts[: max(1, len(texts) // 4)]
        here = {name: worker for name, worker in workers.items() if count < 100 or name not in args.slow}
        first = {name: worker(labels=types[:count], texts=chosen) for name, worker in here.items()}
        rounds = [{name: worker(texts=chosen) for name, worker in here.items()} for _ in range(args.rounds)]
        for name in here:
            wall, cpu = (statistics.median(r[name][k] for r in rounds) * 1e3 / len(chosen) for k in ("wall", "cpu"))
            paired = {o: statistics.median(r[o]["cpu"] / r[name]["cpu"] for r in rounds) for o in here}
            rows.append(
                {
                    "types": count,
                    "system": name,
                    "ms a text": wall,
                    "processor ms": cpu,
                    "MB": first[name]["mb"] + sum(r[name]["mb"] for r in rounds),
                    **{f"x {o}": round(paired[o], 2) for o in here if o != name},
                }
            )
    for worker in workers.values():
        worker.process.stdin.close()  # type: ignore[union-attr]
        worker.process.wait()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    report(
        [{c: row.get(c, "") for c in columns} for row in rows], args.output, texts=f"{len(texts)} sentences of {source}"
    )


if __name__ == "__main__":
    run_benchmark(main)
