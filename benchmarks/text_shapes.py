"""Scores on lists, tables and wrapped paragraphs, with and without the boundaries that no entity crosses.

    python -m benchmarks.text_shapes --output text_shapes.json

The texts are made of a set's own names: four of one type on lines, behind blank lines, as items or between commas, or
tables of three types; and of its sentences, wrapped at 60 columns or as they are. Strict micro F1 in percent.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc

from benchmarks.common import BenchmarkParser, report, run_benchmark, span_matcher
from spacy_openner.types import DEFAULT_BOUNDARIES
from tests.support.annotated_sets import DATA, Row, labels_of, read_set

JOINED = {"names on lines": "\n", "names behind blank lines": "\n\n", "items": "\n- ", "names between commas": ", "}
MODES = {"none": (), "by default": DEFAULT_BOUNDARIES, "with lines": (*DEFAULT_BOUNDARIES, "lines")}
COLUMNS = 60
MOST_WORDS, LEAST_NAMES = 6, 20


class Shaped(NamedTuple):
    """A text, and its entities by characters."""

    text: str
    entities: set[tuple[int, int, str]]


def names_by_type(rows: list[Row]) -> dict[str, list[str]]:
    """List the names of each type that has many."""
    names: dict[str, dict[str, None]] = {label: {} for label in labels_of(rows)}
    for row in rows:
        for start, end, label in row["spans"]:
            if label in names and end - start <= MOST_WORDS:
                names[label][" ".join(row["tokens"][start:end])] = None
    return {label: list(listed) for label, listed in names.items() if len(listed) >= LEAST_NAMES}


def joined(parts: list[tuple[str, str]]) -> Shaped:
    """Join names with what stands before each; "" for the type of a part that is no entity."""
    text, entities = "", set()
    for part, label in parts:
        if label:
            entities.add((len(text), len(text) + len(part), label))
        text += part
    return Shaped(text, entities)


def lists(names: dict[str, list[str]], between: str, count: int) -> Iterator[Shaped]:
    """Make lists of four names of one type."""
    for _ in range(count):
        label = random.choice(sorted(names))
        parts = [part for name in random.sample(names[label], 4) for part in ((between, ""), (name, label))]
        yield joined([(between.strip("\n,") if "-" in between else "", ""), *parts[1:]])


def tables(names: dict[str, list[str]], count: int) -> Iterator[Shaped]:
    """Make tables of three types, with a head and three rows."""
    for _ in range(count):
        head = random.sample(sorted(names), 3)
        parts = [("\t".join(head), "")]
        for _ in range(3):
            for i, label in enumerate(head):
                parts += [("\t" if i else "\n", ""), (random.choice(names[label]), label)]
        yield joined(parts)


def wrapped(row: Row, columns: int | None) -> Shaped:
    """Write a sentence, wrapped where its lines get too long."""
    text, starts, ends, width = "", [], [], 0
    for token in row["tokens"]:
        space = ""
        if text:
            is_full = columns is not None and width + 1 + len(token) > columns
            space, width = ("\n", 0) if is_full else (" ", width + 1)
        text += space
        starts.append(len(text))
        text += token
        ends.append(len(text))
        width += len(token)
    spans = ((starts[a], ends[b - 1], label) for a, b, label in row["spans"] if label != "miscellaneous")
    return Shaped(text, set(spans))


def shapes(rows: list[Row], count: int) -> dict[str, list[Shaped]]:
    """Make the texts of each shape."""
    names = names_by_type(rows)
    return {
        **{name: list(lists(names, between, count)) for name, between in JOINED.items()},
        "tables": list(tables(names, count)),
        f"sentences wrapped at {COLUMNS} columns": [wrapped(row, COLUMNS) for row in rows],
        "sentences": [wrapped(row, None) for row in rows],
    }


def f1(nlp: Language, texts: list[Shaped]) -> float:
    """Score by characters."""
    docs: list[Doc] = list(nlp.pipe([text.text for text in texts], batch_size=1000))
    predicted = [{(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents} for doc in docs]
    right = sum(len(entities & text.entities) for entities, text in zip(predicted, texts, strict=True))
    total = sum(len(entities) + len(text.entities) for entities, text in zip(predicted, texts, strict=True))
    return 200 * right / total


def main() -> None:
    """Score each shape with each choice of boundaries."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--set", default="crossner_politics")
    parser.add_argument("--factory", choices=("open_ner_span", "gner_generator"), default="open_ner_span")
    parser.add_argument("--model", type=Path, help="of open_ner_span; the default weights if not given")
    parser.add_argument("--count", type=int, default=100, help="texts of each shape of lists and tables")
    parser.add_argument("--limit", type=int, help="sentences; all if not given")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    random.seed(0)
    rows = read_set(args.set, "dev", args.data)
    nlp = spacy.blank("en")
    model = span_matcher(args.model, precision="float32")
    pipe: Any = nlp.add_pipe(args.factory, config={"labels": labels_of(rows), "model": model})
    texts_by_shape = shapes(rows[: args.limit], args.count)
    table = []
    for shape, texts in texts_by_shape.items():
        row: dict[str, Any] = {"texts": shape}
        for mode, boundaries in MODES.items():
            pipe.boundaries = boundaries
            row[mode] = f1(nlp, texts)
        table.append(row)
    report(table, args.output, set=args.set, factory=args.factory)


if __name__ == "__main__":
    run_benchmark(main)
