"""Texts and encoded types as the network takes them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn

from .alike import apart


@dataclass(frozen=True)
class TextBatch:
    """Padded texts.

    input_ids: Prefix, subwords of words, suffix. *Shape:* (rows, subwords), int64.
    attention_mask: 1 for subwords, 0 for padding. *Shape:* (rows, subwords), int64.
    word_positions: Index of each word's first subword; -1 for padding and for words without.
        *Shape:* (rows, words), int64.
    """

    input_ids: Tensor
    attention_mask: Tensor
    word_positions: Tensor

    def to(self, device: torch.device) -> "TextBatch":
        """Move all tensors."""
        return TextBatch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def padded(self, step: int, longest: int) -> "TextBatch":
        """Pad subwords and words to multiples of a number, subwords to the longest that there can be at most."""
        subwords = min(_rounded(self.input_ids.shape[1], step), max(longest, self.input_ids.shape[1]))
        words = _rounded(self.word_positions.shape[1], step)
        return TextBatch(
            _widened(self.input_ids, subwords, 0),
            _widened(self.attention_mask, subwords, 0),
            _widened(self.word_positions, words, -1),
        )

    def part(self, rows: slice) -> "TextBatch":
        """Return some of the rows."""
        return TextBatch(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class TypeStates:
    """Encoded types, one after the other.

    keys, values: Of each layer that sees types. *Shape of each:* (heads, subwords of all types, size).
    vectors: Their final vectors, before the head. *Shape:* (types, width).
    lengths: Subwords of each type that texts see.
    alike: Of types whose first subwords' values are more alike than this cosine, texts see the first alone; 1 for all.
    """

    keys: Sequence[Tensor]
    values: Sequence[Tensor]
    vectors: Tensor
    lengths: Sequence[int]
    alike: float = 1.0

    @cached_property
    def seen(self) -> Sequence[int]:
        """The types that texts see which ask for all of them; see `seen_among`."""
        return self._apart(range(len(self.lengths)))

    def seen_among(self, types: Sequence[int]) -> Sequence[int]:
        """Return which of some types texts see: of those that are alike the first.

        types (Sequence[int]): Indices of types, each once.
        """
        return self.seen if list(types) == list(range(len(self.lengths))) else self._apart(types)

    def _apart(self, types: Sequence[int]) -> Sequence[int]:
        if self.alike >= 1 or len(types) < 2:
            return types
        first = self._starts()[list(types)].to(self.vectors.device)
        read = torch.cat([value.detach()[:, first].transpose(0, 1).flatten(1) for value in self.values], dim=1)
        return [types[i] for i in apart(read, self.alike)]

    def _starts(self) -> Tensor:
        """Where each type begins among the subwords of all. *Shape:* (types,), int64."""
        lengths = torch.tensor(self.lengths)
        return lengths.cumsum(0) - lengths

    def joined(self, other: "TypeStates") -> "TypeStates":
        """Put other types behind these."""
        keys, values = (
            [torch.cat(pair, dim=1) for pair in zip(mine, theirs, strict=True)]
            for mine, theirs in ((self.keys, other.keys), (self.values, other.values))
        )
        vectors, lengths = torch.cat([self.vectors, other.vectors]), [*self.lengths, *other.lengths]
        return replace(self, keys=keys, values=values, vectors=vectors, lengths=lengths)

    def shared(self, scored: Sequence[Sequence[int]] | None = None, seen: Sequence[int] | None = None) -> "AskedTypes":
        """Let all rows of a batch see the same types.

        scored (Sequence[Sequence[int]] | None): Indices of the types that spans of each row are scored for, in order,
            or of all rows where there is one list; all types by default.
        seen (Sequence[int] | None): Indices of the types that rows see, each once; all types by default.
        """
        vectors = self.vectors[None] if scored is None else self.vectors[_padded(scored)[0].to(self.vectors.device)]
        return AskedTypes(self if seen is None else self._only(seen), None, None, vectors)

    def for_rows(self, scored: Sequence[Sequence[int]], seen: Sequence[Sequence[int]] | None = None) -> "AskedTypes":
        """Let each row see types of its own.

        scored (Sequence[Sequence[int]]): Indices of the types that spans of each row are scored for, in order.
        seen (Sequence[Sequence[int]] | None): Indices of the types that each row sees, each once; as `scored` if None.
        """
        starts, device = self._starts().tolist(), self.vectors.device
        index, mask = (table.to(device) for table in _padded([self._subwords(row, starts) for row in seen or scored]))
        return AskedTypes(self, index, mask, self.vectors[_padded(scored)[0].to(device)])

    def _subwords(self, types: Sequence[int], starts: Sequence[int]) -> list[int]:
        return [i for t in types for i in range(starts[t], starts[t] + self.lengths[t])]

    def _only(self, types: Sequence[int]) -> "TypeStates":
        """Leave out what texts would see of other types."""
        if list(types) == list(range(len(self.lengths))):
            return self
        index = torch.tensor(self._subwords(types, self._starts().tolist()), device=self.vectors.device)
        keys, values = ([state[:, index] for state in states] for states in (self.keys, self.values))
        return replace(self, keys=keys, values=values, lengths=[self.lengths[t] for t in types])


class SeenTypes(Protocol):
    """Types as the texts of a batch attend to them."""

    @property
    def mask(self) -> Tensor | None:
        """Which subwords are no padding; None where all rows see all. *Shape:* (1 or rows, subwords), bool."""
        ...

    @property
    def length(self) -> int:
        """The subwords that a row sees, padding included."""
        ...

    def keys_values(self, layer: int) -> tuple[Tensor, Tensor]:
        """Return keys and values, those of the `layer`-th layer that sees types.

        RETURNS (tuple): *Shape of both:* (1 or rows, heads, subwords, size); 1 where all rows see the same types.
        """
        ...


@dataclass(frozen=True)
class AskedTypes:
    """Cached types that a batch of texts attends to and is scored for; they are `SeenTypes`.

    states: Encoded types.
    index: The subwords that each row sees, padded; None where all rows see all. *Shape:* (rows, subwords), int64.
    mask: Which of them are no padding. *Shape:* (rows, subwords), bool.
    vectors: The types that spans are scored for. *Shape:* (1 or rows, types, width).
    """

    states: TypeStates
    index: Tensor | None
    mask: Tensor | None
    vectors: Tensor

    @property
    def length(self) -> int:
        """Implement `SeenTypes`."""
        return self.states.keys[0].shape[1] if self.index is None else self.index.shape[1]

    def part(self, rows: slice) -> "AskedTypes":
        """Return what some of the rows see."""
        index, mask, vectors = self.index, self.mask, self.vectors
        return replace(
            self,
            index=None if index is None else index[rows],
            mask=None if mask is None else mask[rows],
            vectors=vectors[rows] if len(vectors) > 1 else vectors,
        )

    def keys_values(self, layer: int) -> tuple[Tensor, Tensor]:
        """Implement `SeenTypes`."""
        keys, values = self.states.keys[layer], self.states.values[layer]
        if self.index is None:
            return keys[None], values[None]
        return keys[:, self.index].transpose(0, 1), values[:, self.index].transpose(0, 1)


def _rounded(length: int, step: int) -> int:
    return -(-length // step) * step


def _widened(table: Tensor, length: int, fill: int) -> Tensor:
    return nn.functional.pad(table, (0, length - table.shape[1]), value=fill)


def _padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Rows of indices as one table, padded by 0, and what of it is real."""
    longest = max(map(len, rows), default=0)
    table = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    real = torch.arange(longest)[None] < torch.tensor([len(row) for row in rows])[:, None]
    return table, real
