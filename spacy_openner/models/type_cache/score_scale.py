"""How sure scores are: a scale that is stored with weights, and changes nothing that is decided at 0.5."""

from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST, MOST = 0.1, 10.0


@dataclass(frozen=True)
class ScoreScale:
    """Factors on the logarithms of odds, one for each side of 0.5.

    It is temperature scaling (Guo et al. 2017, section 4.2) with a temperature for each side. Scores keep their order
    and their side: at a threshold of 0.5 the same spans are found, and which of two is better stays so.

    above (float): For scores over 0.5; less than 1 makes them less sure.
    below (float): For scores under 0.5; more than 1 makes them smaller.
    """

    above: float = 1.0
    below: float = 1.0

    def __call__(self, scores: Any) -> np.ndarray:
        """Scale scores from 0 to 1. *Shape and type:* as given."""
        given = np.asarray(scores)
        if self == ScoreScale():
            return given
        exact = given.astype(np.float64)
        factor = np.where(exact > 0.5, self.above, self.below)
        right, wrong = exact**factor, (1 - exact) ** factor
        return (right / (right + wrong)).astype(given.dtype)

    def inverse(self) -> "ScoreScale":
        """Return what undoes this scale."""
        return ScoreScale(1 / self.above, 1 / self.below)


def fit_scale(scores: np.ndarray, right: np.ndarray) -> ScoreScale:
    """Fit a scale to spans that were judged: on each side the factor of least cross-entropy.

    scores (np.ndarray): As the weights give them, from 0 to 1. *Shape:* (spans,).
    right (np.ndarray): Whether they are right. *Shape:* (spans,), bool.
    """
    scores = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    odds = np.log(scores / (1 - scores))
    over = odds > 0
    return ScoreScale(*(_factor(odds[side], right[side]) for side in (over, ~over)))


def _factor(odds: np.ndarray, right: np.ndarray) -> float:
    """Find the factor by halving: the cross-entropy is convex in it, and its slope is a sum over spans."""
    if not len(odds):
        return 1.0
    low, high = np.log(LEAST), np.log(MOST)
    for _ in range(60):
        middle = (low + high) / 2
        slope = float((odds * (1 / (1 + np.exp(-np.exp(middle) * odds)) - right)).sum())
        low, high = (low, middle) if slope > 0 else (middle, high)
    return round(float(np.exp((low + high) / 2)), 3)
