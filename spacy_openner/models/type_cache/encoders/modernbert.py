"""ModernBERT: norms before each block, rotary positions, and in most layers a window of neighbours."""

from collections.abc import Mapping, MutableSequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from .base import ACTIVATIONS, TEXT_START, Encoder, EncoderLayer, Projected, join_heads
from .config import ConfigValues, EncoderConfig, read_sizes

DEFAULTS = {
    "num_hidden_layers": 22,
    "intermediate_size": 1152,
    "max_position_embeddings": 8192,
    "pad_token_id": None,
}
WHOLE, WINDOW = "full_attention", "sliding_attention"
# What older releases call the bases of rotary positions, and what they are by default.
THETAS = {WHOLE: ("global_rope_theta", 160_000.0), WINDOW: ("local_rope_theta", 10_000.0)}
LARGEST_THETA = 1e12


@dataclass(frozen=True)
class ModernBertConfig(EncoderConfig):
    """Settings of ModernBERT.

    activation: Of feed-forward blocks; see `ACTIVATIONS`.
    embedding_dropout, attention_dropout, mlp_dropout: In training.
    eps: Of norms.
    norm_bias, attention_bias, mlp_bias: Whether norms and products have one.
    local_attention: The subwords that a window spans.
    layer_types: Of each layer, whether it has a window.
    thetas: The bases of rotary positions, by the kind of layer.
    """

    activation: str
    embedding_dropout: float
    attention_dropout: float
    mlp_dropout: float
    eps: float
    norm_bias: bool
    attention_bias: bool
    mlp_bias: bool
    local_attention: int
    layer_types: tuple[str, ...]
    thetas: Mapping[str, float]

    @classmethod
    def read(cls, content: Mapping[str, Any], vocab_size: int) -> "ModernBertConfig":
        """Read a config in the words of either release of `transformers`; see `read_sizes`."""
        values = ConfigValues(content)
        sizes = read_sizes(values, vocab_size, DEFAULTS)
        if sizes["hidden_size"] // sizes["num_attention_heads"] % 2:
            raise ValueError("heads are of an odd size, which rotary positions cannot turn")
        return cls(
            **sizes,
            activation=values.choice("hidden_activation", "gelu", ACTIVATIONS),
            embedding_dropout=values.number("embedding_dropout", 0.0),
            attention_dropout=values.number("attention_dropout", 0.0),
            mlp_dropout=values.number("mlp_dropout", 0.0),
            eps=values.number("norm_eps", 1e-5),
            norm_bias=values.flag("norm_bias", False),
            attention_bias=values.flag("attention_bias", False),
            mlp_bias=values.flag("mlp_bias", False),
            local_attention=values.whole("local_attention", 128),
            layer_types=_layer_types(values, sizes["num_hidden_layers"]),
            thetas={kind: _theta(values, kind) for kind in THETAS},
        )


def _layer_types(values: ConfigValues, layers: int) -> tuple[str, ...]:
    """Read which layers have a window: named one by one, or each but every so-manieth."""
    named = values.values.get("layer_types")
    if named is None:
        every = values.whole("global_attn_every_n_layers", 3)
        return tuple(WINDOW if i % every else WHOLE for i in range(layers))
    if not isinstance(named, list) or len(named) != layers or any(kind not in [*THETAS] for kind in named):
        raise ValueError(f"layer_types is {named!r}, not a list of {WHOLE} or {WINDOW} for each of {layers} layers")
    return tuple(named)


def _theta(values: ConfigValues, kind: str) -> float:
    """Read the base of rotary positions of a kind of layers."""
    name, default = THETAS[kind]
    by_kind = values.values.get("rope_parameters")
    rope = by_kind.get(kind) if isinstance(by_kind, dict) else None
    if not isinstance(by_kind, dict | None) or not isinstance(rope, dict | None):
        raise ValueError(f"rope_parameters is {by_kind!r}, not an object for each kind of layer")
    if rope is not None:
        parameters = ConfigValues(rope)
        # Others stretch positions.
        parameters.choice("rope_type", "default", ["default"])
        return parameters.number("rope_theta", default, LARGEST_THETA)
    if values.values.get(name, default) is None:
        return _theta(values, WHOLE) if kind == WINDOW else default
    return values.number(name, default, LARGEST_THETA)


