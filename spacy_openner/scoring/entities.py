"""Strict entity scores of aligned docs, per type and by kind of error.

spaCy's scorers drop a predicted span that the reference's tokens cannot express, so that precision can read
1.0 despite a false positive. Here spans are compared by position in the text: such a span counts as wrong.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from spacy.scorer import PRFScore
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..config_format import check_config_text
from ..decoding.span_index import SpanIndex
from ..decoding.span_selection import choose
from ..doc_arguments import as_examples
from ..span_groups import scores_in_step
from ..types import DEFAULT_SPANS_KEY, Candidate, Entity
from .gold import COMPONENTS_OWN, GoldSurvey, gold_key, gold_spans, is_annotated, unannotated_tokens
from .positions import shared_positions

ErrorCounts = dict[str, dict[str, int]]
"""Kind of error -> {"fp": false positives, "fn": false negatives}."""

ERROR_KINDS = ("unlabelled", "noisy", "boundary", "noisy_boundary", "spurious")


def make_entity_scorer(
    spans_key: str | None = COMPONENTS_OWN, prefix: str = "openner"
) -> Callable[..., dict[str, Any]]:
    """Make a scorer for a component; registered as "spacy-openner.entity_scorer.v1".

    spans_key (str | None): The span group to score; "" for the component's own `spans_key`. None scores `doc.ents`
        alone, what earlier components put there included.
    prefix (str): What the score names start with. Components with equal prefixes overwrite each other's.
    RETURNS (Callable[..., dict[str, Any]]): `score_entities` with these settings; it can be pickled.
    RAISES (SettingError): For a text that a config cannot hold.
    """
    check_config_text("spans_key", spans_key)
    check_config_text("prefix", prefix)
    return partial(_score_component, setting=spans_key, prefix=prefix)


def _score_component(
    examples: Iterable[Example], *, setting: str | None, prefix: str, spans_key: str = DEFAULT_SPANS_KEY, **kwargs: Any
) -> dict[str, Any]:
    """Score a component, which says what its own `spans_key` is."""
    return score_entities(examples, spans_key=spans_key if setting == COMPONENTS_OWN else setting, prefix=prefix)


def score_entities(
    examples: Iterable[Example], *, spans_key: str | None = DEFAULT_SPANS_KEY, prefix: str = "openner", **kwargs: Any
) -> dict[str, Any]:
    """Score entities strictly: a prediction is right if its boundaries and its type are.

    Spans may nest or overlap; repeated ones count once. Where the gold entities are those of `doc.ents`, which cannot
    overlap, predictions of a span group are reduced to their best flat set. A reference without annotation (no such
    span group, and no entity annotation) is skipped; so are predicted entities on tokens whose entity annotation is
    missing.

    Scores are floats from 0 to 1, but all None if there is neither a gold nor a predicted entity, as in
    spaCy. With nothing predicted precision is 0, with nothing in gold recall is 0.

    examples (Iterable[Example]): Predicted and reference docs, tokenised alike or not.
    spans_key (str | None): The span group to score. A doc without that group is scored by its `doc.ents`, as are all
        docs if it is None.
    prefix (str): What the score names start with.
    **kwargs (Any): Ignored; spaCy hands a component's settings to its scorer.
    RETURNS (dict[str, Any]): After the prefix: `_p`, `_r`, `_f` (over all entities), `_macro_f` (mean over
        the types that occur in gold), `_per_type` (type -> p, r, f, tp, fp, fn), `_errors` (see
        `taxonomy`), `_unaligned` ({"predicted", "gold"}: wrong and missed entities that the other doc's
        tokens cannot express) and `_skipped` (docs without gold annotation).
    """
    counts, survey = _Counts(), GoldSurvey(spans_key)
    for example in as_examples(examples):
        survey.add(example.reference)
        if is_annotated(example.reference, spans_key):
            counts.add(example, spans_key)
        else:
            counts.skipped += 1
    survey.warn("The scorer")
    return {f"{prefix}_{name}": value for name, value in counts.scores().items()}


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

    For example, where gold has "Marie Curie" as a person and "Paris" as a city, and "Curie" is predicted as a person
    and "Paris" as a person, "Curie" is a boundary error on both sides, and "Paris" a noisy one on both.

    gold (Set[Entity]): The right entities.
    predicted (Set[Entity]): The predicted ones.
    RETURNS (ErrorCounts): All kinds, zeros included. The "fp" add up to the false positives, the "fn" to the
        false negatives; one confusion usually counts on both sides.
    """
    counts: ErrorCounts = {kind: {"fp": 0, "fn": 0} for kind in ERROR_KINDS}
    wrong, missed = predicted - gold, gold - predicted
    for others, entities, side, otherwise in ((gold, wrong, "fp", "spurious"), (wrong, missed, "fn", "unlabelled")):
        relations = _Relations(others)
        for entity in entities:
            counts[relations.of(entity) or otherwise][side] += 1
    return counts


