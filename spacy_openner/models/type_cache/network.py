"""The network of the type cache: types encoded apart, texts that attend to them.

A type's subwords (marker and name) attend to one another alone, so that their keys and values in every layer, and
the type's vector, depend on its own words only. A text's subwords attend to the types asked and to the text; in the
first layers, where words are put together from subwords, to the text alone if so chosen. Both halves together equal one
run of the encoder over `types + text` under the mask of that rule.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ...nn.backbones import hidden_size
from ..gliner.span_head import MarkerHead, MarkerV0Head
from .attention import attend
from .encoders.base import Encoder, EncoderLayer


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
    """

    keys: Sequence[Tensor]
    values: Sequence[Tensor]
    vectors: Tensor
    lengths: Sequence[int]

    def joined(self, other: "TypeStates") -> "TypeStates":
        """Put other types behind these."""
        keys, values = (
            [torch.cat(pair, dim=1) for pair in zip(mine, theirs, strict=True)]
            for mine, theirs in ((self.keys, other.keys), (self.values, other.values))
        )
        return TypeStates(keys, values, torch.cat([self.vectors, other.vectors]), [*self.lengths, *other.lengths])

    def shared(self, scored: Sequence[Sequence[int]] | None = None) -> "AskedTypes":
        """Let each row of a batch see all of these types.

        scored (Sequence[Sequence[int]] | None): Indices of the types that spans of each row are scored for, in order,
            or of all rows where there is one list; all types by default.
        """
        vectors = self.vectors[None] if scored is None else self.vectors[_padded(scored)[0].to(self.vectors.device)]
        return AskedTypes(self, None, None, vectors)

    def for_rows(self, scored: Sequence[Sequence[int]], seen: Sequence[Sequence[int]] | None = None) -> "AskedTypes":
        """Let each row see types of its own.

        scored (Sequence[Sequence[int]]): Indices of the types that spans of each row are scored for, in order.
        seen (Sequence[Sequence[int]] | None): Indices of the types that each row sees, each once; as `scored` if None.
        """
        bounds = [0]
        for length in self.lengths:
            bounds.append(bounds[-1] + length)
        subwords = [[i for t in row for i in range(bounds[t], bounds[t + 1])] for row in seen or scored]
        device = self.vectors.device
        index, mask = (table.to(device) for table in _padded(subwords))
        return AskedTypes(self, index, mask, self.vectors[_padded(scored)[0].to(device)])


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


Encode = Callable[[TextBatch, AskedTypes], Tensor]
Attend = Callable[[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor] | None, Tensor, int], Tensor]


