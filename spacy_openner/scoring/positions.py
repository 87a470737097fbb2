"""Positions that the two docs of an example share, whatever their tokens."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from spacy.tokens import Doc, Span, Token
from spacy.training import Example

from ..types import Entity


@dataclass(frozen=True)
class DocSide:
    """One doc of an example, with the position of each of its characters in units that both docs share."""

    doc: Doc
    positions: Sequence[int]

    def extent(self, span: Span | Token) -> tuple[int, int]:
        """Return the shared positions of a span's or a token's start and end."""
        start = span.start_char if isinstance(span, Span) else span.idx
        return self.positions[start], self.positions[start + len(span.text)]

    def entity(self, span: Span) -> Entity:
        """Return a span with its type in shared positions."""
        return (*self.extent(span), span.label_)

    def count_inexpressible(self, entities: Iterable[Entity]) -> int:
        """Count the entities that start or end inside one of this doc's tokens."""
        extents = [self.extent(token) for token in self.doc]
        starts, ends = {start for start, _ in extents}, {end for _, end in extents}
        return sum(start not in starts or end not in ends for start, end, _ in entities)


def shared_positions(example: Example) -> tuple[DocSide, DocSide]:
    """Return the predicted and the reference side in shared positions.

    These are character offsets. An Example may also hold texts that differ in whitespace or capitals (a
    reference with unknown spaces, say): then whitespace is not counted, and what is left is as long in
    both. The tokens of `example.alignment` would be coarser, as they hide boundaries inside a token.
    """
    predicted, reference = example.predicted, example.reference
    if predicted.text == reference.text:
        offsets = range(len(predicted.text) + 1)
        return DocSide(predicted, offsets), DocSide(reference, offsets)
    _ = example.alignment  # raises spaCy's E949 if the texts differ in anything else
    return DocSide(predicted, _ink_positions(predicted.text)), DocSide(reference, _ink_positions(reference.text))


def _ink_positions(text: str) -> list[int]:
    """Count the characters before each offset, whitespace left out. "a bc" gives [0, 1, 1, 2, 3]."""
    # A few characters grow when lowered ("İ"), and capitals may differ.
    return list(accumulate((0 if char.isspace() else len(char.lower()) for char in text), initial=0))
