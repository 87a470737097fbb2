"""The words that a model sees, and the spaCy tokens that they stand for."""

import re
import sys
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
from spacy.attrs import IDX, IS_SPACE, SENT_START
from spacy.tokens import Doc, Span

from ..decoding.text_boundaries import Boundary, text_boundaries
from ..types import SENTENCES
from . import splitters

WordMode = Literal["spacy", "gliner", "gliner2", "english", "jieba", "janome", "mecab", "camel", "hindi"]

# The splitter that published checkpoints were trained with: a run of letters, digits and underscores, joined
# by hyphens; or any other single character.
GLINER_WORD = re.compile(r"\w+(?:[-_]\w+)*|\S")

SEPARATOR = ","
"""Stands for the white space of a boundary, which models would not see: they know lists of names with commas."""
SEPARATING = tuple(".,;:!?|…。、，；：！？")
"""Ends of words after which nothing needs to stand for a boundary."""


@cache
def gliner2_word() -> re.Pattern[str]:
    """The splitter that GLiNER2 checkpoints are trained with.

    A web address, an e-mail address or an @name is one word. So is a run of letters, digits, underscores, the marks
    that combine with letters, and joiners, with hyphens inside; any other character is one by itself.
    """
    marks = "".join(chr(code) for code in range(sys.maxunicode) if unicodedata.category(chr(code))[0] == "M")
    run = rf"[\w{marks}\u200c\u200d]+"
    address = r"[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}"
    return re.compile(rf"https?://\S+|www\.\S+|{address}|@[a-z0-9_]+|{run}(?:[-_]{run})*|\S", re.IGNORECASE)


@dataclass(frozen=True)
class Words:
    """The words of one doc.

    texts: The words.
    starts, ends: The tokens that each word stands for, `ends` exclusive. Two words may share a token.
    sentence_starts: Whether a sentence starts at the word, or a line behind a boundary; a window may begin there.
    stretches: The number of the stretch between two boundaries that each word lies in, -1 for a `SEPARATOR`; None for
        a doc without boundaries. *Shape of the arrays:* (words,).
    """

    texts: list[str]
    starts: np.ndarray
    ends: np.ndarray
    sentence_starts: np.ndarray
    stretches: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def of_span(self, span: Span) -> tuple[int, int]:
        """Find the words that a span touches, end exclusive; equal where it holds white space only."""
        first = int(np.searchsorted(self.ends, span.start, side="right"))
        last = max(first, int(np.searchsorted(self.starts, span.end, side="left")))
        if self.stretches is not None:
            shown = np.flatnonzero(self.stretches[first:last] >= 0)
            return (first + int(shown[0]), first + int(shown[-1]) + 1) if len(shown) else (first, first)
        return first, last

    def is_within(self, first: int, last: int) -> bool:
        """Tell whether some words, end exclusive, hold and cross no boundary."""
        if self.stretches is None:
            return True
        stretch = self.stretches[first]
        return bool(stretch >= 0 and stretch == self.stretches[last - 1])

    def last_start(self, first: int, last: int) -> int | None:
        """Return where a window of some words is best cut: the last start of a sentence or line in their second half.

        first, last (int): The most words that the window can show, `last` exclusive.
        RETURNS (int | None): The word that the next window begins with; None where there is no such start.
        """
        middle = first + (last - first) // 2 + 1
        starts = np.flatnonzero(self.sentence_starts[middle : last + 1])
        return middle + int(starts[-1]) if len(starts) else None

    @property
    def barriers(self) -> frozenset[int]:
        """The tokens that another stretch than that of the word before begins with."""
        if self.stretches is None:
            return frozenset()
        starts = np.flatnonzero(np.diff(self.stretches)) + 1
        return frozenset(self.starts[starts].tolist())


def doc_words(doc: Doc, mode: WordMode, boundaries: Collection[str] = ()) -> Words:
    """Split a doc into words.

    doc (Doc): Any doc.
    mode (str): "spacy" for the doc's own tokens without white space; "gliner" or "gliner2" for the splitter of
        published checkpoints on the raw text, each word standing for all tokens that it touches, so that nothing
        found in it is lost however the two tokenisations disagree. Others are `splitters.SPLITTERS`, whose words may
        be white space; no entity begins or ends with that.
    boundaries (Collection[str]): The places that no entity crosses: some of `types.BOUNDARIES`.
    RETURNS (Words): The words in order. Marks of items are left out, and white space that is a boundary is a
        `SEPARATOR`, unless the word before it separates by itself.
    """
    if mode == "spacy":
        starts = np.flatnonzero(doc.to_array(IS_SPACE) == 0)
        words = Words([doc[i].text for i in starts.tolist()], starts, starts + 1, _sentence_starts(doc, starts))
        if not boundaries or (len(starts) == len(doc) and SENTENCES not in boundaries):
            return words
        offsets = doc.to_array(IDX).astype(np.int64)[starts]
        return _within(doc, words, offsets, offsets + [len(text) for text in words.texts], boundaries)
    # Each look at it joins all tokens anew.
    text = doc.text
    bounds = _split(text, mode)
    offsets = doc.to_array(IDX).astype(np.int64)
    first = np.array([start for start, _ in bounds], dtype=np.int64)
    last = np.array([end - 1 for _, end in bounds], dtype=np.int64)
    starts = np.searchsorted(offsets, first, side="right") - 1
    ends = np.searchsorted(offsets, last, side="right")
    words = Words([text[a:b] for a, b in bounds], starts, ends, _sentence_starts(doc, starts))
    words = _within(doc, words, first, last + 1, boundaries) if boundaries and bounds else words
    return _without_blank_ends(words) if mode in splitters.SPLITTERS else words


