"""Batches keep to their budget, lose nothing, and waste little."""

from hypothesis import given
from hypothesis import strategies as st

from spacy_openner.nn.batching import ALIKE, WORTHWHILE, batch_by_length, batch_in_order

LENGTHS = st.lists(st.integers(0, 40), max_size=40)


def test_the_documented_example():
    assert list(batch_by_length([1, 4, 2, 3], int, 8)) == [[4, 3], [2, 1]]
    assert list(batch_in_order([1, 4, 2, 3], int, 5)) == [[1, 4], [2, 3]]


@given(LENGTHS, st.integers(1, 60), st.sampled_from([None, 1, 3]), st.booleans())
def test_by_length(lengths, budget, buffer, split_unlike):
    items = list(enumerate(lengths))
    batches = list(batch_by_length(items, lambda x: x[1], budget, buffer=buffer, split_unlike=split_unlike))
    assert sorted(item for batch in batches for item in batch) == items
    for batch in batches:
        sizes = [size for _, size in batch]
        assert sizes == sorted(sizes, reverse=True)
        assert len(batch) == 1 or len(batch) * sizes[0] <= budget
        if split_unlike:
            tiny = [i for i, size in enumerate(sizes) if size < ALIKE * sizes[0]]
            assert all(sizes[0] * i < WORTHWHILE * budget for i in tiny)
    if buffer is None and not split_unlike:
        for batch, following in zip(batches, batches[1:], strict=False):
            assert batch[0][1] * (len(batch) + 1) > budget, f"{following[0]} would have fitted"


@given(LENGTHS, st.integers(1, 60))
def test_by_another_order(lengths, budget):
    items = list(enumerate(lengths))
    batches = list(batch_by_length(items, lambda x: x[1], budget, order=lambda x: x[0] % 3))
    assert sorted(item for batch in batches for item in batch) == items
    assert [i % 3 for batch in batches for i, _ in batch] == sorted((i % 3 for i, _ in items), reverse=True)
    assert all(len(batch) == 1 or len(batch) * max(size for _, size in batch) <= budget for batch in batches)


@given(LENGTHS, st.integers(1, 60))
def test_in_order(lengths, budget):
    batches = list(batch_in_order(lengths, int, budget))
    assert [item for batch in batches for item in batch] == lengths
    assert all(len(batch) == 1 or sum(batch) <= budget for batch in batches)
    assert all(sum(left) + right[0] > budget for left, right in zip(batches, batches[1:], strict=False))


def test_memory_is_bounded():
    """Items are taken from a stream only as far as the buffer asks."""
    taken = []

    def stream():
        for i in range(1000):
            taken.append(i)
            yield 1

    batches = batch_by_length(stream(), int, 4, buffer=2)
    next(batches)
    assert len(taken) == 9
