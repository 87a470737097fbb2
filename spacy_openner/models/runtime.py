"""How a network is run for prediction: on which device, in which precision, by which backend."""

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from ..errors import error
from ..types import TextEncoder
from .gliner_checkpoint import Checkpoint
from .network import Network

Precision = Literal["auto", "float32", "bfloat16", "float16", "int8"]
Backend = Literal["torch", "onnx"]
PRECISIONS: tuple[str, ...] = ("auto", "float32", "bfloat16", "float16", "int8")
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
    from .. import compat

    if precision not in PRECISIONS:
        raise error("O001", name="precision", value=precision, allowed=", ".join(PRECISIONS))
    if backend not in BACKENDS:
        raise error("O001", name="backend", value=backend, allowed=", ".join(BACKENDS))
    if backend == "onnx":
        if precision not in ("auto", "float32", "int8"):
            allowed = "auto, float32, int8 (with backend 'onnx')"
            raise error("O001", name="precision", value=precision, allowed=allowed)
        if not compat.has_onnx:
            raise error("O301", what="backend 'onnx'", package="onnxruntime", extra="onnx")


def resolve(precision: Precision, backend: Backend, device: torch.device) -> str:
    """Turn "auto" into a precision, and refuse what a device cannot do well.

    RETURNS (str): "bfloat16" where the CPU has instructions for it and PyTorch runs; else "float32".
    RAISES (SettingError): For float16 on a CPU, and for int8 on a GPU.
    """
    if precision == "auto":
        fast = backend == "torch" and device.type == "cpu" and has_fast_bfloat16()
        return "bfloat16" if fast else "float32"
    if precision == "float16" and device.type == "cpu":
        raise error("O007", value=precision)
    if precision == "int8" and device.type != "cpu":
        raise error("O008", device=str(device))
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
    if chosen == "int8":
        return Runtime(network, _quantised(network), device)
    if chosen != "float32":
        dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}[chosen]
        network = copy.deepcopy(network).to(dtype)
    return Runtime(network.to(device), None, device)


def _quantised(network: Network) -> TextEncoder:
    """Quantise the encoder's linear layers to 8 bits, weights once and activations as they come."""
    with warnings.catch_warnings():
        # PyTorch 2.10 announced that this moves to torchao, which has no such mode for x86 CPUs yet.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        encoder = torch.ao.quantization.quantize_dynamic(network.encoder, {torch.nn.Linear}, dtype=torch.qint8)

    def encode(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        return hidden

    return encode
