"""The words that a model sees, and the spaCy tokens that they stand for."""

import re
import sys
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from spacy.attrs import IDX, IS_SPACE, SENT_START
from spacy.tokens import Doc, Span

WordMode = Literal["spacy", "gliner", "gliner2"]

# The splitter that published checkpoints were trained with: a run of letters, digits and underscores, joined
# by hyphens; or any other single character.
GLINER_WORD = re.compile(r"\w+(?:[-_]\w+)*|\S")


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
    sentence_starts: Whether a sentence starts at the word; all False where the doc has no sentences.
        *Shape of the arrays:* (words,).
    """

    texts: list[str]
    starts: np.ndarray
    ends: np.ndarray
    sentence_starts: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def of_span(self, span: Span) -> tuple[int, int]:
        """Find the words that a span touches, end exclusive; equal where it holds white space only."""
        first = int(np.searchsorted(self.ends, span.start, side="right"))
        last = int(np.searchsorted(self.starts, span.end, side="left"))
        return first, max(first, last)


def doc_words(doc: Doc, mode: WordMode) -> Words:
    """Split a doc into words.

    doc (Doc): Any doc.
    mode (str): "spacy" for the doc's own tokens without white space; "gliner" or "gliner2" for the splitter of
        published checkpoints on the raw text, each word standing for all tokens that it touches, so that nothing
        found in it is lost however the two tokenisations disagree.
    RETURNS (Words): The words in order.
    """
    if mode == "spacy":
        starts = np.flatnonzero(doc.to_array(IS_SPACE) == 0)
        return Words([doc[i].text for i in starts.tolist()], starts, starts + 1, _sentence_starts(doc, starts))
    pattern = gliner2_word() if mode == "gliner2" else GLINER_WORD
    matches = list(pattern.finditer(doc.text))
    offsets = doc.to_array(IDX).astype(np.int64)
    first = np.array([match.start() for match in matches], dtype=np.int64)
    last = np.array([match.end() - 1 for match in matches], dtype=np.int64)
    starts = np.searchsorted(offsets, first, side="right") - 1
    ends = np.searchsorted(offsets, last, side="right")
    return Words([match.group() for match in matches], starts, ends, _sentence_starts(doc, starts))


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
