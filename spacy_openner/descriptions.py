"""Descriptions of types, in a sentence: the user's own words, or those of a small table for common names."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from .labels import LabelSet

TABLE = Path(__file__).with_name("descriptions.json")


def describe_types(labels: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Describe types.

    labels (Sequence[str] | Mapping[str, str]): Names, or names with descriptions.
    RETURNS (dict[str, str]): A description of each type: the given one, unless it only repeats the name; that of the
        table in `descriptions.json`, where capitals and underscores do not matter; or the name itself.
    """
    given = LabelSet(labels).items()
    return {name: text if text != name else _table().get(_key(name), name) for name, text in given}


def type_text(name: str, description: str) -> str:
    """Return the text that a matcher reads, such as "location: Names that are locations." (ToNER, table 1)."""
    return f"{name}: {description}"


def _key(name: str) -> str:
    return " ".join(name.replace("_", " ").lower().split())


@cache
def _table() -> dict[str, str]:
    table: dict[str, str] = json.loads(TABLE.read_text(encoding="utf8"))
    return table
