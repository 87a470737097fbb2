"""Encoded types, each computed once: a cache that a number of bytes bounds."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .states import TypeStates

# How many types are encoded at once.
CHUNK = 256


@dataclass(frozen=True)
class _Entry:
    """One type, or a list of types laid out one after the other.

    states: Keys and values of each layer. *Shape:* (2, layers, heads, subwords, size).
    vectors: *Shape:* (types, width).
    lengths: Subwords of each type.
    alike: See `TypeStates`.
    """

    states: Tensor
    vectors: Tensor
    lengths: tuple[int, ...]
    alike: float

    @cached_property
    def whole(self) -> TypeStates:
        """The list as texts ask for it. It is one object, which knows what of the list is alike."""
        keys, values = self.states.unbind()
        return TypeStates(keys.unbind(), values.unbind(), self.vectors, self.lengths, self.alike)

    @property
    def size(self) -> int:
        return self.states.nbytes + self.vectors.nbytes


class TypeStateCache:
    """The states of types by their texts, and of lists of types as texts attend to them.

    The longest unused is forgotten first. A list that is larger than the whole cache is computed, and not kept. May be
    used from several threads. Copies, those of other processes included, start empty.

    max_bytes (int): The most memory that is held between calls.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.reset()

    def reset(self) -> None:
        """Forget all, and make the lock anew."""
        self._lock = threading.Lock()
        self._entries: OrderedDict[str | tuple[str, ...], _Entry] = OrderedDict()
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str | tuple[str, ...]) -> bool:
        return key in self._entries

    def __call__(self, texts: tuple[str, ...], encode: Callable[[Sequence[str]], TypeStates]) -> TypeStates:
        """Look a list of types up, encoding those that are not here.

        texts (tuple[str, ...]): At least one, each once.
        encode (Callable): Encodes types. One thread at a time calls it.
        RETURNS (TypeStates): In the order of `texts`, without gradient.
        """
        with self._lock:
            entry = self._find(texts)
            if entry is None:
                single = self._single_types(texts, encode)
                entry = _joined([single[text] for text in texts])
                self._keep(texts, entry)
        return entry.whole

    def _find(self, key: str | tuple[str, ...]) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def _single_types(self, texts: Sequence[str], encode: Callable[[Sequence[str]], TypeStates]) -> dict[str, _Entry]:
        """Look types up one by one, and encode those that are not here."""
        entries = {text: entry for text in texts if (entry := self._find(text)) is not None}
        missing = [text for text in texts if text not in entries]
        for chunk in (missing[i : i + CHUNK] for i in range(0, len(missing), CHUNK)):
            new = dict(zip(chunk, _apart(encode(chunk)), strict=True))
            entries.update(new)
            for text, entry in new.items():
                self._keep(text, entry)
        return entries

    def _keep(self, key: str | tuple[str, ...], entry: _Entry) -> None:
        if entry.size > self.max_bytes:
            return
        self._entries[key] = entry
        self.size += entry.size
        while self.size > self.max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self.size -= oldest.size

    def __getstate__(self) -> dict[str, Any]:
        return {"max_bytes": self.max_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _apart(states: TypeStates) -> list[_Entry]:
    """Cut states into those of each type, each in memory of its own, so that forgetting one frees it."""
    stacked = torch.stack([torch.stack(list(states.keys)), torch.stack(list(states.values))])
    parts = stacked.split(list(states.lengths), dim=3)
    vectors = states.vectors.split(1)
    lengths = states.lengths
    return [_Entry(p.clone(), v.clone(), (n,), states.alike) for p, v, n in zip(parts, vectors, lengths, strict=True)]


def _joined(entries: Sequence[_Entry]) -> _Entry:
    """Lay types out one after the other."""
    return _Entry(
        torch.cat([entry.states for entry in entries], dim=3),
        torch.cat([entry.vectors for entry in entries]),
        tuple(length for entry in entries for length in entry.lengths),
        entries[0].alike,
    )
