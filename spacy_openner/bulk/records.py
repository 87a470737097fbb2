"""Read the records of a corpus and write them back with entities, whatever the file format.

What a record holds beside its text passes through untouched: of JSON lines even the bytes, of Parquet the columns
with their types. A record that cannot be read is a `BadRecord`, which the caller sets aside with its reason.
"""

import csv
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import fsspec
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..components.reading import read_entities
from ..errors import error

READABLE = ("jsonl", "csv", "txt", "parquet", "spacy")
WRITABLE = ("jsonl", "parquet", "spacy")
SUFFIXES = {".ndjson": "jsonl", **{f".{format}": format for format in READABLE}}
# A line this long is no record of a text that spaCy reads (a million characters at most by default).
MAX_LINE_BYTES = 64 * 2**20


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
    schema: Arrow's schema of the table that it came from.
    """

    where: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    raw: str | None = None
    doc: Doc | None = None
    id: Any = None
    schema: Any = None


@dataclass(frozen=True)
class RecordFields:
    """Names of the fields of records.

    text: Holds the text.
    id: Holds the record's own name; None where records have none.
    entities: Gets the entities. A record that has such a field already is set aside.
    """

    text: str = "text"
    id: str | None = None
    entities: str = "entities"


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
    name = path.rstrip("/").rsplit("/", 1)[-1].lower().removesuffix(".gz")
    found = SUFFIXES.get(Path(name).suffix)
    if found is None:
        raise error("O601", path=path, allowed=", ".join(SUFFIXES))
    return found


def read_records(unit: Unit, fields: RecordFields, vocab: Vocab) -> Iterator[Record | BadRecord]:
    """Read a unit, one record at a time.

    vocab (Vocab): For docs of spaCy's own files.
    YIELDS (Record | BadRecord): In the order of the file.
    RAISES (DataError): When the file itself cannot be read.
    """
    readers: dict[str, Callable[[Unit, RecordFields, Vocab], Iterator[Record | BadRecord]]] = {
        "jsonl": _read_json_lines,
        "txt": _read_text_lines,
        "csv": _read_csv,
        "parquet": _read_parquet,
        "spacy": _read_docs,
    }
    try:
        for n, record in enumerate(readers[unit.format](unit, fields, vocab)):
            if n == unit.limit:
                return
            yield record
    # The last is what damaged gzip files raise.
    except (OSError, EOFError, zlib.error) as problem:
        raise error("O602", path=unit.path, reason=problem) from problem


def write_records(
    path: Path, format: str, records: Sequence[Record], docs: Sequence[Doc], spans_key: str, fields: RecordFields
) -> int:
    """Write records with their entities.

    path (Path): The file. It is written as it is: let the caller rename it.
    format (str): One of `WRITABLE`.
    docs (Sequence[Doc]): In step with the records.
    RETURNS (int): How many entities there are.
    """
    found = [read_entities(doc, spans_key) for doc in docs]
    if format == "spacy":
        packed = DocBin(store_user_data=True)
        for record, doc in zip(records, docs, strict=True):
            doc.user_data["record"] = record.raw or _as_json(record.fields)
            packed.add(doc)
        path.write_bytes(packed.to_bytes())
    elif format == "parquet":
        _write_parquet(path, records, found, fields)
    else:
        with path.open("w", encoding="utf8", newline="\n") as stream:
            for record, entities in zip(records, found, strict=True):
                stream.write(_with_entities(record, entities, fields.entities) + "\n")
    return sum(map(len, found))


def _with_entities(record: Record, entities: list[dict[str, Any]], name: str) -> str:
    """Render a record as one line of JSON. Of JSON lines, all bytes but the closing brace stay what they were."""
    if record.raw is None:
        return _as_json({**record.fields, name: entities})
    body = record.raw.rstrip()[:-1].rstrip()
    comma = "" if body == "{" else ", "
    return f"{body}{comma}{_as_json(name)}: {_as_json(entities)}}}"


def _as_json(value: Any) -> str:
    # Dates, decimals and the like, which Parquet has and JSON has not, are written as Python prints them.
    text = json.dumps(value, ensure_ascii=False, default=str)
    return json.dumps(value, default=str) if any("\ud800" <= char <= "\udfff" for char in text) else text


def _open(unit: Unit) -> IO[bytes]:
    compression = "gzip" if unit.path.endswith(".gz") else None
    stream: IO[bytes] = fsspec.open(unit.path, "rb", compression=compression).open()
    return stream


def _lines(unit: Unit) -> Iterator[tuple[str, str | BadRecord]]:
    """Yield the lines that begin within a unit's bytes, each with its place. The line that a start lies in belongs to
    the unit before."""
    with _open(unit) as stream:
        at = unit.start
        if at:
            stream.seek(at - 1)
            at += len(stream.readline()) - 1
        n = 0
        while unit.stop < 0 or at < unit.stop:
            line = stream.readline(MAX_LINE_BYTES)
            if not line:
                return
            n += 1
            where = f"{unit.path}:{n}" if not unit.start else f"{unit.path}:byte {at}"
            at += len(line)
            if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                at += _skip_line(stream)
                yield (
                    where,
                    BadRecord(where, f"a line over {MAX_LINE_BYTES:,} bytes", line[:2000].decode("utf8", "replace")),
                )
                continue
            if at == len(line):
                line = line.removeprefix(b"\xef\xbb\xbf")
            try:
                text = line.decode("utf8").rstrip("\r\n")
            except UnicodeDecodeError as problem:
                yield where, BadRecord(where, f"not UTF-8: {problem}", line[:2000].decode("utf8", "replace"))
            else:
                if text.strip():
                    yield where, text


def _skip_line(stream: IO[bytes]) -> int:
    """Read to the end of a line, and count the bytes."""
    n = 0
    while part := stream.readline(MAX_LINE_BYTES):
        n += len(part)
        if part.endswith(b"\n"):
            break
    return n


def _read_json_lines(unit: Unit, fields: RecordFields, vocab: Vocab) -> Iterator[Record | BadRecord]:
    for where, line in _lines(unit):
        if isinstance(line, BadRecord):
            yield line
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as problem:
            yield BadRecord(where, f"no JSON: {problem}", line[:2000])
            continue
        if isinstance(value, dict):
            yield _make_record(where, value, fields, raw=line)
        else:
            yield BadRecord(where, f"no JSON object, but {type(value).__name__}", line[:2000])


def _read_text_lines(unit: Unit, fields: RecordFields, vocab: Vocab) -> Iterator[Record | BadRecord]:
    for where, line in _lines(unit):
        yield line if isinstance(line, BadRecord) else Record(where, line, {fields.text: line})


def _read_csv(unit: Unit, fields: RecordFields, vocab: Vocab) -> Iterator[Record | BadRecord]:
    """Read a table of which the first line names the fields."""
    with _open(unit) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text)
        try:
            header = next(reader, [])
            if fields.text not in header:
                raise error("O603", path=unit.path, field=fields.text, fields=", ".join(header) or "none")
            for row in reader:
                where = f"{unit.path}:{reader.line_num}"
                if len(row) == len(header):
                    yield _make_record(where, dict(zip(header, row, strict=True)), fields)
                elif row:
                    reason = f"{len(row)} fields where the header has {len(header)}"
                    yield BadRecord(where, reason, ",".join(row)[:2000])
        except (csv.Error, UnicodeDecodeError) as problem:
            raise error("O602", path=f"{unit.path}:{reader.line_num}", reason=problem) from problem


def _read_parquet(unit: Unit, fields: RecordFields, vocab: Vocab) -> Iterator[Record | BadRecord]:
    parquet = import_parquet()
    with _open(unit) as stream:
        try:
            file = parquet.ParquetFile(stream)
            if fields.text not in file.schema_arrow.names:
                names = ", ".join(file.schema_arrow.names)
                raise error("O603", path=unit.path, field=fields.text, fields=names or "none")
            n = unit.first_row
            for group in range(unit.start, file.num_row_groups if unit.stop < 0 else unit.stop):
                for batch in file.iter_batches(batch_size=1000, row_groups=[group]):
                    for row in batch.to_pylist():
                        n += 1
                        yield _make_record(f"{unit.path}:row {n}", row, fields, schema=file.schema_arrow)
        # Arrow's own errors, of which only some are OSErrors.
        except import_arrow().ArrowException as problem:
            raise error("O602", path=unit.path, reason=problem) from problem


def _read_docs(unit: Unit, fields: RecordFields, vocab: Vocab) -> Iterator[Record | BadRecord]:
    with _open(unit) as stream:
        data = stream.read()
    try:
        packed = DocBin(store_user_data=True).from_bytes(data)
    # Damage shows in whichever way the unpacking libraries have.
    except Exception as problem:
        raise error("O602", path=unit.path, reason=f"{type(problem).__name__}: {problem}") from problem
    for n, doc in enumerate(packed.get_docs(vocab), 1):
        own = {"text": doc.text} if fields.id is None else {"text": doc.text, fields.id: doc.user_data.get(fields.id)}
        yield Record(f"{unit.path}:doc {n}", doc.text, own, doc=doc, id=own.get(fields.id or ""))


def _make_record(
    where: str, value: Mapping[str, Any], fields: RecordFields, raw: str | None = None, schema: Any = None
) -> Record | BadRecord:
    text = value.get(fields.text)
    own_id = value.get(fields.id) if fields.id is not None else None
    shown = (raw or _as_json(value))[:2000]
    if fields.text not in value:
        return BadRecord(where, f"no field {fields.text!r}", shown, own_id)
    if not isinstance(text, str):
        return BadRecord(where, f"field {fields.text!r} is no text, but {type(text).__name__}", shown, own_id)
    if fields.entities in value:
        reason = f"has a field {fields.entities!r} already; name another one for the entities"
        return BadRecord(where, reason, shown, own_id)
    return Record(where, text, value, raw, id=own_id, schema=schema)


def import_arrow() -> Any:
    """Return the module `pyarrow`.

    RAISES (MissingExtra): Where it is not installed.
    """
    try:
        import pyarrow
    except ImportError as problem:
        raise error("O604", package="pyarrow", extra="parquet") from problem
    return pyarrow


def import_parquet() -> Any:
    """Return the module `pyarrow.parquet`.

    RAISES (MissingExtra): Where it is not installed.
    """
    import_arrow()
    import pyarrow.parquet

    return pyarrow.parquet


def _write_parquet(
    path: Path, records: Sequence[Record], found: Iterable[list[dict[str, Any]]], fields: RecordFields
) -> None:
    """Write a table. Rows of tables keep their columns; of JSON, whose fields have no one type, `record` holds all."""
    arrow, parquet = import_arrow(), import_parquet()
    entity = arrow.struct(
        [
            ("start", arrow.int64()),
            ("end", arrow.int64()),
            ("text", arrow.string()),
            ("label", arrow.string()),
            ("score", arrow.float64()),
        ]
    )
    entities = arrow.array(list(found), type=arrow.list_(entity))
    if any(record.raw is not None for record in records):
        columns = {
            "text": arrow.array([record.text for record in records], type=arrow.string()),
            "record": arrow.array([record.raw for record in records], type=arrow.string()),
        }
        table = arrow.table(columns)
    else:
        rows = [dict(record.fields) for record in records]
        table = arrow.Table.from_pylist(rows, schema=records[0].schema if records else None)
    parquet.write_table(table.append_column(fields.entities, entities), path)
