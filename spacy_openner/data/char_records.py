"""JSON records with a text and entities by character offsets: those of spaCy, Prodigy and doccano."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import error
from .files import read_values
from .offsets import Mark, OffsetAligner
from .texts import AnnotatedText, Tally

SPACY_RECORDS = (
    '["Kim left", {"entities": [[0, 3, "person"]]}], or {"text": ..., "spans": [{"start": 0, "end": 3, ...}]}'
)
PRODIGY_RECORD = '{"text": "Kim left", "spans": [{"start": 0, "end": 3, "label": "person"}], "answer": "accept"}'
DOCCANO_RECORD = '{"text": "Kim left", "label": [[0, 3, "person"]]}, or "entities" with start_offset, end_offset, label'
# Of spaCy's forms; some have several of them.
ENTITY_KEYS = ("entities", "ents", "spans")
REJECTED = ("reject", "ignore")
DISAGREE = "entity whose tokens and offsets disagree, read by its offsets"
FOREIGN = "tokens that do not hold their text, made anew"


def read_prodigy(path: str | Path, *, lang: str = "en", tally: Tally | None = None) -> Iterator[AnnotatedText]:
    """Read Prodigy's records, as `db-out` writes them. Those that were rejected or ignored are left out.

    path (str | Path): JSON lines, or one JSON list; unpacked where its name ends in ".gz".
    lang (str): Code of the language whose tokenizer is used where a record has no tokens.
    tally (Tally | None): Where to count what is left out.
    YIELDS (AnnotatedText): Each record that was accepted, or not answered yet.
    RAISES (OpenNERError): For a record of another form, with its line.
    """
    aligner, answered = OffsetAligner(lang, tally), dict[Any, Any]()
    for where, record in _records(path, "prodigy", PRODIGY_RECORD):
        answer = record.get("answer", "accept")
        if answer in REJECTED:
            aligner.tally.skip(f'answer "{answer}"', where)
            continue
        with_fields = _Fields("prodigy", PRODIGY_RECORD, where, record)
        with_fields.require(answer == "accept")
        task, annotator = record.get("_task_hash"), record.get("_annotator_id", record.get("_session_id"))
        if type(task) is int and answered.setdefault(task, annotator) != annotator:
            aligner.tally.skip("task that another annotator answered, too", where)
            continue
        text, spans, tokens = with_fields.text("text"), with_fields.objects("spans"), with_fields.objects("tokens")
        for kind in ("relations", "accept"):
            if record.get(kind):
                aligner.tally.leave(f'"{kind}" of a task', where)
        given = [with_fields.offsets(token, "start", "end") for token in tokens]
        if any(text[a:b] != token.get("text", text[a:b]) for (a, b), token in zip(given, tokens, strict=True)):
            aligner.tally.repair(FOREIGN, where)
            given = []
        marks = [with_fields.mark(span) for span in spans]
        for mark, span in zip(marks, spans, strict=True):
            if given and _other_tokens(span, mark.parts[0], given):
                aligner.tally.repair(DISAGREE, where)
        yield aligner.align(text, marks, where, given or None)


def read_spacy_json(path: str | Path, *, lang: str = "en", tally: Tally | None = None) -> Iterator[AnnotatedText]:
    """Read spaCy's plain forms: pairs of a text and {"entities": [...]}, and objects with "text" and "spans" or "ents".

    path (str | Path): JSON lines, or one JSON list; unpacked where its name ends in ".gz".
    lang (str): Code of the language whose tokenizer is used.
    tally (Tally | None): Where to count what is left out.
    YIELDS (AnnotatedText): Each pair or object.
    RAISES (OpenNERError): For a record of another form, with its line.
    """
    aligner = OffsetAligner(lang, tally)
    for line, value in read_values(Path(path), "spacy-json", SPACY_RECORDS, rows=True):
        where = f"{path}, line {line}"
        for record in _annotations(value):
            fields = _Fields("spacy-json", SPACY_RECORDS, where, _as_object(record))
            for kind in ("relations", "cats", "links"):
                if fields.record.get(kind):
                    aligner.tally.leave(f'"{kind}"', where)
            marks = [mark for key in ENTITY_KEYS for mark in fields.entities(key, aligner.tally)]
            given = [fields.offsets(token, "start", "end") for token in fields.objects("tokens")]
            yield aligner.align(fields.text("text"), marks, where, given or None)


def read_doccano(path: str | Path, *, lang: str = "en", tally: Tally | None = None) -> Iterator[AnnotatedText]:
    """Read doccano's records of sequence labelling, in both of its forms.

    path (str | Path): JSON lines, or one JSON list; unpacked where its name ends in ".gz".
    lang (str): Code of the language whose tokenizer is used.
    tally (Tally | None): Where to count what is left out.
    YIELDS (AnnotatedText): Each record.
    RAISES (OpenNERError): For a record of another form, with its line.
    """
    aligner = OffsetAligner(lang, tally)
    for where, record in _records(path, "doccano", DOCCANO_RECORD):
        fields = _Fields("doccano", DOCCANO_RECORD, where, record)
        if record.get("relations"):
            aligner.tally.leave("relation", where, len(record["relations"]))
        if record.get("cats"):
            aligner.tally.leave('"cats"', where)
        entities = fields.objects("entities")
        marks = [fields.mark(entity, "start_offset", "end_offset") for entity in entities]
        listed: Any = next((record[key] for key in ("label", "labels") if record.get(key)), [])
        yield aligner.align(fields.text("text", "data"), [*marks, *fields.triples(listed)], where)


def _records(path: str | Path, kind: str, expected: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a file, with their places."""
    for line, record in read_values(Path(path), kind, expected):
        where = f"{path}, line {line}"
        if not isinstance(record, dict):
            raise error("O401", where=where, expected=expected, found=repr(record)[:200], kind=kind)
        yield where, record


