"""The text encoder in ONNX Runtime: exported once, kept as a file, the rest of the network stays in PyTorch."""

import os
import tempfile
import warnings
import weakref
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...nn.last_layer import at
from .network import Network

FILES = {False: "encoder.float32.onnx", True: "encoder.int8.onnx"}
OPSET = 17

_SESSIONS: weakref.WeakSet[Any] = weakref.WeakSet()
_OF_PARENTS: list[Any] = []


def _keep() -> None:
    """Keep the sessions of the parent in a forked process, those too that are nobody's any more.

    Destroying one waits for its threads, which a fork does not copy: for ever, whenever garbage is collected.
    """
    _OF_PARENTS.extend(_SESSIONS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep)


class OnnxEncoder:
    """A `TextEncoder` over an exported file. Sessions of ONNX Runtime may be shared between threads."""

    def __init__(self, file: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # As many threads as PyTorch was told to use: users limit both with torch.set_num_threads.
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        _SESSIONS.add(self._session)

    @classmethod
    def of(cls, network: Network, directory: Path, *, int8: bool) -> "OnnxEncoder":
        """Open the exported encoder of a network, exporting it first where the file is not there.

        directory (Path): Where the files are kept.
        int8 (bool): Weights in 8 bits, activations quantised as they come, instead of float32.
        """
        directory.mkdir(parents=True, exist_ok=True)
        plain = directory / FILES[False]
        if not plain.is_file():
            _write(plain, lambda target: export(network.encoder, target))
        if int8 and not (directory / FILES[True]).is_file():
            _write(directory / FILES[True], lambda target: quantise(plain, target))
        return cls(directory / FILES[int8])

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Encode a batch; see `TextEncoder`."""
        feed = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        return at(torch.from_numpy(self._session.run(["hidden"], feed)[0]), positions)


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
    axes = {0: "batch", 1: "pieces"}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns about every shape that the model looks at
        torch.onnx.export(
            Hidden().eval(),
            (input_ids, attention_mask),
            str(target),
            input_names=["input_ids", "attention_mask"],
            output_names=["hidden"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "hidden": axes},
            opset_version=OPSET,
            dynamo=False,
        )


def quantise(source: Path, target: Path) -> None:
    """Quantise the matrix products of an exported encoder dynamically.

    Weights are unsigned: signed ones overflow the 16-bit sums of x86 CPUs without VNNI instructions, which cost
    the default weights half a point of F1, and 7-bit ones cost more. Embeddings stay as they are.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    products = ["MatMul"]
    quantize_dynamic(
        str(source), str(target), weight_type=QuantType.QUInt8, per_channel=True, op_types_to_quantize=products
    )


def _write(file: Path, make: Any) -> None:
    """Make a file under another name first, so that no reader meets half of it (two processes may export)."""
    with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
        draft = Path(scratch) / file.name
        make(draft)
        os.replace(draft, file)
