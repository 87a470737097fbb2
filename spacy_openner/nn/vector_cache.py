"""Values of texts that come again and again, each computed once a process: one bounded cache for all models."""

import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import torch

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# 16,384 vectors of 384 numbers take 25 MB.
CAPACITY = 16_384
CHUNK = 64


class BoundedCache(Generic[K, V]):
    """Values by key, forgotten all at once when there are too many. May be used from several threads. Copies, those of
    other processes included, start empty.

    capacity (int): How many values are kept.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.reset()

    def reset(self) -> None:
        """Forget the values, and make the lock anew."""
        self._lock = threading.Lock()
        self._values: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._values)

    def look_up(self, keys: Sequence[K], compute: Callable[[list[K]], Iterable[V]]) -> list[V]:
        """Look values up, computing those that are not here.

        keys (Sequence): Any number; more than the capacity are computed, but not kept.
        compute (Callable): Makes the values of at most `CHUNK` keys. One thread at a time calls it.
        RETURNS (list): In step with the keys.
        """
        distinct = list(dict.fromkeys(keys))
        with self._lock:
            missing = [key for key in distinct if key not in self._values]
            if len(self._values) + len(missing) > self.capacity:
                self._values, missing = {}, distinct
            values = self._values
            for chunk in (missing[i : i + CHUNK] for i in range(0, len(missing), CHUNK)):
                values.update(zip(chunk, compute(chunk), strict=True))
            if len(values) > self.capacity:
                self._values = {}
            return [values[key] for key in keys]

    def __getstate__(self) -> dict[str, Any]:
        return {"capacity": self.capacity}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


class VectorCache(BoundedCache[str, torch.Tensor]):
    """Vectors by text."""

    def __call__(self, texts: Sequence[str], encode: Callable[[list[str]], torch.Tensor]) -> torch.Tensor:
        """Look vectors up, encoding what is not here.

        texts (Sequence[str]): Any texts, at least one.
        encode (Callable[[list[str]], torch.Tensor]): Makes vectors of at most `CHUNK` texts. One thread at a time calls
            it, which matters: padding in a fast tokenizer is not safe between threads.
        RETURNS (torch.Tensor): Without gradient. *Shape:* (texts, width).
        """
        # Vectors made in inference mode could not take part in training later.
        with torch.inference_mode(False), torch.no_grad():
            return torch.stack(self.look_up(texts, lambda chunk: encode(chunk).unbind()))


def index_texts(rows: Sequence[Sequence[str]]) -> tuple[list[str], torch.Tensor]:
    """Index the distinct texts of rows.

    rows (Sequence[Sequence[str]]): At least one, each with at least one text.
    RETURNS (tuple): The distinct texts, and each row's indices among them; short rows repeat their first one. *Shape of
        the indices:* (rows, texts of the longest row).

    The rows "a b" and "c" give the texts "a b c" and the indices [[0, 1], [2, 2]].
    """
    known: dict[str, int] = {}
    indices = [[known.setdefault(text, len(known)) for text in row] for row in rows]
    longest = max(len(row) for row in indices)
    return list(known), torch.tensor([row + [row[0]] * (longest - len(row)) for row in indices])
