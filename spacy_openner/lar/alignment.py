"""Label alignment: find the source types that each target type belongs to (LAR, section 3.2)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..arguments import as_instance, as_name
from ..config_format import check_config_text
from ..decoding.span_index import SpanIndex
from ..errors import error, warn
from ..labels import LabelSet
from ..scoring.gold import (
    GoldSurvey,
    gold_batches,
    gold_spans,
    is_annotated,
    pipes_before,
    predicted_examples,
    reference_of,
)
from ..scoring.positions import shared_positions
from ..span_groups import spans_of
from ..types import DEFAULT_SPANS_KEY, Entity
from .table import MISCELLANEOUS, AlignedType, AlignmentTable

ENTS = "ents"
UNRECOGNISED = ""
"""Among counts: gold entities that the source model finds nothing in."""
BATCH = 256
FEW = 10
"""Recognised gold entities of a target type from which on a table is not doubted for its small counts."""

Votes = Mapping[str, Mapping[str, int]]
"""Target type -> source type, or `UNRECOGNISED` -> how many gold entities of the target type it was predicted for."""


class AlignmentStrategy(Protocol):
    """A way to align. `needs_predictions` says whether it looks at the votes, or at the types' names alone."""

    needs_predictions: bool

    def __call__(self, votes: Votes, sources: LabelSet, targets: LabelSet) -> AlignmentTable:
        """Align.

        votes (Votes): What the source model predicted for gold entities.
        sources, targets (LabelSet): The types of both sides.
        """
        ...


class PseudoLabelAlignment:
    """Alignment by what a source model predicts; see `PseudoLabelAlignment_v1` for the settings."""

    needs_predictions = True

    def __init__(self, miscellaneous: str, min_share: float, min_source_share: float) -> None:
        self.miscellaneous, self.min_share, self.min_source_share = miscellaneous, min_share, min_source_share

    def __call__(self, votes: Votes, sources: LabelSet, targets: LabelSet) -> AlignmentTable:
        """Align each target type with the source types that its entities were predicted as."""
        rows = {target: self._aligned(votes.get(target, {})) for target in targets.names}
        seen = [source for counts in votes.values() for source in counts if source != UNRECOGNISED]
        names = tuple(dict.fromkeys([*sources.names, *sorted(seen)]))
        return AlignmentTable(rows, names, self.miscellaneous, "spacy-openner.PseudoLabelAlignment.v1")

    def _aligned(self, counts: Mapping[str, int]) -> AlignedType:
        total = sum(counts.values())
        ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
        recognised = {source: n for source, n in ordered.items() if source != UNRECOGNISED}
        n_recognised = sum(recognised.values())
        if not n_recognised or n_recognised < self.min_share * total:
            share = (total - n_recognised) / total if total else 0.0
            return AlignedType((self.miscellaneous,), share, ordered)
        first, *others = recognised
        # One entity of a few is a large share, but shows little.
        also = [s for s in others if recognised[s] > 1 and recognised[s] >= self.min_source_share * n_recognised]
        return AlignedType((first, *also), ordered[first] / total, ordered)


