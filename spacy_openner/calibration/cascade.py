"""Where a second reassigner should be asked, by annotated docs: "dev data shows that it helps" (LAR, table 6)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.training import Example
from spacy.util import minibatch

from ..components.lar_reassigner import LARReassigner
from ..errors import error
from ..lar.llm_reassigner import GatedReassigner
from ..lar.span_reassigner import Case, Choice
from ..prompts.lar import NONE
from ..scoring.entities import _has_annotation, _sides
from ..scoring.gold import blank, gold_key, pipes_before, reference

COMPONENT = "lar_reassigner"
BATCH = 256
NEVER, ALWAYS = 0.0, 1.01


class Judged(NamedTuple):
    """One entity: the first's score, and whether the first and the second are right."""

    score: float
    first: bool
    second: bool


@dataclass(frozen=True)
class TypeGate:
    """What was chosen for a type that the first reassigner may choose.

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
class GateCalibration:
    """A gate by type, and what it leads to on the docs that it was chosen by.

    component (str): The component's name.
    gate (dict[str, float]): Its setting `gate`.
    per_type (dict[str, TypeGate]): For each type that the first chose, and "none".
    unanswered (dict[str, int]): Entities that the second had no answer about, by reason.
    """

    component: str
    gate: dict[str, float]
    per_type: dict[str, TypeGate]
    unanswered: dict[str, int]


def calibrate_gate(
    nlp: Language, gold: Iterable[Any], component: str = COMPONENT, *, min_cases: int = 5
) -> GateCalibration:
    """Choose where the second reassigner is asked. It is asked about every entity of the docs that has a choice.

    nlp (Language): The pipeline.
    gold (Iterable[Doc | Example]): Annotated docs. An entity is right with the type of the gold entity in its place,
        and, where there is none, with "none".
    component (str): A `lar_reassigner` with a `GatedReassigner`.
    min_cases (int): Types of fewer entities keep their gate.
    RETURNS (GateCalibration): To be applied by `apply_gate`.
    RAISES (SettingError): For another component, or without anything to choose by.
    """
    pipe = dict(nlp.components).get(component)
    if not isinstance(pipe, LARReassigner):
        fit = [name for name, other in nlp.components if isinstance(other, LARReassigner)]
        raise error("O423", name=component, present=nlp.component_names, fit=fit)
    gated = pipe.reassigner
    if not isinstance(gated, GatedReassigner):
        raise error("O506", name=component)
    judged: defaultdict[str, list[Judged]] = defaultdict(list)
    unanswered: Counter[str] = Counter()
    with nlp.select_pipes(enable=pipes_before(nlp, component)):
        for batch in minibatch(gold, BATCH):
            docs = list(nlp.pipe(blank(nlp, each) for each in batch))
            for right, one, two in _cases(pipe, gated, batch, docs):
                if two.label is None:
                    unanswered[two.reason] += 1
                    continue
                if one.label is not None:
                    judged[one.label].append(Judged(one.score, one.label == right, two.label == right))
    if not judged:
        raise error("O508", reason="no entity of the docs has a choice that both reassigners answer")
    per_type = {
        label: _type_gate(rows, gated.gate.get(label, gated.below), min_cases) for label, rows in judged.items()
    }
    chosen = {label: each.below for label, each in per_type.items() if each.status == "chosen"}
    return GateCalibration(component, {**gated.gate, **chosen}, per_type, dict(unanswered))


def apply_gate(nlp: Language, result: GateCalibration) -> None:
    """Set a component's gate to what was chosen; `nlp.to_disk` saves it."""
    nlp.get_pipe(result.component).gate = result.gate


def choose_below(rows: Sequence[Judged]) -> float:
    """The score below which to ask, so that most are right; of equal ones that which asks least.

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


def _cases(
    pipe: LARReassigner, gated: GatedReassigner, batch: Sequence[Any], docs: Sequence[Any]
) -> Iterable[tuple[str, Choice, Choice]]:
    """Every entity that has a choice: its right type, and what both reassigners say."""
    types = pipe.types
    cases: list[Case] = []
    rights: list[str] = []
    for each, doc in zip(batch, docs, strict=True):
        example = Example(doc, reference(each))
        key = gold_key(example.reference)
        if not _has_annotation(example.reference, key):
            continue
        predicted, annotated = _sides(example)
        labels = {entity[:2]: entity[2] for entity in annotated.entities(key)}
        for case in pipe.cases(doc):
            cases.append(case)
            rights.append(labels.get(predicted.extent(doc[case.start : case.end]), NONE))
    return zip(rights, gated.first(cases, types), gated.second(cases, types), strict=True)


def _type_gate(rows: Sequence[Judged], before: float, min_cases: int) -> TypeGate:
    few = len(rows) < min_cases
    below = before if few else choose_below(rows)
    asked = [row for row in rows if row.score < below]
    both = sum(row.second for row in asked) + sum(row.first for row in rows if row.score >= below)
    counts = (len(rows), sum(row.first for row in rows), sum(row.second for row in rows))
    return TypeGate(below, *counts, both, len(asked), "kept" if few else "chosen")
