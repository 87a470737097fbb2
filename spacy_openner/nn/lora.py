"""Low-rank adapters (LoRA) by `peft`: a large model learns through small matrices beside its own, which do not move.

Adapters live while a model is trained; what is saved has them added to the weights they stand beside, so that a saved
model is one like any other.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..errors import error

_MARK = "lora_"
_BASE = ".base_layer."


def adapt(network: nn.Module, options: Mapping[str, Any]) -> None:
    """Put adapters into a network; one that has some keeps these.

    network (nn.Module): A model of `transformers`; changed in place.
    options (Mapping[str, Any]): Of `peft.LoraConfig`: "r" (the rank), "lora_alpha", "target_modules" (all linear
        layers but the output by default) and so on.
    RAISES (MissingExtra): Without `peft`.
    RAISES (SettingError): For options that it refuses.
    """
    if is_adapted(network):
        return
    try:
        import peft
    except ImportError as problem:
        raise error("O301", what="lora", package="peft", extra="lora") from problem
    try:
        peft.LoraModel(network, peft.LoraConfig(**{"target_modules": "all-linear", **options}), "default")
    except (TypeError, ValueError) as problem:
        raise error(
            "O001", name="lora", value=dict(options), allowed=f"options of peft.LoraConfig ({problem})"
        ) from problem


def is_adapted(network: nn.Module) -> bool:
    """Tell whether a network has adapters."""
    return any(_MARK in name for name, _ in network.named_parameters())


def learns(name: str) -> bool:
    """Tell whether a parameter of a network with adapters is trained."""
    return _MARK in name


def merged(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a network with its adapters added, under the names that they have without adapters."""
    state = {name.replace(_BASE, "."): value for name, value in network.state_dict().items() if not learns(name)}
    for name, module in network.named_modules():
        if hasattr(module, "get_delta_weight"):
            for adapter in module.active_adapters:
                weight = state[f"{name}.weight"]
                state[f"{name}.weight"] = weight + module.get_delta_weight(adapter).to(weight)
    return state
