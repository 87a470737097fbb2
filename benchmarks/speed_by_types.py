"""Speed of span matchers by the number of types asked for: one run, same texts, same threads, systems in turn.

    python -m benchmarks.speed_by_types --systems type-cache prompts gliner encoder
    python -m benchmarks.speed_by_types --fast-gliner OTHER/bin/python --output speed.json
    python -m benchmarks.speed_by_types --baseline OTHER/bin/python --type-cache DIRECTORY

Each system runs in a process of its own, so that another release of the package can be one of them (`--baseline`: the
Python of an environment where it is installed; its default weights are run in float32). "type-cache" is the architecture
TypeCacheSpanMatcher on the weights of --type-cache, or, for speed alone, on the encoder and head of the weights that
"prompts", the architecture SpanMatcher, reads; both in float32, bfloat16 or int8. "encoder" is the bare transformer on
the texts alone. `gliner2` gets a random checkpoint of equal size, `fast-gliner` what `gliner` exports (`--fast-gliner`:
the Python of an environment with it). A system that is not installed is left out.

Types are drawn once from assets/open_types; milliseconds a text of the whole `nlp.pipe`, tokenisation included, types
encoded before (the first pass of each system is not counted). Systems drop out where they take too long, or cut prompts.
Memory is that of new processes that have read the same texts for one type: how far the largest resident size grows in the
first pass with the most types, and how much of that are types that are kept.
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.common import BenchmarkParser, machine, report, run_benchmark
from benchmarks.speed_worker import SYSTEMS
from tests.support.annotated_sets import DATA, sentences

ROOT = Path(__file__).resolve().parent.parent
OTHER_PYTHONS = ("baseline", "fast-gliner")
# What others are compared with, and systems whose memory is measured.
REFERENCES = ("encoder", "prompts", "baseline", "gliner", "gliner-spacy", "gliner2", "fast-gliner")
MEASURED = ("type-cache", "type-cache-bfloat16", "type-cache-int8", "prompts")
# From more types on, these take long, or cut what they are asked for.
MOST_TYPES = {"gliner-spacy": 25, **dict.fromkeys(("gliner", "gliner2", "fast-gliner"), 100)}
MOST_TYPES |= dict.fromkeys(("prompts-bfloat16", "prompts-int8"), 100)
TYPES = re.compile(r"\]\(([^()\[\]]+)\)")


def open_types(folder: Path) -> list[str]:
    """All types of assets/open_types, in one random order."""
    mentioned = [
        t.strip() for f in sorted(folder.glob("*.txt")) for m in TYPES.finditer(f.read_text()) for t in m[1].split(";")
    ]
    types = list(dict.fromkeys(mentioned))
    random.Random(0).shuffle(types)
    return types


class Worker:
    """A system in its own process.

    python (Path | str): The Python that runs it.
    model (Path): What it reads.
    """

    def __init__(self, name: str, args: argparse.Namespace, python: Path | str, model: Path) -> None:
        path = "" if name in OTHER_PYTHONS else str(ROOT)
        command = [str(python), str(Path(__file__).with_name("speed_worker.py")), name, "--threads", str(args.threads)]
        command += ["--model", str(model), *(["--type-cache", str(args.type_cache)] if args.type_cache else [])]
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
            raise RuntimeError(f"its process ended with {self.process.wait()}")
        return json.loads(answer)

    def end(self) -> None:
        """Let the process end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def start(name: str, args: argparse.Namespace, scratch: Path) -> Worker:
    """Start the process of a system, with what it reads."""
    if name == "baseline":
        return Worker(name, args, args.baseline, args.model)
    if name != "fast-gliner":
        return Worker(name, args, sys.executable, args.model)
    from gliner import GLiNER

    GLiNER.from_pretrained(str(args.model)).export_to_onnx(scratch)
    return Worker(name, args, args.fast_gliner or sys.executable, scratch)


