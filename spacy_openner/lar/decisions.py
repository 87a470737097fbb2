"""Decisions about the types of entities, and where a doc says them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from spacy.tokens import Doc

from ..arguments import as_name
from ..doc_arguments import as_doc
from ..errors import error
from ..span_groups import spans_of
from ..types import DEFAULT_SPANS_KEY, SCORES

# Attributes of a span group; all but the last are in step with its spans.
SOURCES, DECIDED_BY, REASONS, MOVED_FROM, DROPPED = "sources", "decided_by", "reasons", "moved_from", "dropped"


class Decision(NamedTuple):
    """The fate of one entity.

    start, end: In tokens, `end` exclusive.
    source: Its source type.
    label: Its type from now on; "" where it was dropped.
    score: Of that type; see the reassigners.
    by: Who decided: a reassigner, "table" where there was one option, or "source" where the source type stays.
    reason: Why it was dropped, kept its source type, or was not decided by who should have; "" where all went well.
    moved_from: Where it stood before its bounds were corrected; None where they were not.
    """

    start: int
    end: int
    source: str
    label: str
    score: float
    by: str
    reason: str = ""
    moved_from: tuple[int, int] | None = None

    @property
    def source_bounds(self) -> tuple[int, int]:
        """Where the entity came in."""
        return self.moved_from or (self.start, self.end)


@dataclass
class DecisionCounts:
    """Counts over all decisions so far; each entity counts once in `decided` or `dropped`.

    entities (int): That were looked at.
    decided (Counter[str]): By who decided; "source" for those that keep their source types.
    dropped (Counter[str]): By reason.
    reasons (Counter[str]): Of `decided`: what did not go well.
    """

    entities: int = 0
    decided: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, decision: Decision) -> None:
        """Count one."""
        self.entities += 1
        if not decision.label:
            self.dropped[decision.reason] += 1
            return
        self.decided[decision.by] += 1
        if decision.reason:
            self.reasons[decision.reason] += 1


def as_attrs(doc: Doc, decisions: Sequence[Decision]) -> dict[str, Any]:
    """Return what a span group says of decisions, beside the types and scores of those that were not dropped.

    Places of entities that are no spans of the group are in characters: these stay when tokens are merged.
    """
    kept = [decision for decision in decisions if decision.label]
    return {
        SOURCES: [d.source for d in kept],
        DECIDED_BY: [d.by for d in kept],
        REASONS: [d.reason for d in kept],
        MOVED_FROM: [_characters(doc, *d.moved_from) if d.moved_from else None for d in kept],
        DROPPED: [[*_characters(doc, d.start, d.end), d.source, d.by, d.reason] for d in decisions if not d.label],
    }


def _characters(doc: Doc, start: int, end: int) -> list[int]:
    span = doc[start:end]
    return [span.start_char, span.end_char]


def _tokens(doc: Doc, start: int, end: int) -> tuple[int, int]:
    """Return the tokens that characters are in.

    RAISES (ValueError): For characters that the doc does not have.
    """
    span = doc.char_span(start, end, alignment_mode="expand")
    if span is None:
        raise ValueError(f"no characters {start} to {end}")
    return span.start, span.end


def read_decisions(doc: Doc, spans_key: str = DEFAULT_SPANS_KEY) -> list[Decision]:
    """Read what a `lar_reassigner` said of a doc's entities, those that were dropped included.

    doc (Doc): A doc that it processed; it may have been saved since.
    spans_key (str): Where the component writes.
    RETURNS (list[Decision]): In text order.
    RAISES (SettingError): When no such component wrote there.
    RAISES (TextError): When tokens were merged or split since.
    """
    group = as_doc(doc).spans.get(as_name(spans_key, "spans_key"))
    if group is None or DROPPED not in group.attrs:
        raise error("O510", key=spans_key, keys=list(doc.spans))
    spans = spans_of(doc, spans_key)
    try:
        columns = [group.attrs[key] for key in (SOURCES, SCORES, DECIDED_BY, REASONS, MOVED_FROM)]
        kept = [
            Decision(s.start, s.end, source, s.label_, float(score), by, reason, moved and _tokens(doc, *moved))
            for s, source, score, by, reason, moved in zip(spans, *columns, strict=True)
        ]
        dropped = [
            Decision(*_tokens(doc, start, end), source, "", 0.0, by, reason)
            for start, end, source, by, reason in group.attrs[DROPPED]
        ]
    except (KeyError, TypeError, ValueError) as problem:
        # Somebody changed the group since.
        raise error("O510", key=spans_key, keys=list(doc.spans)) from problem
    return sorted([*kept, *dropped], key=lambda d: (d.start, -d.end))
