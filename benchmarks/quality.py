"""Entities that the default weights find, miss and mistake: the figures behind the report.

    python -m benchmarks.quality --output quality.json

On each set: strict scores for each type and each kind of error; precision, recall and F1 by threshold; how often spans of a
score are right; which types are taken for which; and texts with each kind of error. The sets are CrossNER's dev sets, or
the sample corpus where they are not there, which is too small to compare models by.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc

from benchmarks.common import BenchmarkParser, machine, report, run_benchmark, span_matcher
from spacy_openner.decoding.span_selection import choose
from spacy_openner.scoring.entities import ERROR_KINDS, taxonomy
from spacy_openner.types import Candidate
from tests.support.annotated_sets import CROSSNER, DATA, SAMPLE, Row, find_split, labels_of, read_lines, read_set

FLOOR = 0.05
THRESHOLDS = [round(0.05 * i, 2) for i in range(1, 20)]
MISSED, NOTHING = "(missed)", "(nothing)"
EXAMPLES = 2
Entity = tuple[int, int, str]


@dataclass
class Quality:
    """The figures of one set.

    labels: The types that were asked for.
    counts: Of each text: right, predicted and gold entities, at the threshold. What comparisons draw from.
    per_type: Type -> right, predicted, gold.
    errors: Kind of error -> "fp", "fn".
    curve: Threshold, precision, recall, F1.
    reliability: Of ten bins of scores: spans, the sum of their scores, how many are right.
    confusion: Gold type, predicted type, how often, where boundaries agree or one side has nothing.
    examples: Texts of each kind of error: the text, what is annotated, what was predicted, what is looked at.
    """

    labels: list[str]
    counts: list[tuple[int, int, int]] = field(default_factory=list)
    per_type: dict[str, list[int]] = field(default_factory=dict)
    errors: dict[str, dict[str, int]] = field(default_factory=lambda: taxonomy(set(), set()))
    curve: list[tuple[float, float, float, float]] = field(default_factory=list)
    reliability: list[tuple[int, float, int]] = field(default_factory=list)
    confusion: list[tuple[str, str, int]] = field(default_factory=list)
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {kind: [] for kind in ERROR_KINDS})


def f1(right: int, predicted: int, gold: int) -> float:
    """In percent."""
    return 200 * right / max(predicted + gold, 1)


def available_sets(data: Path, limit: int) -> dict[str, list[Row]]:
    """Read CrossNER's dev sets, or those of the sample corpus where none of these is there."""
    names = [f"crossner_{domain}" for domain in CROSSNER if find_split(f"crossner_{domain}", "dev", data)]
    sets = {name: read_set(name, "dev", data) for name in names}
    if not sets:
        sets = {f"sample {d.name}": list(read_lines(d / "dev.jsonl")) for d in sorted(SAMPLE.iterdir()) if d.is_dir()}
    return {name: rows[: limit or None] for name, rows in sets.items()}


def chosen(candidates: Sequence[Candidate], threshold: float) -> list[Candidate]:
    """Keep what a flat pipeline would at a threshold."""
    return choose([candidate for candidate in candidates if candidate.score > threshold], "flat")


def measure(nlp: Language, rows: list[Row], threshold: float) -> Quality:
    """Predict once, at a low threshold, and count at all thresholds."""
    pipe = nlp.get_pipe("open_ner_span")
    quality = Quality(labels_of(rows))
    pipe.labels, pipe.threshold, pipe.overlap = quality.labels, FLOOR, "all"
    docs = [Doc(nlp.vocab, words=row["tokens"]) for row in rows]
    predictions = pipe.predict(docs)
    gold = [{(a, b, label) for a, b, label in row["spans"] if label in quality.labels} for row in rows]
    predicted = [{candidate[:3] for candidate in chosen(candidates, threshold)} for candidates in predictions]
    for here, there in zip(gold, predicted, strict=True):
        quality.counts.append((len(here & there), len(there), len(here)))
        for kind, sides in taxonomy(here, there).items():
            for side, n in sides.items():
                quality.errors[kind][side] += n
    quality.per_type = per_type(quality.labels, gold, predicted)
    quality.curve = [curve_point(predictions, gold, point) for point in THRESHOLDS]
    quality.reliability = reliability(predictions, gold)
    quality.confusion = confusion(gold, predicted)
    for doc, here, there in zip(docs, gold, predicted, strict=True):
        for kind, entity in mistakes(here, there):
            if len(quality.examples[kind]) < EXAMPLES:
                quality.examples[kind].append(example(doc, here, there, entity))
    return quality


