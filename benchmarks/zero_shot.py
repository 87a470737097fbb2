"""Zero-shot scores on sets that the default weights never saw, in one precision or backend or several.

    python -m benchmarks.zero_shot --modes torch:float32 onnx:int8 --output zero_shot.json
    python -m benchmarks.zero_shot --factory gner_generator --threshold 0

Strict entity-level micro F1 in percent, one threshold for all sets, without the type "miscellaneous": dropped
from the types and from the gold annotation.
"""

import random
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.tokens import Doc, Span
from spacy.training import Example

from benchmarks.common import BenchmarkParser, report, run_benchmark, span_matcher
from tests.support.annotated_sets import CROSSNER, DATA, find_split, labels_of, read_set


def examples_of(nlp: spacy.language.Language, rows: list[dict[str, Any]]) -> list[Example]:
    """Gold docs with their tokens as given, and blank docs of the same tokens."""
    examples = []
    for row in rows:
        gold = Doc(nlp.vocab, words=row["tokens"])
        gold.ents = [Span(gold, a, b, label=label) for a, b, label in row["spans"] if label != "miscellaneous"]
        examples.append(Example(Doc(nlp.vocab, words=row["tokens"]), gold))
    return examples


def sets(data: Path, names: list[str], sample: int) -> dict[str, list[dict[str, Any]]]:
    """Read CrossNER dev sets whole; of the MIT sets, which have no dev, a fixed sample of train."""
    rows_per_set = {name: read_set(name, "dev", data) for name in names if name.startswith("crossner")}
    for name in names:
        if name.startswith("mit"):
            rows = read_set(name, "train", data)
            rows_per_set[name] = random.Random(0).sample(rows, min(sample, len(rows)))
    return rows_per_set


def available(data: Path) -> list[str]:
    """List the sets of the table that are here; those that are not are named.

    RAISES (DataError): When none is, with how to get one.
    """
    here = [name for name in SETS if find_split(name, "train" if name.startswith("mit") else "dev", data)]
    if not here:
        read_set(SETS[0], "dev", data)
    missing = [name for name in SETS if name not in here]
    if missing:
        print(f"Left out, as they are not here (the mean is of the others): {', '.join(missing)}")
    return here


SETS = [*(f"crossner_{domain}" for domain in CROSSNER), "mit_movie", "mit_restaurant"]
FACTORIES = ("open_ner_span", "gner_generator")


def main() -> None:
    """Score each set in each mode."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--factory", choices=FACTORIES, default="open_ner_span")
    parser.add_argument("--model", type=Path, help="the package's own if not given")
    parser.add_argument("--architecture", help="that of the model's files if not given")
    parser.add_argument("--modes", nargs="+", default=["torch:float32"], help="BACKEND:PRECISION")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--sets", nargs="+", help="those of CrossNER and MIT that are here if not given")
    parser.add_argument("--sample", type=int, default=500, help="sentences of the MIT sets")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    chosen = sets(args.data, args.sets or available(args.data), args.sample)
    rows = []
    for mode in args.modes:
        backend, precision = mode.split(":")
        nlp = spacy.blank("en")
        if args.factory == "open_ner_span":
            model = span_matcher(args.model, args.architecture, precision=precision, backend=backend)
        else:
            model = {"name": str(args.model or ""), "precision": precision}
        pipe = nlp.add_pipe(args.factory, config={"threshold": args.threshold, "model": model})
        row: dict[str, Any] = {"mode": mode}
        for name, lines in chosen.items():
            pipe.labels = labels_of(lines)
            row[name] = 100 * (nlp.evaluate(examples_of(nlp, lines), batch_size=1000)["openner_f"] or 0.0)
        row["mean"] = sum(row[name] for name in chosen) / len(chosen)
        rows.append(row)
    report(
        rows,
        args.output,
        threshold=args.threshold,
        model=args.model.name if args.model else "default",
        factory=args.factory,
    )


if __name__ == "__main__":
    run_benchmark(main)
