"""The only reader and writer of the types that a doc is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spacy.tokens import Doc

from .errors import error

ATTRIBUTE = "openner_labels"


@dataclass(frozen=True)
class Labels:
    """Entity types in order, each with the text that describes it (its own name where none was given)."""

    names: tuple[str, ...]
    descriptions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def prompt_texts(self, use_descriptions: bool) -> tuple[str, ...]:
        """What stands for the types in prompts."""
        return self.descriptions if use_descriptions else self.names


NONE = Labels((), ())


def register() -> None:
    """Make `doc._.openner_labels` known. Called once by each component; harmless when repeated."""
    if not Doc.has_extension(ATTRIBUTE):
        Doc.set_extension(ATTRIBUTE, default=None)


def parse(labels: Any) -> Labels:
    """Check what a user gave as labels.

    labels (Sequence[str] | Mapping[str, str] | Labels): Names, or names with descriptions. Repeated names
        count once.
    RETURNS (Labels): In the order given.
    RAISES (SettingError): For anything else.
    """
    if isinstance(labels, Labels):
        return labels
    if isinstance(labels, str | bytes) or not isinstance(labels, Sequence | Mapping | set | frozenset):
        raise error("O002", kind=type(labels).__name__, value=labels)
    if isinstance(labels, set | frozenset):
        labels = sorted(labels, key=str)
    for name in labels:
        if not isinstance(name, str) or not name.strip():
            raise error("O003", value=name)
    if not isinstance(labels, Mapping):
        names = tuple(dict.fromkeys(labels))
        return Labels(names, names)
    for name, text in labels.items():
        if not isinstance(text, str) or not text.strip():
            raise error("O004", label=name, value=text)
    return Labels(tuple(labels), tuple(labels.values()))


def read(doc: Doc, default: Labels) -> Labels:
    """The types that a doc asks for: its own in `doc._.openner_labels`, or else the component's.

    RAISES (SettingError): When the doc's own are malformed.
    """
    own = doc._.get(ATTRIBUTE)
    return default if own is None else parse(own)


def write(doc: Doc, labels: Sequence[str] | Mapping[str, str] | None) -> None:
    """Set the types that the next components look for in a doc; None for their own."""
    doc._.set(ATTRIBUTE, labels if labels is None or isinstance(labels, Mapping) else list(labels))
