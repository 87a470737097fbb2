"""Choose the thresholds of a component that finds entities by annotated texts.

A component's scores are probabilities only as far as its training resembles the texts at hand: what is right of
spans that score 0.6 differs from type to type. Some annotated texts are enough to choose better thresholds.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from spacy.language import Language

from ..arguments import as_instance, as_whole, is_share
from ..components.entity_pipe import OpenNERPipe
from ..errors import error, warn
from .predictions import Gold, JudgedPredictions, Types, changed, judge_predictions, predicting_component
from .threshold_search import CutChooser, ThresholdEvaluator, best_f1, coordinate_ascent, lowest_reaching

COMPONENT = "open_ner_span"
FLOOR = 0.01
"""Spans of lower scores are not looked at: they are many, and no threshold that is any use lies there."""


@dataclass(frozen=True)
class EntityScores:
    """Strict scores of entities. With nothing predicted precision is 0, with nothing in gold recall is 0."""

    right: int
    predicted: int
    gold: int

    @property
    def precision(self) -> float:
        """The share of predicted entities that are right."""
        return self.right / max(self.predicted, 1)

    @property
    def recall(self) -> float:
        """The share of gold entities that are found."""
        return self.right / max(self.gold, 1)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return 2 * self.right / max(self.predicted + self.gold, 1)


@dataclass(frozen=True)
class TypeThreshold:
    """The threshold that was chosen for one type.

    threshold (float): Its threshold from now on.
    status (str): "chosen"; "kept" where gold spans are too few to choose by; "unreached" where no threshold gives
        the wanted precision; "unannotated" where predictions are neither right nor wrong.
    before (EntityScores): Under all old thresholds.
    after (EntityScores): Under all new ones.
    """

    threshold: float
    status: str
    before: EntityScores
    after: EntityScores


@dataclass(frozen=True)
class EntityCalibration:
    """Thresholds for a component, and what they lead to on the texts that they were chosen by.

    component (str): The component's name.
    threshold (float): Its setting `threshold`.
    label_thresholds (dict[str, float]): Its setting `label_thresholds`.
    before (EntityScores): Over all types that are asked for and annotated, under the old thresholds.
    after (EntityScores): The same under the new ones.
    per_type (dict[str, TypeThreshold]): For each type that the component is asked for.
    not_asked (dict[str, int]): Gold spans, by type, of types that it is not asked for; they count nowhere.
    skipped (int): Docs without any annotation of entities.
    """

    component: str
    threshold: float
    label_thresholds: dict[str, float]
    before: EntityScores
    after: EntityScores
    per_type: dict[str, TypeThreshold]
    not_asked: dict[str, int]
    skipped: int

    def apply(self, nlp: Language) -> None:
        """Set the thresholds that were chosen; `nlp.to_disk` saves them with the component.

        nlp (Language): The pipeline, or one with a component of the same name.
        """
        pipe = predicting_component(nlp, self.component)
        pipe.threshold = self.threshold
        pipe.label_thresholds = self.label_thresholds


def calibrate_entities(
    nlp: Language,
    gold: Gold,
    component: str = COMPONENT,
    *,
    precision: float | None = None,
    one_threshold: bool = False,
    min_gold: int = 5,
    types: Types = None,
) -> EntityCalibration:
    """Choose a component's thresholds by annotated texts; the component stays as it is (see `EntityCalibration.apply`).

    What counts is what the component puts into `doc.spans`. Unless a precision is wanted, the F1 over all types never
    falls on these texts, and no other threshold of a single type would raise it.

    nlp (Language): A pipeline. What stands before the component is run too.
    gold (Iterable[Doc | Example]): Docs with entities in the component's span group, or else in `doc.ents`. They are
        not changed.
    component (str): Name of a component that finds entities.
    precision (float | None): For each type the lowest threshold with this precision; None for the best F1.
    one_threshold (bool): Choose one threshold for all types instead of one for each.
    min_gold (int): Types with fewer gold spans keep their threshold (those with none always do).
    types (Sequence[str] | Mapping[str, str] | None): All types that are annotated; None for those that occur.
        Other types' spans are neither right nor wrong. A component without labels is asked for these.
    RETURNS (EntityCalibration): The thresholds, and what they lead to.
    RAISES (SettingError): For an unknown component, no gold, or a precision that is not allowed.
    """
    if precision is not None and not is_share(precision):
        raise error("O424", value=precision)
    as_whole(min_gold, "min_gold", 0)
    as_instance(one_threshold, bool, "one_threshold", "True or False")
    pipe = predicting_component(nlp, component)
    floor = min(FLOOR, pipe.threshold, *pipe.label_thresholds.values())
    overlap = pipe.overlap
    with changed(pipe, threshold=floor, label_thresholds={}, overlap="all"):
        judged = judge_predictions(nlp, pipe, gold, types, overlap)
    evaluator = ThresholdEvaluator(judged.texts, pipe.overlap, floor)
    start = {label: pipe.label_thresholds.get(label, pipe.threshold) for label in judged.labels}
    counted = dict.fromkeys(start, judged.gold.total()) if one_threshold else judged.gold
    free = [label for label in start if counted[label] >= max(min_gold, 1)]
    choose_cut = best_f1(judged.gold.total()) if precision is None else lowest_reaching(precision)
    chosen = (_one_for_all if one_threshold else coordinate_ascent)(evaluator, start, free, choose_cut)
    if precision is None:
        chosen = _better(evaluator, judged.gold, start, chosen)
    return _result(pipe, judged, evaluator, start, chosen, free, precision, one_threshold)


def _better(
    evaluator: ThresholdEvaluator, gold: Counter[str], start: Mapping[str, float], chosen: Mapping[str, float]
) -> Mapping[str, float]:
    """Return the better thresholds: one for all types may be worse than several that were set before."""
    before, after = (_sum(_scores(evaluator, thresholds, gold)) for thresholds in (start, chosen))
    return start if after.f1 < before.f1 else chosen


def _result(
    pipe: OpenNERPipe,
    judged: JudgedPredictions,
    evaluator: ThresholdEvaluator,
    start: Mapping[str, float],
    chosen: Mapping[str, float],
    free: Sequence[str],
    precision: float | None,
    one_threshold: bool,
) -> EntityCalibration:
    """Tell what the chosen thresholds lead to."""
    before, after = (_scores(evaluator, thresholds, judged.gold) for thresholds in (start, chosen))
    missed = _missed(after, free, precision, one_threshold)
    per_type = {
        label: TypeThreshold(chosen[label], _status(label, free, missed, judged.annotated), before[label], after[label])
        for label in start
    }
    return EntityCalibration(
        pipe.name,
        *_settings(pipe, start, chosen, one_threshold),
        before=_sum(before),
        after=_sum(after),
        per_type=per_type,
        not_asked=dict(judged.not_asked),
        skipped=judged.skipped,
    )


def _one_for_all(
    evaluator: ThresholdEvaluator, start: Mapping[str, float], free: Collection[str], choose_cut: CutChooser
) -> Mapping[str, float]:
    """Choose one threshold for all types, unless none may move."""
    if not free:
        return start
    curve = evaluator.joint_curve()
    # Where types have thresholds of their own, no cut is the present one: the first finds nothing, so any is better.
    now = curve.cut(next(iter(start.values()))) if len(set(start.values())) == 1 else 0
    best = choose_cut(curve, curve.total, now)
    return dict.fromkeys(start, curve.threshold(best)) if best != now else start


def _scores(
    evaluator: ThresholdEvaluator, thresholds: Mapping[str, float], gold: Counter[str]
) -> dict[str, EntityScores]:
    counts = evaluator.counts(thresholds)
    return {
        label: EntityScores(int(right), int(predicted), gold[label]) for label, (right, predicted) in counts.items()
    }


def _sum(per_type: Mapping[str, EntityScores]) -> EntityScores:
    columns = [(scores.right, scores.predicted, scores.gold) for scores in per_type.values()]
    return EntityScores(*map(sum, zip(*columns, strict=True)))


def _missed(
    after: Mapping[str, EntityScores], free: Sequence[str], precision: float | None, one_threshold: bool
) -> Collection[str]:
    """Return the types that are less precise than wanted, with a warning for each."""
    if precision is None or not free:
        return ()
    wanted = {"all types together": _sum(after)} if one_threshold else {label: after[label] for label in free}
    missed = [name for name, scores in wanted.items() if scores.precision < precision]
    for name in missed:
        scores = wanted[name]
        warn("W421", name=name, wanted=precision, reached=scores.precision, n=scores.predicted)
    return free if one_threshold and missed else missed


def _status(label: str, free: Collection[str], missed: Collection[str], annotated: Collection[str]) -> str:
    if label not in annotated:
        return "unannotated"
    if label in missed:
        return "unreached"
    return "chosen" if label in free else "kept"


def _settings(
    pipe: OpenNERPipe, start: Mapping[str, float], chosen: Mapping[str, float], one_threshold: bool
) -> tuple[float, dict[str, float]]:
    """Return the component's settings `threshold` and `label_thresholds` that stand for the chosen thresholds."""
    moved = {label: value for label, value in chosen.items() if value != start[label]}
    if one_threshold and moved:
        return next(iter(chosen.values())), {}
    return pipe.threshold, {**pipe.label_thresholds, **moved}
