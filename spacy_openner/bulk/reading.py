"""Read the records of a corpus, whatever the file format.

A record that cannot be read is a `BadRecord`, which the caller sets aside with its reason.
"""

import csv
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import IO, Any

import fsspec
from spacy.tokens import DocBin
from spacy.vocab import Vocab

from ..errors import error
from ..files import is_utf8
from ..json_files import STRICT
from .arrow import import_arrow, import_parquet
from .records import BadRecord, Record, RecordFields, Unit, as_json, is_compressed

# A line this long is no record of a text that spaCy reads (a million characters at most by default).
MAX_LINE_BYTES = 64 * 2**20
END_OF_TABLE = "\x03end of table\x03"


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


def _open(unit: Unit) -> IO[bytes]:
    compression = "gzip" if is_compressed(unit.path) else None
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
            value = json.loads(line, **STRICT)
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
    # Python's own bound on a field, which holds for the whole process, is below the texts that spaCy reads.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
    # Bytes that are no UTF-8 become halves of surrogate pairs, which UTF-8 cannot hold: they cost their own row.
    with (
        _open(unit) as stream,
        io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
    ):
        # A quotation that is not closed would hold it, and all the lines before.
        reader = csv.reader(chain(text, [END_OF_TABLE]))
        try:
            header = next(reader)
            if header == [END_OF_TABLE]:
                return
            _check_columns(header, unit, fields)
            for row in reader:
                if row == [END_OF_TABLE]:
                    return
                if row:
                    yield _read_row(f"{unit.path}:{reader.line_num}", header, row, fields)
        except csv.Error as problem:
            raise error("O602", path=f"{unit.path}:{reader.line_num}", reason=problem) from problem


def _read_row(where: str, header: list[str], row: list[str], fields: RecordFields) -> Record | BadRecord:
    if row[-1].endswith(END_OF_TABLE):
        row[-1] = row[-1].removesuffix(END_OF_TABLE)
        reason = "a quotation mark that is not closed"
    elif not all(map(is_utf8, row)):
        reason = "not UTF-8"
    elif len(row) != len(header):
        reason = f"{len(row)} fields where the header has {len(header)}"
    else:
        return _make_record(where, dict(zip(header, row, strict=True)), fields)
    shown = ",".join(row)[:2000].encode("utf8", "surrogateescape")
    return BadRecord(where, reason, shown.decode("utf8", "replace"))


def _check_columns(names: list[str], unit: Unit, fields: RecordFields) -> None:
    """Refuse a table without the text, and one with names that stand twice, of which a record could keep but one."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if not all(map(is_utf8, names)):
        raise error("O602", path=unit.path, reason="the names of its columns are not UTF-8")
    if twice:
        raise error("O602", path=unit.path, reason=f"two columns are called {twice[0]!r}")
    if fields.text not in names:
        raise error("O603", path=unit.path, field=fields.text, fields=", ".join(names) or "none")


def _read_parquet(unit: Unit, fields: RecordFields, vocab: Vocab) -> Iterator[Record | BadRecord]:
    parquet = import_parquet()
    with _open(unit) as stream:
        try:
            file = parquet.ParquetFile(stream)
            _check_columns(file.schema_arrow.names, unit, fields)
            n = unit.first_row
            for group in range(unit.start, file.num_row_groups if unit.stop < 0 else unit.stop):
                for batch in file.iter_batches(batch_size=1000, row_groups=[group]):
                    for i, row in enumerate(_rows(batch)):
                        n += 1
                        yield _make_record(f"{unit.path}:row {n}", row, fields, row=batch.slice(i, 1))
        # Arrow's own errors, of which only some are OSErrors.
        except import_arrow().ArrowException as problem:
            raise error("O602", path=unit.path, reason=problem) from problem


def _rows(batch: Any) -> list[dict[str, Any]]:
    """Return the rows of a table as Python has them. Columns with values that it has not, as nanoseconds, are text."""
    columns = [_values(column) for column in batch.columns]
    return [dict(zip(batch.schema.names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(column: Any) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        values = column.cast(import_arrow().string()).to_pylist()
    return values


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
    where: str, value: Mapping[str, Any], fields: RecordFields, raw: str | None = None, row: Any = None
) -> Record | BadRecord:
    text, own_id = value.get(fields.text), None if fields.id is None else value.get(fields.id)
    if fields.text not in value:
        reason = f"no field {fields.text!r}"
    elif not isinstance(text, str):
        reason = f"field {fields.text!r} is no text, but {type(text).__name__}"
    elif fields.entities in value:
        reason = f"has a field {fields.entities!r} already; name another one for the entities"
    else:
        return Record(where, text, value, raw, id=own_id, row=row)
    return BadRecord(where, reason, (raw or as_json(value))[:2000], own_id)
