"""Networks ready to predict: on a device, in a precision, by a backend."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from ...errors import error
from ...nn import optional
from ...nn.last_layer import TextEncoder
from ...nn.precision import PRECISIONS, Precision, prepared, resolve
from .network import Network
from .onnx_encoder import OnnxEncoder
from .span_checkpoint import SpanCheckpoint

Backend = Literal["torch", "onnx"]
# PyTorch's own dynamic int8 is not offered: it cost the default weights 3.4 points of F1, ONNX Runtime's none.
ONNX_PRECISIONS: tuple[str, ...] = ("auto", "float32", "int8")
BACKENDS: tuple[str, ...] = ("torch", "onnx")


@dataclass(frozen=True)
class Runtime:
    """A network ready to predict; `encode` stands in for its own encoder where that is not None."""

    network: Network
    encode: TextEncoder | None
    device: torch.device


def check(precision: str, backend: str) -> None:
    """Check the two settings against each other, before anything is loaded.

    RAISES (SettingError): For an unknown value or a pair that does not go together.
    RAISES (MissingExtra): For backend "onnx" where ONNX Runtime is not installed.
    """
    if backend not in BACKENDS:
        raise error("O001", name="backend", value=backend, allowed=", ".join(BACKENDS))
    own = ONNX_PRECISIONS if backend == "onnx" else PRECISIONS
    if precision not in own:
        raise error("O001", name="precision", value=precision, allowed=f"{', '.join(own)} (with backend {backend!r})")
    if backend == "onnx" and not optional.has_onnx:
        raise error("O301", what="backend 'onnx'", package="onnxruntime", extra="onnx")


def build(
    checkpoint: SpanCheckpoint, precision: Precision, backend: Backend, device: torch.device, onnx_files: Path
) -> Runtime:
    """Prepare a checkpoint's network for prediction. The checkpoint itself stays in float32.

    onnx_files (Path): Where exported encoders are kept, and looked for first.
    RETURNS (Runtime): Sharing the checkpoint's tensors where the precision is float32.
    """
    network = checkpoint.network
    if backend == "onnx":
        encode = OnnxEncoder(network.encoder, onnx_files, int8=precision == "int8")
        return Runtime(network, encode, torch.device("cpu"))
    return Runtime(prepared(network, resolve(precision, device), device), None, device)
