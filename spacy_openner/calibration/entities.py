"""Thresholds that fit annotated texts, and how far scores can be trusted.

A component's scores are probabilities only as far as its training resembles the texts at hand: what is right of
spans that score 0.6 differs from type to type. Some annotated texts are enough to choose better thresholds.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from spacy.language import Language

from ..components.entity_pipe import OpenNERPipe
from ..errors import error, warn
from .predictions import Gold, Types, changed, gather, predicting_component
from .threshold_search import Decoder, Pick, ascend, best_f1, lowest_reaching

COMPONENT = "open_ner_span"
FLOOR = 0.01
"""Spans of lower scores are not looked at: they are many, and no threshold that is any use lies there."""
LOW_THRESHOLD = 0.05
BINS = 10


@dataclass(frozen=True)
class Scores:
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
class TypeResult:
    """What was chosen for one type.

    threshold (float): Its threshold from now on.
    status (str): "chosen"; "kept" where gold spans are too few to choose by; "unreached" where no threshold gives
        the wanted precision; "unannotated" where predictions are neither right nor wrong.
    before (Scores): Under all old thresholds.
    after (Scores): Under all new ones.
    """

    threshold: float
    status: str
    before: Scores
    after: Scores


@dataclass(frozen=True)
class Calibration:
    """Thresholds for a component, and what they lead to on the texts that they were chosen by.

    component (str): The component's name.
    threshold (float): Its setting `threshold`.
    label_thresholds (dict[str, float]): Its setting `label_thresholds`.
    before (Scores): Over all types that are asked for and annotated, under the old thresholds.
    after (Scores): The same under the new ones.
    per_type (dict[str, TypeResult]): For each type that the component is asked for.
    not_asked (dict[str, int]): Gold spans, by type, of types that it is not asked for; they count nowhere.
    skipped (int): Docs without any annotation of entities.
    """

    component: str
    threshold: float
    label_thresholds: dict[str, float]
    before: Scores
    after: Scores
    per_type: dict[str, TypeResult]
    not_asked: dict[str, int]
    skipped: int


@dataclass(frozen=True)
class Bin:
    """Spans of similar scores.

    low, high (float): From which score on, and up to where; the last bin holds its upper end too.
    count (int): How many spans.
    mean_score (float | None): Their mean score; None where there are none.
    share_right (float | None): How many of them are right, as a share.
    """

    low: float
    high: float
    count: int
    mean_score: float | None
    share_right: float | None


@dataclass(frozen=True)
class Reliability:
    """How often spans are right, by score.

    component (str): The component's name.
    threshold (float): What all of the spans pass.
    count (int): How many spans.
    bins (tuple[Bin, ...]): Ten of equal width.
    ece (float | None): Expected calibration error: the mean distance of a bin's mean score from its share of right
        ones, weighted by count (Guo et al. 2017, equation 3). None without spans, as is `brier`.
    brier (float | None): The mean squared distance of a score from 1 for a right span, or from 0 for a wrong one.
    not_asked (dict[str, int]): As in `Calibration`.
    skipped (int): As in `Calibration`.
    """

    component: str
    threshold: float
    count: int
    bins: tuple[Bin, ...]
    ece: float | None
    brier: float | None
    not_asked: dict[str, int]
    skipped: int


def calibrate(
    nlp: Language,
    gold: Gold,
    component: str = COMPONENT,
    *,
    precision: float | None = None,
    one_threshold: bool = False,
    min_gold: int = 5,
    types: Types = None,
) -> Calibration:
    """Choose a component's thresholds by annotated texts; the component stays as it is (see `apply`).

    What counts is what the component puts into `doc.spans`. Unless a precision is wanted, the F1 over all types never
    falls on these texts, and no other threshold of a single type would raise it.

    nlp (Language): A pipeline. What stands before the component is run too.
    gold (Iterable[Doc | Example]): Docs with entities in `doc.spans["openner"]`, or else in `doc.ents`. They are
        not changed.
    component (str): Name of a component that finds entities.
    precision (float | None): For each type the lowest threshold with this precision; None for the best F1.
    one_threshold (bool): Choose one threshold for all types instead of one for each.
    min_gold (int): Types with fewer gold spans keep their threshold (those with none always do).
    types (Sequence[str] | Mapping[str, str] | None): All types that are annotated; None for those that occur.
        Other types' spans are neither right nor wrong. A component without labels is asked for these.
    RETURNS (Calibration): The thresholds, and what they lead to.
    RAISES (SettingError): For an unknown component, no gold, or a precision that is not allowed.
    """
    if precision is not None and not 0 < precision <= 1:
        raise error("O424", value=precision)
    pipe = predicting_component(nlp, component)
    floor = min(FLOOR, pipe.threshold, *pipe.label_thresholds.values())
    with changed(pipe, threshold=floor, label_thresholds={}, overlap="all"):
        evidence = gather(nlp, pipe, gold, types)
    decoder = Decoder(evidence.texts, pipe.overlap, floor)
    start = {label: pipe.label_thresholds.get(label, pipe.threshold) for label in evidence.asked}
    counted = dict.fromkeys(start, evidence.gold.total()) if one_threshold else evidence.gold
    free = [label for label in start if counted[label] >= max(min_gold, 1)]
    pick = best_f1(evidence.gold.total()) if precision is None else lowest_reaching(precision)
    found = (_one_for_all if one_threshold else ascend)(decoder, start, free, pick)
    before, after = (_scores(decoder, thresholds, evidence.gold) for thresholds in (start, found))
    if precision is None and _sum(after).f1 < _sum(before).f1:
        # One threshold for all types may be worse than several that were set before.
        found, after = start, before
    missed = _missed(after, free, precision, one_threshold)
    return Calibration(
        component,
        *_settings(pipe, start, found, one_threshold),
        before=_sum(before),
        after=_sum(after),
        per_type={
            label: TypeResult(
                found[label], _status(label, free, missed, evidence.annotated), before[label], after[label]
            )
            for label in start
        },
        not_asked=dict(evidence.not_asked),
        skipped=evidence.skipped,
    )


def apply(nlp: Language, calibration: Calibration) -> None:
    """Set the thresholds that were chosen; `nlp.to_disk` saves them with the component.

    nlp (Language): The pipeline, or one with a component of the same name.
    """
    pipe = predicting_component(nlp, calibration.component)
    pipe.threshold = calibration.threshold
    pipe.label_thresholds = calibration.label_thresholds


def reliability(
    nlp: Language,
    gold: Gold,
    component: str = COMPONENT,
    *,
    threshold: float = LOW_THRESHOLD,
    types: Types = None,
) -> Reliability:
    """Tell how often spans of a score are right: of those that the component returns at a low threshold.

    nlp (Language): A pipeline. What stands before the component is run too.
    gold (Iterable[Doc | Example]): As in `calibrate`.
    component (str): Name of a component that finds entities. Its `label_thresholds` do not count here.
    threshold (float): What all spans pass.
    types (Sequence[str] | Mapping[str, str] | None): As in `calibrate`.
    RETURNS (Reliability): Shares of right spans by score.
    RAISES (SettingError): For an unknown component, or no gold.
    """
    pipe = predicting_component(nlp, component)
    with changed(pipe, threshold=threshold, label_thresholds={}):
        evidence = gather(nlp, pipe, gold, types)
    judged = [
        (candidate.score, candidate in text.right)
        for text in evidence.texts
        for candidate in text.candidates
        if candidate not in text.unknown
    ]
    scores = np.array([score for score, _ in judged], dtype=np.float64)
    right = np.array([is_right for _, is_right in judged], dtype=np.float64)
    return Reliability(
        component,
        threshold,
        len(judged),
        **_reliability(scores, right),
        not_asked=dict(evidence.not_asked),
        skipped=evidence.skipped,
    )


def _reliability(scores: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Compare scores with outcomes, both of *shape* (spans,), float64. RETURNS: "bins", "ece" and "brier"."""
    place = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    bins = []
    for i in range(BINS):
        here = place == i
        n = int(here.sum())
        means = (float(scores[here].mean()), float(right[here].mean())) if n else (None, None)
        bins.append(Bin(i / BINS, (i + 1) / BINS, n, *means))
    if not len(scores):
        return {"bins": tuple(bins), "ece": None, "brier": None}
    gaps = [abs(scores[place == i].sum() - right[place == i].sum()) for i in range(BINS)]
    return {"bins": tuple(bins), "ece": float(sum(gaps) / len(scores)), "brier": float(((scores - right) ** 2).mean())}


