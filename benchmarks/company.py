"""How much the types that are asked for beside a type change its scores.

    python -m benchmarks.company
    python -m benchmarks.company --architecture spacy-openner.TypeCacheSpanMatcher.v1

For annotated spans of CrossNER, the score of the annotated type: alone, among the types of its set, the same in another
order, and among these and types of assets/open_types. Differences are of probabilities.
"""

import random
from pathlib import Path

import numpy as np
import spacy
import torch
from spacy.tokens import Doc, Span

from benchmarks.common import BenchmarkParser, report, run_benchmark, span_matcher
from benchmarks.type_filter import many_types
from tests.support.annotated_sets import CROSSNER, DATA, labels_of, read_set


def main() -> None:
    """Score the same spans in several companies."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", default="", help="a span matcher; the weights of the package if not given")
    parser.add_argument("--architecture", help="of that span matcher; what its files say if not given")
    parser.add_argument("--limit", type=int, default=60, help="sentences of a set")
    parser.add_argument("--types", type=int, nargs="*", default=[100], help="in all, with others beside a set's own")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    nlp = spacy.blank("en")
    model = span_matcher(args.model, args.architecture, precision="float32")
    pipe = nlp.add_pipe("open_ner_span", config={"model": model})
    shuffled = random.Random(0)
    others = many_types(args.data, max(args.types, default=0) + 50)
    scores: dict[str, list[float]] = {}
    for domain in CROSSNER:
        lines = read_set(f"crossner_{domain}", "dev", args.data)
        own = labels_of(lines)
        for line in [line for line in lines if line["spans"]][: args.limit]:
            doc = Doc(nlp.vocab, words=line["tokens"])
            spans = [Span(doc, a, b, label) for a, b, label in line["spans"] if label != "miscellaneous"]
            companies = {"own types": own, "another order": shuffled.sample(own, len(own))}
            companies |= {f"{n} types": list(dict.fromkeys([*own, *others]))[:n] for n in args.types}
            for span in spans:
                scores.setdefault("alone", []).append(score(pipe, span, [span.label_]))
                for name, labels in companies.items():
                    scores.setdefault(name, []).append(score(pipe, span, labels))
    reference = np.array(scores["own types"])
    rows = []
    for name, values in scores.items():
        gap = np.abs(np.array(values) - reference)
        mean, most, crossed = gap.mean(), gap.max(), ((np.array(values) >= 0.5) != (reference >= 0.5)).mean()
        rows.append({"asked for": name, "mean score": float(np.mean(values)), "mean change": float(mean),
                     "largest change": float(most), "crosses 0.5, percent": 100 * float(crossed)})  # fmt: skip
    report(rows, args.output, spans=len(reference), architecture=args.architecture)


def score(pipe: spacy.language.Language, span: Span, labels: list[str]) -> float:
    """Score a span for its own label among others."""
    return float(pipe.span_scores(span.doc, [span], labels)[0, labels.index(span.label_)])


if __name__ == "__main__":
    run_benchmark(main)
