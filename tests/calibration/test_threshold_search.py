"""The search for thresholds, on candidates whose truth is written down here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_openner.calibration.threshold_search import (
    Curve,
    JudgedText,
    ThresholdEvaluator,
    best_f1,
    coordinate_ascent,
    lowest_reaching,
    split,
)
from spacy_openner.decoding.span_selection import choose
from spacy_openner.types import Candidate

FLOOR = 0.01


def judged(*rows):
    """A text: rows are (start, end, label, score, whether it is right: True, False or None for unknown)."""
    candidates = [Candidate(*row[:4]) for row in rows]
    marks = list(zip(candidates, (row[4] for row in rows), strict=True))
    return JudgedText(
        candidates,
        frozenset(c for c, mark in marks if mark),
        frozenset(c for c, mark in marks if mark is None),
    )


def apart(label, *scored):
    """A text in which no candidates touch: (score, whether it is right)."""
    return judged(*((2 * i, 2 * i + 1, label, score, right) for i, (score, right) in enumerate(scored)))


def brute_force(texts, overlap, thresholds):
    """Right and predicted spans by type, decoding whole texts: what a component would give."""
    counts = {label: [0, 0] for label in thresholds}
    for text in texts:
        for c in choose([c for c in text.candidates if c.score > thresholds[c.label]], overlap):
            if c not in text.unknown:
                counts[c.label][0] += c in text.right
                counts[c.label][1] += 1
    return {label: tuple(pair) for label, pair in counts.items()}


def f1(counts, n_gold):
    right, predicted = np.sum(list(counts.values()), axis=0)
    return 2 * right / (predicted + n_gold)


# Cases counted by hand

# Right and predicted from the best score down: 1/1, 2/2, 2/3, 2/4, 3/5.
FIVE = apart("a", (0.9, True), (0.7, True), (0.6, False), (0.5, False), (0.2, True))


def test_best_f1_by_hand():
    # With 3 gold spans F1 is 2/4, 4/5, 4/6, 4/7, 6/8: the second is best.
    found = coordinate_ascent(ThresholdEvaluator([FIVE], "flat", FLOOR), {"a": 0.5}, ["a"], best_f1(3))
    assert found == {"a": 0.65}


def test_best_f1_with_more_gold_goes_lower():
    # With 9 gold spans F1 is 2/10, 4/11, 4/12, 4/13, 6/14: the last is best, below the score of 0.2.
    found = coordinate_ascent(ThresholdEvaluator([FIVE], "flat", FLOOR), {"a": 0.5}, ["a"], best_f1(9))
    assert FLOOR <= found["a"] < 0.2


def test_a_type_that_only_costs_is_silenced():
    texts = [apart("a", (0.9, True), (0.8, True)), apart("b", (0.95, False), (0.9, False))]
    found = coordinate_ascent(ThresholdEvaluator(texts, "flat", FLOOR), {"a": 0.5, "b": 0.5}, ["a", "b"], best_f1(3))
    assert found["a"] == 0.5
    assert found["b"] >= 0.95


@pytest.mark.parametrize("present", [0.15, 0.65, 0.623])
def test_equal_f1_keeps_the_present_threshold(present):
    # With 4 gold spans F1 is 4/6 at the second cut and 6/9 at the last.
    assert coordinate_ascent(ThresholdEvaluator([FIVE], "flat", FLOOR), {"a": present}, ["a"], best_f1(4)) == {
        "a": present
    }


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        (1.0, 0.65),  # 2/2
        (0.9, 0.65),
        (0.6, 0.1),  # 3/5; 2/3 at a higher threshold finds fewer
        (0.65, 0.55),  # 2/3
    ],
)
def test_lowest_threshold_with_a_precision(precision, expected):
    found = coordinate_ascent(ThresholdEvaluator([FIVE], "flat", 0.0), {"a": 0.95}, ["a"], lowest_reaching(precision))
    assert found == {"a": expected}


def test_a_precision_that_is_reached_by_the_present_threshold_moves_nothing():
    found = coordinate_ascent(ThresholdEvaluator([FIVE], "flat", FLOOR), {"a": 0.623}, ["a"], lowest_reaching(0.9))
    assert found == {"a": 0.623}


def test_the_most_precise_threshold_where_the_precision_is_out_of_reach():
    # 0/1, 1/2, 1/3, 2/4: of the two that are half right, the one that finds more.
    text = apart("a", (0.9, False), (0.8, True), (0.7, False), (0.5, True))
    found = coordinate_ascent(ThresholdEvaluator([text], "flat", FLOOR), {"a": 0.75}, ["a"], lowest_reaching(0.9))
    assert FLOOR <= found["a"] < 0.5


def test_no_threshold_moves_where_nothing_is_ever_right():
    text = apart("a", (0.9, False), (0.8, False))
    assert coordinate_ascent(ThresholdEvaluator([text], "flat", FLOOR), {"a": 0.85}, ["a"], lowest_reaching(0.9)) == {
        "a": 0.85
    }


RIVALS = [judged((0, 2, "a", 0.75, False), (0, 1, "b", 0.6, True)), apart("a", (0.95, True))]


@pytest.mark.parametrize("start", [{"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.7}])
def test_types_that_compete_for_tokens(start):
    # "a" stands in the way of a right "b": a better threshold of "a" finds it, whatever "b" is at first.
    found = coordinate_ascent(ThresholdEvaluator(RIVALS, "flat", FLOOR), start, ["a", "b"], best_f1(2))
    assert found["a"] == 0.85
    assert found["b"] == (0.5 if start["b"] == 0.5 else 0.3)
    assert brute_force(RIVALS, "flat", found) == {"a": (1, 1), "b": (1, 1)}


def test_a_type_is_looked_at_again_when_a_rival_has_moved():
    # While "b" passes, no threshold of "a" matters.
    texts = [judged((0, 2, "b", 0.9, False), (0, 1, "a", 0.6, True)), apart("a", (0.95, True))]
    found = coordinate_ascent(ThresholdEvaluator(texts, "flat", FLOOR), {"a": 0.7, "b": 0.5}, ["a", "b"], best_f1(2))
    assert found["a"] < 0.6
    assert found["b"] >= 0.9


def test_types_that_do_not_compete_where_spans_may_nest():
    decoder = ThresholdEvaluator(RIVALS, "nested", FLOOR)
    assert decoder.counts({"a": 0.5, "b": 0.5})["b"].tolist() == [1, 1]
    assert decoder.curve("a", {"a": 0.5, "b": 0.5}).own.tolist() == [[0, 0], [1, 1], [1, 2]]


def test_only_given_types_move():
    texts = [apart("a", (0.9, False), (0.4, True)), apart("b", (0.9, False), (0.4, True))]
    found = coordinate_ascent(ThresholdEvaluator(texts, "flat", FLOOR), {"a": 0.5, "b": 0.5}, ["b"], best_f1(2))
    assert found["a"] == 0.5
    assert found["b"] < 0.4


def test_unknown_spans_compete_but_do_not_count():
    text = judged((0, 2, "a", 0.9, None), (1, 3, "b", 0.8, True), (5, 6, "a", 0.7, True))
    counts = ThresholdEvaluator([text], "flat").counts({"a": 0.5, "b": 0.5})
    assert {label: pair.tolist() for label, pair in counts.items()} == {"a": [1, 1], "b": [0, 0]}


def test_one_threshold_for_all():
    curve = ThresholdEvaluator([FIVE, apart("b", (0.6, True), (0.4, False))], "flat", FLOOR).joint_curve()
    assert curve.scores.tolist() == [0.9, 0.7, 0.6, 0.5, 0.4, 0.2]
    assert curve.total.tolist() == [[0, 0], [1, 1], [2, 2], [3, 4], [3, 5], [3, 6], [4, 7]]


def test_a_type_without_candidates_has_a_curve_of_one_cut():
    curve = ThresholdEvaluator([FIVE], "flat", FLOOR).curve("b", {"a": 0.5, "b": 0.5})
    assert curve.total.tolist() == curve.own.tolist() == [[0, 0]]
    assert coordinate_ascent(ThresholdEvaluator([], "flat"), {"a": 0.5}, ["a"], best_f1(1)) == {"a": 0.5}


def test_thresholds_lie_amid_the_scores_beside_them():
    scores = np.array([0.9, 0.5, 0.499999, 0.1])
    curve = Curve(scores, np.zeros((5, 2)), np.zeros((5, 2)), FLOOR)
    assert [curve.threshold(cut) for cut in (0, 1, 3, 4)] == [0.95, 0.7, 0.3, pytest.approx(0.055, abs=0.006)]
    assert 0.499999 <= curve.threshold(2) < 0.5
    one = Curve(np.array([1.0]), np.zeros((2, 2)), np.zeros((2, 2)), FLOOR)
    assert one.threshold(0) == 1.0


def test_thresholds_between_neighbouring_float32_numbers():
    high = np.float32(0.7)
    low = np.nextafter(high, np.float32(0))
    curve = Curve(np.array([high, low], dtype=np.float64), np.zeros((3, 2)), np.zeros((3, 2)), FLOOR)
    assert [curve.cut(curve.threshold(cut)) for cut in range(3)] == [0, 1, 2]


def test_thresholds_are_compared_as_the_models_do():
    score = float(np.float32(0.1))
    assert score > 0.1
    decoder = ThresholdEvaluator([apart("a", (score, True))], "flat")
    assert decoder.counts({"a": 0.1})["a"].tolist() == [0, 0]
    assert decoder.curve("a", {"a": 0.1}).cut(0.1) == 0


# Any candidates: what is computed in parts equals what decoding whole texts gives

SCORES = st.integers(1, 15).map(lambda n: n / 16)  # few values, so that equal scores occur
BETWEEN = [n / 32 for n in range(1, 33, 2)]  # thresholds below, between and above them
ROWS = st.tuples(
    st.integers(0, 6), st.integers(1, 3), st.sampled_from("abc"), SCORES, st.sampled_from([True, False, False, None])
).map(lambda row: (row[0], row[0] + row[1], *row[2:]))
TEXTS = st.lists(
    st.lists(ROWS, max_size=9, unique_by=lambda row: row[:3]).map(
        lambda rows: judged(*sorted(rows, key=lambda r: r[:3]))
    ),
    min_size=1,
    max_size=4,
)
THRESHOLDS = st.fixed_dictionaries(dict.fromkeys("abc", st.integers(1, 16).map(lambda n: n / 16)))
OVERLAPS = st.sampled_from(["flat", "nested", "all", "longest"])


@given(TEXTS, OVERLAPS, THRESHOLDS)
def test_counts(texts, overlap, thresholds):
    counts = ThresholdEvaluator(texts, overlap).counts(thresholds)
    assert {label: tuple(pair) for label, pair in counts.items()} == brute_force(texts, overlap, thresholds)


@given(TEXTS, OVERLAPS, THRESHOLDS)
def test_curves(texts, overlap, thresholds):
    decoder = ThresholdEvaluator(texts, overlap, FLOOR)
    curve = decoder.curve("a", thresholds)
    present = np.sum(list(brute_force(texts, overlap, thresholds).values()), axis=0)
    elsewhere = present - curve.total[curve.cut(thresholds["a"])]
    tried = [*(n / 32 for n in range(1, 33)), *map(curve.threshold, range(len(curve.total)))]
    for threshold in tried:
        counts = brute_force(texts, overlap, {**thresholds, "a": threshold})
        cut = curve.cut(threshold)
        assert tuple(curve.own[cut]) == counts["a"]
        assert (curve.total[cut] + elsewhere == np.sum(list(counts.values()), axis=0)).all()
    assert [curve.cut(curve.threshold(cut)) for cut in range(len(curve.total))] == list(range(len(curve.total)))


@given(TEXTS, OVERLAPS)
def test_joint_curves(texts, overlap):
    curve = ThresholdEvaluator(texts, overlap, FLOOR).joint_curve()
    for threshold in (n / 32 for n in range(1, 33)):
        counts = brute_force(texts, overlap, dict.fromkeys("abc", threshold))
        assert tuple(curve.total[curve.cut(threshold)]) == tuple(np.sum(list(counts.values()), axis=0))


@given(TEXTS, OVERLAPS, THRESHOLDS, st.integers(1, 12))
def test_f1_never_falls_and_no_single_threshold_would_raise_it(texts, overlap, thresholds, missed):
    n_gold = sum(len(text.right) for text in texts) + missed
    decoder = ThresholdEvaluator(texts, overlap, FLOOR)
    found = coordinate_ascent(decoder, thresholds, "abc", best_f1(n_gold))
    best = f1(brute_force(texts, overlap, found), n_gold)
    assert best >= f1(brute_force(texts, overlap, thresholds), n_gold)
    for label in "abc":
        for threshold in BETWEEN:
            assert f1(brute_force(texts, overlap, {**found, label: threshold}), n_gold) <= best


@given(TEXTS, OVERLAPS, THRESHOLDS, st.sampled_from([0.5, 0.75, 1.0]))
def test_one_type_alone_finds_the_most_that_is_precise_enough(texts, overlap, thresholds, precision):
    found = coordinate_ascent(ThresholdEvaluator(texts, overlap, FLOOR), thresholds, "a", lowest_reaching(precision))
    outcomes = [brute_force(texts, overlap, {**thresholds, "a": threshold})["a"] for threshold in BETWEEN]
    most = max((right for right, predicted in outcomes if right and right / predicted >= precision), default=None)
    right, predicted = brute_force(texts, overlap, found)["a"]
    if most is not None:
        assert right == most
        assert right / predicted >= precision
    elif any(right for right, _ in outcomes):
        assert right / predicted == max(right / max(predicted, 1) for right, predicted in outcomes)
    else:
        assert found == thresholds


@given(TEXTS, OVERLAPS)
def test_groups_share_no_token(texts, overlap):
    for text in texts:
        groups = list(split(text, overlap))
        assert sorted(c for group in groups for c in group.candidates) == sorted(text.candidates)
        assert set().union(*(group.right for group in groups)) == text.right
        assert set().union(*(group.unknown for group in groups)) == text.unknown
        if overlap != "all":
            tokens = [{t for c in group.candidates for t in range(c.start, c.end)} for group in groups]
            assert sum(map(len, tokens)) == len(set().union(*tokens))
