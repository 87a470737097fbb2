"""Choosing among overlapping spans, against a quadratic version of the paper's section 2.3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_openner.decoding.span_selection import choose, flat_beside, merge_adjacent
from spacy_openner.types import Candidate

CANDIDATES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(1, 5), st.sampled_from("AB"), st.integers(0, 10**6)),
    max_size=30,
    unique_by=(lambda c: c[:3], lambda c: c[3]),
).map(lambda rows: [Candidate(s, s + n, label, p / 10**6) for s, n, label, p in rows])


def overlap(a, b):
    return a.start < b.end and b.start < a.end


def crosses(a, b):
    inside = (a.start <= b.start and b.end <= a.end) or (b.start <= a.start and a.end <= b.end)
    return overlap(a, b) and (not inside or (a.start, a.end) == (b.start, b.end))


def greedy(candidates, clash, key=lambda c: -c.score):
    kept = []
    for candidate in sorted(candidates, key=key):
        if not any(clash(candidate, other) for other in kept):
            kept.append(candidate)
    return sorted(kept, key=lambda c: (c.start, -c.end, -c.score))


@given(CANDIDATES)
def test_choices_equal_the_quadratic_ones(candidates):
    assert choose(candidates, "flat") == greedy(candidates, overlap)
    assert choose(candidates, "nested") == greedy(candidates, crosses)
    assert choose(candidates, "all") == sorted(candidates, key=lambda c: (c.start, -c.end, -c.score))
    assert choose(candidates, "longest") == greedy(candidates, overlap, key=lambda c: (c.start - c.end, -c.score))


def test_the_longest_first():
    spans = [Candidate(0, 1, "city", 0.9), Candidate(0, 3, "org", 0.6), Candidate(2, 5, "org", 0.7)]
    assert [c[:2] for c in choose(spans, "longest")] == [(2, 5), (0, 1)][::-1]


@given(CANDIDATES, st.sets(st.integers(0, 16)))
def test_flat_beside_what_is_taken(candidates, taken):
    free = [c for c in candidates if taken.isdisjoint(range(c.start, c.end))]
    kept = flat_beside(candidates, [(token, token + 1) for token in taken])
    assert kept == greedy(free, overlap)


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        ([], []),
        ([(0, 1, "A", 0.9), (1, 2, "A", 0.7), (2, 3, "B", 0.8)], [(0, 2, "A", 0.7), (2, 3, "B", 0.8)]),
        ([(3, 4, "A", 0.9), (0, 1, "A", 0.8)], [(0, 1, "A", 0.8), (3, 4, "A", 0.9)]),
        (
            [(0, 1, "A", 0.9), (1, 2, "B", 0.9), (2, 3, "A", 0.9)],
            [(0, 1, "A", 0.9), (1, 2, "B", 0.9), (2, 3, "A", 0.9)],
        ),
    ],
)
def test_merge_adjacent(parts, joined):
    assert sorted(merge_adjacent([Candidate(*p) for p in parts])) == sorted(Candidate(*j) for j in joined)


def test_many_candidates_in_linear_time():
    many = [Candidate(i, i + 1 + i % 3, "A", (i * 7919 % 100_003) / 100_003) for i in range(100_000)]
    assert choose(many, "flat")
    assert choose(many, "nested")


def test_spans_of_other_labels_between_two_parts_do_not_part_them():
    parts = [Candidate(2, 3, "a", 0.7), Candidate(1, 2, "b", 0.9), Candidate(0, 2, "a", 0.8)]
    assert merge_adjacent([Candidate(0, 1, "a", 0.9), Candidate(1, 2, "a", 0.8)], barriers={1}) == [
        Candidate(0, 1, "a", 0.9),
        Candidate(1, 2, "a", 0.8),
    ]
    assert merge_adjacent(parts) == [Candidate(0, 3, "a", 0.7), Candidate(1, 2, "b", 0.9)]


def test_beside_others_spans_stand_in_text_order():
    free = flat_beside([Candidate(3, 4, "a", 0.2), Candidate(0, 2, "b", 0.1), Candidate(2, 3, "c", 0.9)], [(2, 3)])
    assert free == [Candidate(0, 2, "b", 0.1), Candidate(3, 4, "a", 0.2)]
