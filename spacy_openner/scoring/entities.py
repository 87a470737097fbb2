"""Strict entity scores of aligned docs, per type and by kind of error.

spaCy's scorers drop a predicted span that the reference's tokens cannot express, so that precision can read
1.0 despite a false positive. Here spans are compared by position in the text: such a span counts as wrong.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Any

from spacy.scorer import PRFScore
from spacy.tokens import Doc, Span, Token
from spacy.training import Example

Entity = tuple[int, int, str]
"""Start, end (exclusive) and type. Any unit of position will do, as long as both sides use the same."""

ErrorCounts = dict[str, dict[str, int]]
"""Kind of error -> {"fp": false positives, "fn": false negatives}."""

ERROR_KINDS = ("unlabelled", "noisy", "boundary", "noisy_boundary", "spurious")


def make_entity_scorer(spans_key: str | None = None, prefix: str = "openner") -> Callable[..., dict[str, Any]]:
    """Make a scorer for a component; registered as "spacy-openner.entity_scorer.v1".

    spans_key (str | None): The span group to score; None scores `doc.ents`.
    prefix (str): What the score names start with. Components with equal prefixes overwrite each other's.
    RETURNS (Callable[..., dict[str, Any]]): `score_entities` with these settings; it can be pickled.
    """
    return partial(score_entities, spans_key=spans_key, prefix=prefix)


def score_entities(
    examples: Iterable[Example], *, spans_key: str | None = None, prefix: str = "openner", **kwargs: Any
) -> dict[str, Any]:
    """Score entities strictly: a prediction is right if its boundaries and its type are.

    Spans may nest or overlap; repeated ones count once. A reference without annotation (no such span group,
    or no entity annotation) is skipped; so are predicted entities on tokens whose entity annotation is
    missing.

    Scores are floats from 0 to 1, but all None if there is neither a gold nor a predicted entity, as in
    spaCy. With nothing predicted precision is 0, with nothing in gold recall is 0.

    examples (Iterable[Example]): Predicted and reference docs, tokenised alike or not.
    spans_key (str | None): The span group to score; None scores `doc.ents`.
    prefix (str): What the score names start with.
    **kwargs (Any): Ignored; spaCy hands a component's settings to its scorer.
    RETURNS (dict[str, Any]): After the prefix: `_p`, `_r`, `_f` (over all entities), `_macro_f` (mean over
        the types that occur in gold), `_per_type` (type -> p, r, f, tp, fp, fn), `_errors` (see
        `taxonomy`), `_unaligned` ({"predicted", "gold"}: wrong and missed entities that the other doc's
        tokens cannot express) and `_skipped` (docs without gold annotation).
    """
    tally = _Tally()
    for example in examples:
        if _has_annotation(example.reference, spans_key):
            tally.add(example, spans_key)
        else:
            tally.skipped += 1
    return {f"{prefix}_{name}": value for name, value in tally.result().items()}


def taxonomy(gold: AbstractSet[Entity], predicted: AbstractSet[Entity]) -> ErrorCounts:
    """Put each false positive and each false negative of one text into exactly one kind of error.

    Three kinds are GNER's (section 3.1), quoted here; two are for what its definitions leave open. The
    first that fits, in this order:

    - noisy (Noisy Error, "label an entity with another incorrect entity tag"): right boundaries, wrong type;
    - boundary (Boundary Error, "correctly predicts the entity type but fails to identify its full extent,
      either capturing only a portion of the entity or resulting in overlaps"): overlap with the right type;
    - noisy_boundary (not in the paper): overlap, but boundaries and type are both wrong;
    - unlabelled (Unlabeled Error, "fails to recognize the entity and labels it as O"): a missed entity
      without any of these; always a false negative;
    - spurious (not in the paper): a prediction where there is no entity; always a false positive.

    A wrong prediction is held against all gold entities, but a missed entity only against the wrong
    predictions: a right one is about another entity, so what was missed inside it is unlabelled. (Where
    entities are flat this makes no difference.)

    gold (Set[Entity]): The right entities.
    predicted (Set[Entity]): The predicted ones.
    RETURNS (ErrorCounts): All kinds, zeros included. The "fp" add up to the false positives, the "fn" to the
        false negatives; one confusion usually counts on both sides.
    """
    counts: ErrorCounts = {kind: {"fp": 0, "fn": 0} for kind in ERROR_KINDS}
    wrong, missed = predicted - gold, gold - predicted
    for entity in wrong:
        counts[_relation(entity, gold) or "spurious"]["fp"] += 1
    for entity in missed:
        counts[_relation(entity, wrong) or "unlabelled"]["fn"] += 1
    return counts


def _relation(entity: Entity, others: AbstractSet[Entity]) -> str | None:
    """Tell how an entity misses the nearest of those that it touches; None if it touches none."""
    start, end, label = entity
    touched = [other for other in others if start < other[1] and other[0] < end]
    if any(other[:2] == (start, end) for other in touched):
        return "noisy"
    if any(other[2] == label for other in touched):
        return "boundary"
    return "noisy_boundary" if touched else None


@dataclass
class _Tally:
    """Counts over all examples so far."""

    per_type: defaultdict[str, PRFScore] = field(default_factory=lambda: defaultdict(PRFScore))
    errors: ErrorCounts = field(default_factory=lambda: taxonomy(set(), set()))
    unaligned: dict[str, int] = field(default_factory=lambda: {"predicted": 0, "gold": 0})
    skipped: int = 0

    def add(self, example: Example, spans_key: str | None) -> None:
        """Count one example, whose reference is annotated."""
        predicted_side, gold_side = _sides(example)
        gold = gold_side.entities(spans_key)
        predicted = predicted_side.entities(spans_key)
        if spans_key is None:
            # Where the reference says nothing, a prediction is neither right nor wrong (as in get_ner_prf).
            gaps = {(*gold_side.extent(token), "") for token in example.reference if token.ent_iob == 0}
            predicted = {entity for entity in predicted if not _relation(entity, gaps)}
        for label in {label for _, _, label in gold | predicted}:
            self.per_type[label].score_set(
                {entity for entity in predicted if entity[2] == label},
                {entity for entity in gold if entity[2] == label},
            )
        for kind, sides in taxonomy(gold, predicted).items():
            for side, n in sides.items():
                self.errors[kind][side] += n
        self.unaligned["predicted"] += gold_side.count_inexpressible(predicted)
        self.unaligned["gold"] += predicted_side.count_inexpressible(gold)

    def result(self) -> dict[str, Any]:
        """Give the scores under their names without prefix."""
        micro = sum(self.per_type.values(), PRFScore())
        scores: dict[str, Any] = dict.fromkeys(("p", "r", "f", "macro_f", "per_type"))
        if len(micro):
            in_gold = [prf.fscore for prf in self.per_type.values() if prf.tp + prf.fn]
            scores = {
                **micro.to_dict(),
                # No type occurs in gold, but something was predicted: 0, as the other scores are.
                "macro_f": sum(in_gold) / len(in_gold) if in_gold else 0.0,
                "per_type": {
                    label: {**prf.to_dict(), "tp": prf.tp, "fp": prf.fp, "fn": prf.fn}
                    for label, prf in sorted(self.per_type.items())
                },
            }
        return {**scores, "errors": self.errors, "unaligned": self.unaligned, "skipped": self.skipped}


@dataclass(frozen=True)
class _Side:
    """One doc of an example, with the position of each of its characters in units that both docs share."""

    doc: Doc
    positions: Sequence[int]

    def extent(self, span: Span | Token) -> tuple[int, int]:
        """Give the shared positions of a span's or a token's start and end."""
        start = span.start_char if isinstance(span, Span) else span.idx
        return self.positions[start], self.positions[start + len(span.text)]

    def entities(self, spans_key: str | None) -> set[Entity]:
        """Give the doc's entities; none where the span group is missing."""
        spans = self.doc.ents if spans_key is None else self.doc.spans.get(spans_key, ())
        return {(*self.extent(span), span.label_) for span in spans}

    def count_inexpressible(self, entities: Iterable[Entity]) -> int:
        """Count the entities that start or end inside one of this doc's tokens."""
        extents = [self.extent(token) for token in self.doc]
        starts, ends = {start for start, _ in extents}, {end for _, end in extents}
        return sum(start not in starts or end not in ends for start, end, _ in entities)


def _sides(example: Example) -> tuple[_Side, _Side]:
    """Give the predicted and the reference side in shared positions.

    These are character offsets. An Example may also hold texts that differ in whitespace or capitals (a
    reference with unknown spaces, say): then whitespace is not counted, and what is left is as long in
    both. The tokens of `example.alignment` would be coarser, as they hide boundaries inside a token.
    """
    predicted, reference = example.predicted, example.reference
    if predicted.text == reference.text:
        offsets = range(len(predicted.text) + 1)
        return _Side(predicted, offsets), _Side(reference, offsets)
    _ = example.alignment  # raises spaCy's E949 if the texts differ in anything else
    return _Side(predicted, _ink_positions(predicted.text)), _Side(reference, _ink_positions(reference.text))


def _ink_positions(text: str) -> list[int]:
    """Count the characters before each offset, whitespace left out. "a bc" gives [0, 1, 1, 2, 3]."""
    # A few characters grow when lowered ("İ"), and capitals may differ.
    return list(accumulate((0 if char.isspace() else len(char.lower()) for char in text), initial=0))


def _has_annotation(doc: Doc, spans_key: str | None) -> bool:
    """Tell whether a reference says anything about entities; an empty span group does."""
    return doc.has_annotation("ENT_IOB") if spans_key is None else spans_key in doc.spans
