"""JSON records with words and token offsets: one a line, or all in one list."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

from ..errors import error
from .files import read_values
from .offsets import require_unicode
from .texts import AnnotatedText, Span, Tally

# Format -> the keys of words and entities, and what to add to an entity's last number to make it exclusive.
KEYS = {"jsonl": ("tokens", "spans", 0), "gliner": ("tokenized_text", "ner", 1)}


# What else is annotated in some sets.
OTHER_KEYS = ("relations", "classifications", "events")

# Format -> keys of which a record has all of one set. The first that fits counts.
SIGNS: tuple[tuple[str, tuple[set[str], ...]], ...] = (
    ("gliner", ({"tokenized_text"},)),
    # As spaCy writes docs, tokens and all.
    ("spacy-json", ({"text", "ents"},)),
    ("label-studio", ({"data", "annotations"}, {"data", "completions"}, {"annotation_id", "annotator"})),
    ("prodigy", ({"text", "_input_hash"}, {"text", "answer"}, {"text", "spans", "tokens"})),
    ("hugging-face", ({"tokens", "ner_tags"},)),
    ("jsonl", ({"tokens"},)),
    ("doccano", ({"text", "label"}, {"text", "labels"}, {"data", "label"}, {"text", "entities", "relations"})),
    ("spacy-json", ({"text", "spans"}, {"text", "ents"}, {"text", "entities"}, {"classes", "annotations"})),
)


def read_jsonl(path: str | Path, *, tally: Tally | None = None) -> Iterator[AnnotatedText]:
    """Read records such as {"tokens": ["Marie", "Curie"], "spans": [[0, 2, "person"]]}.

    path (str | Path): JSON lines, or one JSON list; unpacked where its name ends in ".gz".
    tally (Tally | None): Where to count annotation of other kinds.
    YIELDS (AnnotatedText): Each record.
    RAISES (DataError): For a record of another form, with its line.
    """
    return _read(Path(path), "jsonl", tally or Tally())


def read_gliner(path: str | Path, *, tally: Tally | None = None) -> Iterator[AnnotatedText]:
    """Read GLiNER's records, such as {"tokenized_text": ["Marie", "Curie"], "ner": [[0, 1, "person"]]}.

    Their ends are inclusive: 1 stands for the second word. A record with "ner_labels" or "ner_negatives" is annotated
    with these types, and those of its entities, alone.

    path (str | Path): One JSON list, or JSON lines; unpacked where its name ends in ".gz".
    tally (Tally | None): Where to count annotation of other kinds.
    YIELDS (AnnotatedText): Each record.
    RAISES (DataError): For a record of another form, with its line.
    """
    return _read(Path(path), "gliner", tally or Tally())


def expected_record(kind: str) -> str:
    """Show what a record of a format looks like."""
    words, entities, last = KEYS[kind]
    return f'{{"{words}": ["Marie", "Curie", ...], "{entities}": [[0, {2 - last}, "person"], ...], ...}}'


def record_kind(record: Any) -> str | None:
    """Tell a record's format by its keys; None if it has none of those known."""
    if isinstance(record, list):
        is_pair = len(record) == 2 and isinstance(record[0], str) and isinstance(record[1], dict)
        return "spacy-json" if is_pair else None
    keys = set(record) if isinstance(record, dict) else set()
    return next((kind for kind, signs in SIGNS if any(sign <= keys for sign in signs)), None)


def _read(path: Path, kind: str, tally: Tally) -> Iterator[AnnotatedText]:
    """Read the records of a format."""
    words_key, spans_key, beyond = KEYS[kind]
    for line, record in read_values(path, kind, expected_record(kind)):
        where = f"{path}, line {line}"
        known: dict[str, Any] = record if isinstance(record, dict) else {}
        words, entities = known.get(words_key), known.get(spans_key)
        if not (_are_words(words) and _are_spans(entities)):
            shown = repr(record)[:200]
            raise error("O401", where=where, expected=expected_record(kind), found=shown, kind=kind)
        for other in OTHER_KEYS:
            if isinstance(known.get(other), list):
                tally.leave(f'"{other}"', where, len(known[other]))
        spans: tuple[Span, ...] = tuple((start, end + beyond, label) for start, end, label in entities)
        types = _types(known, spans, where) if kind == "gliner" else None
        require_unicode(where, *words, *(label for _, _, label in spans), *(types or ()))
        yield AnnotatedText(tuple(words), spans, types=types, where=where)


def _types(record: dict[str, Any], spans: tuple[Span, ...], where: str) -> tuple[str, ...] | None:
    """Return the types that a record of GLiNER's is annotated with; None where it does not say."""
    named = [record[key] for key in ("ner_labels", "ner_negatives") if record.get(key) is not None]
    for names in named:
        if not _are_words(names):
            expected = '"ner_labels" and "ner_negatives" that are lists of types'
            raise error("O401", where=where, expected=expected, found=repr(names)[:200], kind="gliner")
    listed = [*(label for _, _, label in spans), *(name for names in named for name in names)]
    return tuple(dict.fromkeys(listed)) if named else None


def _are_words(value: Any) -> TypeGuard[list[str]]:
    """Tell whether a value is a list of strings."""
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _are_spans(value: Any) -> TypeGuard[list[tuple[int, int, str]]]:
    """Tell whether a value is a list of starts, ends and labels."""
    return isinstance(value, list) and all(
        isinstance(item, list) and list(map(type, item)) == [int, int, str] for item in value
    )
