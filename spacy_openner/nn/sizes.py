"""Hold the configs of networks against their weights before anything is built: a config may say any number."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from torch.overrides import TorchFunctionMode

from .int8 import FILE as INT8_FILE
from .weights import check_type

MOST_LAYERS = 256
# Of what networks are built of one by one; and of anything.
MOST_PARTS, LARGEST = 1 << 16, 1 << 40
# What no network is without.
NEEDED = re.compile(r"_heads?$|^(num|n)_((hidden|encoder|decoder)_)?layers?$|^(en|de)coder_layers$")
LAYERS, PARTS = re.compile(r"layers?$|blocks$"), re.compile(r"^(num|n)_|heads|groups|experts|labels|buckets")
# How much more than what is stored a network may hold: a tied table is stored once, a buffer not at all.
FACTOR, SLACK = 4, 1 << 26

STORED = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
"""The types of weights by their names in safetensors; tensors of all others are no weights."""

Shapes = Mapping[str, Sequence[int]]


def check_numbers(values: Any, name: str = "") -> None:
    """Check the numbers of a config, whatever it describes.

    values (Any): JSON content.
    RAISES (ValueError): For a number that is not finite, or that no network has.
    """
    for key, value in _numbers(values, name):
        most = MOST_LAYERS if LAYERS.search(key) else MOST_PARTS if PARTS.search(key) else LARGEST
        least = 1 if NEEDED.search(key) else -most
        if not least <= value <= most:
            raise ValueError(f"{key} is {value:.6g}, which no network has")


def check_network(build: Callable[[], nn.Module], stored: Shapes) -> None:
    """Check that a network is as large as some weights, before memory is taken for it.

    build (Callable[[], nn.Module]): Builds it. It is called for tensors without memory.
    stored (Shapes): The shapes of the weights. Names that the network has not are passed over.
    RAISES (ValueError): Where a weight is of another shape, or the network is far larger than all of them.
    """
    with torch.device("meta"), WithoutRandomValues():
        network = build()
    sizes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    wrong = [f"{name} {tuple(s)}, not {sizes[name]}" for name, s in stored.items() if sizes.get(name, s) != tuple(s)]
    if wrong:
        raise ValueError(f"the weights are of other sizes than the config says: {'; '.join(wrong[:3])}")
    needed = sum(value.numel() for value in (*network.parameters(), *network.buffers()))
    held = sum(map(math.prod, stored.values()))
    if needed > FACTOR * held + SLACK:
        raise ValueError(f"the config describes {needed:,} numbers, and the weights hold {held:,}")


class WithoutRandomValues(TorchFunctionMode):
    """Builds networks whose weights are read afterwards. Random ones take as long as reading them, and for tensors
    without memory PyTorch imports its compiler, for a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == nn.init.__name__:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def shapes_of(weights: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of some weights."""
    return {name: tuple(value.shape) for name, value in weights.items()}


def check_directory(directory: Path, build: Callable[[], nn.Module]) -> None:
    """Check what `transformers` saved, before it is loaded.

    directory (Path): Holds weights.
    build (Callable[[], nn.Module]): Builds the network of the config beside them.
    RAISES (ValueError): For a config that does not go with the weights.
    """
    try:
        check_network(build, stored_shapes(directory))
    except NotImplementedError:
        # Some architectures compute with their tensors while they are built.
        return


def stored_shapes(directory: Path) -> dict[str, tuple[int, ...]]:
    """Read the shapes of a directory's weights, and not the weights; none where there are none.

    RAISES (ValueError): For weights of a type that no network computes with.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for file in sorted(directory.glob("model*.safetensors")):
        with safe_open(file, framework="pt") as source:
            for name in source.keys():  # noqa: SIM118
                stored = source.get_slice(name)
                shapes[name] = tuple(stored.get_shape())
                kind = stored.get_dtype()
                if file.name != INT8_FILE:
                    check_type(name, STORED.get(kind, kind), len(shapes[name]))
    for file in [] if shapes else sorted(directory.glob("pytorch_model*.bin")):
        content = torch.load(file, map_location="meta", weights_only=True)
        tensors = {name: value for name, value in content.items() if torch.is_tensor(value)}
        for name, value in tensors.items():
            check_type(name, value.dtype, value.dim())
        shapes.update(shapes_of(tensors))
    return shapes


def _numbers(values: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _numbers(value, str(key))
    elif isinstance(values, list):
        for value in values:
            yield from _numbers(value, name)
    elif isinstance(values, int | float) and not isinstance(values, bool):
        yield name, values
