"""Quality and cost when many types are asked for, with and without `type_filter`.

    python -m benchmarks.many_types --types 25 1000 --top-k 25 50 --limit 40 --output many_types.json
    python -m benchmarks.many_types --types --thresholds 0.0 0.1 0.2 0.3 0.4 --figure thresholds.png

`open_ner_span` is asked for a set's own types; for these among 25 or 1,000, which are the types of all sets and those of
assets/open_types; and for those of the most that a filter keeps (--top-k), or of its own types those above a
threshold (--thresholds: the curve is ToNER's figure 3).

Strict F1 over the set's own types, each asked for by itself (`overlap = "all"`): that "Einstein" is a "physicist", too,
is no mistake where "scientist" is annotated. Seconds are of one pass over all texts, ways in turn.

With --unlike 0.4, types whose names are more alike to one of the set's own than this cosine are not asked: what is left
of a loss is due to the number of types, not to "novelist" beside "writer". --encoder is what tells them alike.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import spacy
import torch
from spacy.language import Language
from spacy.scorer import Scorer
from spacy.tokens import Doc, Span
from spacy.training import Example

from benchmarks.common import BenchmarkParser, machine, ratio, report, run_benchmark, span_matcher
from benchmarks.name_similarity import unlike
from benchmarks.type_filter import SETS, blank, draw_curve, many_types
from benchmarks.zero_shot import examples_of
from spacy_openner.decoding.span_selection import choose
from spacy_openner.types import Candidate
from tests.support.annotated_sets import DATA, labels_of, read_set

Sets = dict[str, list[dict[str, Any]]]
WARM_UP = 8


class Way(NamedTuple):
    """The types that are asked for.

    types: How many types; a set's own ones if 0.
    top_k: How many of them the filter keeps; no limit if None.
    threshold: What their scores must pass; no filter if None, unless there is a `top_k`.
    """

    types: int = 0
    top_k: int | None = None
    threshold: float | None = None

    @property
    def filtered(self) -> bool:
        """Tell whether there is a filter."""
        return self.top_k is not None or self.threshold is not None

    @property
    def name(self) -> str:
        """As the table says it."""
        types = f"{self.types} types" if self.types else "own types"
        best = f", best {self.top_k}" if self.top_k is not None else ""
        return types + best + (f", above {self.threshold}" if self.threshold is not None else "")


def ways_of(args: argparse.Namespace) -> Iterator[Way]:
    """The rows of the table."""
    yield Way()
    for count in args.types:
        if count <= args.most_unfiltered:
            yield Way(count)
        yield from (Way(count, top_k=k) for k in args.top_k if k < count)
    yield from (Way(threshold=threshold) for threshold in args.thresholds)


def own_entities(doc: Doc, own: list[str]) -> list[Span]:
    """The best flat set of the entities of some types."""
    group = doc.spans["openner"]
    scored = zip(group, group.attrs["scores"], strict=True)
    candidates = [Candidate(s.start, s.end, s.label_, float(score)) for s, score in scored if s.label_ in own]
    return [
        Span(doc, candidate.start, candidate.end, label=candidate.label) for candidate in choose(candidates, "flat")
    ]


class Task:
    """A pipeline and the texts that it is asked about.

    args (argparse.Namespace): See `main`.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.nlp: Language = spacy.blank("en")
        self.nlp.add_pipe("type_filter", config={"model": {"name": args.filter}, "threshold": -1.0})
        model = span_matcher(args.model, args.architecture, max_types=args.max_types)
        config = {"model": model, "threshold": args.threshold, "overlap": "all"}
        self.nlp.add_pipe("open_ner_span", config=config)
        chosen = slice(args.skip, args.skip + args.limit if args.limit else None)
        self.sets: Sets = {name: read_set(name, "dev", args.data)[chosen] for name in args.sets}
        self.own = {name: labels_of(read_set(name, "dev", args.data)) for name in args.sets}
        # Twice as many as needed: alike ones are left out.
        extra = many_types(args.data, max([1, *args.types]) * (1 if args.unlike is None else 2))
        self.extra = {
            name: extra if args.unlike is None else unlike(extra, own, args.encoder, args.unlike)
            for name, own in self.own.items()
        }

    def ask(self, way: Way, name: str, rows: list[dict[str, Any]]) -> list[Doc]:
        """The docs of a set, annotated in one way."""
        finder, chooser = self.nlp.get_pipe("open_ner_span"), self.nlp.get_pipe("type_filter")
        own = self.own[name]
        types = list(dict.fromkeys([*own, *self.extra[name]]))[: max(way.types, len(own))]
        finder.labels = chooser.labels = types
        chooser.top_k, chooser.threshold = way.top_k, -1.0 if way.threshold is None else way.threshold
        with self.nlp.select_pipes(enable=["open_ner_span", *(["type_filter"] if way.filtered else [])]):
            return list(self.nlp.pipe(blank(self.nlp, rows)))

    def run(self, way: Way) -> tuple[float, list[Example]]:
        """Seconds, and what was found beside what is annotated."""
        for name, rows in self.sets.items():
            self.ask(way, name, rows[:WARM_UP])
        begun = time.perf_counter()
        docs = {name: self.ask(way, name, rows) for name, rows in self.sets.items()}
        seconds = time.perf_counter() - begun
        examples = []
        for name, rows in self.sets.items():
            for example, doc in zip(examples_of(self.nlp, rows), docs[name], strict=True):
                doc.ents = own_entities(doc, self.own[name])
                examples.append(Example(doc, example.reference))
        return seconds, examples

    def row(self, way: Way, examples: list[Example]) -> dict[str, Any]:
        """Scores of one way."""
        # The component's own scorer reads its span group, where the other types stand, too.
        scores = Scorer.score_spans(examples, "ents")
        figures = {key: 100 * (scores[f"ents_{key}"] or 0.0) for key in "prf"}
        n_kept = sum(len(eg.predicted._.openner_labels or ()) for eg in examples) / len(examples)
        return {"asked for": way.name, **figures, "kept of them": n_kept if way.filtered else "all"}