class _Relations:
    """Tells how an entity misses the nearest of some others."""

    def __init__(self, others: Iterable[Entity]) -> None:
        per_label: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for start, end, label in others:
            per_label[label].append((start, end))
        self._extents = {extent for extents in per_label.values() for extent in extents}
        self._all = SpanIndex(self._extents)
        self._per_label = {label: SpanIndex(extents) for label, extents in per_label.items()}

    def of(self, entity: Entity) -> str | None:
        """Name the kind of error; None where the entity touches none of the others."""
        start, end, label = entity
        if not self._all.touches(start, end):
            return None
        if (start, end) in self._extents:
            return "noisy"
        same_type = label in self._per_label and self._per_label[label].touches(start, end)
        return "boundary" if same_type else "noisy_boundary"


@dataclass
class _Counts:
    """Counts over all examples so far."""

    per_type: defaultdict[str, PRFScore] = field(default_factory=lambda: defaultdict(PRFScore))
    errors: ErrorCounts = field(default_factory=lambda: taxonomy(set(), set()))
    unaligned: dict[str, int] = field(default_factory=lambda: {"predicted": 0, "gold": 0})
    skipped: int = 0

    def add(self, example: Example, spans_key: str | None) -> None:
        """Count one example, whose reference is annotated."""
        predicted_side, gold_side = shared_positions(example)
        gold = {gold_side.entity(span) for span in gold_spans(example.reference, spans_key)}
        flat = gold_key(example.reference, spans_key) is None
        # Where the reference says nothing, a prediction is neither right nor wrong (as in get_ner_prf).
        gaps = SpanIndex(map(gold_side.extent, unannotated_tokens(example.reference, spans_key)))
        spans = _predicted_spans(example.predicted, spans_key, flat)
        entities = map(predicted_side.entity, spans)
        predicted = {entity for entity in entities if not gaps.touches(*entity[:2])}
        self._add_per_type(gold, predicted)
        for kind, sides in taxonomy(gold, predicted).items():
            for side, n in sides.items():
                self.errors[kind][side] += n
        self.unaligned["predicted"] += gold_side.count_inexpressible(predicted)
        self.unaligned["gold"] += predicted_side.count_inexpressible(gold)

    def _add_per_type(self, gold: AbstractSet[Entity], predicted: AbstractSet[Entity]) -> None:
        for entity in gold & predicted:
            self.per_type[entity[2]].tp += 1
        for entity in predicted - gold:
            self.per_type[entity[2]].fp += 1
        for entity in gold - predicted:
            self.per_type[entity[2]].fn += 1

    def scores(self) -> dict[str, Any]:
        """Return the scores under their names without prefix."""
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


def _predicted_spans(doc: Doc, spans_key: str | None, flat: bool) -> list[Span]:
    """Return what was predicted: all of it, or the best flat set of a span group."""
    spans = gold_spans(doc, spans_key)
    key = gold_key(doc, spans_key)
    if not flat or key is None:
        return spans
    scores = scores_in_step(doc.spans[key]) or [0.0] * len(spans)
    candidates = [Candidate(s.start, s.end, s.label_, p) for s, p in zip(spans, scores, strict=True)]
    chosen = {candidate[:3] for candidate in choose(candidates, "flat")}
    return [span for span in spans if (span.start, span.end, span.label_) in chosen]
