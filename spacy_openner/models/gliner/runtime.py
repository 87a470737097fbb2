"""How a network is run for prediction: on which device, in which precision, by which backend."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from ...errors import error
from ...nn.last_layer import TextEncoder
from .checkpoint import Checkpoint
from .network import Network

Precision = Literal["auto", "float32", "bfloat16", "float16", "int8"]
Backend = Literal["torch", "onnx"]
TORCH_PRECISIONS: tuple[str, ...] = ("auto", "float32", "bfloat16", "float16")
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
    from ...nn import optional as compat

    if backend not in BACKENDS:
        raise error("O001", name="backend", value=backend, allowed=", ".join(BACKENDS))
    own = ONNX_PRECISIONS if backend == "onnx" else TORCH_PRECISIONS
    if precision not in own:
        raise error("O001", name="precision", value=precision, allowed=f"{', '.join(own)} (with backend {backend!r})")
    if backend == "onnx" and not compat.has_onnx:
        raise error("O301", what="backend 'onnx'", package="onnxruntime", extra="onnx")


def resolve(precision: Precision, backend: Backend, device: torch.device) -> str:
    """Turn "auto" into a precision, and refuse what a device cannot do well.

    RETURNS (str): "bfloat16" where the CPU has instructions for it and PyTorch runs; else "float32".
    RAISES (SettingError): For float16 on a CPU.
    """
    if precision == "auto":
        fast = backend == "torch" and device.type == "cpu" and has_fast_bfloat16()
        return "bfloat16" if fast else "float32"
    if precision == "float16" and device.type == "cpu":
        raise error("O007", value=precision)
    return precision


def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 natively; emulation is several times slower than float32."""
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        if getattr(torch.cpu, name, lambda: False)():
            return True
    return False


def build(
    checkpoint: Checkpoint, precision: Precision, backend: Backend, device: torch.device, onnx_files: Path
) -> Runtime:
    """Prepare a checkpoint's network for prediction. The checkpoint itself stays in float32.

    onnx_files (Path): Where exported encoders are kept, and looked for first.
    RETURNS (Runtime): Sharing the checkpoint's tensors where the precision is float32.
    """
    network, chosen = checkpoint.network, resolve(precision, backend, device)
    if backend == "onnx":
        from .onnx_encoder import OnnxEncoder

        return Runtime(network, OnnxEncoder.of(network, onnx_files, int8=chosen == "int8"), torch.device("cpu"))
    if chosen != "float32":
        dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}[chosen]
        network = copy.deepcopy(network).to(dtype)
    return Runtime(network.to(device), None, device)
