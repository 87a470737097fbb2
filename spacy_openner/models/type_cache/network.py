"""The network of the type cache: types encoded apart, texts that attend to them.

A type's subwords (marker and name) attend to one another alone, so that their keys and values in every layer, and
the type's vector, depend on its own words only. A text's subwords attend to the types asked and to the text; in the
first layers, where words are put together from subwords, to the text alone if so chosen. Both halves together equal one
run of the encoder over `types + text` under the mask of that rule.
"""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ...nn.backbones import hidden_size
from ..gliner.span_head import MarkerHead, MarkerV0Head
from .attention import attend
from .encoders.base import Encoder, EncoderLayer
from .states import AskedTypes, SeenTypes, TextBatch, TypeStates

Encode = Callable[[TextBatch, AskedTypes], Tensor]
Attend = Callable[[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor] | None, Tensor, int], Tensor]


class TypeCacheNetwork(nn.Module):
    """An encoder, a projection where the head is narrower, and a span head.

    encoder (Encoder): Turns subwords into vectors.
    head (MarkerV0Head | MarkerHead): Scores spans against types.
    markers_only (bool): Let texts attend to the marker of each type alone, which has read the type's name.
    blind_layers (int): In how many of the first layers texts see no types.
    alike (float): Of types that are more alike than this cosine, texts see the first alone; see `TypeStates`.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: MarkerV0Head | MarkerHead,
        *,
        markers_only: bool = False,
        blind_layers: int = 0,
        alike: float = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        width = hidden_size(encoder)
        self.projection = nn.Linear(width, head.width) if width != head.width else None
        self.markers_only, self.blind_layers, self.alike = markers_only, blind_layers, alike
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
        return TypeStates(keys, values, torch.cat(vectors)[position_of], lengths, self.alike)

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


def _at(mask: Tensor, rows: Tensor, wanted: Tensor) -> Tensor:
    """The part of a mask for some queries."""
    return mask if mask.shape[2] == 1 else mask.transpose(1, 2)[rows, wanted].transpose(1, 2)


def _back_in_order(order: Sequence[int], lengths: Sequence[int]) -> Tensor:
    """Where the subwords of types stand, which lie in another order, so that they can be put in theirs."""
    starts, at = {}, 0
    for i in order:
        starts[i] = at
        at += lengths[i]
    return torch.tensor([starts[i] + k for i in range(len(order)) for k in range(lengths[i])])
