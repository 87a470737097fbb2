"""The last layer of a BERT-like encoder, run only where its output is read.

A GLiNER network reads the vectors of types and of each word's first subword. The other positions of the last
layer (further subwords, commas, separators, padding) serve nobody: every position is needed there as key and value,
but only those that are read as query, and in the feed-forward block that is two thirds of a layer. Exact.
"""

import copy
from typing import Any, Protocol

import torch
from torch import nn


class TextEncoder(Protocol):
    """Turns subwords into vectors. PyTorch and ONNX Runtime stand behind it; its callers cannot tell."""

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Encode a padded batch.

        input_ids (torch.Tensor): Subword ids. *Shape:* (batch, subwords), int64.
        attention_mask (torch.Tensor): 1 for subwords, 0 for padding. *Shape:* (batch, subwords), int64.
        positions (torch.Tensor): The subwords whose vectors are wanted. *Shape:* (batch, wanted), int64.
        RETURNS (torch.Tensor): *Shape:* (batch, wanted, width).
        """
        ...


# Layers that are laid out alike: attention.self.{query,key,value}, attention.output, intermediate, output.
BERT_LIKE = ("bert", "camembert", "roberta", "xlm-roberta")


def at(vectors: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Take each row's vectors at positions.

    vectors (torch.Tensor): *Shape:* (batch, subwords, width).
    positions (torch.Tensor): *Shape:* (batch, wanted), int64.
    RETURNS (torch.Tensor): *Shape:* (batch, wanted, width).
    """
    rows = torch.arange(len(positions), device=positions.device)[:, None]
    return vectors[rows, positions]


def supports(encoder: nn.Module) -> bool:
    """Tell whether an encoder has a last layer of the known layout (relative positions are not)."""
    config: Any = getattr(encoder, "config", None)
    absolute = getattr(config, "position_embedding_type", "absolute") == "absolute"
    return getattr(config, "model_type", None) in BERT_LIKE and absolute and len(_layers(encoder)) > 0


class ShortLastLayer:
    """A `TextEncoder` that computes an encoder's output at the positions asked for, and nowhere else.

    encoder (nn.Module): A Hugging Face encoder that `supports` accepts; its modules are shared, not copied.
    """

    def __init__(self, encoder: nn.Module) -> None:
        layers = _layers(encoder)
        self.layer: Any = layers[-1]
        self.body: Any = _replaced(
            encoder, "encoder", _replaced(_stack(encoder), "layer", nn.ModuleList(list(layers)[:-1]))
        )

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Encode a batch; see `TextEncoder`."""
        hidden = self.body(input_ids=input_ids, attention_mask=attention_mask)[0]
        layer, read = self.layer, at(hidden, positions)
        attended = layer.attention.output(self._attend(read, hidden, attention_mask), read)
        output: torch.Tensor = layer.output(layer.intermediate(attended), attended)
        return output

    def _attend(self, read: torch.Tensor, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Self-attention whose queries are some of the positions. *Shape:* (batch, wanted, width)."""
        attention = self.layer.attention.self

        def heads(vectors: torch.Tensor) -> torch.Tensor:
            return vectors.unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)

        context = nn.functional.scaled_dot_product_attention(
            heads(attention.query(read)),
            heads(attention.key(hidden)),
            heads(attention.value(hidden)),
            attn_mask=attention_mask.bool()[:, None, None, :].expand(-1, 1, read.shape[1], -1),
            dropout_p=attention.dropout.p if attention.training else 0.0,
        )
        return context.transpose(1, 2).flatten(2)


def _stack(encoder: nn.Module) -> nn.Module:
    stack: nn.Module = encoder.get_submodule("encoder")
    return stack


def _layers(encoder: nn.Module) -> Any:
    return getattr(_stack(encoder), "layer", ())


def _replaced(module: nn.Module, name: str, child: nn.Module) -> nn.Module:
    """A shallow copy of a module with another child: parameters stay the same objects."""
    twin = copy.copy(module)
    twin._modules = {**module._modules, name: child}
    return twin
