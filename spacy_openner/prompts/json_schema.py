"""Build the JSON schemas that structured answers of language models have to meet."""

from collections.abc import Mapping, Sequence
from typing import Any

STRING: dict[str, Any] = {"type": "string"}


def text_of(max_chars: int) -> dict[str, Any]:
    """Return the schema of a string of so many characters at most."""
    return {**STRING, "maxLength": max_chars}


def closed_object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with exactly these keys."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def one_of(values: Sequence[str]) -> dict[str, Any]:
    """Return the schema of a string out of a list."""
    return {**STRING, "enum": list(values)}
