"""How sure scores are on types that were never learnt: the share of right spans by score.

    python -m benchmarks.reliability --limit 300

Sentences of the CrossNER dev sets and of the MIT sets, of each set as many, without the type "miscellaneous". "too sure" is
the mean score less the share of right spans, "ECE" the mean distance of the two by tenths of scores, weighted by spans
(`measure_reliability`); both of the spans that pass 0.05.
"""

import random
from pathlib import Path
from typing import Any

import spacy
import torch

from benchmarks.common import BenchmarkParser, gold_doc, report, run_benchmark, span_matcher
from benchmarks.zero_shot import available, sets
from spacy_openner.calibration.reliability import Reliability, measure_reliability
from tests.support.annotated_sets import DATA, labels_of


def row_of(name: str, measured: Reliability) -> dict[str, Any]:
    """Sum up one set."""
    full = [score_bin for score_bin in measured.bins if score_bin.count]
    sure = sum((score_bin.mean_score or 0) * score_bin.count for score_bin in full) / max(measured.count, 1)
    right = sum((score_bin.share_right or 0) * score_bin.count for score_bin in full) / max(measured.count, 1)
    return {"set": name, "spans": measured.count, "mean score": sure, "right": right, "too sure": sure - right,
            "ECE": measured.ece}  # fmt: skip


def main() -> None:
    """Measure each set, and all of them by tenths of scores."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", type=Path, help="of open_ner_span; the default weights if not given")
    parser.add_argument("--sets", nargs="+", help="those of CrossNER and MIT that are here if not given")
    parser.add_argument("--limit", type=int, default=300, help="sentences of a set")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    nlp = spacy.blank("en")
    pipe: Any = nlp.add_pipe("open_ner_span", config={"model": span_matcher(args.model, precision="float32")})
    rows, bins = [], [(0, 0.0, 0.0)] * 10
    for name, lines in sets(args.data, args.sets or available(args.data), args.limit).items():
        random.Random(0).shuffle(lines)
        pipe.labels = labels_of(lines)
        docs = [gold_doc(nlp, line, pipe.labels) for line in lines[: args.limit]]
        measured = measure_reliability(nlp, docs, types=pipe.labels)
        rows.append(row_of(name, measured))
        sums = [(score_bin.count, (score_bin.mean_score or 0) * score_bin.count, (score_bin.share_right or 0) * score_bin.count)
                 for score_bin in measured.bins]  # fmt: skip
        bins = [(n + m, s + t, r + u) for (n, s, r), (m, t, u) in zip(bins, sums, strict=True)]
    mean = {key: sum(row[key] for row in rows) / len(rows) for key in ("mean score", "right", "too sure", "ECE")}
    rows.append({"set": "mean", "spans": sum(row["spans"] for row in rows), **mean})
    for i, (count, sure, right) in enumerate(bins):
        if count:
            print(f"{i / 10:.1f}-{(i + 1) / 10:.1f}: {count} spans, mean {sure / count:.2f}, {right / count:.0%} right")
    report(rows, args.output, model=args.model.name if args.model else "default", bins=bins)


if __name__ == "__main__":
    run_benchmark(main)
