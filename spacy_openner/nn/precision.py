"""Precisions that networks predict in: which one a device does well."""

import copy
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from ..errors import error

Precision = Literal["auto", "float32", "bfloat16", "float16", "int8"]
PRECISIONS: tuple[str, ...] = ("auto", "float32", "bfloat16", "float16")
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

N = TypeVar("N", bound=nn.Module)


def resolve(precision: str, device: torch.device) -> str:
    """Turn "auto" into a precision of PyTorch's, and refuse what a device cannot do well.

    precision (str): One of `PRECISIONS`.
    RETURNS (str): For "auto" "bfloat16" where the CPU has instructions for it; else "float32".
    RAISES (SettingError): For float16 on a CPU.
    """
    if precision == "auto":
        return "bfloat16" if device.type == "cpu" and has_fast_bfloat16() else "float32"
    if precision == "float16" and device.type == "cpu":
        raise error("O007", value=precision)
    return precision


def has_fast_bfloat16() -> bool:
    """Tell whether this CPU multiplies bfloat16 natively; emulation is several times slower than float32."""
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        if getattr(torch.cpu, name, lambda: False)():
            return True
    return False


def prepared(network: N, precision: str, device: torch.device) -> N:
    """Prepare a network for prediction.

    network (nn.Module): In float32; it stays so.
    precision (str): As `resolve` returns it.
    RETURNS (nn.Module): The network itself for float32, else a copy; on the device.
    """
    if precision != "float32":
        network = _converted(network, _TYPES[precision])
    return network.to(device)


def _converted(network: N, dtype: torch.dtype) -> N:
    """Copy a network with its numbers in another type, without a copy of them in their own type on the way."""
    memo: dict[int, Any] = {}
    for value in (*network.parameters(), *network.buffers()):
        if value.is_floating_point():
            other = value.detach().to(dtype)
            memo[id(value)] = nn.Parameter(other, value.requires_grad) if isinstance(value, nn.Parameter) else other
    return copy.deepcopy(network, memo)
