"""Choose the thresholds of scored spans whose truth is known.

Spans compete: what passes its threshold keeps others out. So one type's threshold is judged by what all types then
yield together, and types are set in turn (coordinate ascent). For one type, everything that its threshold can lead
to is tried: the outcome changes only at the scores of that type's candidates.

An example. Of four words, 0 and 1 are a person and 3 is a place; that is the gold. The model has three candidates, and
no two spans may share a word:

    words 0-1  person  0.8  right
    words 1-2  place   0.9  wrong
    word  3    place   0.6  right

With both thresholds at 0.5 the wrong place keeps the person out: 1 of 2 predictions is right, and so is 1 of 2 gold
spans: F1 is 0.5. The curve of "place", while "person" stays at 0.5:

    cut  passes          kept                       right  predicted   F1
    0    nothing         person                     1      1           0.67
    1    0.9 and more    wrong place                0      1           0
    2    0.6 and more    wrong place, right place   1      2           0.5

Cut 0 is the best: the threshold becomes 0.95, between 0.9 and 1. The curve of "person" then shows nothing better than
0.5, no threshold moves in the next pass, and the search ends with F1 0.67.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np

from ..decoding.span_selection import Overlap, choose
from ..types import Candidate

PASSES = 10
RIGHT, PREDICTED = 0, 1


class JudgedText(NamedTuple):
    """The candidates of a text, or of a part of it, over some low threshold, with what is known about them.

    candidates: In the order in which the model tells them, which settles equal scores.
    right: Those that are gold.
    unknown: Those that the annotation says nothing about. They compete, but are not counted.
    """

    candidates: Sequence[Candidate]
    right: frozenset[Candidate]
    unknown: frozenset[Candidate] = frozenset()


@dataclass(frozen=True)
class Curve:
    """The outcome of every threshold of one type, while the other types keep theirs.

    Cut 0 lets no candidate pass, cut i those that score `scores[i - 1]` or more.

    scores (np.ndarray): Where the outcome may change, falling. *Shape:* (cuts - 1,), float64.
    total (np.ndarray): Right and predicted spans of all types. *Shape:* (cuts, 2), int64.
    own (np.ndarray): The same of the type alone. *Shape:* (cuts, 2), int64.
    floor (float): What every candidate passes.
    """

    scores: np.ndarray
    total: np.ndarray
    own: np.ndarray
    floor: float

    def cut(self, threshold: float) -> int:
        """Return the cut that a threshold makes. Thresholds are compared as the models do, in float32."""
        return int((self.scores > np.float32(threshold)).sum())

    def threshold(self, cut: int) -> float:
        """Return a threshold that makes a cut: amid the scores beside it, with as few decimals as that allows."""
        low = float(self.scores[cut]) if cut < len(self.scores) else self.floor
        high = float(self.scores[cut - 1]) if cut else 1.0
        middle = (low + high) / 2
        for value in (round(middle, 2), round(middle, 3), round(middle, 4), middle):
            if low <= np.float32(value) < high:
                return value
        return low


CutChooser = Callable[[Curve, np.ndarray, int], int]
"""Chooses a cut: from the curve, the counts over all types at every cut, and the cut made now."""


class ThresholdEvaluator:
    """Decodes judged candidates under any thresholds, and counts what is right.

    texts (Iterable[JudgedText]): Each text's candidates.
    overlap (str): Which may stand together; see `span_selection.choose`.
    floor (float): What all of the candidates passed; lower thresholds cannot be told from it.
    """

    def __init__(self, texts: Iterable[JudgedText], overlap: Overlap, floor: float = 0.0) -> None:
        self.overlap = overlap
        self.floor = floor
        self.clusters = [cluster for text in texts for cluster in split(text, overlap)]
        self._by_label: defaultdict[str, list[JudgedText]] = defaultdict(list)
        for cluster in self.clusters:
            for label in {candidate.label for candidate in cluster.candidates}:
                self._by_label[label].append(cluster)

    def counts(self, thresholds: Mapping[str, float]) -> dict[str, np.ndarray]:
        """Count under the given thresholds.

        thresholds (Mapping[str, float]): Of every type.
        RETURNS (dict[str, np.ndarray]): Type -> right and predicted spans. *Shape:* (2,), int64.
        """
        limits = _as_float32(thresholds)
        right: Counter[str] = Counter()
        predicted: Counter[str] = Counter()
        for cluster in self.clusters:
            kept = choose([c for c in cluster.candidates if c.score > limits[c.label]], self.overlap)
            right.update(c.label for c in kept if c in cluster.right and c not in cluster.unknown)
            predicted.update(c.label for c in kept if c not in cluster.unknown)
        return {label: np.array([right[label], predicted[label]]) for label in thresholds}

    def curve(self, label: str, thresholds: Mapping[str, float]) -> Curve:
        """Try all thresholds of one type. Only what shares tokens with its candidates is decoded and counted.

        label (str): The type.
        thresholds (Mapping[str, float]): Of every type.
        RETURNS (Curve): Its `total` leaves out the parts of texts where the type has no candidate.
        """
        limits = {**_as_float32(thresholds), label: -1.0}
        first, scores, before, after = [(0, 0, 0, 0)], [], [], []
        for cluster in self._by_label[label]:
            (_, kept), *steps = self._steps(cluster, label, limits)
            tally = _tally(cluster, kept, label)
            first.append(tally)
            for score, kept in steps:
                scores.append(score)
                before.append(tally)
                tally = _tally(cluster, kept, label)
                after.append(tally)
        changes = np.array(after, dtype=np.int64) - np.array(before, dtype=np.int64)
        return _curve(np.array(first).sum(axis=0), scores, changes, self.floor)

    def joint_curve(self) -> Curve:
        """Try all thresholds that are one for all types."""
        if self.overlap == "longest":
            return self._joint_curve_step_by_step()
        # By score, a lower one only lets more pass.
        kept = [(cluster, c) for cluster in self.clusters for c in choose(cluster.candidates, self.overlap)]
        changes = np.array([_tally(cluster, [c], c.label) for cluster, c in kept], dtype=np.int64)
        return _curve(np.zeros(4, dtype=np.int64), [c.score for _, c in kept], changes, self.floor)

    def _joint_curve_step_by_step(self) -> Curve:
        """By length, what a lower threshold lets pass may keep out what was there before."""
        scores, before, after = [], [], []
        for cluster in self.clusters:
            tally = (0, 0, 0, 0)
            for score in sorted({c.score for c in cluster.candidates}, reverse=True):
                kept = choose([c for c in cluster.candidates if c.score >= score], self.overlap)
                scores.append(score)
                before.append(tally)
                tally = _tally(cluster, kept, "")
                after.append(tally)
        changes = np.array(after, dtype=np.int64) - np.array(before, dtype=np.int64)
        return _curve(np.zeros(4, dtype=np.int64), scores, changes, self.floor)

    def competing_labels(self, label: str) -> set[str]:
        """Return the types whose outcome may depend on this one's threshold."""
        return {c.label for cluster in self._by_label[label] for c in cluster.candidates} - {label}

    def _steps(
        self, cluster: JudgedText, label: str, limits: Mapping[str, float]
    ) -> Iterator[tuple[float, list[Candidate]]]:
        """Lower a type's threshold over one cluster: each score that changes what is kept, and what is kept then.

        The first step is without any candidate of the type, all of which pass `limits`.
        """
        pool = [c for c in cluster.candidates if c.score > limits[c.label]]
        kept = choose([c for c in pool if c.label != label], self.overlap)
        yield 1.0, kept
        for score, group in groupby([c for c in pool if c.label == label], key=lambda c: c.score):
            if self.overlap == "flat" and all(_is_kept_out(candidate, kept) for candidate in group):
                continue
            kept = choose([c for c in pool if c.label != label or c.score >= score], self.overlap)
            yield score, kept


