"""The encoder of texts in ONNX Runtime: cached keys and values of types are inputs. Types are encoded in PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...nn import onnx
from .network import TypeCacheNetwork
from .states import AskedTypes, TextBatch

# Rows are encoded in parts whose attention scores, of one layer, stay below so many numbers (32 MB): the graph keeps
# them in memory, and they grow with the types asked for.
MOST_SCORES = 2**23


class OnnxTextEncoder:
    """`TypeCacheNetwork.encode_texts` over an exported file; see `nn.onnx.OnnxGraph`.

    network (TypeCacheNetwork): In evaluation mode.
    directory (Path): Where the files are kept.
    int8 (bool): Weights in 8 bits, activations quantised as they come, instead of float32.
    RAISES (CheckpointError): When the file is damaged or another model's.
    """

    def __init__(self, network: TypeCacheNetwork, directory: Path, *, int8: bool) -> None:
        self._graph = onnx.OnnxGraph.of(
            network.encoder, directory, _inputs(network), lambda target: export(network, target), int8=int8
        )

    def __call__(self, batch: TextBatch, types: AskedTypes) -> Tensor:
        """Encode a batch; see `TypeCacheNetwork.encode_texts`."""
        rows, length = batch.input_ids.shape
        heads = types.states.keys[0].shape[0]
        step = max(1, MOST_SCORES // (heads * length * (length + types.length)))
        parts = [slice(i, i + step) for i in range(0, rows, step)]
        return torch.cat([self._graph(_feed(batch.part(rows), types.part(rows))) for rows in parts])


def _inputs(network: TypeCacheNetwork) -> list[str]:
    cached = sum(layer.sees_types for layer in network.encoder.stack)
    return [
        *("input_ids", "attention_mask", "word_positions", "types_mask"),
        *(f"{name}.{i}" for i in range(cached) for name in ("keys", "values")),
    ]


def _feed(batch: TextBatch, types: AskedTypes) -> dict[str, Tensor]:
    feed = {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask,
        "word_positions": batch.word_positions,
        "types_mask": torch.ones(1, types.length, dtype=torch.bool) if types.mask is None else types.mask,
    }
    for i in range(len(types.states.keys)):
        feed[f"keys.{i}"], feed[f"values.{i}"] = types.keys_values(i)
    return feed


class _Texts(torch.nn.Module):
    """The encoder of texts, as a module of tensors."""

    def __init__(self, network: TypeCacheNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, word_positions: Tensor, types_mask: Tensor, *states: Tensor
    ) -> Tensor:
        batch = TextBatch(input_ids, attention_mask, word_positions)
        return self.network.encode_texts(batch, _Given(types_mask, states), attend=_attend)


@dataclass(frozen=True)
class _Given:
    """`SeenTypes` whose keys and values, one after the other, are given."""

    mask: Tensor
    states: Sequence[Tensor]

    @property
    def length(self) -> int:
        return self.mask.shape[1]

    def keys_values(self, layer: int) -> tuple[Tensor, Tensor]:
        return self.states[2 * layer], self.states[2 * layer + 1]


def _attend(
    queries: Tensor, own: tuple[Tensor, Tensor], types: tuple[Tensor, Tensor] | None, mask: Tensor, n_types: int
) -> Tensor:
    """Attend as `attention.attend` does, in operations that ONNX has, without a copy of shared keys for each row."""
    scaled = queries * queries.shape[-1] ** -0.5
    parts = [own] if types is None else [types, own]
    scores = torch.cat([scaled @ keys.transpose(-1, -2) for keys, _ in parts], dim=-1)
    if types is None:
        return (scores + mask[..., n_types:]).softmax(-1) @ own[1]
    shares = (scores + mask).softmax(-1)
    return shares[..., :n_types] @ types[1] + shares[..., n_types:] @ own[1]


def export(network: TypeCacheNetwork, target: Path) -> None:
    """Write the encoder of texts as ONNX, with free numbers of rows, subwords, words, and subwords of types.

    network (TypeCacheNetwork): In evaluation mode.
    target (Path): The file.
    """
    names = _inputs(network)
    device = next(network.parameters()).device
    with torch.no_grad():
        states = network.encode_types([torch.ones(n, dtype=torch.int64, device=device) for n in (2, 3)])
    # Two rows, the second padded; all sizes differ, and none is 1, so that no axis is taken for another.
    input_ids = torch.ones((2, 9), dtype=torch.int64)
    attention_mask = torch.ones((2, 9), dtype=torch.int64)
    attention_mask[1, 5:] = 0
    word_positions = torch.tensor([[1, 2, 3, 4, 5, 7], [1, 2, 3, -1, -1, -1]])
    batch = TextBatch(input_ids, attention_mask, word_positions)
    types = states.for_rows([[0, 1], [1, 0]])
    axes = {
        "input_ids": {0: "rows", 1: "subwords"},
        "attention_mask": {0: "rows", 1: "subwords"},
        "word_positions": {0: "rows", 1: "words"},
        "types_mask": {0: "lists", 1: "type_subwords"},
        **{name: {0: "lists", 2: "type_subwords"} for name in names[4:]},
        onnx.OUTPUT: {0: "rows", 1: "words"},
    }
    feed = _feed(batch, types)
    onnx.export(_Texts(network), {name: feed[name].to(device) for name in names}, axes, target)
