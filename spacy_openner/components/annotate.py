"""The only writer of `doc.ents`, `doc.spans` and scores."""

from collections.abc import Collection, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from spacy.tokens import Doc, Span, SpanGroup

from ..arguments import as_list, as_number, is_text
from ..decoding.span_selection import flat_beside
from ..errors import TextError, error, warn
from ..lar.decisions import DROPPED
from ..span_groups import spans_of
from ..types import EXPLANATIONS, ORIGIN, SCORES, Candidate

IN_ENTS = "in_ents"
"""Attribute of a span group, in step with its spans: whether the component put them into `doc.ents`."""

Entity = tuple[int, int, str]
"""Start, end (exclusive) and label, in tokens."""


def annotate(
    doc: Doc,
    candidates: Sequence[Candidate],
    *,
    name: str,
    spans_key: str,
    annotate_ents: bool,
    overwrite_ents: bool,
    attrs: Mapping[str, Any] | None = None,
    replaces: Collection[Entity] = (),
    refines: bool = False,
    behind: Collection[Candidate] = (),
    later: Collection[str] = (),
) -> None:
    """Write what a component found.

    doc (Doc): Gets `doc.spans[spans_key]` with all candidates, `attrs["scores"]` in step with them, and the
        best flat set of them in `doc.ents`.
    candidates (Sequence[Candidate]): In text order.
    name (str): The component, for messages.
    spans_key (str): Key of the span group. What the group held is replaced.
    annotate_ents (bool): Whether `doc.ents` is written too.
    overwrite_ents (bool): Whether candidates replace entities that they touch; those are kept otherwise. An
        entity that no candidate touches stays either way.
    attrs (Mapping[str, Any] | None): What else to say in the group's attrs; values that msgpack can hold.
    replaces (Collection[Entity]): Entities of `doc.ents` that the candidates stand for: they go, and what they are
        linked to passes to a candidate of the same place. So do those that an earlier run of the component wrote.
    refines (bool): Whether the component is meant to replace the spans of one before it.
    behind (Collection[Candidate]): Candidates that give way to others in `doc.ents`, whatever their scores.
    later (Collection[str]): Components that run after this one: what they wrote is of an earlier run of the pipeline.
    RAISES (SettingError): For candidates that are none, or that the doc has no place for.
    """
    _check_candidates(doc, candidates)
    old = doc.spans.get(spans_key, ())
    is_own = is_written_by(doc, spans_key, name) or (spans_key in doc.spans and DROPPED in old.attrs)
    if len(old) and not is_own and not refines:
        warn("W004", key=spans_key, n=len(old), name=name)
    replaces = {*replaces, *put_by(doc, later), *(entities_put(doc, spans_key) if is_own else ())}
    every: dict[str, Any] = {**(attrs or {}), ORIGIN: name}
    every[SCORES] = np.array([c.score for c in candidates], dtype="float32")
    if any(c.explanation for c in candidates):
        every[EXPLANATIONS] = [c.explanation for c in candidates]
    spans = [Span(doc, c.start, c.end, label=c.label) for c in candidates]
    doc.spans[spans_key] = SpanGroup(doc, name=spans_key, attrs=every, spans=spans)
    if annotate_ents:
        chosen = _annotate_ents(doc, candidates, overwrite_ents, replaces, behind)
        doc.spans[spans_key].attrs[IN_ENTS] = [c in chosen for c in candidates]


def _check_candidates(doc: Doc, candidates: Sequence[Candidate]) -> None:
    """Check what is going to be written, which may be anybody's: a component's, or a user's to `set_annotations`."""
    allowed = f"Candidates in a doc of {len(doc)} tokens: from 0 <= start < end, with a label and a finite score"
    for candidate in as_list(candidates, Candidate, "candidates", allowed):
        whole = isinstance(candidate.start, Integral) and isinstance(candidate.end, Integral)
        if not whole or not 0 <= candidate.start < candidate.end <= len(doc) or not is_text(candidate.label):
            raise error("O001", name="candidates", value=candidate, allowed=allowed)
        as_number(candidate.score, "score")


def is_written_by(doc: Doc, key: str, name: str) -> bool:
    """Return whether a span group is that of a component of this name."""
    return key in doc.spans and doc.spans[key].attrs.get(ORIGIN) == name


def sizes_of_groups(doc: Doc, key: str, written_by: str) -> dict[str, int]:
    """Count the spans of each group that has some, but for one group, and those that a component of this name wrote."""
    others = (name for name in doc.spans if name != key and not is_written_by(doc, name, written_by))
    return {name: len(doc.spans[name]) for name in others if len(doc.spans[name])}


def entities_put(doc: Doc, key: str) -> set[Entity]:
    """Return the spans of a group that its component put into `doc.ents`: what an earlier run found is not what the
    user, or an earlier component, says.
    """
    put = doc.spans[key].attrs.get(IN_ENTS)
    try:
        spans = spans_of(doc, key)
    except TextError:
        return set()
    if not isinstance(put, list) or len(put) != len(spans):
        return set()
    return {(s.start, s.end, s.label_) for s, is_in in zip(spans, put, strict=True) if is_in}


def put_by(doc: Doc, names: Collection[str]) -> set[Entity]:
    """Return the entities that components of some names put into `doc.ents`, as far as their span groups are there."""
    keys = [key for key, group in doc.spans.items() if names and group.attrs.get(ORIGIN) in names]
    return {entity for key in keys for entity in entities_put(doc, key)}


def _annotate_ents(
    doc: Doc,
    candidates: Sequence[Candidate],
    overwrite: bool,
    replaces: Collection[Entity],
    behind: Collection[Candidate],
) -> set[Candidate]:
    """Write the best flat set of candidates to `doc.ents`, and return it."""
    old, links = [], {}
    for ent in doc.ents:
        if (ent.start, ent.end, ent.label_) in replaces:
            links[ent.start, ent.end] = {"kb_id": ent.kb_id, "span_id": ent.ent_id}
        else:
            old.append(ent)
    # Tokens that an earlier component ruled out as entities (entity_ruler and ner honour them as well).
    blocked = [(token.i, token.i + 1) for token in doc if token.ent_iob == 3 and not token.ent_type]
    taken = blocked if overwrite else [*blocked, *((ent.start, ent.end) for ent in old)]
    chosen = flat_beside((c for c in candidates if c not in behind), taken)
    if behind:
        chosen += flat_beside(behind, [*taken, *((c.start, c.end) for c in chosen)])
    if overwrite:
        covered = {token for c in chosen for token in range(c.start, c.end)}
        old = [ent for ent in old if covered.isdisjoint(range(ent.start, ent.end))]
    new = [Span(doc, c.start, c.end, label=c.label, **links.get((c.start, c.end), {})) for c in chosen]
    doc.set_ents([*old, *new], blocked=[doc[start:end] for start, end in blocked], default="outside")
    return set(chosen)
