"""The schema that GLiNER2 checkpoints read in front of a text.

For the types "person" and "city", the second described, the items in front of the text's words are::

    ( [P] entities [DESCRIPTION] city: a populated place ( [E] person [E] city ) ) [SEP_TEXT]

Each item is tokenised apart from the others, and "entities [DESCRIPTION] city: ..." is one item.
"""

from collections.abc import Sequence
from typing import NamedTuple

TASK_MARKER, TYPE_MARKER, DESCRIPTION_MARKER, TEXT_MARKER = "[P]", "[E]", "[DESCRIPTION]", "[SEP_TEXT]"
MARKERS = (
    "[SEP_STRUCT]",
    TEXT_MARKER,
    TASK_MARKER,
    "[C]",
    TYPE_MARKER,
    "[R]",
    "[L]",
    "[EXAMPLE]",
    "[OUTPUT]",
    DESCRIPTION_MARKER,
)
"""All markers of the family, in the order in which its tokenizers have them."""
TASK = "entities"
SENTENCE_ENDS = (".", "!", "?")


class DescribedType(NamedTuple):
    """A type as a schema names it.

    name: Stands behind its marker.
    description: Stands behind the task's name; "" for none.
    """

    name: str
    description: str = ""


def describe(types: Sequence[str], names: Sequence[str]) -> list[DescribedType]:
    """Tell names from descriptions.

    types (Sequence[str]): Each type as prompts of other families would write it: its name or its description.
    names (Sequence[str]): The types' own names, in step; empty where `types` are all there is.
    RETURNS (list[DescribedType]): In the same order.
    """
    if not names:
        return [DescribedType(text) for text in types]
    return [DescribedType(name, "" if text == name else text) for text, name in zip(types, names, strict=True)]


def opening(types: Sequence[DescribedType]) -> list[str]:
    """Write the items in front of the types."""
    described = "".join(description_text(t) for t in types if t.description)
    return ["(", TASK_MARKER, TASK + described, "("]


def closing() -> list[str]:
    """Write the items between the types and the text."""
    return [")", ")", TEXT_MARKER]


def description_text(described: DescribedType) -> str:
    """Write what a description adds to the task's item."""
    return f" {DESCRIPTION_MARKER} {plain(described.name)}: {plain(described.description)}"


def plain(text: str) -> str:
    """Break up markers in a user's text, so that a label cannot pose as a part of the schema."""
    for marker in MARKERS:
        text = text.replace(marker, f"{marker[0]} {marker[1:]}")
    return text
