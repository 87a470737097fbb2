"""The project's docstrings, read: `name (Type): meaning`, `RETURNS (Type): ...`, `RAISES (Type): ...`.

`parse` splits one into its parts. As an extension of mkdocstrings (`DocstringSections`) this module rewrites them to the
sections that the Python handler knows.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import griffe

ENTRY = re.compile(r"^(?P<name>\*{0,2}\w+(?:, \w+)*|RETURNS|YIELDS|RAISES)(?: \((?P<type>.+?)\))?: (?P<text>.*)$")
TITLES = {"RETURNS": "Returns", "YIELDS": "Yields", "RAISES": "Raises"}


@dataclass
class Entry:
    """One described name: an argument, an attribute, what is returned or raised."""

    name: str
    type: str
    text: str


@dataclass
class Parts:
    """A docstring: its prose, and what it describes."""

    prose: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


def parse(docstring: str) -> Parts:
    """Split a docstring; its lines must be dedented, as `inspect.getdoc` leaves them."""
    parts = Parts()
    open_entry: Entry | None = None
    for line in docstring.splitlines():
        match = ENTRY.match(line)
        if match and (match["type"] or match["name"] in TITLES or open_entry is not None):
            open_entry = Entry(match["name"], match["type"] or "", match["text"].strip())
            parts.entries.append(open_entry)
        elif open_entry is not None and line.startswith("    "):
            open_entry.text += " " + line.strip()
        else:
            open_entry = None
            parts.prose.append(line)
    return parts


def as_sections(parts: Parts, of_class: bool = False) -> str:
    """Write a docstring's parts in Google's style."""
    lines = ["\n".join(parts.prose).rstrip(), ""]
    arguments = [entry for entry in parts.entries if entry.name not in TITLES]
    if arguments:
        lines.append("Attributes:" if of_class else "Args:")
        for entry in arguments:
            lines += [f"    {name} ({entry.type or 'Any'}): {entry.text}" for name in entry.name.split(", ")]
        lines.append("")
    for key, title in TITLES.items():
        lines += _section(title, [entry for entry in parts.entries if entry.name == key])
    return "\n".join(lines).strip()


def _section(title: str, entries: list[Entry]) -> list[str]:
    if not entries:
        return []
    return [f"{title}:", *(f"    {entry.type}: {entry.text}" for entry in entries), ""]


class DocstringSections(griffe.Extension):
    """Rewrites docstrings when mkdocstrings has read them."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite one."""
        if obj.docstring is not None:
            parts = parse(obj.docstring.value)
            if parts.entries:
                obj.docstring.value = as_sections(parts, obj.is_class and "dataclass" in obj.labels)
