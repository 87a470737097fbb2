"""The bounded cache of encoded types."""

import pickle
import threading

import pytest
import torch

from spacy_openner.models.type_cache.cache import TypeStateCache
from spacy_openner.models.type_cache.states import TypeStates

LAYERS, HEADS, SIZE, WIDTH = 2, 3, 4, 5
# One type of n letters has n subwords: keys and values of each, and a vector, in float32.
BYTES = {n: 4 * (2 * LAYERS * HEADS * n * SIZE + WIDTH) for n in range(1, 9)}


class Encoder:
    """Encodes a type as numbers of its letters, and notes what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts):
        self.asked += texts
        letters = torch.tensor([float(ord(c)) for text in texts for c in text])
        states = [letters[None, :, None].expand(HEADS, -1, SIZE) * (n + 1) for n in range(LAYERS)]
        vectors = torch.tensor([[float(len(text))] * WIDTH for text in texts])
        return TypeStates(states, [-s for s in states], vectors, [len(text) for text in texts])


@pytest.fixture
def encode():
    return Encoder()


def test_states_are_those_of_the_list(encode):
    cache = TypeStateCache(2**20)
    for texts in (("ab", "c"), ("c", "ab", "def"), ("ab", "c")):
        found, expected = cache(texts, encode), Encoder()(list(texts))
        for name in ("keys", "values"):
            assert all(torch.equal(a, b) for a, b in zip(getattr(found, name), getattr(expected, name), strict=True))
        assert torch.equal(found.vectors, expected.vectors)
        assert list(found.lengths) == list(expected.lengths)


def test_each_type_is_encoded_once(encode):
    cache = TypeStateCache(2**20)
    for texts in (("ab", "c"), ("ab", "c"), ("c", "d"), ("ab", "c", "d")):
        cache(texts, encode)
    assert encode.asked == ["ab", "c", "d"]


def test_the_longest_unused_goes_first(encode):
    # Room for three types of one letter and the list of the last one.
    cache = TypeStateCache(4 * BYTES[1])
    for letter in ("a", "b"):
        cache((letter,), encode)
    cache(("a",), encode)
    cache(("c",), encode)
    assert ("a",) in cache
    assert "b" not in cache
    assert cache.size <= cache.max_bytes
    cache(("a",), encode)
    assert encode.asked == ["a", "b", "c"]


def test_size_is_that_of_what_is_held(encode):
    cache = TypeStateCache(2**20)
    cache(("ab", "c"), encode)
    assert cache.size == 2 * (BYTES[2] + BYTES[1])
    cache.reset()
    assert (cache.size, len(cache)) == (0, 0)


@pytest.mark.parametrize("room", [0, BYTES[2]])
def test_what_does_not_fit_is_computed_all_the_same(encode, room):
    cache = TypeStateCache(room)
    for _ in range(2):
        assert list(cache(("ab", "cdef"), encode).lengths) == [2, 4]
        assert cache.size <= room
    assert encode.asked.count("cdef") == 2


def test_copies_start_empty(encode):
    cache = TypeStateCache(2**20)
    cache(("ab",), encode)
    other = pickle.loads(pickle.dumps(cache))
    assert len(other) == 0
    assert other.max_bytes == cache.max_bytes
    other(("ab",), encode)
    assert encode.asked == ["ab", "ab"]


def test_threads_share_it():
    encode, cache, results = Encoder(), TypeStateCache(6 * BYTES[2]), []

    def run(seed):
        rng = torch.Generator().manual_seed(seed)
        for _ in range(50):
            texts = tuple(sorted({f"{int(n):02d}" for n in torch.randint(0, 20, (3,), generator=rng)}))
            found = cache(texts, encode)
            results.append(torch.equal(found.keys[0], Encoder()(list(texts)).keys[0]))

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 200
    assert all(results)
    assert cache.size <= cache.max_bytes
