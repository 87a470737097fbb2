"""How sure scores are: scales that are stored with weights."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST, MOST = 0.1, 10.0
# So many types are no crowd: texts are trained with about as many.
FEW = 16


@dataclass(frozen=True)
class Scale:
    """The step from the network's scores to the component's, for a list of types.

    It is temperature scaling (Guo et al. 2017, section 4.2) with a temperature for each side of 0.5, after a shift.
    Scores keep their order.

    above (float): Factor on log-odds over 0; less than 1 makes scores less sure.
    below (float): Factor on log-odds under 0; more than 1 makes scores smaller.
    shift (float): Is added to log-odds before.
    """

    above: float = 1.0
    below: float = 1.0
    shift: float = 0.0

    def __call__(self, scores: Any) -> np.ndarray:
        """Scale the network's scores, from 0 to 1. *Shape and type:* as given."""
        given = np.asarray(scores)
        if self == Scale():
            return given
        shifted = _moved(given.astype(np.float64), self.shift)
        return _turned(shifted, self.above, self.below).astype(given.dtype)

    def undo(self, scores: Any) -> np.ndarray:
        """Return the network's scores of scaled ones. *Shape and type:* as given."""
        given = np.asarray(scores)
        if self == Scale():
            return given
        turned = _turned(given.astype(np.float64), 1 / self.above, 1 / self.below)
        return _moved(turned, -self.shift).astype(given.dtype)


@dataclass(frozen=True)
class ScoreScale:
    """How sure scores are, by the number of types that a text sees.

    above, below (float): See `Scale`. At a threshold of 0.5 they change nothing that is found.
    crowd (float): Long lists of types lower the scores of each. So much is given back to log-odds for a list without
        end, and the share of it that are types beyond `FEW` for others.
    """

    above: float = 1.0
    below: float = 1.0
    crowd: float = 0.0

    def among(self, types: int) -> Scale:
        """Return the scale for a list of so many types."""
        return Scale(self.above, self.below, self.crowd * crowding(types))


def crowding(types: int) -> float:
    """Return the share of a list that are types beyond `FEW`."""
    return 1 - FEW / max(types, FEW)


def _moved(scores: np.ndarray, shift: float) -> np.ndarray:
    """Add to log-odds; 0 and 1 stay what they are."""
    if not shift:
        return scores
    right = scores * math.exp(shift)
    return np.asarray(right / (right + (1 - scores)))


def _turned(scores: np.ndarray, above: float, below: float) -> np.ndarray:
    """Multiply log-odds."""
    factor = np.where(scores > 0.5, above, below)
    right, wrong = scores**factor, (1 - scores) ** factor
    return np.asarray(right / (right + wrong))


def fit_scale(scores: np.ndarray, right: np.ndarray) -> Scale:
    """Fit factors to spans that were judged: on each side the one of least cross-entropy.

    scores (np.ndarray): As the weights give them, from 0 to 1. *Shape:* (spans,).
    right (np.ndarray): Whether they are right. *Shape:* (spans,), bool.
    """
    scores = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    odds = np.log(scores / (1 - scores))
    over = odds > 0
    return Scale(*(_factor(odds[side], right[side]) for side in (over, ~over)))


def _factor(odds: np.ndarray, right: np.ndarray) -> float:
    """Find the factor by halving: the cross-entropy is convex in it, and its slope is a sum over spans.

    RETURNS (float): 1 where no span has log-odds other than 0, on which a factor has no effect.
    """
    if not odds.any():
        return 1.0
    low, high = np.log(LEAST), np.log(MOST)
    for _ in range(60):
        middle = (low + high) / 2
        slope = float((odds * (1 / (1 + np.exp(-np.exp(middle) * odds)) - right)).sum())
        low, high = (low, middle) if slope > 0 else (middle, high)
    return round(float(np.exp((low + high) / 2)), 3)
