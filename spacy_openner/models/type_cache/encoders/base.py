"""An encoder and its layers, as the network of the type cache asks them."""

from collections.abc import Callable, MutableSequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ....nn.fused import linear_gelu
from .config import EncoderConfig

# Where the words of texts begin: behind the positions of all but the longest types.
TEXT_START = 32

Activation = Callable[[Tensor], Tensor]


def _tanh_gelu(inputs: Tensor) -> Tensor:
    return functional.gelu(inputs, approximate="tanh")


ACTIVATIONS: dict[str, Activation] = {
    "gelu": functional.gelu,
    "gelu_python": functional.gelu,
    "gelu_new": _tanh_gelu,
    "gelu_fast": _tanh_gelu,
    "gelu_pytorch_tanh": _tanh_gelu,
    "relu": functional.relu,
    "silu": functional.silu,
    "swish": functional.silu,
    "tanh": torch.tanh,
}
"""The activations by the names that configs have for them."""


class Projected(NamedTuple):
    """Keys and values in heads. *Shape of each:* (rows, heads, subwords, size)."""

    keys: Tensor
    values: Tensor


class EncoderLayer(nn.Module):
    """One layer of an encoder.

    heads: Of its attention.
    sees_types: Whether texts attend to types in this layer.
    reach: How many subwords away a text's subword sees another one of the text; None for all.
    """

    heads: int
    sees_types: bool = True
    reach: int | None = None

    def queries(self, hidden: Tensor, positions: Tensor) -> Tensor:
        """Project to queries. *Shape:* (rows, subwords, width) to (rows, heads, subwords, size)."""
        raise NotImplementedError

    def keys_values(self, hidden: Tensor, positions: Tensor) -> Projected:
        """Project to keys and values."""
        raise NotImplementedError

    def finish(self, context: Tensor, hidden: Tensor) -> Tensor:
        """Compute all that follows attention: output projection, residuals, norms, feed-forward block.

        context (Tensor): What was attended to. *Shape:* (rows, heads, subwords, size).
        hidden (Tensor): The layer's input at the same subwords. *Shape:* (rows, subwords, width).
        RETURNS (Tensor): The layer's output. *Shape:* (rows, subwords, width).
        """
        raise NotImplementedError

    def in_heads(self, vectors: Tensor) -> Tensor:
        """Split vectors into heads. *Shape:* (rows, subwords, width) to (rows, heads, subwords, size)."""
        return vectors.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def join_heads(context: Tensor) -> Tensor:
    """Undo `EncoderLayer.in_heads`."""
    return context.transpose(1, 2).flatten(2)


class Encoder(nn.Module):
    """An encoder as its parts. Positions count from 0, wherever the encoder's own table begins.

    config: What it was built of.
    """

    config: EncoderConfig

    @property
    def stack(self) -> MutableSequence[EncoderLayer]:
        """The layers, the first one first."""
        raise NotImplementedError

    def text_positions(self, length: int) -> Tensor:
        """The positions of a text's prefix, words and suffix. *Shape:* (length,)."""
        raise NotImplementedError

    def type_positions(self, length: int) -> Tensor:
        """The positions of a type's marker and name, the same for all types. *Shape:* (length,)."""
        raise NotImplementedError

    def embed(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """Look up embeddings. *Shape:* (rows, subwords) to (rows, subwords, width)."""
        raise NotImplementedError

    def finalize(self, hidden: Tensor) -> Tensor:
        """Apply what follows the last layer."""
        return hidden

    def bias(self, length: int) -> Tensor | None:
        """Return the addition to attention scores by the distance of two subwords of one sequence, in each layer alike.

        RETURNS (Tensor | None): *Shape:* (1, heads, length, length); without gradient. None for nothing.
        """
        return None

    def type_bias(self) -> Tensor | None:
        """Return the addition to attention scores between a text and any type. *Shape:* (1, heads, 1, 1)."""
        return None

    def sees_types(self, blind_layers: int) -> bool:
        """Tell whether texts would see types in any layer behind the first ones."""
        return any(layer.sees_types for layer in list(self.stack)[blind_layers:])


class FeedForward(nn.Module):
    """The first half of a feed-forward block: `dense` and an activation."""

    def __init__(self, width: int, inner: int, activation: str) -> None:
        super().__init__()
        self.dense = nn.Linear(width, inner)
        self.activation = ACTIVATIONS[activation]

    def forward(self, hidden: Tensor) -> Tensor:
        """*Shape:* (rows, subwords, width) to (rows, subwords, inner). Of activations, GELU is by far the commonest."""
        if self.activation is functional.gelu:
            return linear_gelu(self.dense, hidden)
        return self.activation(self.dense(hidden))


class Residual(nn.Module):
    """The second half of a block: `dense`, dropout, the sum with the block's input, and a norm."""

    def __init__(self, inner: int, width: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inner: Tensor, hidden: Tensor) -> Tensor:
        """*Shapes:* (rows, subwords, inner), (rows, subwords, width) to (rows, subwords, width)."""
        normed: Tensor = self.LayerNorm(self.dropout(self.dense(inner)) + hidden)
        return normed