def split(text: JudgedText, overlap: Overlap) -> Iterator[JudgedText]:
    """Cut a text's candidates into groups that share no token, so that no choice in one matters to another.

    RETURNS (Iterator[JudgedText]): Groups, best candidates first.
    """
    groups: list[list[Candidate]] = []
    end = 0
    for candidate in sorted(text.candidates, key=lambda c: c.start):
        if overlap == "all" or candidate.start >= end:
            groups.append([])
        groups[-1].append(candidate)
        end = max(end, candidate.end)
    for group in groups:
        group.sort(key=lambda c: -c.score)
        yield JudgedText(group, text.right.intersection(group), text.unknown.intersection(group))


def coordinate_ascent(
    evaluator: ThresholdEvaluator, thresholds: Mapping[str, float], labels: Collection[str], choose_cut: CutChooser
) -> dict[str, float]:
    """Set the thresholds of types in turn until none moves any more, or each was looked at `PASSES` times.

    thresholds (Mapping[str, float]): Of every type, to start from.
    labels (Collection[str]): The types whose thresholds may move.
    choose_cut (CutChooser): Chooses among one type's thresholds, such as `best_f1(...)`.
    RETURNS (dict[str, float]): Of every type.
    """
    current = dict(thresholds)
    total = sum(evaluator.counts(current).values(), np.zeros(2, dtype=np.int64))
    curves: dict[str, Curve] = {}
    for _ in range(PASSES):
        before = dict(current)
        for label in labels:
            # Another type's move changes a curve only if the two share tokens.
            curve = curves[label] = curves.get(label) or evaluator.curve(label, current)
            now = curve.cut(current[label])
            totals = total + curve.total - curve.total[now]
            best = choose_cut(curve, totals, now)
            if best != now:
                current[label], total = curve.threshold(best), totals[best]
                for other in evaluator.competing_labels(label):
                    curves.pop(other, None)
        if current == before:
            break
    return current


