"""Which source type each CrossNER type is aligned with, beside what a person would choose (LAR, section 3.2).

    python -m benchmarks.alignment SOURCE --output alignment.json

SOURCE is a pipeline trained on CoNLL-2003 (`configs/finetune.cfg`). By predictions it reads the training texts of each
domain, whose gold types vote; by names nothing is read. `EXPECTED` was written first, from the guidelines of CoNLL-2003:
works, prizes, events and nationalities are miscellaneous there, newspapers are organizations.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import spacy

from benchmarks.common import BenchmarkParser, gold_doc, machine, report, run_benchmark
from spacy_openner.labels import LabelSet
from spacy_openner.lar.alignment import AlignmentStrategy, PseudoLabelAlignment_v1, align_labels
from spacy_openner.lar.embedding_alignment import EmbeddingAlignment_v1
from spacy_openner.lar.table import AlignmentTable
from tests.support.annotated_sets import CROSSNER, DATA, read_set

SOURCES = ("person", "organization", "location", "miscellaneous")
PEOPLE = ("person", "politician", "scientist", "musical artist", "writer", "researcher")
GROUPS = ("organization", "political party", "university", "band")
PLACES = ("location", "country")
# Where two answers are as good: a star may be a place, and a journal may be its publisher.
EITHER: Mapping[str, tuple[str, ...]] = {
    "astronomical object": ("location", "miscellaneous"),
    "academic journal": ("organization", "miscellaneous"),
    "magazine": ("organization", "miscellaneous"),
    "conference": ("organization", "miscellaneous"),
}
EXPECTED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(PEOPLE, ("person",)),
    **dict.fromkeys(GROUPS, ("organization",)),
    **dict.fromkeys(PLACES, ("location",)),
    **EITHER,
}
ELSE = ("miscellaneous",)


def strategies(encoder: str) -> dict[str, AlignmentStrategy]:
    """The ways to align."""
    return {
        "predictions": PseudoLabelAlignment_v1(),
        "predictions, a fifth recognised": PseudoLabelAlignment_v1(min_share=0.2),
        "names, default weights": EmbeddingAlignment_v1(),
        **({"names, encoder given": EmbeddingAlignment_v1(encoder)} if encoder else {}),
        "one-to-one, default weights": EmbeddingAlignment_v1(mode="one-to-one"),
    }


def judged(domain: str, name: str, table: AlignmentTable) -> dict[str, Any]:
    """How many types are aligned as expected, and which are not. How often types occur is how much that matters."""
    wrong = {
        t: alignment.sources[0]
        for t, alignment in table.targets.items()
        if alignment.sources[0] not in EXPECTED.get(t, ELSE)
    }
    entities = {target: sum(alignment.counts.values()) for target, alignment in table.targets.items()}
    right = sum(n for target, n in entities.items() if target not in wrong)
    return {
        "domain": domain,
        "strategy": name,
        "types": len(table.targets),
        "as expected": len(table.targets) - len(wrong),
        "% of entities": 100 * right / sum(entities.values()),
        "others": ", ".join(f"{target}: {source}" for target, source in wrong.items()),
    }


def main() -> None:
    """Align, judge, print."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--encoder", default="", help="of sentences, for alignment by names")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    nlp = spacy.load(args.source)
    rows, tables = [], {}
    for domain in CROSSNER:
        lines = read_set(f"crossner_{domain}", "train", args.data)
        names = sorted({label for line in lines for *_, label in line["spans"]})
        docs = [gold_doc(nlp, line, names) for line in lines]
        targets = LabelSet(names)
        for name, strategy in strategies(args.encoder).items():
            table = align_labels(nlp, docs, strategy, sources=LabelSet(SOURCES), targets=targets)
            rows.append(judged(domain, name, table))
            tables[f"{domain}, {name}"] = table.as_dict()["targets"]
    print(machine())
    report(rows, args.output, tables=tables)


if __name__ == "__main__":
    run_benchmark(main)