def measure(task: Task, ways: list[Way], rounds: int, yardstick: Way) -> list[dict[str, Any]]:
    """One row a way."""
    seconds: dict[Way, list[float]] = {way: [] for way in ways}
    rows = {}
    for _ in range(rounds):
        for way in ways:
            spent, examples = task.run(way)
            seconds[way].append(spent)
            rows[way] = task.row(way, examples)
    for way in ways:
        rows[way] |= {"seconds": min(seconds[way]), f"x {yardstick.name}": ratio(seconds[way], seconds[yardstick])}
    return list(rows.values())


def main() -> None:
    """Ask, score, print."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--filter", default="", help="a type matcher; the default one of the package")
    parser.add_argument("--model", default="", help="a span matcher; the default weights")
    parser.add_argument("--architecture", help="of that span matcher; what its files say if not given")
    parser.add_argument("--max-types", type=int, help="that a text sees at once, as many as fit if not given")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--limit", type=int, default=0, help="texts of a set; 0 for all")
    parser.add_argument("--skip", type=int, default=0, help="texts of a set that stand before these")
    parser.add_argument("--types", type=int, nargs="*", default=[25, 1000], help="asked for")
    parser.add_argument("--top-k", type=int, nargs="*", default=[25])
    parser.add_argument("--thresholds", type=float, nargs="*", default=[], help="of the filter, on own types")
    parser.add_argument(
        "--most-unfiltered", type=int, default=1000, help="more types are asked behind the filter alone"
    )
    parser.add_argument(
        "--unlike", type=float, help="ask for no other types more alike to a set's own than this cosine"
    )
    parser.add_argument("--encoder", type=Path, help="a sentence encoder's directory, for --unlike")
    parser.add_argument("--threshold", type=float, default=0.5, help="of open_ner_span")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    if args.unlike is not None and args.encoder is None:
        parser.error("--unlike needs --encoder: the directory of a sentence encoder, all-MiniLM-L6-v2 say")
    torch.set_num_threads(args.threads)
    ways = list(ways_of(args))
    yardstick = Way(25) if 25 in args.types else Way()
    rows = measure(Task(args), ways, args.rounds, yardstick)
    if args.figure:
        draw_curve(
            [(way.threshold, row["f"]) for way, row in zip(ways, rows, strict=True) if way.threshold is not None],
            args.figure,
        )
    print(machine())
    report(rows, args.output, texts=args.limit, threshold=args.threshold)


if __name__ == "__main__":
    run_benchmark(main)
