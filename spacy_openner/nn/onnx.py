"""Encoders in ONNX Runtime: exported once, kept as files.

A file's name holds a fingerprint of what it was made of, so that it never stands in for others.
"""

import hashlib
import os
import re
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import error
from .backbones import hidden_size

FOLDER = "onnx"
PATTERN = "encoder.*.onnx*"
OPSET = 17
OUTPUT = "hidden"

_SESSIONS: weakref.WeakSet[Any] = weakref.WeakSet()
_OF_PARENTS: list[Any] = []


def _keep() -> None:
    """Keep the sessions of the parent in a forked process, those too that are nobody's any more.

    Destroying one waits for its threads, which a fork does not copy: for ever, whenever garbage is collected.
    """
    _OF_PARENTS.extend(_SESSIONS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep)


COMPUTES = re.compile(
    r"act(ivation)?(_fn|_function)?$|_eps$|epsilon|heads?$|rope|theta|bias|attention|attn|position|norm|proj"
)
"""Settings that weights are computed with. What a release of transformers adds beside them names no other encoder."""


def fingerprint(encoder: nn.Module) -> str:
    """Return a short name of an encoder: its weights, and what its config says to do with them."""
    config: Any = getattr(encoder, "config", None)
    values = {} if config is None or is_dataclass(config) else config.to_dict()
    plain = {name: value for name, value in values.items() if COMPUTES.search(name) and not name.startswith("_")}
    digest = hashlib.sha256((repr(config) if is_dataclass(config) else repr(sorted(plain.items()))).encode())
    for name, value in encoder.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def file_of(encoder: nn.Module, directory: Path, *, int8: bool) -> Path:
    """Return the path of an encoder's exported form."""
    return directory / f"encoder.{'int8' if int8 else 'float32'}.{fingerprint(encoder)}.onnx"


class ExportedFiles:
    """Where the exported forms of a network's encoder are kept. Copies of it know no files.

    beside (Path | None): The directory beside the weights, which may be read-only or not there.
    """

    def __init__(self, beside: Path | None = None) -> None:
        self._directory = beside if beside is not None and beside.is_dir() else None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def directory(self, encoder: nn.Module, *, int8: bool) -> Path:
        """Return the directory beside the weights, if the wanted form is there; else one that can be written to."""
        if self._directory is None or not file_of(encoder, self._directory, int8=int8).is_file():
            self._scratch = tempfile.TemporaryDirectory(prefix="spacy-openner-")
            self._directory = Path(self._scratch.name)
        return self._directory

    def copy_to(self, encoder: nn.Module, target: Path) -> None:
        """Copy the exported forms of an encoder, and remove those of others.

        target (Path): The directory that they belong to; made if there is something to copy.
        """
        source = self._directory
        if source is None and not target.is_dir():
            return
        own = f"encoder.*.{fingerprint(encoder)}.onnx*"
        for file in set(target.glob(PATTERN)) - set(target.glob(own)):
            file.unlink()
        for file in source.glob(own) if source is not None and source != target else ():
            target.mkdir(exist_ok=True)
            shutil.copyfile(file, target / file.name)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(self), ()


class OnnxGraph:
    """An exported encoder. Sessions of ONNX Runtime may be shared between threads.

    file (Path): What `export` or `quantise` wrote.
    inputs (Sequence[str]): Names of the graph's inputs.
    width (int): Width of its output.
    RAISES (CheckpointError): When the file is damaged or another model's.
    """

    def __init__(self, file: Path, inputs: Sequence[str], width: int) -> None:
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
        names = [value.name for value in self._session.get_inputs()]
        outputs = {value.name: value.shape[-1] for value in self._session.get_outputs()}
        if sorted(names) != sorted(inputs) or outputs.get(OUTPUT) != width:
            reason = f"it maps {names} to {outputs}, not {list(inputs)} to {OUTPUT!r} of width {width}"
            raise error("O105", path=str(file), reason=reason)

    @classmethod
    def of(
        cls,
        encoder: nn.Module,
        directory: Path,
        inputs: Sequence[str],
        export: Callable[[Path], None],
        *,
        int8: bool,
    ) -> "OnnxGraph":
        """Open the exported form of an encoder, exporting it first where the file is not there.

        encoder (nn.Module): A Hugging Face encoder, in evaluation mode.
        directory (Path): Where the files are kept.
        export (Callable): Writes the form in float32.
        int8 (bool): Weights in 8 bits, activations quantised as they come, instead of float32.
        """
        directory.mkdir(parents=True, exist_ok=True)
        plain, wanted = file_of(encoder, directory, int8=False), file_of(encoder, directory, int8=int8)
        if not wanted.is_file() and not plain.is_file():
            _write(plain, export)
        if not wanted.is_file():
            _write(wanted, lambda target: quantise(plain, target))
        return cls(wanted, inputs, hidden_size(encoder))

    def __call__(self, feed: Mapping[str, Tensor]) -> Tensor:
        """Run the graph. Contiguous tensors of the CPU are not copied."""
        arrays = {name: value.numpy(force=True) for name, value in feed.items()}
        return torch.from_numpy(self._session.run([OUTPUT], arrays)[0])


def export(
    module: nn.Module, examples: Mapping[str, Tensor], axes: Mapping[str, Mapping[int, str]], target: Path
) -> None:
    """Write a module as ONNX.

    module (nn.Module): In evaluation mode; it takes tensors by position and returns one.
    examples (Mapping[str, Tensor]): Inputs to trace it with, in order.
    axes (Mapping): Names of the free axes of each input and of `OUTPUT`.
    target (Path): The file.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns about every shape that the model looks at
        torch.onnx.export(
            module.eval(),
            tuple(examples.values()),
            str(target),
            input_names=list(examples),
            output_names=[OUTPUT],
            dynamic_axes={name: dict(free) for name, free in axes.items()},
            opset_version=OPSET,
            dynamo=False,
        )


def quantise(source: Path, target: Path) -> None:
    """Quantise the products of an exported encoder with its weights dynamically.

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
