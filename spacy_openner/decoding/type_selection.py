"""Choose the types that stay, by their scores."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np


class TypeSelector(NamedTuple):
    """The rule by which types are chosen.

    threshold (float): A type's score must be greater.
    label_thresholds (Mapping[str, float]): Thresholds of single types, in place of `threshold`.
    keep_labels (Collection[str]): Types that stay whatever their scores; they do not count against `top_k`.
    top_k (int | None): The most of the others that stay, the best ones; None for no limit.
    min_types (int): At least so many stay, if there are as many: the best ones are added whatever their scores.
    """

    threshold: float
    label_thresholds: Mapping[str, float] = {}
    keep_labels: Collection[str] = ()
    top_k: int | None = None
    min_types: int = 0

    def select(self, types: Sequence[str], scores: np.ndarray) -> list[int]:
        """Choose types.

        types (Sequence[str]): Their names.
        scores (np.ndarray): Of equal scores the first one is the better. *Shape:* (types,).
        RETURNS (list[int]): The indices of those that stay, in order.

            >>> selector = TypeSelector(0.4, keep_labels=["date"], top_k=1)
            >>> selector.select(["person", "city", "date"], np.array([0.5, 0.9, 0.1]))
            [1, 2]
        """
        thresholds = np.array([self.label_thresholds.get(name, self.threshold) for name in types])
        always = np.array([name in self.keep_labels for name in types], dtype=bool)
        ranked = [int(i) for i in np.argsort(-scores, kind="stable")]
        passing = [i for i in ranked if scores[i] > thresholds[i] and not always[i]][: self.top_k]
        kept = {*np.flatnonzero(always).tolist(), *passing}
        kept.update([i for i in ranked if i not in kept][: max(0, self.min_types - len(kept))])
        return sorted(kept)
