"""Choose where a second reassigner is asked by annotated docs: "dev data shows that it helps" (LAR, table 6)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spacy.language import Language
from spacy.training import Example

from ..arguments import as_instance, as_name, as_whole
from ..components.lar_reassigner import LARReassigner
from ..errors import error
from ..lar.cascade import CascadeReassigner
from ..lar.reassigner import EntityCase, TypeChoice
from ..prompts.lar import NONE
from ..scoring.gold import gold_batches, gold_spans, is_annotated, pipes_before, predicted_examples
from ..scoring.positions import shared_positions
from .predictions import Gold

COMPONENT = "lar_reassigner"
BATCH = 256
NEVER, ALWAYS = 0.0, 1.01


class JudgedEntity(NamedTuple):
    """One entity: the first's score, and whether the first and the second are right."""

    score: float
    first: bool
    second: bool


@dataclass(frozen=True)
class TypeCutoff:
    """The cutoff that was chosen for a type that the first reassigner may choose.

    below (float): The second is asked where the first's score is less.
    n (int): Entities that the first gave this type.
    first, second, both (int): How many of them are right by the first alone, the second alone, and behind the gate.
    asked (int): How many the second is asked about.
    status (str): "chosen", or "kept" where there are too few.
    """

    below: float
    n: int
    first: int
    second: int
    both: int
    asked: int
    status: str = "chosen"


@dataclass(frozen=True)
class CascadeCalibration:
    """A gate by type, and what it leads to on the docs that it was chosen by.

    component (str): The component's name.
    gate (dict[str, float]): Its setting `gate`.
    per_type (dict[str, TypeCutoff]): For each type that the first chose, and "none".
    unanswered (dict[str, int]): Entities that the second had no answer about, by reason.
    """

    component: str
    gate: dict[str, float]
    per_type: dict[str, TypeCutoff]
    unanswered: dict[str, int]

    def apply(self, nlp: Language) -> None:
        """Set a component's gate to what was chosen; `nlp.to_disk` saves it."""
        reassigner_component(nlp, self.component).gate = self.gate


def calibrate_cascade(
    nlp: Language, gold: Gold, component: str = COMPONENT, *, min_cases: int = 5
) -> CascadeCalibration:
    """Choose where the second reassigner is asked. It is asked about every entity of the docs that has a choice.

    nlp (Language): The pipeline.
    gold (Iterable[Doc | Example]): Annotated docs. An entity is right with the type of the gold entity in its place,
        and, where there is none, with "none".
    component (str): A `lar_reassigner` with a `CascadeReassigner`.
    min_cases (int): Types of fewer entities keep their gate.
    RETURNS (CascadeCalibration): See `CascadeCalibration.apply`.
    RAISES (SettingError): For another component, or without anything to choose by.
    """
    pipe = reassigner_component(nlp, component)
    as_whole(min_cases, "min_cases", 0)
    cascade = pipe.reassigner
    if not isinstance(cascade, CascadeReassigner):
        raise error("O506", name=component)
    judged: defaultdict[str, list[JudgedEntity]] = defaultdict(list)
    unanswered: Counter[str] = Counter()
    with nlp.select_pipes(enable=pipes_before(nlp, component)):
        for batch in gold_batches(nlp, gold, BATCH):
            for right, first, second in _judged_cases(pipe, cascade, predicted_examples(nlp, batch)):
                if second.label is None:
                    unanswered[second.reason] += 1
                elif first.label is not None:
                    entity = JudgedEntity(first.score, first.label == right, second.label == right)
                    judged[first.label].append(entity)
    if not judged:
        raise error("O508", reason="no entity of the docs has a choice that both reassigners answer")
    per_type = {
        label: _cutoff(rows, cascade.gate.get(label, cascade.below), min_cases) for label, rows in judged.items()
    }
    chosen = {label: cutoff.below for label, cutoff in per_type.items() if cutoff.status == "chosen"}
    return CascadeCalibration(component, {**cascade.gate, **chosen}, per_type, dict(unanswered))


def reassigner_component(nlp: Language, name: str) -> LARReassigner:
    """Return the `lar_reassigner` of a name.

    RAISES (SettingError): Where there is none.
    """
    pipe = dict(as_instance(nlp, Language, "nlp", "a pipeline").components).get(as_name(name, "component"))
    if not isinstance(pipe, LARReassigner):
        fit = [other for other, component in nlp.components if isinstance(component, LARReassigner)]
        raise error("O429", name=name, present=nlp.component_names, fit=fit)
    return pipe


def choose_below(rows: Sequence[JudgedEntity]) -> float:
    """Return the score below which to ask, so that most are right; of equal ones that which asks least.

    Between two scores, the middle is taken.
    """
    ordered = sorted(rows, key=lambda row: row.score)
    scores = [row.score for row in ordered]
    right = best = sum(row.first for row in ordered)
    below = NEVER
    for i, row in enumerate(ordered):
        right += row.second - row.first
        last = i + 1 == len(ordered)
        if right > best and (last or scores[i] < scores[i + 1]):
            best, below = right, ALWAYS if last else (scores[i] + scores[i + 1]) / 2
    return below


def _judged_cases(
    pipe: LARReassigner, cascade: CascadeReassigner, examples: Iterable[Example]
) -> Iterable[tuple[str, TypeChoice, TypeChoice]]:
    """Return, for every entity that has a choice, its right type and what both reassigners say."""
    types = pipe.types
    cases: list[EntityCase] = []
    right_types: list[str] = []
    for example in examples:
        doc, reference = example.predicted, example.reference
        if not is_annotated(reference, pipe.spans_key):
            continue
        predicted, annotated = shared_positions(example)
        gold = {annotated.extent(span): span.label_ for span in gold_spans(reference, pipe.spans_key)}
        for case in pipe.cases(doc):
            cases.append(case)
            right_types.append(gold.get(predicted.extent(doc[case.start : case.end]), NONE))
    return zip(right_types, cascade.first(cases, types), cascade.second(cases, types), strict=True)


def _cutoff(rows: Sequence[JudgedEntity], before: float, min_cases: int) -> TypeCutoff:
    few = len(rows) < min_cases
    below = before if few else choose_below(rows)
    below_it = [row for row in rows if row.score < below]
    both = sum(row.second for row in below_it) + sum(row.first for row in rows if row.score >= below)
    counts = (len(rows), sum(row.first for row in rows), sum(row.second for row in rows))
    return TypeCutoff(below, *counts, both, len(below_it), "kept" if few else "chosen")
