"""Measure how far a component's scores can be trusted as probabilities."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from spacy.language import Language

from ..arguments import as_number
from .entities import COMPONENT
from .predictions import Gold, Types, changed, judge_predictions, predicting_component

LOW_THRESHOLD = 0.05
BINS = 10


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
    not_asked (dict[str, int]): As in `EntityCalibration`.
    skipped (int): As in `EntityCalibration`.
    """

    component: str
    threshold: float
    count: int
    bins: tuple[Bin, ...]
    ece: float | None
    brier: float | None
    not_asked: dict[str, int]
    skipped: int


def measure_reliability(
    nlp: Language,
    gold: Gold,
    component: str = COMPONENT,
    *,
    threshold: float = LOW_THRESHOLD,
    types: Types = None,
) -> Reliability:
    """Measure how often spans of a score are right: of those that the component returns at a low threshold.

    nlp (Language): A pipeline. What stands before the component is run too.
    gold (Iterable[Doc | Example]): As in `calibrate_entities`.
    component (str): Name of a component that finds entities. Its `label_thresholds` do not count here.
    threshold (float): What all spans pass.
    types (Sequence[str] | Mapping[str, str] | None): As in `calibrate_entities`.
    RETURNS (Reliability): Shares of right spans by score.
    RAISES (SettingError): For an unknown component, or no gold.
    """
    pipe = predicting_component(nlp, component)
    as_number(threshold, "threshold", 0, 1)
    with changed(pipe, threshold=threshold, label_thresholds={}):
        judged = judge_predictions(nlp, pipe, gold, types)
    outcomes = [
        (candidate.score, candidate in text.right)
        for text in judged.texts
        for candidate in text.candidates
        if candidate not in text.unknown
    ]
    scores = np.array([score for score, _ in outcomes], dtype=np.float64)
    right = np.array([is_right for _, is_right in outcomes], dtype=np.float64)
    return Reliability(
        component,
        threshold,
        len(outcomes),
        **_compare(scores, right),
        not_asked=dict(judged.not_asked),
        skipped=judged.skipped,
    )


def _compare(scores: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Compare scores with outcomes, both of *shape* (spans,), float64. RETURNS: "bins", "ece" and "brier"."""
    bin_of = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    bins = []
    for i in range(BINS):
        here = bin_of == i
        n = int(here.sum())
        means = (float(scores[here].mean()), float(right[here].mean())) if n else (None, None)
        bins.append(Bin(i / BINS, (i + 1) / BINS, n, *means))
    if not len(scores):
        return {"bins": tuple(bins), "ece": None, "brier": None}
    gaps = [abs(scores[bin_of == i].sum() - right[bin_of == i].sum()) for i in range(BINS)]
    return {"bins": tuple(bins), "ece": float(sum(gaps) / len(scores)), "brier": float(((scores - right) ** 2).mean())}