def _split(text: str, mode: WordMode) -> list[tuple[int, int]]:
    """Split a text into words. *Shape:* (words, 2): characters, end exclusive."""
    if mode in splitters.SPLITTERS:
        return splitters.splitter(mode)(text)
    pattern = gliner2_word() if mode == "gliner2" else GLINER_WORD
    return [match.span() for match in pattern.finditer(text)]


def _without_blank_ends(words: Words) -> Words:
    """Let no entity begin or end with white space, which a model may see as a word."""
    blank = np.array([not text.strip() for text in words.texts], dtype=bool)
    if not blank.any():
        return words
    stretches = np.zeros(len(words), dtype=np.int64) if words.stretches is None else words.stretches
    return replace(words, stretches=np.where(blank, -1, stretches))


def _within(doc: Doc, words: Words, first: np.ndarray, last: np.ndarray, kinds: Collection[str]) -> Words:
    """Divide words by the boundaries of their doc.

    first, last (np.ndarray): The characters of each word, `last` exclusive. *Shape of each:* (words,).
    kinds (Collection[str]): See `doc_words`.
    """
    separating = text_boundaries(doc.text, kinds)
    if SENTENCES in kinds:
        opening = first[words.sentence_starts].tolist()
        separating = sorted([*separating, *(Boundary(i, i, starts_line=False) for i in opening if i)])
    if not separating or not len(words):
        return words
    ends = np.array([boundary.end for boundary in separating])
    before = np.searchsorted([boundary.start for boundary in separating], first, side="right") - 1
    kept = np.flatnonzero((before < 0) | (last > ends[before]))
    stretches = np.searchsorted(ends, first[kept], side="right")
    return _separated(_chosen(words, kept, stretches), separating)


def _chosen(words: Words, kept: np.ndarray, stretches: np.ndarray) -> Words:
    texts = [words.texts[i] for i in kept.tolist()]
    return Words(texts, words.starts[kept], words.ends[kept], words.sentence_starts[kept], stretches)


def _separated(words: Words, separating: Sequence[Boundary]) -> Words:
    """Let lines start like sentences, and put separators where tokens between two stretches can stand for them."""
    assert words.stretches is not None
    opening = np.flatnonzero(np.diff(words.stretches)) + 1
    passed = np.concatenate([[0], np.cumsum([boundary.starts_line for boundary in separating])])
    lines = passed[words.stretches]
    words.sentence_starts[opening] |= lines[opening] > lines[opening - 1]
    indices = [
        i
        for i in opening.tolist()
        if words.starts[i] > words.ends[i - 1]
        and not words.texts[i - 1].endswith(SEPARATING)
        and not words.texts[i].startswith(SEPARATING)
    ]
    for i in reversed(indices):
        words.texts.insert(i, SEPARATOR)
    return Words(
        words.texts,
        np.insert(words.starts, indices, [words.ends[i - 1] for i in indices]),
        np.insert(words.ends, indices, [words.starts[i] for i in indices]),
        np.insert(words.sentence_starts, indices, False),
        np.insert(words.stretches, indices, -1),
    )


def _sentence_starts(doc: Doc, starts: np.ndarray) -> np.ndarray:
    if not doc.has_annotation("SENT_START"):
        return np.zeros(len(starts), dtype=bool)
    flags = doc.to_array(SENT_START).astype(np.int64)[starts] == 1 if len(starts) else np.zeros(0, dtype=bool)
    # Several words of one token start its sentence once.
    flags[1:] &= starts[1:] != starts[:-1]
    return np.asarray(flags, dtype=bool)


@dataclass(frozen=True)
class Sentences:
    """The sentences of one doc that are more than white space; the whole of a doc that has none.

    texts: What they say.
    runs: First and last token of each, the latter exclusive.
    """

    texts: list[str]
    runs: list[tuple[int, int]]


def doc_sentences(doc: Doc) -> Sentences:
    """Split a doc into sentences, as its annotation says."""
    spans = list(doc.sents) if doc.has_annotation("SENT_START") else [doc[:]]
    kept = [span for span in spans if span.text.strip()]
    return Sentences([span.text for span in kept], [(span.start, span.end) for span in kept])
