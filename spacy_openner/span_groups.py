"""Scores of entities in the span groups of a doc, and `Span._.openner_score`, which reads them."""

from bisect import bisect_left
from itertools import pairwise
from typing import NamedTuple
from weakref import WeakKeyDictionary

from spacy.tokens import Doc, Span, SpanGroup

from .arguments import as_instance
from .doc_arguments import as_doc
from .errors import error
from .types import ORIGIN, SCORES

SCORE_ATTRIBUTE = "openner_score"


def spans_of(doc: Doc, key: str) -> list[Span]:
    """Read the spans of a group.

    key (str): Of `doc.spans`; a doc without such a group has no spans.
    RETURNS (list[Span]): In the group's order.
    RAISES (TextError): When the group was written before tokens of the doc were merged or split: its spans are no
        longer where they were.
    """
    group = doc.spans.get(key)
    if group is None:
        return []
    try:
        spans = list(group)
    except IndexError as problem:
        raise error("O204", key=key, n=len(doc)) from problem
    if not all(map(_is_in_place, spans)):
        raise error("O204", key=key, n=len(doc))
    return spans


def scores_in_step(group: SpanGroup) -> list[float] | None:
    """Return the scores of a span group's spans; None where its attributes hold anything else."""
    scores = group.attrs.get(SCORES)
    try:
        values = [float(score) for score in scores]
    except (TypeError, ValueError):
        return None
    return values if len(values) == len(group) else None


def get_score(span: Span) -> float | None:
    """Return the score that a component of this package gave to an entity, which `span._.openner_score` is too.

    It is read from the span groups that components write, so that it holds for entities of `doc.ents`, for spans of
    those groups, and for any other span of the same bounds and label. Where several groups have it, the last one
    counts: that of the later component.

    span (Span): Any span.
    RETURNS (float | None): A probability; None for what no component found.
    RAISES (TextError): When tokens of the doc were merged or split since, so that its span groups are of no use.
    """
    as_instance(span, Span, "span", "a Span")
    for key in reversed(list(span.doc.spans)):
        group = span.doc.spans[key]
        if ORIGIN not in group.attrs:
            continue
        try:
            index = _position(group, key, span)
        except IndexError as problem:
            raise error("O204", key=key, n=len(span.doc)) from problem
        score = None if index is None else _score_at(group, index)
        if score is not None:
            return score
    return None


def all_scores(doc: Doc) -> dict[tuple[int, int, int], float]:
    """Return what `get_score` says of all spans that it knows, in one go.

    RETURNS (dict[tuple[int, int, int], float]): By first character, the one behind the last, and label.
    RAISES (TextError): See `get_score`.
    """
    scores_by_entity: dict[tuple[int, int, int], float] = {}
    for key, group in as_doc(doc).spans.items():
        if ORIGIN not in group.attrs:
            continue
        scores: dict[tuple[int, int, int], float] = {}
        for i, span in enumerate(spans_of(doc, key)):
            score = _score_at(group, i)
            if score is not None:
                scores.setdefault(_identity(span), score)
        scores_by_entity |= scores
    return scores_by_entity


def _score_at(group: SpanGroup, index: int) -> float | None:
    """Return one score; None where they are not in step with the spans, or no numbers."""
    scores = group.attrs.get(SCORES)
    try:
        return float(scores[index]) if len(scores) == len(group) else None
    except (TypeError, ValueError, LookupError):
        return None


def _position(group: SpanGroup, key: str, span: Span) -> int | None:
    """Find the first span of a group that has the bounds and the label of one.

    Components write spans in the order of the text, where a search by halves finds them. A group that was changed may
    be in another order: it is read as a whole.
    """
    wanted = _identity(span)
    for i in range(bisect_left(group, span.start_char, key=lambda member: member.start_char), len(group)):
        if group[i].start_char != span.start_char:
            break
        if _identity(group[i]) == wanted:
            return i
    if _is_in_order(group, key):
        return None
    return next((i for i, member in enumerate(group) if _identity(member) == wanted), None)


class _Checked(NamedTuple):
    """A group that was read as a whole. Its scores stand for it, since a group may refer to its doc by its attributes,
    which would then be kept for ever."""

    group: int
    scores: object
    n_spans: int
    n_tokens: int
    in_order: bool


_CHECKED: WeakKeyDictionary[Doc, dict[str, _Checked]] = WeakKeyDictionary()
"""By the group's name in `doc.spans`."""


def _is_in_order(group: SpanGroup, key: str) -> bool:
    """Tell whether spans are in the order of the text. Read once for each state of a group: where another component
    found many entities, each of them asks."""
    doc, scores = group.doc, group.attrs.get(SCORES)
    checked = _CHECKED.setdefault(doc, {})
    known = checked.get(key)
    state = (id(group), len(group), len(doc))
    if known is None or known.scores is not scores or (known.group, known.n_spans, known.n_tokens) != state:
        in_order = all(a <= b for a, b in pairwise([span.start_char for span in group]))
        known = checked[key] = _Checked(id(group), scores, len(group), len(doc), in_order)
    return known.in_order


def _identity(span: Span) -> tuple[int, int, int]:
    return span.start_char, span.end_char, span.label


def _is_in_place(span: Span) -> bool:
    """Tell whether a span's tokens still are those of its characters; an empty one has none."""
    if span.start == span.end:
        return True
    last = span.doc[span.end - 1]
    return bool(span.doc[span.start].idx == span.start_char and last.idx + len(last) == span.end_char)


# At import, as in `labels`: all components do it.
if not Span.has_extension(SCORE_ATTRIBUTE):
    Span.set_extension(SCORE_ATTRIBUTE, getter=get_score)
