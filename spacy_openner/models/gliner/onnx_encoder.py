"""The text encoder in ONNX Runtime; the rest of the network stays in PyTorch."""

from pathlib import Path

import torch
from torch import nn

from ...nn import onnx
from ...nn.last_layer import at

INPUTS = ["input_ids", "attention_mask"]


class OnnxEncoder:
    """A `TextEncoder` over an exported file; see `nn.onnx.OnnxGraph`.

    encoder (nn.Module): A Hugging Face encoder, in evaluation mode.
    directory (Path): Where the files are kept.
    int8 (bool): Weights in 8 bits, activations quantised as they come, instead of float32.
    RAISES (CheckpointError): When the file is damaged or another model's.
    """

    def __init__(self, encoder: nn.Module, directory: Path, *, int8: bool) -> None:
        self._graph = onnx.OnnxGraph.of(encoder, directory, INPUTS, lambda target: export(encoder, target), int8=int8)

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Encode a batch; see `TextEncoder`."""
        return at(self._graph({"input_ids": input_ids, "attention_mask": attention_mask}), positions)


def export(encoder: nn.Module, target: Path) -> None:
    """Write an encoder as ONNX, with free batch size and length.

    encoder (nn.Module): A Hugging Face encoder, in evaluation mode.
    target (Path): The file.
    """

    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
            return hidden

    # Two rows, the second padded, so that the trace takes the path with a mask.
    input_ids = torch.ones((2, 8), dtype=torch.int64)
    attention_mask = torch.ones((2, 8), dtype=torch.int64)
    attention_mask[1, 5:] = 0
    free = {0: "batch", 1: "subwords"}
    examples = dict(zip(INPUTS, (input_ids, attention_mask), strict=True))
    onnx.export(Hidden(), examples, dict.fromkeys([*INPUTS, onnx.OUTPUT], free), target)
