"""Which of the types that there are to choose from stay."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Choice(NamedTuple):
    """How types are chosen by their scores.

    threshold: A type's score must be greater.
    label_thresholds: Thresholds of single types.
    always: Types that stay whatever their scores; they do not count against `top_k`.
    top_k: The most of the others that stay, the best ones; None for no limit.
    min_types: At least so many stay, if there are as many: the best ones are added whatever their scores.
    """

    threshold: float
    label_thresholds: Mapping[str, float] = {}
    always: Collection[str] = ()
    top_k: int | None = None
    min_types: int = 0

    def __call__(self, types: Sequence[str], scores: np.ndarray) -> list[int]:
        """Choose types.

        scores (np.ndarray): Of equal scores the first one is the better. *Shape:* (types,).
        RETURNS (list[int]): The places of those that stay, in order.
        """
        lines = np.array([self.label_thresholds.get(name, self.threshold) for name in types])
        safe = np.array([name in self.always for name in types], dtype=bool)
        ranked = [int(i) for i in np.argsort(-scores, kind="stable")]
        passing = [i for i in ranked if scores[i] > lines[i] and not safe[i]][: self.top_k]
        kept = {*np.flatnonzero(safe).tolist(), *passing}
        kept.update([i for i in ranked if i not in kept][: max(0, self.min_types - len(kept))])
        return sorted(kept)