def PseudoLabelAlignment_v1(
    miscellaneous: str = MISCELLANEOUS, min_share: float = 0.0, min_source_share: float = 0.25
) -> PseudoLabelAlignment:
    """Alignment by pseudo-labels (LAR, section 3.2), registered as "spacy-openner.PseudoLabelAlignment.v1".

    The source model reads target texts, and each target type goes to the source type that the majority of its entities,
    where they are recognised at all, is predicted as. The confidence is the share of its entities with that type.

    miscellaneous (str): The source type of target types that are not recognised.
    min_share (float): The share of a type's entities that must be recognised; 0, as in the paper, for any at all.
    min_source_share (float): Source types that at least this share of a type's recognised entities, and more than one
        of them, is predicted as are its sources too: locations are GPE, LOC or FAC to a model of OntoNotes. 1 for the
        most frequent one alone, as in the paper.
    RETURNS (PseudoLabelAlignment): To be called with votes.
    RAISES (SettingError): For a value that is not allowed.
    """
    check_type_name("miscellaneous", miscellaneous)
    for name, value in (("min_share", min_share), ("min_source_share", min_source_share)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise error("O001", name=name, value=value, allowed="a number from 0 to 1")
    return PseudoLabelAlignment(miscellaneous, min_share, min_source_share)


def align_labels(
    nlp: Language,
    gold: Iterable[Doc | Example],
    strategy: AlignmentStrategy | None = None,
    *,
    source: str = ENTS,
    before: str | None = None,
    targets: Sequence[str] | Mapping[str, str] | LabelSet | None = None,
    sources: Sequence[str] | Mapping[str, str] | LabelSet | None = None,
    spans_key: str = DEFAULT_SPANS_KEY,
) -> AlignmentTable:
    """Align the types of annotated docs with those that a pipeline finds.

    nlp (Language): The source model, with whatever it needs.
    gold (Iterable[Doc | Example]): Annotated in target types: by people, or by a language model.
    strategy (AlignmentStrategy | None): The way to align; None for `PseudoLabelAlignment_v1` as it is set by default.
    source (str): Where the pipeline puts its entities: "ents", or the key of a span group.
    before (str | None): Run only the components before this one.
    targets (Sequence[str] | Mapping[str, str] | None): Target types, also those that the docs lack; those of the docs
        if None.
    sources (Sequence[str] | Mapping[str, str] | None): Source types; those that the pipeline's components name if None.
    spans_key (str): The span group of the gold entities, or `doc.ents` where a doc has no such group.
    RETURNS (AlignmentTable): With every target type.
    RAISES (SettingError): When there is nothing to align.
    """
    strategy = PseudoLabelAlignment_v1() if strategy is None else strategy
    as_instance(nlp, Language, "nlp", "a pipeline")
    as_name(source, "source")
    as_name(spans_key, "spans_key")
    if not hasattr(strategy, "needs_predictions") or not callable(strategy):
        raise error("O001", name="strategy", value=strategy, allowed="an alignment strategy, or None")
    names = pipes_before(nlp, before) if before is not None else nlp.pipe_names
    votes = _gather_votes(nlp, gold, strategy, names, source, spans_key)
    wanted = LabelSet(targets or [])
    target_types = wanted if len(wanted) else LabelSet(sorted(votes))
    if not len(target_types) or (strategy.needs_predictions and not votes):
        raise error("O508", reason="no doc has a gold entity")
    known = source_types(nlp, names) if sources is None else LabelSet(sources)
    table = strategy(votes, known, target_types)
    if strategy.needs_predictions:
        _warn_of_few(table)
    return table


def _gather_votes(
    nlp: Language,
    gold: Iterable[Doc | Example],
    strategy: AlignmentStrategy,
    names: Sequence[str],
    source: str,
    spans_key: str,
) -> dict[str, Counter[str]]:
    """Count what some components predict for the gold entities of docs; nothing is run where that is not needed."""
    votes: dict[str, Counter[str]] = {}
    survey = GoldSurvey(spans_key)
    with nlp.select_pipes(enable=list(names)):
        for batch in gold_batches(nlp, gold, BATCH):
            if strategy.needs_predictions:
                # What docs name themselves are target types; the source model looks for its own.
                examples = predicted_examples(nlp, batch, own_types=False)
            else:
                examples = [Example(reference_of(item), reference_of(item)) for item in batch]
            for example in examples:
                survey.add(example.reference)
                count_votes(example, source, votes, spans_key)
    survey.warn("The alignment")
    return votes


def count_votes(
    example: Example, source: str, votes: dict[str, Counter[str]], spans_key: str = DEFAULT_SPANS_KEY
) -> None:
    """Count, for each gold entity, the type of the prediction that shares most of it.

    source (str): See `align_labels`.
    votes (dict[str, Counter[str]]): What is added to.
    """
    if not is_annotated(example.reference, spans_key):
        return
    predicted_side, gold_side = shared_positions(example)
    doc = example.predicted
    spans = doc.ents if source == ENTS else spans_of(doc, source)
    predicted = sorted({predicted_side.entity(span) for span in spans})
    index = SpanIndex([(start, end) for start, end, _ in predicted])
    for entity in {gold_side.entity(span) for span in gold_spans(example.reference, spans_key)}:
        touched = [predicted[i] for i in index.touching(entity[0], entity[1])]
        best = max(touched, key=lambda other: (_shared(entity, other), other), default=None)
        votes.setdefault(entity[2], Counter())[UNRECOGNISED if best is None else best[2]] += 1


def source_types(nlp: Language, names: Sequence[str]) -> LabelSet:
    """Return the types that the entity-setting ones of some components name."""
    types: dict[str, None] = {}
    for name in names:
        assigns = nlp.get_pipe_meta(name).assigns
        if {"doc.ents", "doc.spans"}.intersection(assigns):
            # Not every component of spaCy or of others has labels.
            types.update(dict.fromkeys(getattr(nlp.get_pipe(name), "labels", ())))
    return LabelSet(list(types))


def check_type_name(setting: str, value: Any) -> None:
    """Check a setting that names a type.

    RAISES (SettingError): For anything else.
    """
    if not isinstance(value, str) or not value.strip():
        raise error("O001", name=setting, value=value, allowed="the name of a type")
    check_config_text(setting, value)


def _shared(entity: Entity, other: Entity) -> tuple[int, int]:
    """Return how much two spans share; of equal shares the one that has the least else is the greater."""
    return min(entity[1], other[1]) - max(entity[0], other[0]), -(other[1] - other[0])


def _warn_of_few(table: AlignmentTable) -> None:
    """Name the target types whose alignment hangs on a few entities."""
    counts = {
        target: sum(n for source, n in aligned.counts.items() if source != UNRECOGNISED)
        for target, aligned in table.targets.items()
    }
    few = {target: n for target, n in counts.items() if n < FEW}
    if few:
        warn("W505", few=few, enough=FEW)
