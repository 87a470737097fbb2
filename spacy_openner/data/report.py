"""The report of a conversion: how much was written, and what was not, and why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .texts import Finding


@dataclass(frozen=True)
class ConversionReport:
    """The files that a conversion wrote, and what is in them and what is not.

    source (str): What was read.
    format (str): The format that it was read in.
    files (tuple[str, ...]): The .spacy files written.
    labels_file (str): The file of the types.
    texts (int): Sentences, or whatever the format's texts are.
    docs (int): What they were grouped into.
    tokens (int): All words.
    spans (int): All entities written.
    types (Mapping[str, int]): All types that the corpus annotates, with their spans, the most frequent first.
    dropped (Mapping[str, Finding]): Spans left out, by reason: spans read = `spans` + these.
    repaired (Mapping[str, Finding]): What was read in the nearest sense that it has.
    skipped (Mapping[str, Finding]): Texts left out, by reason.
    unread (Mapping[str, Finding]): Annotation of other kinds, or in other places, that nobody asked for.
    """

    source: str
    format: str
    files: tuple[str, ...]
    labels_file: str
    texts: int
    docs: int
    tokens: int
    spans: int
    types: Mapping[str, int]
    dropped: Mapping[str, Finding]
    repaired: Mapping[str, Finding]
    skipped: Mapping[str, Finding]
    unread: Mapping[str, Finding]

    def to_dict(self) -> dict[str, Any]:
        """Give plain data, which JSON can hold."""
        return asdict(self)
