"""Files of weights: read without running code, loaded strictly, written with one name for each tensor."""

import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ..errors import error
from ..json_files import NotJSON, load_json

WEIGHTS_FILE = "model.safetensors"
PICKLED_WEIGHTS_FILE = "pytorch_model.bin"
INDEX_FILE = "model.safetensors.index.json"
# Parts of a backbone that no score depends on: old exports carry or lack them, depending on the release.
OPTIONAL_PARTS = ("pooler.", "position_ids", "embeddings.token_type_ids")

# Saved by some releases beside weights, and made anew.
BUFFER = re.compile(r"(position_ids|token_type_ids|num_batches_tracked|relative_position_index)$")
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

KeyTable = Sequence[tuple[str, str]]
"""Published name and a network's own, by prefix; read in either direction."""


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read published names and tensors, in float32. Pickles are read with `weights_only=True`: they run no code.

    path (Path): A directory. Weights in several files are found by `model.safetensors.index.json`.
    RAISES (CheckpointError): When there is no file of weights, it is damaged, or holds numbers that are not finite.
    """
    file = path / WEIGHTS_FILE
    try:
        if file.is_file():
            tensors, aliases = _read_safetensors(file)
        elif (file := path / INDEX_FILE).is_file():
            parts = [_read_safetensors(path / name) for name in _parts(file)]
            tensors = {key: value for part, _ in parts for key, value in part.items()}
            aliases = {key: value for _, part in parts for key, value in part.items()}
        elif (file := path / PICKLED_WEIGHTS_FILE).is_file():
            tensors, aliases = torch.load(file, map_location="cpu", weights_only=True), {}
            if not isinstance(tensors, dict) or not all(map(torch.is_tensor, tensors.values())):
                raise error("O105", path=str(file), reason="it holds no tensors by name")
        else:
            raise error("O105", path=str(path), reason=f"no {WEIGHTS_FILE} or {PICKLED_WEIGHTS_FILE} there")
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as problem:
        raise error("O105", path=str(file), reason=str(problem)) from problem
    for omitted, kept in aliases.items():
        if kept in tensors:
            tensors.setdefault(omitted, tensors[kept])
    if bad := unusable(tensors):
        raise error("O105", path=str(file), reason=f"its weights are no finite numbers in {bad[:5]}")
    return {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}


def _read_safetensors(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read the tensors of a file, and its metadata."""
    with safe_open(file, framework="pt") as source:
        return {key: source.get_tensor(key) for key in source.keys()}, source.metadata() or {}  # noqa: SIM118


def _parts(index: Path) -> list[str]:
    """Read the names of the files that an index names.

    RAISES (CheckpointError): When it is damaged, names files elsewhere, or one that is not there.
    """
    try:
        names = sorted(set(load_json(index)["weight_map"].values()))
    except (NotJSON, KeyError, TypeError, AttributeError) as problem:
        raise error("O105", path=str(index), reason=str(problem) or "no weight_map") from problem
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not (index.parent / name).is_file():
            raise error("O105", path=str(index), reason=f"it names {name!r}, which is no file beside it")
    return names


def unusable(weights: Mapping[str, torch.Tensor]) -> list[str]:
    """Name the tensors that are no finite numbers, with what they are. Networks with them find nothing, or anything,
    without a word."""
    reasons = {name: _unusable(name, value) for name, value in weights.items()}
    return [f"{name} ({reason})" for name, reason in reasons.items() if reason]


def check_type(name: str, dtype: torch.dtype | str, n_dims: int) -> None:
    """Check that a tensor's numbers are those that a network computes with. Scaled ones lack their scales here.

    RAISES (ValueError): For whole and complex numbers, truth values, and scaled types.
    """
    if dtype not in FLOATS and not BUFFER.search(name) and (n_dims < 3 or name.endswith("weight")):
        raise ValueError(f"its weights are no finite numbers in {name} ({dtype})")


def _unusable(name: str, value: torch.Tensor) -> str:
    try:
        check_type(name, value.dtype, value.dim())
    except ValueError:
        return str(value.dtype)
    if not value.numel():
        return f"of shape {tuple(value.shape)}"
    # What float64 holds may be infinite in float32.
    return "" if not value.is_floating_point() or bool(value.float().isfinite().all()) else "not finite"


def write_weights(path: Path, weights: dict[str, torch.Tensor], dtype: torch.dtype | None = None) -> None:
    """Write tensors that may share memory.

    path (Path): A directory that is there.
    weights (dict[str, torch.Tensor]): By published name.
    dtype (torch.dtype | None): Floating-point type on disk; as they are if None.
    """
    tensors, aliases = _without_aliases(weights)
    if dtype is not None:
        tensors = {key: value.to(dtype) if value.is_floating_point() else value for key, value in tensors.items()}
    save_file(tensors, path / WEIGHTS_FILE, metadata={"format": "pt", **aliases})


def rename(weights: dict[str, torch.Tensor], table: KeyTable, *, to_network: bool) -> dict[str, torch.Tensor]:
    """Translate between published names and a network's own.

    to_network (bool): The direction.
    RETURNS (dict): Names that the table does not hold stay as they are, so that strict loading reports them.
    """
    source, target = (0, 1) if to_network else (1, 0)
    renamed = {}
    for key, value in weights.items():
        pair = next((pair for pair in table if key.startswith(pair[source])), None)
        renamed[pair[target] + key[len(pair[source]) :] if pair else key] = value
    return renamed


def part_of(weights: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the weights whose names begin with a prefix, by the rest of their names."""
    return {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)}


def load_strictly(path: Path, network: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load weights of which only parts that no score depends on may be missing or left over.

    path (Path): Where they are from, for messages.
    weights (dict[str, torch.Tensor]): By the network's own names.
    RAISES (CheckpointError): Naming what is missing and what is unknown.
    """
    try:
        missing, unknown = network.load_state_dict(weights, strict=False)
    except RuntimeError as problem:
        raise error("O104", path=str(path), missing="nothing", unknown=str(problem)) from problem
    tied = {key for group in _aliases(network) for key in group if any(other in weights for other in group)}
    missing = [key for key in _relevant(missing) if key not in tied]
    unknown = _relevant(unknown)
    if missing or unknown:
        raise error("O104", path=str(path), missing=missing[:5] or "nothing", unknown=unknown[:5] or "nothing")


def _relevant(names: Iterable[str]) -> list[str]:
    return [name for name in names if not any(part in name for part in OPTIONAL_PARTS)]


def _aliases(module: nn.Module) -> list[list[str]]:
    """Group the names of parameters that are one tensor (tied embeddings)."""
    groups: dict[int, list[str]] = {}
    for name, value in module.named_parameters(remove_duplicate=False):
        groups.setdefault(id(value), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _without_aliases(weights: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Keep one name of each shared tensor; safetensors refuses two. The rest is noted as metadata."""
    kept: dict[tuple[int, int], str] = {}
    tensors, aliases = {}, {}
    for name, value in weights.items():
        position = (value.untyped_storage().data_ptr(), int(value.storage_offset()))
        if value.numel() and position in kept and weights[kept[position]].shape == value.shape:
            aliases[name] = kept[position]
        else:
            kept.setdefault(position, name)
            tensors[name] = value.detach().cpu().contiguous().clone()
    return tensors, aliases
