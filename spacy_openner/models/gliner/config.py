"""`gliner_config.json`: read, and held against ranges before anything is built of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import error
from ...json_files import NotJSON, load_json

CONFIG_FILE = "gliner_config.json"
MAX_TYPES = "openner_max_types"


class Range(NamedTuple):
    """The numbers that a key may have, both ends included."""

    least: float
    most: float
    whole: bool = True

    def holds(self, value: object) -> bool:
        """Tell whether a value is a number of this range."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        # Comparisons with NaN are false.
        return self.least <= value <= self.most and (not self.whole or value == int(value))

    def kept(self, value: float) -> int | float:
        """Return a number of this range as one of Python's two kinds: JSON's 12.0 is no other number than 12."""
        return int(value) if self.whole else float(value)

    def __str__(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.least:g} to {self.most:g}"


NUMBERS = {
    "hidden_size": Range(1, 65_536),
    "max_width": Range(1, 512),
    "max_len": Range(1, 1_000_000),
    "dropout": Range(0, 1, whole=False),
    MAX_TYPES: Range(1, 100_000),
}
"""A span head computes one column of scores for each width; the others bound memory, too."""
KINDS = {
    "encoder_config": dict,
    "labels_encoder_config": dict,
    "model_name": str,
    "labels_encoder": str,
    "ent_token": str,
    "sep_token": str,
    "embed_ent_token": bool,
}


def read_config(path: Path) -> dict[str, Any]:
    """Read the config of a checkpoint; numbers that were written as strings become numbers.

    path (Path): The checkpoint's directory.
    RETURNS (dict): As found. What is null is left out of checks.
    RAISES (CheckpointError): When there is none, only a pickled v0 file is there, it is no JSON object, or a value is
        out of its range.
    """
    file = path / CONFIG_FILE
    if not file.is_file():
        if path.suffix == ".pt" or any(path.glob("*.pt")):
            raise error("O102", path=str(path))
        raise error("O101", path=str(path), reason=f"no {CONFIG_FILE} there")
    config = numbers_in_range(file, read_json(file))
    for name, kind in KINDS.items():
        if not isinstance(config.get(name), kind | None):
            raise _wrong(file, name, config[name], {dict: "an object", str: "a string", bool: "true or false"}[kind])
    return config


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    RAISES (CheckpointError): When the file holds something else.
    """
    try:
        content = load_json(file)
    except NotJSON as problem:
        raise error("O105", path=str(file), reason=problem) from problem
    if not isinstance(content, dict):
        raise error("O105", path=str(file), reason="not a JSON object")
    return content


def numbers_in_range(file: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Check the numbers of a config, or of a part of one; those that were written as strings become numbers.

    RAISES (CheckpointError): For one that is out of its range.
    """
    given = {name: allowed for name, allowed in NUMBERS.items() if values.get(name) is not None}
    return {**values, **{name: _number(file, name, values[name], allowed) for name, allowed in given.items()}}


def _number(file: Path, name: str, value: Any, allowed: Range) -> int | float:
    try:
        number: Any = float(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if not allowed.holds(number):
        raise _wrong(file, name, value, str(allowed))
    return allowed.kept(number)


def _wrong(file: Path, name: str, value: Any, allowed: str) -> Exception:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return error("O105", path=str(file), reason=f"{name} is {shown}, and must be {allowed}")