def _one_for_all(
    decoder: Decoder, start: Mapping[str, float], free: Collection[str], pick: Pick
) -> Mapping[str, float]:
    """Choose one threshold for all types, unless none may move."""
    if not free:
        return start
    curve = decoder.joint_curve()
    # Where types have thresholds of their own, no cut is the present one: the first finds nothing, so any is better.
    now = curve.cut(next(iter(start.values()))) if len(set(start.values())) == 1 else 0
    best = pick(curve, curve.total, now)
    return dict.fromkeys(start, curve.threshold(best)) if best != now else start


def _scores(decoder: Decoder, thresholds: Mapping[str, float], gold: Counter[str]) -> dict[str, Scores]:
    counts = decoder.counts(thresholds)
    return {label: Scores(int(right), int(predicted), gold[label]) for label, (right, predicted) in counts.items()}


def _sum(per_type: Mapping[str, Scores]) -> Scores:
    columns = [(scores.right, scores.predicted, scores.gold) for scores in per_type.values()]
    return Scores(*map(sum, zip(*columns, strict=True)))


def _missed(
    after: Mapping[str, Scores], free: Sequence[str], precision: float | None, one_threshold: bool
) -> Collection[str]:
    """The types that are less precise than wanted, with a warning for each."""
    if precision is None or not free:
        return ()
    asked = {"all types together": _sum(after)} if one_threshold else {label: after[label] for label in free}
    missed = [name for name, scores in asked.items() if scores.precision < precision]
    for name in missed:
        scores = asked[name]
        warn("W421", name=name, wanted=precision, reached=scores.precision, n=scores.predicted)
    return free if one_threshold and missed else missed


def _status(label: str, free: Collection[str], missed: Collection[str], annotated: Collection[str]) -> str:
    if label not in annotated:
        return "unannotated"
    if label in missed:
        return "unreached"
    return "chosen" if label in free else "kept"


def _settings(
    pipe: OpenNERPipe, start: Mapping[str, float], found: Mapping[str, float], one_threshold: bool
) -> tuple[float, dict[str, float]]:
    """The component's settings `threshold` and `label_thresholds` that stand for the thresholds found."""
    moved = {label: value for label, value in found.items() if value != start[label]}
    if one_threshold and moved:
        return next(iter(found.values())), {}
    return pipe.threshold, {**pipe.label_thresholds, **moved}
