"""Annotated texts, which the readers of all formats yield, and what they count on the way."""

from dataclasses import dataclass, field

Span = tuple[int, int, str]
"""First token, end (exclusive) and label."""


@dataclass(frozen=True)
class AnnotatedText:
    """One annotated text, as a format's reader found it: usually a sentence, in some formats a document.

    tokens (tuple[str, ...]): Its words.
    spans (tuple[Span, ...]): Its entities. They may nest and overlap, and nobody has checked them.
    spaces (tuple[bool, ...] | None): Whether a space follows each token; None where that is unknown.
    sent_starts (tuple[int, ...]): The tokens that start a sentence; none where that is unknown.
    starts_doc (bool): The text before it belongs to another document.
    types (tuple[str, ...] | None): All types that it is annotated with, absent ones too; None for those of all texts.
    where (str): File and line; equal texts may come from different places.
    """

    tokens: tuple[str, ...]
    spans: tuple[Span, ...] = ()
    spaces: tuple[bool, ...] | None = None
    sent_starts: tuple[int, ...] = (0,)
    starts_doc: bool = False
    types: tuple[str, ...] | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True)
class Finding:
    """How often something occurred, and where it did for the first time."""

    count: int
    example: str


@dataclass
class Tally:
    """Counts of what was not taken over as it stood, by reason.

    dropped (dict[str, Finding]): Spans that were left out.
    repaired (dict[str, Finding]): Tags, spans and tokens that were read in the nearest sense that they have.
    skipped (dict[str, Finding]): Texts that were left out, spans and all.
    unread (dict[str, Finding]): Annotation of other kinds, or in other places, that nobody asked for.
    """

    dropped: dict[str, Finding] = field(default_factory=dict)
    repaired: dict[str, Finding] = field(default_factory=dict)
    skipped: dict[str, Finding] = field(default_factory=dict)
    unread: dict[str, Finding] = field(default_factory=dict)

    def drop(self, reason: str, example: str) -> None:
        """Count a span that is left out."""
        _count(self.dropped, reason, Finding(1, example))

    def repair(self, reason: str, example: str, count: int = 1) -> None:
        """Count what is read in the nearest sense that it has."""
        _count(self.repaired, reason, Finding(count, example))

    def skip(self, reason: str, example: str) -> None:
        """Count a text that is left out."""
        _count(self.skipped, reason, Finding(1, example))

    def leave(self, reason: str, example: str, count: int = 1) -> None:
        """Count annotation that is not read, since it is not about entities or was not asked for."""
        _count(self.unread, reason, Finding(count, example))


def _count(findings: dict[str, Finding], reason: str, new: Finding) -> None:
    """Add to a reason's count and keep its first example."""
    old = findings.get(reason, Finding(0, new.example))
    findings[reason] = Finding(old.count + new.count, old.example)