class ModernBertEmbeddings(nn.Module):
    """Embeddings of subwords."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.eps, bias=config.norm_bias)
        self.drop = nn.Dropout(config.embedding_dropout)

    def forward(self, input_ids: Tensor) -> Tensor:
        """*Shape:* (rows, subwords) to (rows, subwords, width)."""
        return cast(Tensor, self.drop(self.norm(self.tok_embeddings(input_ids))))


class ModernBertAttention(nn.Module):
    """The projections of attention; those to queries, keys and values lie below one another."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.Wqkv = nn.Linear(width, 3 * width, bias=config.attention_bias)
        self.Wo = nn.Linear(width, width, bias=config.attention_bias)
        self.out_drop = nn.Dropout(config.attention_dropout)

    def project(self, hidden: Tensor, parts: slice) -> tuple[Tensor, ...]:
        """Compute some of queries, keys and values."""
        weights = self.Wqkv.weight.unflatten(0, (3, -1))[parts]
        bias = None if self.Wqkv.bias is None else self.Wqkv.bias.unflatten(0, (3, -1))[parts].flatten()
        return nn.functional.linear(hidden, weights.flatten(0, 1), bias).chunk(len(weights), dim=-1)

    def forward(self, context: Tensor) -> Tensor:
        """Project what was attended to. *Shape of both:* (rows, subwords, width)."""
        return cast(Tensor, self.out_drop(self.Wo(context)))


class ModernBertFeedForward(nn.Module):
    """The feed-forward block, one half of which is a gate for the other."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.Wi = nn.Linear(width, 2 * inner, bias=config.mlp_bias)
        self.Wo = nn.Linear(inner, width, bias=config.mlp_bias)
        self.activation = ACTIVATIONS[config.activation]
        self.drop = nn.Dropout(config.mlp_dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """*Shape of both:* (rows, subwords, width)."""
        inner, gate = self.Wi(hidden).chunk(2, dim=-1)
        return cast(Tensor, self.Wo(self.drop(self.activation(inner) * gate)))


class ModernBertLayer(EncoderLayer):
    """A layer of ModernBERT. A text sees types in the layers without a window alone, as it would see a prompt."""

    def __init__(self, config: ModernBertConfig, i: int) -> None:
        super().__init__()
        kind, width = config.layer_types[i], config.hidden_size
        self.heads, self.sees_types = config.num_attention_heads, kind == WHOLE
        self.reach = None if kind == WHOLE else config.local_attention // 2
        size = width // self.heads
        # Numbers, not weights: also while a network is built without memory.
        steps = torch.arange(0, size, 2, device="cpu").float()
        self.frequencies = 1.0 / config.thetas[kind] ** (steps / size)
        norm = nn.LayerNorm(width, eps=config.eps, bias=config.norm_bias)
        self.attn_norm: nn.Module = norm if i else nn.Identity()
        self.attn = ModernBertAttention(config)
        self.mlp_norm = nn.LayerNorm(width, eps=config.eps, bias=config.norm_bias)
        self.mlp = ModernBertFeedForward(config)

    def queries(self, hidden: Tensor, positions: Tensor) -> Tensor:
        """Implement `EncoderLayer`."""
        (queries,) = self.attn.project(self.attn_norm(hidden), slice(0, 1))
        return self._rotated(self.in_heads(queries), positions)

    def keys_values(self, hidden: Tensor, positions: Tensor) -> Projected:
        """Implement `EncoderLayer`."""
        keys, values = self.attn.project(self.attn_norm(hidden), slice(1, 3))
        return Projected(self._rotated(self.in_heads(keys), positions), self.in_heads(values))

    def finish(self, context: Tensor, hidden: Tensor) -> Tensor:
        """Implement `EncoderLayer`."""
        attended = hidden + self.attn(join_heads(context))
        return cast(Tensor, attended + self.mlp(self.mlp_norm(attended)))

    def _rotated(self, vectors: Tensor, positions: Tensor) -> Tensor:
        angles = positions[:, None, :, None].float() * self.frequencies.to(positions.device)
        angles = torch.cat([angles, angles], dim=-1)
        left, right = vectors.chunk(2, dim=-1)
        turned = torch.cat([-right, left], dim=-1)
        return (vectors * angles.cos() + turned * angles.sin()).to(vectors.dtype)


class ModernBertEncoder(Encoder):
    """ModernBERT. Positions tell distances only, so that a text's words and its prefix stay neighbours."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = ModernBertEmbeddings(config)
        self.layers = nn.ModuleList(ModernBertLayer(config, i) for i in range(config.num_hidden_layers))
        self.final_norm = nn.LayerNorm(config.hidden_size, eps=config.eps, bias=config.norm_bias)

    @property
    def stack(self) -> MutableSequence[EncoderLayer]:
        """Implement `Encoder`."""
        return cast(MutableSequence[EncoderLayer], self.layers)

    def text_positions(self, length: int) -> Tensor:
        """Implement `Encoder`."""
        return torch.arange(TEXT_START - 1, TEXT_START - 1 + length)

    def type_positions(self, length: int) -> Tensor:
        """Implement `Encoder`."""
        return torch.arange(length)

    def embed(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """Implement `Encoder`."""
        return cast(Tensor, self.embeddings(input_ids))

    def finalize(self, hidden: Tensor) -> Tensor:
        """Implement `Encoder`."""
        return cast(Tensor, self.final_norm(hidden))