def _annotations(value: Any) -> Sequence[Any]:
    """Return the records of a value: those that some annotation tools write for spaCy list them under "annotations"."""
    if isinstance(value, dict) and isinstance(value.get("annotations"), list):
        return [record for record in value["annotations"] if record is not None]
    return [value]


def _as_object(record: Any) -> Any:
    """Turn a pair of a text and its annotation into an object."""
    is_pair = isinstance(record, list) and len(record) == 2 and isinstance(record[1], dict)
    return {**record[1], "text": record[0]} if is_pair else record


class _Fields:
    """The fields of one record, checked.

    kind, expected (str): The format, and what its records look like, for messages.
    where (str): Where the record stands.
    record (Any): The record.
    """

    def __init__(self, kind: str, expected: str, where: str, record: Any) -> None:
        self.kind, self.expected, self.where, self.record = kind, expected, where, record
        self.require(isinstance(record, dict))

    def require(self, holds: bool, value: Any = None) -> None:
        """Refuse the record unless something holds.

        RAISES (DataError): O401.
        """
        if not holds:
            shown = repr(self.record if value is None else value)[:200]
            raise error("O401", where=self.where, expected=self.expected, found=shown, kind=self.kind)

    def text(self, *keys: str) -> str:
        """Return the string under the first of some keys that is there."""
        value = next((self.record[key] for key in keys if key in self.record), None)
        self.require(isinstance(value, str))
        return str(value)

    def objects(self, *keys: str) -> list[dict[str, Any]]:
        """Return the list of objects under the first of some keys that is there and not null."""
        value: Any = next((self.record[key] for key in keys if self.record.get(key) is not None), [])
        self.require(isinstance(value, list) and all(isinstance(item, dict) for item in value))
        return list(value)

    def offsets(self, item: dict[str, Any], start: str, end: str) -> tuple[int, int]:
        """Return the offsets of an item."""
        offsets = [item.get(key) for key in (start, end)]
        self.require(all(type(offset) is int for offset in offsets), item)
        return int(offsets[0] or 0), int(offsets[1] or 0)

    def mark(self, item: dict[str, Any], start: str = "start", end: str = "end") -> Mark:
        """Return the entity that an object describes."""
        label, text = item.get("label"), item.get("text")
        self.require(isinstance(label, str), item)
        return Mark(str(label), [self.offsets(item, start, end)], self.where, text if isinstance(text, str) else None)

    def entities(self, key: str, tally: Tally) -> list[Mark]:
        """Return the entities under a key, if it is there: objects, or triples. Named groups of them are counted."""
        listed = self.record.get(key)
        if key == "spans" and isinstance(listed, dict):
            for name, group in listed.items():
                tally.leave(f'span group "{name}"', self.where, len(group) if isinstance(group, list) else 1)
            return []
        if isinstance(listed, list) and all(isinstance(item, list) for item in listed):
            return self.triples(listed)
        return list(map(self.mark, self.objects(key)))

    def triples(self, listed: Any) -> list[Mark]:
        """Return the entities that a list of [start, end, label] describes; some tools write more behind these."""
        self.require(isinstance(listed, list) and all(map(_is_triple, listed)), listed)
        return [Mark(label, [(start, end)], self.where) for start, end, label, *_ in listed]


def _other_tokens(span: dict[str, Any], part: tuple[int, int], tokens: Sequence[tuple[int, int]]) -> bool:
    """Tell whether the numbers of a span's tokens say another place than its characters.

    part (tuple[int, int]): These characters.
    tokens (Sequence[tuple[int, int]]): Start and end of each token.
    """
    first, last = span.get("token_start"), span.get("token_end")
    if type(first) is not int or type(last) is not int:
        return False
    return not 0 <= first <= last < len(tokens) or (tokens[first][0], tokens[last][1]) != part


def _is_triple(item: Any) -> bool:
    return isinstance(item, list) and list(map(type, item[:3])) == [int, int, str]