def best_f1(n_gold: int) -> CutChooser:
    """Choose the cut of the best F1 over all types; stay where nothing is better.

    n_gold (int): Gold spans of all types.
    """

    def choose_cut(curve: Curve, totals: np.ndarray, now: int) -> int:
        scores = 2 * totals[:, RIGHT] / np.maximum(totals[:, PREDICTED] + n_gold, 1)
        best = int(scores.argmax())
        return best if scores[best] > scores[now] else now

    return choose_cut


def lowest_reaching(precision: float) -> CutChooser:
    """Choose the lowest threshold at which the type itself is as precise as wanted, and so finds the most.

    Where no threshold is, the most precise one is chosen, and of equals the lowest. Where nothing is right at any
    threshold, the present one stays.

    precision (float): The share of predictions that shall be right.
    """

    def choose_cut(curve: Curve, totals: np.ndarray, now: int) -> int:
        right, predicted = curve.own[:, RIGHT], curve.own[:, PREDICTED]
        reached = right / np.maximum(predicted, 1)
        if not right.any():
            return now
        wanted = min(precision, reached.max())
        cut = int(np.flatnonzero(reached >= wanted)[-1])
        # Where the same spans are found now, there is no reason to move.
        return now if (curve.own[now] == curve.own[cut]).all() else cut

    return choose_cut


def _is_kept_out(candidate: Candidate, kept: Iterable[Candidate]) -> bool:
    """Tell whether one of a flat set has a token of the candidate and a better score."""
    start, end, _, score, _ = candidate
    for rival in kept:  # noqa: SIM110 - the search spends its time here, and any(...) takes three times as long
        if rival.start < end and start < rival.end and rival.score > score:
            return True
    return False


def _tally(cluster: JudgedText, kept: Iterable[Candidate], label: str) -> tuple[int, int, int, int]:
    """Count right and predicted spans of all types, then those of one."""
    right = predicted = own_right = own_predicted = 0
    for candidate in kept:
        if candidate not in cluster.unknown:
            is_right, is_own = candidate in cluster.right, candidate.label == label
            right += is_right
            predicted += 1
            own_right += is_right and is_own
            own_predicted += is_own
    return right, predicted, own_right, own_predicted


def _curve(first: np.ndarray, scores: Sequence[float], changes: np.ndarray, floor: float) -> Curve:
    """Add changes up from the best score down; those at equal scores happen together.

    first (np.ndarray): Counts before any change, as `_tally` gives them. *Shape:* (4,), int64.
    changes (np.ndarray): What is added to them at each score. *Shape:* (scores, 4), int64.
    """
    distinct, position = np.unique(-np.array(scores, dtype=np.float64), return_inverse=True)
    counts = np.zeros((len(distinct) + 1, 4), dtype=np.int64)
    counts[0] = first
    np.add.at(counts, position.reshape(-1) + 1, changes.reshape(-1, 4))
    counts = counts.cumsum(axis=0)
    return Curve(-distinct, counts[:, :2], counts[:, 2:], floor)


def _as_float32(thresholds: Mapping[str, float]) -> dict[str, float]:
    """Round thresholds as the models do, whose scores they are compared with."""
    return {label: float(np.float32(value)) for label, value in thresholds.items()}