class TypeCacheNetwork(nn.Module):
    """An encoder, a projection where the head is narrower, and a span head.

    encoder (Encoder): Turns subwords into vectors.
    head (MarkerV0Head | MarkerHead): Scores spans against types.
    markers_only (bool): Let texts attend to the marker of each type alone, which has read the type's name.
    blind_layers (int): In how many of the first layers texts see no types.
    """

    def __init__(
        self, encoder: Encoder, head: MarkerV0Head | MarkerHead, *, markers_only: bool = False, blind_layers: int = 0
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        width = hidden_size(encoder)
        self.projection = nn.Linear(width, head.width) if width != head.width else None
        self.markers_only, self.blind_layers = markers_only, blind_layers
        for layer in list(encoder.stack)[:blind_layers]:
            layer.sees_types = False

    def encode_types(self, input_ids: Sequence[Tensor]) -> TypeStates:
        """Encode types, those of one length together, so that nothing is padded.

        input_ids (Sequence[Tensor]): Marker and name of each type, at least one. *Shape of each:* (subwords,), int64.
        RETURNS (TypeStates): In the order given.
        """
        by_length: dict[int, list[int]] = {}
        for i, ids in enumerate(input_ids):
            by_length.setdefault(len(ids), []).append(i)
        order = [i for indices in by_length.values() for i in indices]
        layers: list[list[tuple[Tensor, Tensor]]] = []
        vectors = []
        for indices in by_length.values():
            states, final = self._encode_alike(torch.stack([input_ids[i] for i in indices]))
            layers.append(states)
            vectors.append(final)
        lengths = [1 if self.markers_only else len(ids) for ids in input_ids]
        index = _back_in_order(order, lengths).to(vectors[0].device)
        position_of = torch.tensor([order.index(i) for i in range(len(order))], device=index.device)

        def flat(parts: Sequence[Tensor]) -> Tensor:
            # (types, heads, subwords, size) of each length -> (heads, subwords of all, size)
            return torch.cat([part.transpose(0, 1).flatten(1, 2) for part in parts], dim=1)[:, index]

        keys = [flat([states[n][0] for states in layers]) for n in range(len(layers[0]))]
        values = [flat([states[n][1] for states in layers]) for n in range(len(layers[0]))]
        return TypeStates(keys, values, torch.cat(vectors)[position_of], lengths)

    def forward(self, batch: TextBatch, types: AskedTypes) -> Tensor:
        """Score all spans of a batch.

        RETURNS (Tensor): The head's logits. *Shape:* (rows, words, max_width, types).
        """
        words, vectors = self.represent(batch, types)
        return self.head(words, vectors)

    def represent(self, batch: TextBatch, types: AskedTypes, encode: Encode | None = None) -> tuple[Tensor, Tensor]:
        """Compute the vectors of words and types.

        encode (Encode | None): Stands in for `encode_texts` (ONNX Runtime, say).
        RETURNS (tuple): *Shapes:* (rows, words, width), (1 or rows, types, width); 1 where all rows have the same.
        """
        words = self._project((encode or self.encode_texts)(batch, types))
        words = words * (batch.word_positions >= 0)[..., None].to(words.dtype)
        return words, self._project(types.vectors)

    def encode_texts(self, batch: TextBatch, types: SeenTypes, attend: Attend = attend) -> Tensor:
        """Run the encoder over texts; the last layer at the words' first subwords alone.

        attend (Attend): How attention is computed; see `attention.attend`.
        RETURNS (Tensor): *Shape:* (rows, words, width of the encoder).
        """
        length, last = batch.input_ids.shape[1], len(self.encoder.stack) - 1
        positions = self.encoder.text_positions(length).to(batch.input_ids.device)[None].expand_as(batch.input_ids)
        hidden = self.encoder.embed(batch.input_ids, positions)
        wanted = batch.word_positions.clamp(min=0)
        rows = torch.arange(wanted.shape[0], device=wanted.device)[:, None]
        masks = {layer.reach: self._mask(batch, types, layer, hidden.dtype) for layer in self.encoder.stack}
        seen = 0
        for i, layer in enumerate(self.encoder.stack):
            own = layer.keys_values(hidden, positions)
            mask, read, at = masks[layer.reach], hidden, positions
            if i == last:
                mask, read, at = _at(mask, rows, wanted), hidden[rows, wanted], positions[rows, wanted]
            shown = types.keys_values(seen) if layer.sees_types else None
            seen += layer.sees_types
            hidden = layer.finish(attend(layer.queries(read, at), own, shown, mask, types.length), read)
        return self.encoder.finalize(hidden)

    def _encode_alike(self, input_ids: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """Encode types of one length: of each layer keys and values, and the final vectors of the markers."""
        length = input_ids.shape[1]
        positions = self.encoder.type_positions(length).to(input_ids.device)[None].expand_as(input_ids)
        hidden = self.encoder.embed(input_ids, positions)
        bias = self.encoder.bias(length)
        bias = bias if bias is None else bias.to(hidden.dtype)
        states = []
        for i, layer in enumerate(self.encoder.stack):
            keys, values = layer.keys_values(hidden, positions)
            if layer.sees_types:
                shown = slice(0, 1) if self.markers_only else slice(None)
                states.append((keys[:, :, shown], values[:, :, shown]))
            read, at, allowed = hidden, positions, bias
            if i == len(self.encoder.stack) - 1:
                read, at = hidden[:, :1], positions[:, :1]
                allowed = None if bias is None else bias[:, :, :1]
            context = scaled_dot_product_attention(layer.queries(read, at), keys, values, attn_mask=allowed)
            hidden = layer.finish(context, read)
        return states, self.encoder.finalize(hidden)[:, 0]

    def _mask(self, batch: TextBatch, types: SeenTypes, layer: EncoderLayer, dtype: torch.dtype) -> Tensor:
        """Return the addition to attention scores in a layer. *Shape:* (rows, 1 or heads, 1 or subwords, all)."""
        rows, length = batch.attention_mask.shape
        own, of_types = self.encoder.bias(length), self.encoder.type_bias()
        if own is None:
            own = torch.zeros(1, 1, 1 if layer.reach is None else length, length, device=batch.input_ids.device)
            of_types = torch.zeros(1, 1, 1, 1, device=own.device)
        assert of_types is not None
        own = own.expand(rows, -1, -1, -1).masked_fill(~batch.attention_mask.bool()[:, None, None], float("-inf"))
        if layer.reach is not None:
            steps = torch.arange(length, device=own.device)
            own = own.masked_fill((steps[:, None] - steps).abs() > layer.reach, float("-inf"))
        of_types = of_types.expand(rows, -1, own.shape[2], types.length)
        if types.mask is not None:
            of_types = of_types.masked_fill(~types.mask[:, None, None], float("-inf"))
        return torch.cat([of_types, own], dim=3).to(dtype)

    def _project(self, vectors: Tensor) -> Tensor:
        return vectors if self.projection is None else cast(Tensor, self.projection(vectors))


def _rounded(length: int, step: int) -> int:
    return -(-length // step) * step


def _widened(table: Tensor, length: int, fill: int) -> Tensor:
    return nn.functional.pad(table, (0, length - table.shape[1]), value=fill)


def _at(mask: Tensor, rows: Tensor, wanted: Tensor) -> Tensor:
    """The part of a mask for some queries."""
    return mask if mask.shape[2] == 1 else mask.transpose(1, 2)[rows, wanted].transpose(1, 2)


def _padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Rows of indices as one table, padded by 0, and what of it is real."""
    longest = max(map(len, rows), default=0)
    table = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    real = torch.arange(longest)[None] < torch.tensor([len(row) for row in rows])[:, None]
    return table, real


def _back_in_order(order: Sequence[int], lengths: Sequence[int]) -> Tensor:
    """Where the subwords of types stand, which lie in another order, so that they can be put in theirs."""
    starts, at = {}, 0
    for i in order:
        starts[i] = at
        at += lengths[i]
    return torch.tensor([starts[i] + k for i in range(len(order)) for k in range(lengths[i])])
