"""Annotated sets that tests and benchmarks read: where they are looked for, and what is said when they are not there.

A set is a directory with a file for each split, `SET/dev.jsonl` (or `.jsonl.gz`), a sentence a line:
{"tokens": [...], "spans": [[start, end, label], ...]}, ends exclusive. CrossNER is read, too, as `spacy project assets`
fetches it.
"""

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spacy_openner.data.formats import read
from spacy_openner.data.naming import make_renamer
from spacy_openner.errors import error

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
FETCHED = ROOT / "assets" / "crossner"
SAMPLE = ROOT / "assets" / "sample"
CROSSNER = ("ai", "literature", "music", "politics", "science")
Row = dict[str, Any]


def read_lines(file: Path) -> Iterator[Row]:
    """Yield the rows of a file, gzipped or not."""
    with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf8") as lines:
        yield from map(json.loads, lines)


def find_split(name: str, split: str, data: Path = DATA) -> Path | None:
    """Look for the file of one split of a set, in a directory of sets and among the fetched assets."""
    fetched = FETCHED / name.removeprefix("crossner_") / f"{split}.txt"
    found = [*(data / name).glob(f"{split}.jsonl*"), *([fetched] if fetched.is_file() else [])]
    return found[0] if found else None


def read_set(name: str, split: str, data: Path = DATA) -> list[Row]:
    """Read one split of a set.

    RAISES (DataError): When it is not there, with how to get it.
    """
    file = find_split(name, split, data)
    if file is None:
        fetch = "`spacy project assets` fetches it, or " if name.startswith("crossner_") else ""
        reason = f"this set is not here: {fetch}name a directory of sets with --data (SET/{split}.jsonl)"
        raise error("O403", path=str(data / name / f"{split}.jsonl"), reason=reason)
    return _read_fetched(file) if file.suffix == ".txt" else list(read_lines(file))


def _read_fetched(file: Path) -> list[Row]:
    labels = json.loads((ROOT / "configs" / "crossner" / f"{file.parent.name}.json").read_text(encoding="utf8"))
    rename = make_renamer(labels, True)
    return [
        {"tokens": list(text.tokens), "spans": [[start, end, rename(label)] for start, end, label in text.spans]}
        for text in read(file, "columns")
    ]


def read_or_sample(name: str, data: Path = DATA) -> list[Row]:
    """Read a set's dev split, or the sample corpus where it is not there: enough to measure speed on."""
    return read_set(name, "dev", data) if find_split(name, "dev", data) else sample()


def sample() -> list[Row]:
    """Read the sample corpus that comes with the project."""
    return [row for file in sorted(SAMPLE.glob("*/*.jsonl")) for row in read_lines(file)]


def sentences(count: int, data: Path = DATA, names: tuple[str, ...] = ("crossner_politics",)) -> tuple[list[Row], str]:
    """Read sentences to measure speed on: of the sample corpus, again and again, where no such set is there.

    RETURNS (tuple): The rows, and what they are.
    """
    splits = [(name, split) for name in names for split in ("dev", "train") if find_split(name, split, data)]
    if splits:
        rows, kind = [row for name, split in splits for row in read_set(name, split, data)], ", ".join(names)
    else:
        rows = sample()
        rows, kind = rows * (count // len(rows) + 1), "the sample corpus"
    return rows[:count], kind


def drawn(name: str, count: int, data: Path = DATA) -> list[Row]:
    """Sentences of a set's dev split, drawn once and for all: the first ones of these sixty-four."""
    rows = [row for row in read_or_sample(name, data) if len(row["tokens"]) > 3]
    return random.Random(0).sample(rows, 64)[:count]


def labels_of(rows: list[Row]) -> list[str]:
    """List the types of a set without the catch-all, which zero-shot scores leave out."""
    return sorted({label for row in rows for *_, label in row["spans"]} - {"miscellaneous"})
