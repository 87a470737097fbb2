"""Low-rank adapters (LoRA) by `peft`: a large model learns through small matrices beside its own, which do not move.

A model that is saved has them added to the weights that they stand beside, so that it is one like any other. They can
be kept apart, too, and several can take turns on one model.
"""

import copy
import hashlib
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..errors import error
from ..json_files import load_json
from .sizes import check_numbers
from .trust import check_trust
from .weights import unusable

N = TypeVar("N", bound=nn.Module)

DEFAULT = "default"
WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
FILES = (CONFIG_FILE, WEIGHTS_FILE)
"""The files that `save` writes."""
_MARK = "lora_"
_BASE = ".base_layer."
# Of the rank's rows.
_FIRST = re.compile(r"lora_(embedding_)?A\b")


def adapt(network: nn.Module, options: Mapping[str, Any], name: str = DEFAULT) -> None:
    """Put adapters into a network; one that has some of this name keeps these.

    network (nn.Module): A model of `transformers`; changed in place.
    options (Mapping[str, Any]): Of `peft.LoraConfig`: "r" (the rank), "lora_alpha", "target_modules" (all linear
        layers but the output by default) and so on.
    name (str): What the adapters are called; they are in use from now on.
    RAISES (MissingExtra): Without `peft`.
    RAISES (SettingError): For options that it refuses.
    """
    peft = _peft()
    if name in _configs(network):
        return
    try:
        config = peft.LoraConfig(**{"target_modules": "all-linear", **options})
        _inject(network, config, name)
    except (TypeError, ValueError) as problem:
        raise error(
            "O001", name="lora", value=dict(options), allowed=f"options of peft.LoraConfig ({problem})"
        ) from problem
    use(network, name)


def use(network: nn.Module, name: str | None) -> None:
    """Let the adapters of one name take part, or none.

    name (str | None): As `adapt` or `load` was told; None for the weights alone.
    """
    for module in _layers(network):
        module.enable_adapters(name is not None)
        if name is not None:
            module.set_adapter(name)


def save(network: nn.Module, name: str, path: Path) -> None:
    """Write adapters in the format of `peft`: `adapter_config.json` and `adapter_model.safetensors`.

    path (Path): A directory that is there.
    """
    weights = _peft().get_peft_model_state_dict(network, adapter_name=name, save_embedding_layers=False)
    config = copy.deepcopy(_configs(network)[name])
    # A directory of this machine says nothing elsewhere.
    config.base_model_name_or_path = None
    config.inference_mode = True
    save_file({key: value.detach().cpu().contiguous() for key, value in weights.items()}, path / WEIGHTS_FILE)
    config.save_pretrained(path)


def load(network: nn.Module, name: str, path: Path) -> None:
    """Put adapters into a network that `save` or `peft` wrote. If that fails, the network is as it was.

    RAISES (MissingExtra): Without `peft`.
    RAISES (CheckpointError): When files are missing or damaged, or do not fit the network.
    """
    peft = _peft()
    try:
        weights = load_file(path / WEIGHTS_FILE)
        if bad := unusable(weights):
            raise ValueError(f"its weights are no finite numbers in {bad[:3]}")
        _check_config(load_json(path / CONFIG_FILE), weights)
        _inject(network, peft.LoraConfig.from_pretrained(path), name)
        report = peft.set_peft_model_state_dict(network, weights, adapter_name=name)
        wrong = [*report.unexpected_keys, *(key for key in report.missing_keys if f".{name}." in key)]
        if wrong:
            raise ValueError(f"weights that do not fit: {', '.join(wrong[:3])}")
    except Exception as problem:
        _remove(network, name)
        # PyTorch lists every tensor that does not fit.
        reason = " ".join(f"{type(problem).__name__}: {problem}".split("\n\t")[:2])
        raise error("O125", path=str(path), reason=reason) from problem
    use(network, name)


def _check_config(values: Any, weights: Mapping[str, Tensor]) -> None:
    """Check what a file says of adapters before any are made.

    RAISES (ValueError): For other things than low-rank adapters, ranks that the weights have not, and beginnings that
        change the network's own weights.
    """
    if not isinstance(values, dict) or values.get("peft_type") != "LORA":
        raise ValueError(f"{CONFIG_FILE} describes no low-rank adapters")
    check_numbers(values)
    check_trust(values)
    begin = values.get("init_lora_weights", True)
    if not isinstance(begin, bool) and begin != "gaussian":
        raise ValueError(f"their `init_lora_weights` is {begin!r}, which changes the weights that they stand beside")
    stored = max((value.shape[0] for name, value in weights.items() if _FIRST.search(name)), default=0)
    for rank in (values.get("r", 8), *(values.get("rank_pattern") or {}).values()):
        if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= stored:
            raise ValueError(f"size mismatch: a rank is {rank!r}, and that of the weights {stored}")


def base_fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Return a short name of the weights that adapters stand beside, with adapters among them or without."""
    digest = hashlib.sha256()
    for name, value in sorted((name.replace(_BASE, "."), value) for name, value in weights.items() if not learns(name)):
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.detach().float().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


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


def merged_copy(network: N) -> N:
    """Return a copy of a network with the adapters in use added to its weights; it has none itself."""
    plain = copy.deepcopy(network)
    for name, module in list(plain.named_modules()):
        if hasattr(module, "get_delta_weight"):
            if not module.disable_adapters:
                module.merge()
            parent, _, own = name.rpartition(".")
            setattr(plain.get_submodule(parent), own, module.get_base_layer())
    for module in plain.modules():
        if hasattr(module, "peft_config"):
            del module.peft_config
    return plain


def _configs(network: nn.Module) -> dict[str, Any]:
    configs: dict[str, Any] = getattr(network, "peft_config", {})
    return configs


def _remove(network: nn.Module, name: str) -> None:
    _configs(network).pop(name, None)
    for module in _layers(network):
        module.delete_adapter(name)


def _layers(network: nn.Module) -> Iterator[Any]:
    return (module for module in network.modules() if hasattr(module, "get_delta_weight"))


def _inject(network: nn.Module, config: Any, name: str) -> None:
    with warnings.catch_warnings():
        # That there are others already is what is wanted.
        warnings.filterwarnings("ignore", "Already found a `peft_config`")
        _peft().inject_adapter_in_model(config, network, name)


def _peft() -> ModuleType:
    try:
        import peft
    except ImportError as problem:
        raise error("O301", what="lora", package="peft", extra="lora") from problem
    return peft
