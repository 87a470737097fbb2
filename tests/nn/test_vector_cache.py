"""One cache: bounded, for several threads, empty in copies."""

import copy
import pickle
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from spacy_openner.nn.vector_cache import CHUNK, BoundedCache, VectorCache, index_texts


class CacheMachine(RuleBasedStateMachine):
    """The cache answers as the function does, computes what it holds once, and never holds too much."""

    def __init__(self):
        super().__init__()
        self.cache = BoundedCache(5)
        self.computed = []

    def compute(self, keys):
        assert len(keys) <= CHUNK
        self.computed += keys
        return [key * key for key in keys]

    @rule(keys=st.lists(st.integers(0, 12), max_size=8))
    def look_up(self, keys):
        held = set(self.cache._values)
        self.computed = []
        assert self.cache.look_up(keys, self.compute) == [key * key for key in keys]
        assert len(self.computed) == len(set(self.computed))
        if len(held | set(keys)) <= 5:
            assert set(self.computed) == set(keys) - held

    @rule()
    def reset(self):
        self.cache.reset()

    @invariant()
    def bounded(self):
        assert len(self.cache) <= 5


TestCache = CacheMachine.TestCase


def test_a_failure_leaves_the_cache_usable():
    cache = BoundedCache(5)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            cache.look_up(["a"], lambda keys: [1 / 0 for _ in keys])
    assert cache.look_up(["a"], lambda keys: [1 for _ in keys]) == [1]


def test_each_text_is_computed_once_between_threads():
    cache, computed = VectorCache(), []

    def encode(texts):
        computed.extend(texts)
        return torch.tensor([[float(text)] for text in texts])

    def ask():
        for start in range(20):
            texts = [str(i) for i in range(start, start + 10)]
            assert cache(texts, encode)[:, 0].tolist() == [float(text) for text in texts]

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(computed) == sorted(str(i) for i in range(29))


def test_copies_start_empty():
    cache = BoundedCache(7)
    cache.look_up([1, 2], lambda keys: keys)
    for other in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert len(other) == 0
        assert other.capacity == 7
        assert other.look_up([1], lambda keys: keys) == [1]


def test_vectors_can_take_part_in_training():
    with torch.inference_mode():
        vectors = VectorCache()(["a"], lambda texts: torch.ones(len(texts), 2))
    weight = torch.ones(2, requires_grad=True)
    (vectors @ weight).sum().backward()
    assert weight.grad.tolist() == [1.0, 1.0]


@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4), min_size=1, max_size=5))
def test_index_texts(rows):
    texts, index = index_texts(rows)
    assert len(texts) == len(set(texts))
    for row, places in zip(rows, index.tolist(), strict=True):
        assert [texts[i] for i in places] == row + [row[0]] * (index.shape[1] - len(row))
