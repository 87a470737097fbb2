"""BERT, RoBERTa and their like: learnt absolute positions, norms behind each block."""

from collections.abc import Mapping, MutableSequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from .base import ACTIVATIONS, TEXT_START, Encoder, EncoderLayer, FeedForward, Projected, Residual, join_heads
from .config import ConfigValues, EncoderConfig, read_sizes

DEFAULTS = {"num_hidden_layers": 12, "intermediate_size": 3072, "max_position_embeddings": 512}
# RoBERTa and its like number positions from behind the padding index on.
OFFSET = ("roberta", "xlm-roberta", "camembert")


@dataclass(frozen=True)
class BertConfig(EncoderConfig):
    """Settings of BERT and its like.

    activation: Of feed-forward blocks; see `ACTIVATIONS`.
    dropout: In training, of embeddings and of each block.
    eps: Of norms.
    type_vocab_size: Kinds of sentences. All are of the first here.
    """

    activation: str
    dropout: float
    eps: float
    type_vocab_size: int

    @classmethod
    def read(cls, content: Mapping[str, Any], vocab_size: int) -> "BertConfig":
        """Read a config; see `read_sizes`."""
        values = ConfigValues(content)
        # Positions by distance have weights of their own.
        values.choice("position_embedding_type", "absolute", ["absolute"])
        has_offset = content["model_type"] in OFFSET
        sizes = read_sizes(values, vocab_size, {**DEFAULTS, "pad_token_id": int(has_offset)})
        if has_offset and (sizes["pad_token_id"] or 0) >= sizes["max_position_embeddings"]:
            raise ValueError("positions begin behind pad_token_id, and there are none")
        return cls(
            **sizes,
            activation=values.choice("hidden_act", "gelu", ACTIVATIONS),
            dropout=values.number("hidden_dropout_prob", 0.1),
            eps=values.number("layer_norm_eps", 1e-12),
            type_vocab_size=values.whole("type_vocab_size", 2),
        )


class BertEmbeddings(nn.Module):
    """Embeddings of subwords, positions and the first kind of sentences."""

    def __init__(self, config: BertConfig, position_padding: int | None = None) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width, padding_idx=position_padding)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """*Shape:* (rows, subwords) to (rows, subwords, width)."""
        hidden = self.word_embeddings(input_ids) + self.token_type_embeddings(torch.zeros_like(input_ids))
        hidden = self.LayerNorm(hidden + self.position_embeddings(positions))
        return cast(Tensor, self.dropout(hidden))


class BertLayer(EncoderLayer):
    """A layer of BERT and its like."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.heads = config.num_attention_heads
        projections = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        attended = Residual(width, width, config.dropout, config.eps)
        self.attention = nn.ModuleDict({"self": projections, "output": attended})
        self.intermediate = FeedForward(width, inner, config.activation)
        self.output = Residual(inner, width, config.dropout, config.eps)

    def queries(self, hidden: Tensor, positions: Tensor) -> Tensor:
        """Implement `EncoderLayer`."""
        return self._project("query", hidden)

    def keys_values(self, hidden: Tensor, positions: Tensor) -> Projected:
        """Implement `EncoderLayer`."""
        return Projected(self._project("key", hidden), self._project("value", hidden))

    def finish(self, context: Tensor, hidden: Tensor) -> Tensor:
        """Implement `EncoderLayer`."""
        attended = self.attention["output"](join_heads(context), hidden)
        return cast(Tensor, self.output(self.intermediate(attended), attended))

    def _project(self, name: str, hidden: Tensor) -> Tensor:
        projections = cast(nn.ModuleDict, self.attention["self"])
        return self.in_heads(projections[name](hidden))


class BertEncoder(Encoder):
    """BERT, RoBERTa and their like.

    first_position: The row of the table of positions that position 0 has.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        has_offset = config.model_type in OFFSET
        padding = (config.pad_token_id or 0) if has_offset else None
        self.first_position = 0 if padding is None else padding + 1
        self.embeddings = BertEmbeddings(config, padding)
        layers = nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))
        self.encoder = nn.ModuleDict({"layer": layers})

    @property
    def stack(self) -> MutableSequence[EncoderLayer]:
        """Implement `Encoder`."""
        return cast(MutableSequence[EncoderLayer], self.encoder["layer"])

    def text_positions(self, length: int) -> Tensor:
        """Implement `Encoder`. The prefix ([CLS]) keeps position 0."""
        return text_positions(length)

    def type_positions(self, length: int) -> Tensor:
        """Implement `Encoder`."""
        return torch.arange(1, length + 1)

    def embed(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """Implement `Encoder`."""
        return cast(Tensor, self.embeddings(input_ids, positions + self.first_position))


def text_positions(length: int) -> Tensor:
    """Return the absolute positions of a text: those of types lie between its prefix and its words."""
    steps = torch.arange(length)
    return torch.where(steps > 0, steps + TEXT_START - 1, steps)
