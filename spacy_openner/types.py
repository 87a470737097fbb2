"""Names and values that the layers hand to each other."""

from typing import NamedTuple

DEFAULT_SPANS_KEY = "openner"
"""The span group that components write, and that annotated docs hold their entities in."""
ENTS = "ents"
"""The name of `doc.ents` where a setting may name a span group too."""
SCORES, EXPLANATIONS = "scores", "explanations"
"""Attributes of a span group, in step with its spans: their probabilities, and why they are what they are."""
ORIGIN = "openner"
"""Attribute of a span group that a component wrote: the component's name."""

SENTENCES = "sentences"
BOUNDARIES = ("paragraphs", "lists", "cells", "lines", SENTENCES)
"""Kinds of places that no entity crosses: blank lines; items of lists, and lines that no wrapping explains; cells and
rows of tables; all ends of lines; ends of sentences."""
DEFAULT_BOUNDARIES = BOUNDARIES[:3]

OVERLAPS = ("flat", "nested", "all", "longest")
"""Which entities may stand together; see `span_selection.choose`."""
FLAT_OVERLAPS = ("flat", "longest")
"""Those where no two entities share a token."""

Entity = tuple[int, int, str]
"""Start, end (exclusive) and type. Any unit of position will do, as long as both sides use the same."""


class Candidate(NamedTuple):
    """A possible entity. Offsets are spaCy tokens of the doc, `end` exclusive; score is a probability. Of a model that
    explains itself, why it is one."""

    start: int
    end: int
    label: str
    score: float
    explanation: str = ""
