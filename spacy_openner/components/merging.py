"""Docs whose tokens are merged, and docs that are joined: their span groups and scores come along."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.pipeline.functions import merge_entities
from spacy.tokens import Doc, Span, SpanGroup

from ..arguments import as_list, as_names
from ..doc_arguments import as_doc, as_docs
from ..errors import OpenNERError, error, warn
from ..lar.decisions import DROPPED, MOVED_FROM
from ..span_groups import spans_of
from ..types import EXPLANATIONS, ORIGIN


@Language.component("merge_openner_entities", requires=["doc.ents"], assigns=["doc.spans"], retokenizes=True)
def merge_openner_entities(doc: Doc) -> Doc:
    """Merge each entity into one token, as spaCy's `merge_entities` does, and move all span groups to the new tokens.

    Behind other components that merge tokens, it moves the groups that these have left behind as well.

    doc (Doc): Any doc.
    RETURNS (Doc): The same one.
    """
    merge_entities(as_doc(doc))
    move_span_groups(doc)
    return doc


def move_span_groups(doc: Doc) -> None:
    """Move the spans of all groups to the tokens that now hold their characters, with scores and other attributes.

    spaCy leaves groups as they are when tokens are merged or split. A span that begins or ends inside a token cannot be
    expressed any more, and is left out with a warning, `W018`.

    doc (Doc): A doc whose tokens have changed, or any other.
    """
    for key, group in list(as_doc(doc).spans.items()):
        if _fits(doc, key):
            continue
        before = _spans_of_old_tokens(group)
        moved = [doc.char_span(s.start_char, s.end_char, s.label, s.kb_id, span_id=s.id) for s in before]
        kept = [i for i, span in enumerate(moved) if span is not None]
        attrs = {
            name: _select(value, kept) if _is_in_step(name, value, len(group)) else value
            for name, value in group.attrs.items()
        }
        doc.spans[key] = SpanGroup(doc, name=group.name, attrs=attrs, spans=[moved[i] for i in kept])
        if len(kept) < len(moved):
            warn("W018", n=len(moved) - len(kept), key=key)


def merge_docs(
    docs: Iterable[Doc], *, ensure_whitespace: bool = True, attrs: list | None = None, exclude: Sequence[str] = ()
) -> Doc | None:
    """Join docs as `Doc.from_docs` does, and keep what span groups say of their spans, which that drops: scores,
    explanations, decisions.

    docs (Iterable[Doc]): Docs of one vocabulary.
    ensure_whitespace, attrs, exclude (bool, list | None, Sequence[str]): See `Doc.from_docs`.
    RETURNS (Doc | None): The joined doc; None of no docs. An attribute of a group that not all docs have is left out
        with a warning, `W019`.
    """
    docs, exclude = as_docs(docs), as_names(exclude, "exclude")
    if attrs is not None:
        attrs = as_list(attrs, str | int, "attrs", "a list of attributes of tokens, such as ['LEMMA'], or None")  # type: ignore[arg-type]
        if not attrs:
            raise error("O001", name="attrs", value=attrs, allowed="one attribute of tokens or more, or None for all")
    joined = Doc.from_docs(docs, ensure_whitespace=ensure_whitespace, attrs=attrs, exclude=exclude)
    if joined is None or "spans" in exclude:
        return joined
    first_tokens = np.cumsum([0, *map(len, docs)])
    offsets = [joined[int(first)].idx if len(doc) else 0 for first, doc in zip(first_tokens, docs, strict=False)]
    for key, group in joined.spans.items():
        parts = [(doc.spans[key], offset) for doc, offset in zip(docs, offsets, strict=True) if key in doc.spans]
        group.attrs.update(_joined_attrs(key, parts))
    return joined


def _fits(doc: Doc, key: str) -> bool:
    try:
        spans_of(doc, key)
    except OpenNERError:
        return False
    return True


def _spans_of_old_tokens(group: SpanGroup) -> list[Span]:
    """Read the spans of a group whose doc has other tokens now, for their characters.

    spaCy refuses to make spans past the end of a doc. So they are read in the place of one that has a token for each
    character, and so at least as many as the doc can have had.
    """
    attrs, group.attrs = group.attrs, {}
    try:
        packed = group.to_bytes()
    finally:
        group.attrs = attrs
    long_doc = Doc(group.doc.vocab, words=["x"] * len(group.doc.text))
    # The doc is held by the spans alone.
    return list(SpanGroup(long_doc).from_bytes(packed))


def _is_in_step(name: str, value: Any, n: int) -> bool:
    """Tell whether an attribute of a group says something of each of its spans."""
    return name != DROPPED and isinstance(value, list | tuple | np.ndarray) and len(value) == n


def _select(values: Any, kept: Sequence[int]) -> Any:
    return values[kept] if isinstance(values, np.ndarray) else [values[i] for i in kept]


def _joined_attrs(key: str, parts: Sequence[tuple[SpanGroup, int]]) -> dict[str, Any]:
    """Join the attributes of a group in several docs.

    parts (Sequence[tuple[SpanGroup, int]]): The group in each doc that has it, with the character where the doc begins
        in the joined one.
    """
    joined: dict[str, Any] = {}
    lost = []
    for name in dict.fromkeys(name for group, _ in parts for name in group.attrs):
        values = [(_value(group, name), len(group), offset) for group, offset in parts]
        if name == DROPPED:
            joined[name] = [row for rows, _, offset in values for row in _shifted_rows(rows or (), offset)]
        elif all(_is_in_step(name, value, n) for value, n, _ in values):
            columns = [_shifted_spans(value, offset) if name == MOVED_FROM else value for value, _, offset in values]
            joined[name] = _concatenated(columns)
        elif name == ORIGIN or all(_is_same(value, values[0][0]) for value, _, _ in values):
            joined[name] = next(value for value, _, _ in values if value is not None)
        else:
            lost.append(name)
    if lost:
        warn("W019", key=key, names=lost)
    return joined


def _value(group: SpanGroup, name: str) -> Any:
    """Return an attribute of a group; of a group without spans, or where nothing is explained, as if it said so."""
    absent: Any = [""] * len(group) if name == EXPLANATIONS else None if len(group) or name == ORIGIN else []
    return group.attrs.get(name, absent)


def _is_same(a: Any, b: Any) -> bool:
    return not isinstance(a, np.ndarray) and type(a) is type(b) and bool(a == b)


def _concatenated(columns: Sequence[Any]) -> Any:
    if all(isinstance(column, np.ndarray) for column in columns):
        return np.concatenate(columns)
    return [value for column in columns for value in column]


def _shifted_spans(spans: Iterable[Sequence[int] | None], offset: int) -> list[list[int] | None]:
    return [None if span is None else [span[0] + offset, span[1] + offset] for span in spans]


def _shifted_rows(rows: Iterable[Sequence[Any]], offset: int) -> list[list[Any]]:
    return [[start + offset, end + offset, *rest] for start, end, *rest in rows]
