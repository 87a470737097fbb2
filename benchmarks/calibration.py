"""Effect of thresholds chosen by some annotated sentences on other sentences of the same set.

    python -m benchmarks.calibration --sentences 150 --seeds 3 --output calibration.json

Strict micro F1 in percent on the CrossNER dev sets, without the type "miscellaneous": of each set some sentences choose
the thresholds, and the others are scored. "chosen by" is the F1 of the sentences that chose one for each type.
"""

import random
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language

from benchmarks.common import BenchmarkParser, report, run_benchmark, span_matcher
from benchmarks.zero_shot import examples_of
from spacy_openner.calibration.entities import calibrate_entities
from tests.support.annotated_sets import CROSSNER, DATA, labels_of, read_set


def measure(nlp: Language, rows: list[dict[str, Any]], n: int) -> dict[str, float]:
    """F1 of the rows from number n on: with the thresholds as they are, one for all types, one for each."""
    pipe = nlp.get_pipe("open_ner_span")
    pipe.labels = labels_of(rows)
    scores = {}

    def score(name: str) -> None:
        scores[name] = 100 * (nlp.evaluate(examples_of(nlp, rows[n:]), batch_size=1000)["openner_f"] or 0.0)

    pipe.threshold, pipe.label_thresholds = 0.5, {}
    score("0.5")
    one, per_type = (
        calibrate_entities(nlp, examples_of(nlp, rows[:n]), one_threshold=one_threshold, types=pipe.labels)
        for one_threshold in (True, False)
    )
    for name, result in (("one", one), ("one a type", per_type)):
        result.apply(nlp)
        score(name)
    return {**scores, "chosen by": 100 * per_type.after.f1}


def main() -> None:
    """Measure each set, with several choices of sentences."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", type=Path, help="the default weights if not given")
    parser.add_argument("--sentences", type=int, nargs="+", default=[50, 150], help="that choose the thresholds")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span", config={"model": span_matcher(args.model, precision="float32")})
    rows = []
    for n in args.sentences:
        of_n = []
        for name in CROSSNER:
            for seed in range(args.seeds):
                lines = read_set(f"crossner_{name}", "dev", args.data)
                random.Random(seed).shuffle(lines)
                of_n.append({"sentences": n, "set": name, **measure(nlp, lines, n)})
        keys = [key for key in of_n[0] if key not in ("sentences", "set")]
        rows += of_n
        rows.append({"sentences": n, "set": "mean", **{key: sum(row[key] for row in of_n) / len(of_n) for key in keys}})
    report(rows, args.output, model=args.model.name if args.model else "default")


if __name__ == "__main__":
    run_benchmark(main)
