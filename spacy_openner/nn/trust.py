"""Refuse files of a model that would have `transformers` run code, or write outside the directory that is saved to.

Releases up to 5.9 trust what a config says of the code to run (CVE-2026-4372, CVE-2026-5241) and the names of chat
templates (CVE-2026-9856). No model needs any of it here.
"""

from collections.abc import Iterator
from typing import Any

IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")
"""Ends of keys that say how a network computes: by a name, or a repository of code."""


def check_trust(values: Any) -> None:
    """Check the JSON content of a config, of a model or a tokenizer.

    RAISES (ValueError): When it names code to run, or a file to write by a path.
    """
    for key, value in _items(values):
        if key.removesuffix("_internal").endswith(IMPLEMENTATIONS) and any("/" in name for name in _strings(value)):
            raise ValueError(f"{key} is {value!r}, which is code of a repository, and no code is run")
        if key == "trust_remote_code" and value:
            raise ValueError("it asks for trust_remote_code, and no code is run")
        if key == "chat_template" and isinstance(value, list | dict):
            names = [template.get("name") if isinstance(template, dict) else template for template in value]
            if any(not isinstance(name, str) or set(name) & set("/\\:") or name.startswith(".") for name in names):
                raise ValueError(f"its chat templates are named {names}, and names become those of files")


def _items(values: Any) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of all objects in JSON content."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield key, value
            yield from _items(value)
    elif isinstance(values, list):
        for value in values:
            yield from _items(value)


def _strings(value: Any) -> list[str]:
    values = value.values() if isinstance(value, dict) else [value]
    return [item for item in values if isinstance(item, str)]
