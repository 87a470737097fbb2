"""Recall and cost of a type filter. (What a pipeline finds with and without one: `benchmarks.many_types`.)

    python -m benchmarks.type_filter --output types.json --figure types.png
    python -m benchmarks.type_filter --filter DIRECTORY --sets bionlp13cg wetlab_wnut2020 stackoverflow_ner

On each set, the recall of types when a share of all (text, type) pairs is kept, one threshold a set; and the area under
the ROC curve. The figure shows the scores of present and of absent types (ToNER, figure 4).
"""

import argparse
import random
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc

from benchmarks.common import BenchmarkParser, report, run_benchmark
from tests.support.annotated_sets import CROSSNER, DATA, ROOT, labels_of, read_set

SETS = [f"crossner_{domain}" for domain in CROSSNER]
MARK = re.compile(r"\]\(([^)]+)\)")


def blank(nlp: Language, rows: list[dict[str, Any]]) -> list[Doc]:
    """Docs of the rows' tokens."""
    return [Doc(nlp.vocab, words=row["tokens"]) for row in rows]


def many_types(data: Path, count: int, seed: int = 0) -> list[str]:
    """The types of all sets, and of assets/open_types as many as are missing, the most frequent first."""
    types: dict[str, None] = {}
    for folder in sorted(path for path in data.glob("*") if path.is_dir()):
        for split in ("dev", "train", "all"):
            if any(folder.glob(f"{split}.jsonl*")):
                types.update(dict.fromkeys(labels_of(read_set(folder.name, split, data))))
                break
    files = sorted((ROOT / "assets" / "open_types").glob("*.txt"))
    texts = [file.read_text(encoding="utf8") for file in files]
    names = Counter(name.strip() for text in texts for mark in MARK.findall(text) for name in mark.split(";"))
    types.update(dict.fromkeys(name for name, _ in names.most_common()))
    return random.Random(seed).sample(list(types)[:count], min(count, len(types)))


def type_scores(nlp: Language, rows: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the set's types in each text, and whether they are there. *Shape of each:* (texts, types)."""
    pipe = nlp.get_pipe("type_filter")
    pipe.labels = labels_of(rows)
    scores = np.stack([prediction.scores for prediction in pipe.predict(blank(nlp, rows))])
    held = [{label for *_, label in row["spans"]} for row in rows]
    return scores, np.array([[label in here for label in pipe.labels] for here in held])


def area(scores: np.ndarray, present: np.ndarray) -> float:
    """How often a present type scores more than an absent one."""
    order = scores.ravel().argsort(kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    n = int(present.sum())
    return float((ranks[present.ravel()].sum() - n * (n + 1) / 2) / (n * (present.size - n)))


def measure_types(nlp: Language, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a set, and their mean."""
    rows, here, elsewhere = [], [], []
    for name in args.sets:
        lines = read_set(name, "dev", args.data)[: args.limit or None]
        scores, present = type_scores(nlp, lines)
        kept = scores > np.quantile(scores, 1 - args.share)
        recall = float((kept & present).sum() / present.sum())
        docs = blank(nlp, lines)
        begun = time.perf_counter()
        nlp.get_pipe("type_filter").predict(docs)
        spent = (time.perf_counter() - begun) / len(lines)
        figures = {"recall": recall, "kept": float(kept.mean()), "auc": area(scores, present), "us a text": 1e6 * spent}
        rows.append({"set": name, "types": scores.shape[1], **figures})
        here.append(scores[present])
        elsewhere.append(scores[~present])
    means = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0] if key != "set"}
    if args.figure:
        draw_scores(np.concatenate(here), np.concatenate(elsewhere), args.figure)
    return [*rows, {"set": "mean", **means}]


def draw_scores(here: np.ndarray, elsewhere: np.ndarray, path: Path) -> None:
    """Two distributions."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.5))
    bins = np.linspace(min(here.min(), elsewhere.min()), max(here.max(), elsewhere.max()), 60)
    for scores, name in ((elsewhere, "absent types"), (here, "present types")):
        axes.hist(scores, bins, density=True, alpha=0.6, label=name)
    axes.set(xlabel="score", ylabel="density")
    axes.legend()
    figure.savefig(path, bbox_inches="tight", dpi=150)


def draw_curve(points: list[tuple[float, float]], path: Path) -> None:
    """F1 by threshold."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.5))
    axes.plot(*zip(*sorted(points), strict=True), marker="o")
    axes.set(xlabel="threshold of the filter", ylabel="F1")
    figure.savefig(path, bbox_inches="tight", dpi=150)


def main() -> None:
    """Score, print."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--filter", default="", help="a type matcher; the default one of the package")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--limit", type=int, default=0, help="texts of a set; 0 for all")
    parser.add_argument("--share", type=float, default=0.4, help="of pairs kept")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    nlp = spacy.blank("en")
    nlp.add_pipe("type_filter", config={"model": {"name": args.filter}})
    report(measure_types(nlp, args), args.output, share=args.share)


if __name__ == "__main__":
    run_benchmark(main)
