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
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TYPES = re.compile(r"\]\(([^()\[\]]+)\)")
SYSTEMS = ("default", "type-cache", "baseline", "gliner", "gliner-spacy")


def open_types(folder: Path) -> list[str]:
    """All types of assets/open_types, in one random order."""
    found = [
        t.strip() for f in sorted(folder.glob("*.txt")) for m in TYPES.finditer(f.read_text()) for t in m[1].split(";")
    ]
    types = list(dict.fromkeys(found))
    random.Random(0).shuffle(types)
    return types


def blank_pipeline(model: dict[str, Any]) -> Callable[[list[str]], Callable[[list[str]], None]]:
    """`open_ner_span` with settings of its model, to be asked for types."""
    import spacy

    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("open_ner_span", config={"model": model} if model else {})

    def prepare(labels: list[str]) -> Callable[[list[str]], None]:
        pipe.labels = labels
        return lambda texts: print(sum(len(doc.ents) for doc in nlp.pipe(texts, batch_size=1000)), file=sys.stderr)

    return prepare


def gliner_reference(path: Path) -> Callable[[list[str]], Callable[[list[str]], None]]:
    """The `gliner` package in its batch size 8."""
    import torch
    from gliner import GLiNER

    model = GLiNER.from_pretrained(str(path)).eval()

    def prepare(labels: list[str]) -> Callable[[list[str]], None]:
        def run(texts: list[str]) -> None:
            with torch.inference_mode():
                model.inference(texts, labels, batch_size=8)

        return run

    return prepare


def gliner_spacy_reference(path: Path) -> Callable[[list[str]], Callable[[list[str]], None]]:
    """The `gliner-spacy` package, which looks for the tokenizer under the backbone's name: that is made a directory."""
    import spacy

    copy = Path(shutil.copytree(path, Path(tempfile.mkdtemp()) / "checkpoint"))
    config = json.loads((copy / "gliner_config.json").read_text(encoding="utf8"))
    (copy / "gliner_config.json").write_text(json.dumps({**config, "model_name": str(copy)}), encoding="utf8")
    (copy / "config.json").write_text(json.dumps(config["encoder_config"]), encoding="utf8")

    def prepare(labels: list[str]) -> Callable[[list[str]], None]:
        nlp = spacy.blank("en")
        nlp.add_pipe("gliner_spacy", config={"gliner_model": str(copy), "labels": labels})
        return lambda texts: print(len(list(nlp.pipe(texts))), file=sys.stderr)

    return prepare


def system(name: str, args: argparse.Namespace) -> Callable[[list[str]], Callable[[list[str]], None]]:
    """Load one system."""
    if name in ("default", "baseline"):
        return blank_pipeline({})
    if name == "gliner":
        return gliner_reference(args.model)
    if name == "gliner-spacy":
        return gliner_spacy_reference(args.model)
    path = args.type_cache or _untrained(args.model)
    return blank_pipeline({"@architectures": "spacy-openner.TypeCacheSpanMatcher.v1", "name": str(path)})


def _untrained(path: Path) -> Path:
    """The default weights' encoder and head as a type cache: right sizes, wrong scores."""
    from spacy_openner.models.type_cache import checkpoint
    from spacy_openner.models.type_cache.new_network import from_encoder

    target = Path(tempfile.mkdtemp()) / "type_cache"
    checkpoint.save(from_encoder(path), target)
    return target


def work(args: argparse.Namespace) -> None:
    """Be the process of one system: read tasks, answer with seconds and megabytes, line by line."""
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    prepare = system(args.worker, args)
    run: Callable[[list[str]], None] = lambda texts: None  # noqa: E731
    for line in sys.stdin:
        task = json.loads(line)
        if "labels" in task:
            run = prepare(task["labels"])
        before = _peak()
        begun, spent = time.perf_counter(), time.process_time()
        run(task["texts"])
        seconds = {"wall": time.perf_counter() - begun, "cpu": time.process_time() - spent}
        print(json.dumps({**seconds, "mb": _peak() - before}), flush=True)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Worker:
    """A system in its own process."""

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        python, path = (args.baseline, "") if name == "baseline" else (sys.executable, str(ROOT))
        command = [str(python), str(Path(__file__).resolve()), "--worker", name, "--threads", str(args.threads)]
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
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--model", type=Path, default=ROOT / "assets" / "default", help="for gliner and gliner-spacy")
    parser.add_argument("--type-cache", type=Path)
    parser.add_argument("--baseline", type=Path, help="the Python of another environment")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=["default", "type-cache", "gliner"])
    parser.add_argument("--types", type=int, nargs="+", default=[8, 25, 100, 1000])
    parser.add_argument("--texts", type=int, default=64, help="CrossNER politics sentences; a quarter beyond 100 types")
    parser.add_argument("--slow", nargs="+", default=["gliner-spacy"], help="systems left out from 100 types on")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    if args.worker:
        work(args)
        return
    measure(args)


def measure(args: argparse.Namespace) -> None:
    """Run all systems in turn for each number of types."""
    from benchmarks.common import machine, read_set, report

    names = [*args.systems, *(["baseline"] if args.baseline and "baseline" not in args.systems else [])]
    workers = {name: Worker(name, args) for name in names}
    texts = [" ".join(row["tokens"]) for row in read_set("crossner_politics", "dev", args.data)][: args.texts]
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
        [{c: row.get(c, "") for c in columns} for row in rows], args.output, texts=len(texts), machine_note=machine()
    )


if __name__ == "__main__":
    main()
