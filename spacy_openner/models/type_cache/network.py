"""The network of the type cache: types encoded apart, texts that attend to them.

A type's subwords (marker and name) attend to one another alone, so that their keys and values in every layer, and
the type's vector, depend on its own words only. A text's subwords attend to the types asked and to the text. Both
halves together equal one run of the encoder over `types + text` under the mask of that rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ...nn.backbones import hidden_size
from ..gliner.span_head import MarkerHead, MarkerV0Head
from .attention import attend
from .layouts import Layer, layout_of


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


@dataclass(frozen=True)
class AskedTypes:
    """What a batch of texts attends to.

    keys, values: Of each layer that sees types. *Shape of each:* (1 or rows, heads, subwords, size).
    mask: Which subwords a row sees; None for all. *Shape:* (rows, subwords), bool.
    vectors: *Shape:* (1 or rows, types, width).
    """

    keys: Sequence[Tensor]
    values: Sequence[Tensor]
    mask: Tensor | None
    vectors: Tensor


@dataclass(frozen=True)
class TypeStates:
    """Encoded types, one after the other.

    keys, values: Of each layer that sees types. *Shape of each:* (heads, subwords of all types, size).
    vectors: Their final vectors, before the head. *Shape:* (types, width).
    lengths: Subwords of each type.
    """

    keys: Sequence[Tensor]
    values: Sequence[Tensor]
    vectors: Tensor
    lengths: Sequence[int]

    def shared(self) -> AskedTypes:
        """Let each row of a batch ask for all of these types."""
        return AskedTypes([k[None] for k in self.keys], [v[None] for v in self.values], None, self.vectors[None])

    def for_rows(self, asked: Sequence[Sequence[int]], company: Sequence[Sequence[int]] | None = None) -> AskedTypes:
        """Let each row ask for types of its own.

        asked (Sequence[Sequence[int]]): Indices of the types of each row, each once.
        company (Sequence[Sequence[int]] | None): Indices of the types that each row sees, if not those alone.
        """
        bounds = [0]
        for length in self.lengths:
            bounds.append(bounds[-1] + length)
        seen = [[i for t in row for i in range(bounds[t], bounds[t + 1])] for row in company or asked]
        device = self.vectors.device
        index, mask = (x.to(device) for x in _padded(seen))
        vectors = self.vectors[_padded(asked)[0].to(device)]

        def gathered(flat: Tensor) -> Tensor:
            return flat[:, index].transpose(0, 1)

        return AskedTypes([gathered(k) for k in self.keys], [gathered(v) for v in self.values], mask, vectors)


class TypeCacheNetwork(nn.Module):
    """An encoder, a projection where the head is narrower, and a span head.

    encoder (nn.Module): A Hugging Face encoder that `layout_of` knows.
    head (MarkerV0Head | MarkerHead): Scores spans against types.
    markers_only (bool): Let texts attend to the marker of each type alone, which has read the type's name.
    """

    def __init__(self, encoder: nn.Module, head: MarkerV0Head | MarkerHead, *, markers_only: bool = False) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.head = head
        width = hidden_size(encoder)
        self.projection = nn.Linear(width, head.width) if width != head.width else None
        self.layout = layout_of(encoder)
        self.markers_only = markers_only

    def encode_types(self, input_ids: Sequence[Tensor]) -> TypeStates:
        """Encode types, those of one length together, so that nothing is padded.

        input_ids (Sequence[Tensor]): Marker and name of each type, at least one. *Shape of each:* (subwords,), int64.
        RETURNS (TypeStates): In the order given.
        """
        by_length: dict[int, list[int]] = {}
        for i, ids in enumerate(input_ids):
            by_length.setdefault(len(ids), []).append(i)
        order = [i for places in by_length.values() for i in places]
        layers: list[list[tuple[Tensor, Tensor]]] = []
        vectors = []
        for places in by_length.values():
            states, final = self._encode_alike(torch.stack([input_ids[i] for i in places]))
            layers.append(states)
            vectors.append(final)
        lengths = [1 if self.markers_only else len(ids) for ids in input_ids]
        index = _back_in_order(order, lengths).to(vectors[0].device)
        places_of = torch.tensor([order.index(i) for i in range(len(order))], device=index.device)

        def flat(parts: Sequence[Tensor]) -> Tensor:
            # (types, heads, subwords, size) of each length -> (heads, subwords of all, size)
            return torch.cat([part.transpose(0, 1).flatten(1, 2) for part in parts], dim=1)[:, index]

        keys = [flat([states[n][0] for states in layers]) for n in range(len(layers[0]))]
        values = [flat([states[n][1] for states in layers]) for n in range(len(layers[0]))]
        return TypeStates(keys, values, torch.cat(vectors)[places_of], lengths)

    def forward(self, batch: TextBatch, types: AskedTypes) -> Tensor:
        """Score all spans of a batch.

        RETURNS (Tensor): The head's logits. *Shape:* (rows, words, max_width, types).
        """
        words, vectors = self.represent(batch, types)
        return self.head(words, vectors)

    def represent(self, batch: TextBatch, types: AskedTypes) -> tuple[Tensor, Tensor]:
        """Compute the vectors of words and types. *Shapes:* (rows, words, width), (rows, types, width)."""
        words = self._project(self.encode_texts(batch, types))
        words = words * (batch.word_positions >= 0)[..., None].to(words.dtype)
        return words, self._project(types.vectors).expand(len(words), -1, -1)

    def encode_texts(self, batch: TextBatch, types: AskedTypes) -> Tensor:
        """Run the encoder over texts; the last layer at the words' first subwords alone.

        RETURNS (Tensor): *Shape:* (rows, words, width of the encoder).
        """
        length, last = batch.input_ids.shape[1], len(self.layout.layers) - 1
        positions = self.layout.text_positions(length).to(batch.input_ids.device)[None].expand_as(batch.input_ids)
        hidden = self.layout.embed(batch.input_ids, positions)
        wanted = batch.word_positions.clamp(min=0)
        rows = torch.arange(len(wanted), device=wanted.device)[:, None]
        masks = {layer.reach: self._mask(batch, types, layer, hidden.dtype) for layer in self.layout.layers}
        cached = iter(zip(types.keys, types.values, strict=True))
        n_types = types.keys[0].shape[2]
        for i, layer in enumerate(self.layout.layers):
            own = layer.keys_values(hidden, positions)
            mask, read, at = masks[layer.reach], hidden, positions
            if i == last:
                mask, read, at = _at(mask, rows, wanted), hidden[rows, wanted], positions[rows, wanted]
            shown = next(cached) if layer.sees_types else None
            hidden = layer.finish(attend(layer.queries(read, at), own, shown, mask, n_types), read)
        return self.layout.finalize(hidden)

    def _encode_alike(self, input_ids: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """Encode types of one length: of each layer keys and values, and the final vectors of the markers."""
        length = input_ids.shape[1]
        positions = self.layout.type_positions(length).to(input_ids.device)[None].expand_as(input_ids)
        hidden = self.layout.embed(input_ids, positions)
        bias = self.layout.bias(length)
        bias = bias if bias is None else bias.to(hidden.dtype)
        states = []
        for i, layer in enumerate(self.layout.layers):
            keys, values = layer.keys_values(hidden, positions)
            if layer.sees_types:
                shown = slice(0, 1) if self.markers_only else slice(None)
                states.append((keys[:, :, shown], values[:, :, shown]))
            read, at, allowed = hidden, positions, bias
            if i == len(self.layout.layers) - 1:
                read, at = hidden[:, :1], positions[:, :1]
                allowed = None if bias is None else bias[:, :, :1]
            context = scaled_dot_product_attention(layer.queries(read, at), keys, values, attn_mask=allowed)
            hidden = layer.finish(context, read)
        return states, self.layout.finalize(hidden)[:, 0]

    def _mask(self, batch: TextBatch, types: AskedTypes, layer: Layer, dtype: torch.dtype) -> Tensor:
        """What is added to attention scores of texts in a layer. *Shape:* (rows, 1 or heads, 1 or subwords, all)."""
        rows, length = batch.attention_mask.shape
        n_types = types.keys[0].shape[2]
        own, of_types = self.layout.bias(length), self.layout.type_bias()
        if own is None:
            own = torch.zeros(1, 1, 1 if layer.reach is None else length, length, device=batch.input_ids.device)
            of_types = torch.zeros(1, 1, 1, 1, device=own.device)
        assert of_types is not None
        own = own.expand(rows, -1, -1, -1).masked_fill(~batch.attention_mask.bool()[:, None, None], float("-inf"))
        if layer.reach is not None:
            steps = torch.arange(length, device=own.device)
            own = own.masked_fill((steps[:, None] - steps).abs() > layer.reach, float("-inf"))
        of_types = of_types.expand(rows, -1, own.shape[2], n_types)
        if types.mask is not None:
            of_types = of_types.masked_fill(~types.mask[:, None, None], float("-inf"))
        return torch.cat([of_types, own], dim=3).to(dtype)

    def _project(self, vectors: Tensor) -> Tensor:
        return vectors if self.projection is None else cast(Tensor, self.projection(vectors))


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
