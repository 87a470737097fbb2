"""Choose among scored spans that overlap (GLiNER paper, section 2.3)."""

from collections.abc import Collection, Iterable
from typing import Literal

from ..types import FLAT_OVERLAPS, Candidate

Overlap = Literal["flat", "nested", "all", "longest"]


def choose(candidates: Iterable[Candidate], overlap: Overlap) -> list[Candidate]:
    """Keep the best candidates that may stand together, greedily by score, or by length first.

    candidates (Iterable[Candidate]): At most one for each span and label.
    overlap (str): "flat" for spans that share no token; "longest" for the same where length in tokens decides first
        and scores among equals; "nested" for spans that may contain one another but never cross, with one label each;
        "all" for every candidate, several labels on one span included.
    RETURNS (list[Candidate]): In text order; of equal starts the longer first, of equal spans the better.

    With three candidates that overlap, "University of Oslo" (0.9), "Oslo" (0.8) and "of Oslo today" (0.7):

        >>> spans = [Candidate(0, 3, "org", 0.9), Candidate(2, 3, "city", 0.8), Candidate(1, 4, "date", 0.7)]
        >>> [c.label for c in choose(spans, "flat")], [c.label for c in choose(spans, "nested")]
        (['org'], ['org', 'city'])
    """
    ranked = sorted(candidates, key=lambda c: -c.score)
    if overlap == "longest":
        ranked.sort(key=lambda c: c.start - c.end)
    if overlap in FLAT_OVERLAPS:
        ranked = _flat(ranked)
    elif overlap == "nested":
        ranked = _nested(ranked)
    return sorted(ranked, key=lambda c: (c.start, -c.end, -c.score))


def flat_beside(candidates: Iterable[Candidate], taken: Iterable[tuple[int, int]]) -> list[Candidate]:
    """Keep the best candidates that do not overlap, among tokens that are still free.

    candidates (Iterable[Candidate]): Any candidates.
    taken (Iterable[tuple[int, int]]): Token ranges that may not be touched.
    RETURNS (list[Candidate]): In text order.
    """
    occupied = {token for start, end in taken for token in range(start, end)}
    ranked = sorted(candidates, key=lambda c: -c.score)
    return sorted(_flat(ranked, occupied), key=lambda c: c.start)


def merge_adjacent(candidates: Iterable[Candidate], barriers: Collection[int] = ()) -> list[Candidate]:
    """Join neighbours of one label, for models that only score single words (`max_width` 1).

    barriers (Collection[int]): Tokens that are not joined with those before them.
    RETURNS (list[Candidate]): A joined span has the least of its parts' scores.
    """
    merged: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (c.label, c.start)):
        last = merged[-1] if merged else None
        touches = last is not None and last.label == candidate.label and candidate.start <= last.end
        if last is not None and touches and candidate.start not in barriers:
            score = min(last.score, candidate.score)
            merged[-1] = Candidate(last.start, max(last.end, candidate.end), last.label, score)
        else:
            merged.append(candidate)
    return merged


def _flat(ranked: Iterable[Candidate], occupied: set[int] | None = None) -> list[Candidate]:
    occupied = set() if occupied is None else occupied
    kept = []
    for candidate in ranked:
        tokens = range(candidate.start, candidate.end)
        if occupied.isdisjoint(tokens):
            occupied.update(tokens)
            kept.append(candidate)
    return kept


def _nested(ranked: Iterable[Candidate]) -> list[Candidate]:
    # A span that crosses [start, end) covers its first token or its last one: only those need a look, which
    # keeps the cost linear in the number of candidates.
    covering: dict[int, list[Candidate]] = {}
    kept = []
    for candidate in ranked:
        competing = covering.get(candidate.start, []) + covering.get(candidate.end - 1, [])
        if not any(_clash(candidate, other) for other in competing):
            kept.append(candidate)
            for token in range(candidate.start, candidate.end):
                covering.setdefault(token, []).append(candidate)
    return kept


def _clash(a: Candidate, b: Candidate) -> bool:
    """Return whether two spans that share a token are equal or cross."""
    if (a.start, a.end) == (b.start, b.end):
        return True
    contains = (a.start <= b.start and b.end <= a.end) or (b.start <= a.start and a.end <= b.end)
    return not contains
