"""The text encoder in ONNX Runtime: exported once, kept as a file, the rest of the network stays in PyTorch.

A file's name holds a fingerprint of the weights that it was made of, so that it never stands in for others.
"""

import hashlib
import os
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import error
from ...nn.backbones import hidden_size
from ...nn.last_layer import at

PATTERN = "encoder.*.onnx*"
OPSET = 17
INPUTS, OUTPUT = ["input_ids", "attention_mask"], "hidden"

_SESSIONS: weakref.WeakSet[Any] = weakref.WeakSet()
_OF_PARENTS: list[Any] = []


def _keep() -> None:
    """Keep the sessions of the parent in a forked process, those too that are nobody's any more.

    Destroying one waits for its threads, which a fork does not copy: for ever, whenever garbage is collected.
    """
    _OF_PARENTS.extend(_SESSIONS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep)


def fingerprint(encoder: nn.Module) -> str:
    """Return a short name of an encoder's weights."""
    digest = hashlib.sha256()
    for name, value in encoder.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def file_of(encoder: nn.Module, directory: Path, *, int8: bool) -> Path:
    """Return the path of an encoder's exported form."""
    return directory / f"encoder.{'int8' if int8 else 'float32'}.{fingerprint(encoder)}.onnx"


def copy_exported(encoder: nn.Module, source: Path | None, target: Path) -> None:
    """Copy the exported forms of an encoder, and remove those of others.

    source (Path | None): The directory where they may be.
    target (Path): The directory that they belong to; made if there is something to copy.
    """
    if source is None and not target.is_dir():
        return
    own = f"encoder.*.{fingerprint(encoder)}.onnx*"
    for file in set(target.glob(PATTERN)) - set(target.glob(own)):
        file.unlink()
    for file in source.glob(own) if source is not None and source != target else ():
        target.mkdir(exist_ok=True)
        shutil.copyfile(file, target / file.name)


class OnnxEncoder:
    """A `TextEncoder` over an exported file. Sessions of ONNX Runtime may be shared between threads."""

    def __init__(self, file: Path, width: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # As many threads as PyTorch was told to use: users limit both with torch.set_num_threads.
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        # Its exceptions share no base below this one.
        except Exception as problem:
            raise error("O105", path=str(file), reason=str(problem).splitlines()[0]) from problem
        _SESSIONS.add(self._session)
        inputs = [value.name for value in self._session.get_inputs()]
        outputs = {value.name: value.shape[-1] for value in self._session.get_outputs()}
        if sorted(inputs) != sorted(INPUTS) or outputs.get(OUTPUT) != width:
            reason = f"it maps {inputs} to {outputs}, not {INPUTS} to {OUTPUT!r} of width {width}"
            raise error("O105", path=str(file), reason=reason)

    @classmethod
    def of(cls, encoder: nn.Module, directory: Path, *, int8: bool) -> "OnnxEncoder":
        """Open the exported form of an encoder, exporting it first where the file is not there.

        encoder (nn.Module): A Hugging Face encoder, in evaluation mode.
        directory (Path): Where the files are kept.
        int8 (bool): Weights in 8 bits, activations quantised as they come, instead of float32.
        RAISES (CheckpointError): When the file is damaged or another model's.
        """
        directory.mkdir(parents=True, exist_ok=True)
        plain, wanted = file_of(encoder, directory, int8=False), file_of(encoder, directory, int8=int8)
        if not wanted.is_file() and not plain.is_file():
            _write(plain, lambda target: export(encoder, target))
        if not wanted.is_file():
            _write(wanted, lambda target: quantise(plain, target))
        return cls(wanted, hidden_size(encoder))

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Encode a batch; see `TextEncoder`."""
        feed = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        return at(torch.from_numpy(self._session.run([OUTPUT], feed)[0]), positions)


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
    axes = {0: "batch", 1: "subwords"}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns about every shape that the model looks at
        torch.onnx.export(
            Hidden().eval(),
            (input_ids, attention_mask),
            str(target),
            input_names=INPUTS,
            output_names=[OUTPUT],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, OUTPUT: axes},
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


def _write(file: Path, make: Callable[[Path], None]) -> None:
    """Make a file under another name first, so that no reader meets half of it (two processes may export)."""
    with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
        draft = Path(scratch) / file.name
        make(draft)
        os.replace(draft, file)