def chosen_systems(args: argparse.Namespace) -> list[str]:
    """List the systems that can be run here."""
    modules = {
        "gliner-spacy": ["gliner_spacy"],
        "fast-gliner": ["gliner", *([] if args.fast_gliner else ["fast_gliner"])],
    }
    missing = [
        name for name in SYSTEMS if not all(map(find_spec, modules.get(name, [name] if "gliner" in name else [])))
    ]
    missing += [] if args.baseline else ["baseline"]
    systems = args.systems or [name for name in SYSTEMS if name != "baseline" or args.baseline]
    if any(name in missing for name in systems):
        print(f"Left out, as they are not here: {', '.join(name for name in systems if name in missing)}")
    return [name for name in systems if name not in missing]


def main() -> None:
    """Measure, compare, print."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", type=Path, default=ROOT / "assets" / "default", help="for all but type-cache")
    parser.add_argument("--type-cache", type=Path)
    parser.add_argument("--baseline", type=Path, help="the Python of an environment with another release")
    parser.add_argument("--fast-gliner", type=Path, help="the Python of an environment with fast-gliner, if not this")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, help="all that are here if not given")
    parser.add_argument("--types", type=int, nargs="+", default=[8, 25, 100, 1000])
    parser.add_argument("--texts", type=int, default=64, help="CrossNER politics sentences; a quarter beyond 100 types")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=420, help="after so many, one round suffices")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    drawn, source = sentences(args.texts, args.data, ("crossner_politics",))
    texts = [" ".join(row["tokens"]) for row in drawn]
    types = open_types(ROOT / "assets" / "open_types")
    names = chosen_systems(args)
    sizes = memory([name for name in names if name in MEASURED], args, types[: max(args.types)], texts)
    with tempfile.TemporaryDirectory() as scratch:
        workers = {name: start(name, args, Path(scratch)) for name in names}
        rows = measure(workers, args, types, texts)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    shown = [{c: row.get(c, "") for c in columns} for row in rows]
    print(f"{len(texts)} sentences of {source}, {args.threads} threads; {machine()}")
    report(shown, args.output, texts=f"{len(texts)} sentences of {source}", threads=args.threads, memory=sizes)
    report(sizes, None)


def memory(names: list[str], args: argparse.Namespace, types: list[str], texts: list[str]) -> list[dict[str, Any]]:
    """Measure the memory of many types, of each system in a new process."""
    rows, quarter = [], texts[: max(1, len(texts) // 4)]
    for name in names:
        worker = Worker(name, args, sys.executable, args.model)
        worker(labels=types[:1], texts=quarter)
        measured = worker(labels=types, texts=quarter)
        worker.end()
        rows.append({"types": len(types), "system": name, "MB": measured["mb"], "MB of kept types": measured["cached"]})
    return rows


def measure(
    workers: dict[str, Worker], args: argparse.Namespace, types: list[str], texts: list[str]
) -> list[dict[str, Any]]:
    """Run all systems in turn for each number of types."""
    rows, begun = [], time.monotonic()
    for count in args.types:
        chosen = texts if count <= 100 else texts[: max(1, len(texts) // 4)]
        here = {name: worker for name, worker in workers.items() if count <= MOST_TYPES.get(name, count)}
        for name, worker in list(here.items()):
            try:
                worker(labels=types[:count], texts=chosen)
            except (RuntimeError, BrokenPipeError) as problem:
                print(f"{name}: left out from {count} types on, {problem}")
                del here[name], workers[name]
        rounds: list[dict[str, dict[str, float]]] = []
        while not rounds or (len(rounds) < args.rounds and time.monotonic() - begun < args.seconds):
            rounds.append({name: worker(texts=chosen) for name, worker in here.items()})
        for name in here:
            wall, cpu = (statistics.median(r[name][k] for r in rounds) * 1e3 / len(chosen) for k in ("wall", "cpu"))
            others = [o for o in REFERENCES if o in here and o != name]
            paired = {o: statistics.median(r[o]["wall"] / r[name]["wall"] for r in rounds) for o in others}
            rows.append(
                {
                    "types": count,
                    "system": name,
                    "ms a text": wall,
                    "processor ms": cpu,
                    "rounds": len(rounds),
                    **{f"x {o}": round(paired[o], 2) for o in others},
                }
            )
    for worker in workers.values():
        worker.end()
    return rows


if __name__ == "__main__":
    run_benchmark(main)
