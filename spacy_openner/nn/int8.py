"""Weights in a byte a number: each row of a matrix is scaled to the range of int8, and expanded when it is loaded.

A row keeps its largest number to 1 part in 254. Vectors (biases, norms) stay as they are.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .weights import unusable

FILE = "model.int8.safetensors"
_SCALE = ".row_scale"
_LARGEST = 127


def save(state: Mapping[str, Tensor], directory: Path) -> None:
    """Write weights as `FILE`. A table that is there under two names is written once, under the first."""
    written: set[int] = set()
    stored: dict[str, Tensor] = {}
    for name, value in state.items():
        if value.data_ptr() in written:
            continue
        written.add(value.data_ptr())
        if value.ndim != 2 or not value.is_floating_point():
            stored[name] = value.detach().contiguous()
            continue
        scale = (value.detach().float().abs().amax(1, keepdim=True) / _LARGEST).clamp(min=1e-12)
        stored[name] = (value.detach().float() / scale).round().to(torch.int8)
        stored[name + _SCALE] = scale
    save_file(stored, directory / FILE)


def is_chosen(directory: Path) -> bool:
    """Tell whether a directory's weights are the rounded ones.

    RAISES (ValueError): When whole ones stand beside them: there is no telling which are newer.
    """
    whole = [file.name for file in directory.glob("model*.safetensors") if file.name != FILE]
    if (directory / FILE).is_file() and whole:
        raise ValueError(f"it holds {FILE} and {', '.join(sorted(whole))}, one of which is older: remove that one")
    return (directory / FILE).is_file()


def load(directory: Path) -> dict[str, Tensor]:
    """Read what `save` wrote, in float32.

    RAISES (ValueError): For numbers that are not finite, and for scales of what has none.
    """
    stored = load_file(directory / FILE)
    scales = {name: stored.pop(name) for name in [*stored] if name.endswith(_SCALE)}
    checked = dict(stored)
    for name, scale in scales.items():
        rows = stored.get(name.removesuffix(_SCALE))
        if rows is None or rows.dtype != torch.int8 or rows.ndim != 2 or scale.shape != (len(rows), 1):
            raise ValueError(f"{name} is no scale of rows that are there")
        stored[name.removesuffix(_SCALE)] = rows * scale
        # The largest number of a row tells of all of it, in a fraction of the time.
        checked[name.removesuffix(_SCALE)] = scale * _LARGEST if rows.numel() else rows
    if bad := unusable(checked):
        raise ValueError(f"its weights are no finite numbers in {bad[:5]}")
    return {name: value.float() if value.is_floating_point() else value for name, value in stored.items()}
