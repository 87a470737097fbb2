"""Checkpoints that know vectors of a fixed set of types (`precomputed_prompts`), so that prompts hold none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import error


def fixed_types(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the types that a checkpoint has vectors of instead of prompts, in order of the vectors.

    RAISES (ValueError): When the config does not number its types from 1 on.
    """
    if not config.get("precomputed_prompts_mode"):
        return ()
    names = {int(number): name for number, name in dict(config.get("id_to_classes") or {}).items()}
    if sorted(names) != list(range(1, len(names) + 1)) or not all(isinstance(name, str) for name in names.values()):
        raise ValueError("its id_to_classes does not number names of types from 1 on")
    return tuple(names[number] for number in sorted(names))


def check_fixed_types(path: Path, config: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> int:
    """Check that a checkpoint has a vector of each type that it says to have.

    RETURNS (int): Their number; 0 for a checkpoint that reads types in prompts.
    RAISES (CheckpointError): When it has not.
    """
    if not config.get("precomputed_prompts_mode"):
        return 0
    vectors = weights.get("precomputed_prompts")
    try:
        known = len(fixed_types(config))
        if not known or vectors is None or vectors.ndim != 2 or len(vectors) != known:
            shape = "none" if vectors is None else str(tuple(vectors.shape))
            raise ValueError(f"precomputed_prompts_mode is on for {known} types, and their vectors are {shape}")
    except (TypeError, ValueError) as problem:
        raise error("O105", path=str(path), reason=str(problem)) from problem
    return known
