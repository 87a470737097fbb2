"""MPNet: absolute positions, and a bias by distance that all layers share."""

import math
from collections.abc import Mapping, MutableSequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from .base import ACTIVATIONS, Encoder, EncoderLayer, FeedForward, Projected, Residual, join_heads
from .bert import DEFAULTS, text_positions
from .config import ConfigValues, EncoderConfig, read_sizes

# The row of both embeddings that stands for padding, whatever a config says; positions begin behind it.
PADDING = 1
# Longer distances share a bucket.
MOST_DISTANCE = 128
# How many distances transformers tells apart, both directions together. Further rows, which a config may ask for, are
# not read.
BUCKETS = 32


@dataclass(frozen=True)
class MPNetConfig(EncoderConfig):
    """Settings of MPNet.

    activation: Of feed-forward blocks; see `ACTIVATIONS`.
    dropout: In training, of embeddings and of each block.
    eps: Of norms.
    buckets: Rows of the table of distances, of which the first `BUCKETS` are read.
    """

    activation: str
    dropout: float
    eps: float
    buckets: int

    @classmethod
    def read(cls, content: Mapping[str, Any], vocab_size: int) -> "MPNetConfig":
        """Read a config; see `read_sizes`."""
        values = ConfigValues(content)
        return cls(
            **read_sizes(values, vocab_size, {**DEFAULTS, "pad_token_id": PADDING}),
            activation=values.choice("hidden_act", "gelu", ACTIVATIONS),
            dropout=values.number("hidden_dropout_prob", 0.1),
            eps=values.number("layer_norm_eps", 1e-12),
            buckets=values.whole("relative_attention_num_buckets", 32, least=BUCKETS, most=4096),
        )


class MPNetEmbeddings(nn.Module):
    """Embeddings of subwords and positions."""

    def __init__(self, config: MPNetConfig) -> None:
        super().__init__()
        width, positions = config.hidden_size, config.max_position_embeddings
        if min(config.vocab_size, positions) <= PADDING:
            raise ValueError(
                f"it has {config.vocab_size} subwords and {positions} positions, and padding is one of them"
            )
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=PADDING)
        self.position_embeddings = nn.Embedding(positions, width, padding_idx=PADDING)
        self.LayerNorm = nn.LayerNorm(width, eps=config.eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """*Shape:* (rows, subwords) to (rows, subwords, width)."""
        hidden = self.word_embeddings(input_ids) + self.position_embeddings(positions)
        return cast(Tensor, self.dropout(self.LayerNorm(hidden)))


class MPNetAttention(nn.Module):
    """The projections of attention, and what follows it."""

    def __init__(self, config: MPNetConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.attn = nn.ModuleDict({name: nn.Linear(width, width) for name in "qkvo"})
        self.LayerNorm = nn.LayerNorm(width, eps=config.eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, context: Tensor, hidden: Tensor) -> Tensor:
        """Add what was attended to. *Shape of all:* (rows, subwords, width)."""
        return cast(Tensor, self.LayerNorm(self.dropout(self.attn["o"](context)) + hidden))


class MPNetLayer(EncoderLayer):
    """A layer of MPNet."""

    def __init__(self, config: MPNetConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.heads = config.num_attention_heads
        self.attention = MPNetAttention(config)
        self.intermediate = FeedForward(width, inner, config.activation)
        self.output = Residual(inner, width, config.dropout, config.eps)

    def queries(self, hidden: Tensor, positions: Tensor) -> Tensor:
        """Implement `EncoderLayer`."""
        return self.in_heads(self.attention.attn["q"](hidden))

    def keys_values(self, hidden: Tensor, positions: Tensor) -> Projected:
        """Implement `EncoderLayer`."""
        projections = self.attention.attn
        return Projected(self.in_heads(projections["k"](hidden)), self.in_heads(projections["v"](hidden)))

    def finish(self, context: Tensor, hidden: Tensor) -> Tensor:
        """Implement `EncoderLayer`."""
        attended = self.attention(join_heads(context), hidden)
        return cast(Tensor, self.output(self.intermediate(attended), attended))


class MPNetEncoder(Encoder):
    """MPNet.

    To a text, every type lies farther back than the table of distances reaches: a type's keys are the same from each
    of the text's positions. The table of distances is not trained: PyTorch's fused attention has no gradient for it.
    """

    def __init__(self, config: MPNetConfig) -> None:
        super().__init__()
        self.config: MPNetConfig = config
        self.embeddings = MPNetEmbeddings(config)
        layers = nn.ModuleList(MPNetLayer(config) for _ in range(config.num_hidden_layers))
        distances = nn.Embedding(config.buckets, config.num_attention_heads)
        self.encoder = nn.ModuleDict({"layer": layers, "relative_attention_bias": distances})

    @property
    def stack(self) -> MutableSequence[EncoderLayer]:
        """Implement `Encoder`."""
        return cast(MutableSequence[EncoderLayer], self.encoder["layer"])

    def text_positions(self, length: int) -> Tensor:
        """Implement `Encoder`. The prefix keeps position 0."""
        return text_positions(length)

    def type_positions(self, length: int) -> Tensor:
        """Implement `Encoder`."""
        return torch.arange(1, length + 1)

    def embed(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """Implement `Encoder`."""
        return cast(Tensor, self.embeddings(input_ids, positions + PADDING + 1))

    def bias(self, length: int) -> Tensor | None:
        """Implement `Encoder`."""
        table = self._distances
        steps = torch.arange(length, device=table.device)
        buckets = bucket_of(steps[None, :] - steps[:, None])
        return table[buckets].permute(2, 0, 1)[None]

    def type_bias(self) -> Tensor | None:
        """Implement `Encoder`."""
        table = self._distances
        far = bucket_of(torch.tensor([-(2**20)]))
        return table[far.to(table.device)].reshape(1, -1, 1, 1)

    @property
    def _distances(self) -> Tensor:
        return cast(nn.Embedding, self.encoder["relative_attention_bias"]).weight.detach()


def bucket_of(distances: Tensor) -> Tensor:
    """Return the buckets of distances, as T5 has them (Raffel et al. 2020, section 2.1): half of them for each
    direction, and of these half for single steps, half for ever longer ranges.

    distances (Tensor): How many subwords what is seen lies behind what sees it; below 0 before it.
    RETURNS (Tensor): *Shape:* that of the distances, int64.
    """
    half, steps = BUCKETS // 2, -distances
    behind = (steps < 0).long() * half
    steps = steps.abs()
    single = half // 2
    # What is no step yet is replaced below, and its logarithm with it.
    share = torch.log(steps.float() / single) / math.log(MOST_DISTANCE / single)
    ranges = (single + (share * (half - single)).long()).clamp(max=half - 1)
    return behind + torch.where(steps < single, steps, ranges)
