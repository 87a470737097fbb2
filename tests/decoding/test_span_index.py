from hypothesis import given
from hypothesis import strategies as st

from spacy_openner.decoding.span_index import SpanIndex

spans = st.tuples(st.integers(0, 30), st.integers(1, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(spans, max_size=20), spans)
def test_it_finds_what_a_search_of_all_spans_finds(others, span):
    start, end = span
    expected = {i for i, other in enumerate(others) if other[0] < end and start < other[1]}
    index = SpanIndex(others)
    found = list(index.touching(start, end))
    assert set(found) == expected
    assert len(found) == len(expected)
    assert index.touches(start, end) == bool(expected)


def test_neighbours_do_not_touch():
    index = SpanIndex([(0, 2), (4, 5)])
    assert not index.touches(2, 4)
    assert index.touches(1, 3)
    assert list(index.touching(1, 5)) == [1, 0]
    assert not SpanIndex([]).touches(0, 100)


def test_a_neighbour_behind_a_longer_span_does_not_touch():
    assert list(SpanIndex([(0, 9), (1, 2)]).touching(2, 4)) == [0]
