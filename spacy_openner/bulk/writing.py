"""Write records back with entities.

What a record holds beside its text passes through untouched: of JSON lines even the bytes, of Parquet the columns with
their types.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from spacy.tokens import Doc, DocBin

from ..components.reading import read_entities
from .arrow import import_arrow, import_parquet
from .records import Record, RecordFields, as_json

# Of tables whose rows were JSON: the text, and the record with it.
RECORD_COLUMNS = ("text", "record")


def write_records(
    path: Path, format: str, records: Sequence[Record], docs: Sequence[Doc], spans_key: str, fields: RecordFields
) -> int:
    """Write records with their entities.

    path (Path): The file. It is written as it is: let the caller rename it.
    format (str): One of `WRITABLE`.
    docs (Sequence[Doc]): In step with the records.
    RETURNS (int): How many entities there are.
    """
    entities_per_doc = [read_entities(doc, spans_key) for doc in docs]
    if format == "spacy":
        packed = DocBin(store_user_data=True)
        for record, doc in zip(records, docs, strict=True):
            # A doc that came as such may have a record already, of an earlier run.
            doc.user_data.setdefault("record", record.raw or as_json(record.fields))
            packed.add(doc)
        path.write_bytes(packed.to_bytes())
    elif format == "parquet":
        _write_parquet(path, records, entities_per_doc, fields)
    else:
        with path.open("w", encoding="utf8", newline="\n") as stream:
            for record, entities in zip(records, entities_per_doc, strict=True):
                stream.write(_with_entities(record, entities, fields.entities) + "\n")
    return sum(map(len, entities_per_doc))


def _with_entities(record: Record, entities: list[dict[str, Any]], name: str) -> str:
    """Render a record as one line of JSON. Of JSON lines, all bytes but the closing brace stay what they were."""
    if record.raw is None:
        return as_json({**record.fields, name: entities})
    body = record.raw.rstrip()[:-1].rstrip()
    comma = "" if body == "{" else ", "
    return f"{body}{comma}{as_json(name)}: {as_json(entities)}}}"


def _write_parquet(
    path: Path, records: Sequence[Record], entities_per_doc: Iterable[list[dict[str, Any]]], fields: RecordFields
) -> None:
    """Write a table. Rows of tables keep their columns; of JSON and docs, whose fields have no one type, `record` holds
    all as JSON."""
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
    entities = arrow.array(list(entities_per_doc), type=arrow.list_(entity))
    if all(record.row is not None for record in records):
        table = arrow.Table.from_batches([record.row for record in records]).combine_chunks()
    elif any(record.raw is not None or record.doc is not None for record in records):
        texts = [record.text for record in records], [record.raw or as_json(record.fields) for record in records]
        table = arrow.table([arrow.array(column, type=arrow.string()) for column in texts], names=RECORD_COLUMNS)
    else:
        table = arrow.Table.from_pylist([dict(record.fields) for record in records])
    parquet.write_table(table.append_column(fields.entities, entities), path)
