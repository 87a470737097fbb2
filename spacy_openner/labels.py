"""The only reader and writer of the types that a doc is asked for, and of how likely it holds them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spacy.tokens import Doc

from .errors import error

ATTRIBUTE = "openner_labels"
SCORES = "openner_type_scores"


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
    """Make `doc._.openner_labels` and `doc._.openner_type_scores` known. Called once by each component; harmless when
    repeated."""
    for attribute in (ATTRIBUTE, SCORES):
        if not Doc.has_extension(attribute):
            Doc.set_extension(attribute, default=None)


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


def write(
    doc: Doc, labels: Labels | Sequence[str] | Mapping[str, str] | None, scores: Mapping[str, float] | None = None
) -> None:
    """Set the types that the next components look for in a doc; None for their own.

    scores (Mapping[str, float] | None): How likely the doc holds each of the types that there were to choose from, kept
        or not. They join those that are there already; None leaves these alone.
    """
    if isinstance(labels, Labels):
        has_descriptions = labels.names != labels.descriptions
        labels = dict(zip(labels.names, labels.descriptions, strict=True)) if has_descriptions else labels.names
    doc._.set(ATTRIBUTE, labels if labels is None or isinstance(labels, Mapping) else list(labels))
    if scores is not None:
        doc._.set(SCORES, {**read_scores(doc), **scores})


def read_scores(doc: Doc) -> dict[str, float]:
    """How likely the doc holds each type that a filter has scored; none where no filter has."""
    return dict(doc._.get(SCORES) or {})
