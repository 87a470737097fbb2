"""Records of a corpus, the units that they are read in, and the formats of its files."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from spacy.tokens import Doc

from ..arguments import as_name
from ..errors import error
from ..files import is_utf8

READABLE = ("jsonl", "csv", "txt", "parquet", "spacy")
WRITABLE = ("jsonl", "parquet", "spacy")
SUFFIXES = {".ndjson": "jsonl", **{f".{format}": format for format in READABLE}}
GZIP = ".gz"


class BadRecord(NamedTuple):
    """A record that was set aside.

    where: File and line, or file and row, counted from 1.
    reason: Why, in a sentence.
    raw: The record as far as it was read; an excerpt of 2,000 characters.
    id: The record's own name, where it has one.
    """

    where: str
    reason: str
    raw: str
    id: Any = None


@dataclass(frozen=True)
class Record:
    """A record with a text.

    where: File and line, or file and row, counted from 1.
    text: What is annotated.
    fields: All that the record holds, the text included.
    raw: The record as JSON, to the byte, where it came as such.
    doc: The doc that it came as, of spaCy's own files.
    id: The record's own name, where it has one.
    row: The batch of one row that it came as, of Parquet.
    """

    where: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    raw: str | None = None
    doc: Doc | None = None
    id: Any = None
    row: Any = None


@dataclass(frozen=True)
class RecordFields:
    """Names of the fields of records.

    text: Holds the text.
    id: Holds the record's own name; None where records have none.
    entities: Gets the entities. A record that has such a field already is set aside.
    RAISES (SettingError): For what is no name, and for entities in the place of something else.
    """

    text: str = "text"
    id: str | None = None
    entities: str = "entities"

    def __post_init__(self) -> None:
        as_name(self.text, "text_field")
        as_name(self.entities, "entities_field")
        if self.id is not None:
            as_name(self.id, "id_field")
        if self.entities in (self.text, self.id):
            raise error("O001", name="entities_field", value=self.entities, allowed="a field that nothing else is in")


@dataclass(frozen=True)
class Unit:
    """A part of a file that is read in one go.

    file, number: Place of the file in the corpus, and of the unit in the file.
    path: Path or URL of the file.
    format: One of `READABLE`.
    start, stop: Bytes of line files, row groups of Parquet; a stop of -1 is the end of the file.
    first_row: Rows of the file before this unit, where that is known without reading; -1 elsewhere.
    limit: The most records that are read; -1 for all.
    """

    file: int
    number: int
    path: str
    format: str
    start: int = 0
    stop: int = -1
    first_row: int = 0
    limit: int = -1

    @property
    def name(self) -> str:
        """Name of the unit, in the journal and of its output."""
        return f"{self.file:06d}-{self.number:05d}"


def file_format(path: str) -> str:
    """Return the format that a file's name tells, compression set aside.

    RAISES (DataError): For another ending.
    """
    name = path.rstrip("/").rsplit("/", 1)[-1].lower().removesuffix(GZIP)
    kind = SUFFIXES.get(Path(name).suffix)
    if kind is None:
        raise error("O601", path=path, allowed=", ".join(SUFFIXES))
    return kind


def is_compressed(path: str) -> bool:
    """Tell by a file's name whether it is compressed."""
    return path.lower().endswith(GZIP)


def as_json(value: Any) -> str:
    """Render a value as one line of JSON."""
    # Dates, decimals and the like, which Parquet has and JSON has not, are written as Python prints them.
    try:
        text = json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        value = _finite(value)
        text = json.dumps(value, ensure_ascii=False, default=str)
    return text if is_utf8(text) else json.dumps(value, default=str)


def _finite(value: Any) -> Any:
    """Replace numbers that JSON has not: NaN, a missing value, by null, and infinite ones by what Python prints."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
