"""Hugging Face encoders taken apart into what the type cache needs: one adapter for each layout.

An encoder is run layer by layer here, since a layer of a text takes keys and values of types that were computed
before. Modules are shared with the encoder, never copied.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from ...errors import error
from ...nn.fused import linear_gelu

# Where the words of texts begin: behind the positions of all but the longest types.
TEXT_START = 32


class Projected(NamedTuple):
    """Queries, keys or values in heads. *Shape of each:* (rows, heads, subwords, size)."""

    keys: Tensor
    values: Tensor


class Layer(Protocol):
    """One layer of an encoder.

    sees_types: Whether texts attend to types in this layer.
    reach: How many subwords away a text's subword sees another one of the text; None for all.
    """

    sees_types: bool
    reach: int | None

    def queries(self, hidden: Tensor, positions: Tensor) -> Tensor:
        """Project to queries. *Shape:* (rows, subwords, width) to (rows, heads, subwords, size)."""
        ...

    def keys_values(self, hidden: Tensor, positions: Tensor) -> Projected:
        """Project to keys and values."""
        ...

    def finish(self, context: Tensor, hidden: Tensor) -> Tensor:
        """Compute all that follows attention: output projection, residuals, norms, feed-forward block.

        context (Tensor): What was attended to. *Shape:* (rows, heads, subwords, size).
        hidden (Tensor): The layer's input at the same subwords. *Shape:* (rows, subwords, width).
        RETURNS (Tensor): The layer's output. *Shape:* (rows, subwords, width).
        """
        ...


class Layout(Protocol):
    """An encoder as its parts. Positions count from 0, wherever the encoder's own table begins."""

    layers: Sequence[Layer]

    def text_positions(self, length: int) -> Tensor:
        """The positions of a text's prefix, words and suffix. *Shape:* (length,)."""
        ...

    def type_positions(self, length: int) -> Tensor:
        """The positions of a type's marker and name, the same for all types. *Shape:* (length,)."""
        ...

    def embed(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """Look up embeddings. *Shape:* (rows, subwords) to (rows, subwords, width)."""
        ...

    def finalize(self, hidden: Tensor) -> Tensor:
        """Apply what follows the last layer."""
        ...

    def bias(self, length: int) -> Tensor | None:
        """Return the addition to attention scores by the distance of two subwords of one sequence, in each layer alike.

        RETURNS (Tensor | None): *Shape:* (1, heads, length, length); without gradient. None for nothing.
        """
        ...

    def type_bias(self) -> Tensor | None:
        """Return the addition to attention scores between a text and any type. *Shape:* (1, heads, 1, 1)."""
        ...


def _split_heads(vectors: Tensor, heads: int) -> Tensor:
    return vectors.unflatten(-1, (heads, -1)).transpose(1, 2)


def _join_heads(context: Tensor) -> Tensor:
    return context.transpose(1, 2).flatten(2)


def _inner(block: Any, hidden: Tensor) -> Tensor:
    """Compute the first half of a feed-forward block. Of activations, GELU is by far the most common."""
    if type(block.intermediate_act_fn).__name__ == "GELUActivation" and isinstance(block.dense, nn.Linear):
        return linear_gelu(block.dense, hidden)
    return cast(Tensor, block(hidden))


class BertLayer:
    """A layer of BERT and its like."""

    sees_types, reach = True, None

    def __init__(self, layer: Any) -> None:
        self.layer, self.attention = layer, layer.attention.self
        self.heads: int = self.attention.num_attention_heads

    def queries(self, hidden: Tensor, positions: Tensor) -> Tensor:
        """Implement `Layer`."""
        return _split_heads(self.attention.query(hidden), self.heads)

    def keys_values(self, hidden: Tensor, positions: Tensor) -> Projected:
        """Implement `Layer`."""
        return Projected(
            _split_heads(self.attention.key(hidden), self.heads), _split_heads(self.attention.value(hidden), self.heads)
        )

    def finish(self, context: Tensor, hidden: Tensor) -> Tensor:
        """Implement `Layer`."""
        attended = self.layer.attention.output(_join_heads(context), hidden)
        return cast(Tensor, self.layer.output(_inner(self.layer.intermediate, attended), attended))


class BertLayout:
    """BERT, RoBERTa and their like: learnt absolute positions, norms behind each block."""

    layer_type: type = BertLayer

    def text_positions(self, length: int) -> Tensor:
        """Implement `Layout`. The prefix ([CLS]) keeps position 0."""
        steps = torch.arange(length)
        return torch.where(steps > 0, steps + TEXT_START - 1, steps)

    def type_positions(self, length: int) -> Tensor:
        """Implement `Layout`."""
        return torch.arange(1, length + 1)

    def __init__(self, encoder: Any, first_position: int = 0) -> None:
        self.encoder, self.first_position = encoder, first_position
        self.layers: Sequence[Layer] = [self.layer_type(layer) for layer in encoder.encoder.layer]

    def embed(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """Implement `Layout`."""
        ids = positions + self.first_position
        return cast(Tensor, self.encoder.embeddings(input_ids=input_ids, position_ids=ids))

    def finalize(self, hidden: Tensor) -> Tensor:
        """Implement `Layout`."""
        return hidden

    def bias(self, length: int) -> Tensor | None:
        """Implement `Layout`."""
        return None

    def type_bias(self) -> Tensor | None:
        """Implement `Layout`."""
        return None


class MPNetLayer:
    """A layer of MPNet."""

    sees_types, reach = True, None

    def __init__(self, layer: Any) -> None:
        self.layer, self.attention = layer, layer.attention.attn
        self.heads: int = self.attention.num_attention_heads

    def queries(self, hidden: Tensor, positions: Tensor) -> Tensor:
        """Implement `Layer`."""
        return _split_heads(self.attention.q(hidden), self.heads)

    def keys_values(self, hidden: Tensor, positions: Tensor) -> Projected:
        """Implement `Layer`."""
        return Projected(
            _split_heads(self.attention.k(hidden), self.heads), _split_heads(self.attention.v(hidden), self.heads)
        )

    def finish(self, context: Tensor, hidden: Tensor) -> Tensor:
        """Implement `Layer`."""
        block = self.layer.attention
        attended = block.LayerNorm(block.dropout(self.attention.o(_join_heads(context))) + hidden)
        return cast(Tensor, self.layer.output(_inner(self.layer.intermediate, attended), attended))


class MPNetLayout(BertLayout):
    """MPNet: absolute positions, and a bias by distance that all layers share.

    To a text, every type lies farther back than the table of distances reaches: a type's keys are the same from each
    of the text's positions. The table of distances is not trained: PyTorch's fused attention has no gradient for it.
    """

    layer_type = MPNetLayer

    def __init__(self, encoder: Any) -> None:
        super().__init__(encoder, encoder.config.pad_token_id + 1)

    def bias(self, length: int) -> Tensor | None:
        """Implement `Layout`."""
        stack = self.encoder.encoder
        steps = torch.arange(length, device=stack.relative_attention_bias.weight.device)
        buckets = stack.relative_position_bucket(
            steps[None, :] - steps[:, None], num_buckets=self.encoder.config.relative_attention_num_buckets
        )
        return cast(Tensor, stack.relative_attention_bias.weight.detach()[buckets].permute(2, 0, 1)[None])

    def type_bias(self) -> Tensor | None:
        """Implement `Layout`."""
        stack = self.encoder.encoder
        far = stack.relative_position_bucket(
            torch.tensor([-(2**20)]), num_buckets=self.encoder.config.relative_attention_num_buckets
        )
        row = stack.relative_attention_bias.weight.detach()[far.to(stack.relative_attention_bias.weight.device)]
        return cast(Tensor, row.reshape(1, -1, 1, 1))


class ModernBertLayer:
    """A layer of ModernBERT: norms before each block, rotary positions, and in most layers a window of neighbours.

    A text sees types in the layers without a window alone, as it would see a prompt.
    """

    def __init__(self, layer: Any, config: Any, theta: float, reach: int | None) -> None:
        self.layer, self.heads = layer, config.num_attention_heads
        self.reach, self.sees_types = reach, reach is None
        size = config.hidden_size // config.num_attention_heads
        self.frequencies = 1.0 / theta ** (torch.arange(0, size, 2).float() / size)

    def queries(self, hidden: Tensor, positions: Tensor) -> Tensor:
        """Implement `Layer`."""
        (queries,) = self._projected(hidden, slice(0, 1))
        return self._rotated(queries, positions)

    def keys_values(self, hidden: Tensor, positions: Tensor) -> Projected:
        """Implement `Layer`."""
        keys, values = self._projected(hidden, slice(1, 3))
        return Projected(self._rotated(keys, positions), values)

    def finish(self, context: Tensor, hidden: Tensor) -> Tensor:
        """Implement `Layer`."""
        attention = self.layer.attn
        attended = hidden + attention.out_drop(attention.Wo(_join_heads(context)))
        return cast(Tensor, attended + self.layer.mlp(self.layer.mlp_norm(attended)))

    def _projected(self, hidden: Tensor, parts: slice) -> list[Tensor]:
        """Some of queries, keys and values, whose weights lie below one another."""
        weights = self.layer.attn.Wqkv.weight.unflatten(0, (3, -1))[parts]
        bias = self.layer.attn.Wqkv.bias
        bias = None if bias is None else bias.unflatten(0, (3, -1))[parts].flatten()
        projected = nn.functional.linear(self.layer.attn_norm(hidden), weights.flatten(0, 1), bias)
        return [_split_heads(part, self.heads) for part in projected.chunk(len(weights), dim=-1)]

    def _rotated(self, vectors: Tensor, positions: Tensor) -> Tensor:
        angles = positions[:, None, :, None].float() * self.frequencies.to(positions.device)
        angles = torch.cat([angles, angles], dim=-1)
        left, right = vectors.chunk(2, dim=-1)
        turned = torch.cat([-right, left], dim=-1)
        return (vectors * angles.cos() + turned * angles.sin()).to(vectors.dtype)


class ModernBertLayout:
    """ModernBERT: positions tell distances only, so that a text's words and its prefix stay neighbours."""

    def __init__(self, encoder: Any) -> None:
        self.encoder = encoder
        config = encoder.config
        self.layers: Sequence[Layer] = [
            ModernBertLayer(
                layer, config, _theta(config, is_global), None if is_global else config.local_attention // 2
            )
            for i, layer in enumerate(encoder.layers)
            for is_global in [_is_global(config, i)]
        ]

    def text_positions(self, length: int) -> Tensor:
        """Implement `Layout`."""
        return torch.arange(TEXT_START - 1, TEXT_START - 1 + length)

    def type_positions(self, length: int) -> Tensor:
        """Implement `Layout`."""
        return torch.arange(length)

    def embed(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """Implement `Layout`."""
        return cast(Tensor, self.encoder.embeddings(input_ids=input_ids))

    def finalize(self, hidden: Tensor) -> Tensor:
        """Implement `Layout`."""
        return cast(Tensor, self.encoder.final_norm(hidden))

    def bias(self, length: int) -> Tensor | None:
        """Implement `Layout`."""
        return None

    def type_bias(self) -> Tensor | None:
        """Implement `Layout`."""
        return None


def _is_global(config: Any, i: int) -> bool:
    """Tell whether a layer has no window; newer releases of transformers name the kind of each layer."""
    kinds = getattr(config, "layer_types", None)
    return kinds[i] == "full_attention" if kinds else i % config.global_attn_every_n_layers == 0


def _theta(config: Any, is_global: bool) -> float:
    """The base of rotary positions; newer releases of transformers keep it by the kind of layer."""
    by_kind = getattr(config, "rope_parameters", None)
    if by_kind:
        return float(by_kind["full_attention" if is_global else "sliding_attention"]["rope_theta"])
    local = config.local_rope_theta
    return float(config.global_rope_theta if is_global or local is None else local)


def _bert_like(encoder: Any) -> BertLayout:
    """RoBERTa and its like number positions from behind the padding index on."""
    return BertLayout(encoder, encoder.config.pad_token_id + 1)


LAYOUTS: dict[str, Callable[[Any], Layout]] = {
    "bert": BertLayout,
    "roberta": _bert_like,
    "xlm-roberta": _bert_like,
    "camembert": _bert_like,
    "mpnet": MPNetLayout,
    "modernbert": ModernBertLayout,
}


def layout_of(encoder: nn.Module) -> Layout:
    """Take an encoder apart.

    RAISES (SettingError): For a kind of encoder without an adapter.
    """
    kind = cast(Any, encoder).config.model_type
    if kind not in LAYOUTS:
        raise error("O001", name="the encoder's kind", value=kind, allowed=", ".join(LAYOUTS))
    return LAYOUTS[kind](encoder)


def sees_types(encoder: nn.Module, blind_layers: int) -> bool:
    """Tell whether texts would see types in any layer behind the first ones."""
    return any(layer.sees_types for layer in layout_of(encoder).layers[blind_layers:])
