"""What became of an entity whose type was reassigned, and where a doc says so."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from spacy.tokens import Doc

from ..errors import error
from ..types import SCORES

# Attributes of a span group; the first three are in step with its spans.
SOURCES, DECIDED_BY, REASONS, DROPPED = "sources", "decided_by", "reasons", "dropped"


class Decision(NamedTuple):
    """What became of one entity.

    start, end: In tokens, `end` exclusive.
    source: Its source type.
    label: Its type from now on; "" where it was dropped.
    score: Of that type; see the reassigners.
    by: Who decided: a reassigner, "table" where there was one option, or "source" where the source type stays.
    reason: Why it was dropped, kept its source type, or was not decided by who should have; "" where all went well.
    """

    start: int
    end: int
    source: str
    label: str
    score: float
    by: str
    reason: str = ""


@dataclass
class Tally:
    """What became of all entities so far; each is counted once in `decided` or `dropped`.

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


def as_attrs(decisions: Sequence[Decision]) -> dict[str, Any]:
    """What a span group says of decisions, beside the types and scores of those that were not dropped."""
    kept = [each for each in decisions if each.label]
    return {
        SOURCES: [d.source for d in kept],
        DECIDED_BY: [d.by for d in kept],
        REASONS: [d.reason for d in kept],
        DROPPED: [[d.start, d.end, d.source, d.by, d.reason] for d in decisions if not d.label],
    }


def decisions(doc: Doc, spans_key: str = "openner") -> list[Decision]:
    """Read what a `lar_reassigner` said of a doc's entities, those that were dropped included.

    doc (Doc): A doc that it processed; it may have been saved since.
    spans_key (str): Where the component writes.
    RETURNS (list[Decision]): In text order.
    RAISES (SettingError): When no such component wrote there.
    """
    group = doc.spans.get(spans_key)
    if group is None or DROPPED not in group.attrs:
        raise error("O510", key=spans_key, keys=list(doc.spans))
    columns = (group.attrs[key] for key in (SOURCES, SCORES, DECIDED_BY, REASONS))
    kept = [
        Decision(span.start, span.end, source, span.label_, float(score), by, reason)
        for span, source, score, by, reason in zip(group, *columns, strict=True)
    ]
    gone = [
        Decision(start, end, source, "", 0.0, by, reason) for start, end, source, by, reason in group.attrs[DROPPED]
    ]
    return sorted([*kept, *gone], key=lambda d: (d.start, -d.end))