def per_type(labels: Sequence[str], gold: list[set[Entity]], predicted: list[set[Entity]]) -> dict[str, list[int]]:
    """Count right, predicted and gold entities of each type."""
    counts = {label: [0, 0, 0] for label in labels}
    for here, there in zip(gold, predicted, strict=True):
        for i, side in enumerate((here & there, there, here)):
            for *_, label in side:
                counts[label][i] += 1
    return counts


def curve_point(
    predictions: Sequence[Sequence[Candidate]], gold: list[set[Entity]], threshold: float
) -> tuple[float, ...]:
    """Score at one threshold: the threshold, precision, recall and F1 in percent."""
    predicted = [{candidate[:3] for candidate in chosen(candidates, threshold)} for candidates in predictions]
    right = sum(len(a & b) for a, b in zip(gold, predicted, strict=True))
    n, m = sum(map(len, predicted)), sum(map(len, gold))
    return threshold, 100 * right / max(n, 1), 100 * right / max(m, 1), f1(right, n, m)


def reliability(predictions: Sequence[Sequence[Candidate]], gold: list[set[Entity]]) -> list[tuple[int, float, int]]:
    """Count the spans of each tenth of scores, and those that are right."""
    rows = [(c.score, c[:3] in here) for cs, here in zip(predictions, gold, strict=True) for c in chosen(cs, FLOOR)]
    scores, right = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], dtype=bool)
    bins = np.minimum((scores * 10).astype(int), 9)
    return [(int((bins == i).sum()), float(scores[bins == i].sum()), int(right[bins == i].sum())) for i in range(10)]


def confusion(gold: list[set[Entity]], predicted: list[set[Entity]]) -> list[tuple[str, str, int]]:
    """Count which type was predicted for the words of each gold entity."""
    counts: Counter[tuple[str, str]] = Counter()
    for here, there in zip(gold, predicted, strict=True):
        label_at = {entity[:2]: entity[2] for entity in there}
        counts.update((label, label_at.get((start, end), MISSED)) for start, end, label in here)
        known = {entity[:2] for entity in here}
        counts.update((NOTHING, label) for start, end, label in there if (start, end) not in known)
    return [(*pair, n) for pair, n in counts.most_common()]


def mistakes(gold: set[Entity], predicted: set[Entity]) -> Iterator[tuple[str, Entity]]:
    """Name the kind of error of each wrong prediction and each missed entity."""
    for entity in sorted(predicted - gold):
        yield next(kind for kind, sides in taxonomy(gold, {entity}).items() if sides["fp"]), entity
    for entity in sorted(gold - predicted):
        kind = next(kind for kind, sides in taxonomy({entity}, predicted - gold).items() if sides["fn"])
        if kind == "unlabelled":
            yield kind, entity


def example(doc: Doc, gold: set[Entity], predicted: set[Entity], entity: Entity) -> dict[str, Any]:
    """Write down a text with both annotations, in characters."""

    def spans(entities: set[Entity]) -> list[dict[str, Any]]:
        cut = [(doc[a:b].start_char, doc[a:b].end_char, label) for a, b, label in sorted(entities)]
        return [{"start": start, "end": end, "label": label} for start, end, label in cut]

    (focus,) = spans({entity})
    return {"text": doc.text, "gold": spans(gold), "predicted": spans(predicted), "entity": focus}


def main() -> None:
    """Measure each set."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", default="", help="a checkpoint; the default weights of the package")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--limit", type=int, default=0, help="texts of a set; 0 for all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span", config={"model": span_matcher(args.model, precision="float32")})
    measured = {
        name: measure(nlp, rows, args.threshold) for name, rows in available_sets(args.data, args.limit).items()
    }
    rows = [
        {"set": name, "texts": len(q.counts), "types": len(q.labels), "F1": f1(*map(sum, zip(*q.counts, strict=True)))}
        for name, q in measured.items()
    ]
    rows.append({"set": "mean", "texts": "", "types": "", "F1": sum(row["F1"] for row in rows) / len(rows)})
    report(rows, None)
    if args.output:
        sets = {name: asdict(quality) for name, quality in measured.items()}
        whole = {"machine": machine(), "threshold": args.threshold, "rows": rows, "sets": sets}
        args.output.write_text(json.dumps(whole, ensure_ascii=False) + "\n", encoding="utf8")


if __name__ == "__main__":
    run_benchmark(main)
