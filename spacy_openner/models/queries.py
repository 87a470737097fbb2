"""The data that components hand to models and get back: texts to score, scored spans, texts to train on."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from spacy.tokens import Doc

from ..errors import error
from .words import Words


class SpanQuery(NamedTuple):
    """One text to score, and the types to score it for.

    words: Its words.
    types: The types, as they are written into prompts.
    thresholds: The score that a span must pass, for each type. *Shape:* (types,).
    doc: The text itself, for models whose words are encoded by a layer of spaCy's.
    names: The types' own names, in step with `types`, for models that read names and descriptions apart.
    """

    words: Words
    types: Sequence[str]
    thresholds: np.ndarray
    doc: Doc
    names: Sequence[str] = ()


class ScoredSpan(NamedTuple):
    """One span that passed its threshold.

    first, last: Words, `last` exclusive.
    type: Index into the query's types.
    score: A probability.
    explanation: Why it is one, of models that explain themselves.
    """

    first: int
    last: int
    type: int
    score: float
    explanation: str = ""


_most_spans: ContextVar[int | None] = ContextVar("most_spans", default=None)


@contextmanager
def at_most_spans(n: int) -> Iterator[None]:
    """Let no call of a model in the block, and in its thread, find more spans: for texts and types that others choose.

    n (int): Of all texts of a call, before those that cannot stand together are left out.
    """
    token = _most_spans.set(n)
    try:
        yield
    finally:
        _most_spans.reset(token)


def check_span_count(n: int) -> None:
    """Hold a number of spans against the bound of `at_most_spans`.

    RAISES (TextError): O206, for more.
    """
    most = _most_spans.get()
    if most is not None and n > most:
        raise error("O206", most=f"{most:,}")


class TrainingText(NamedTuple):
    """One text to train on.

    words: Its words.
    types: The types that it is queried for, as they are written into the prompt.
    spans: Its entities: first word, last word (exclusive), index of the type.
    unknown: Runs of words (end exclusive) about which nothing is taught.
    doc: The text itself; see `SpanQuery`.
    names: The types' own names, in step with `types`.
    likely: Indices of the types that a filter thinks the text holds; None where there was no filter.
    explanations: Of spans that have one, why they are what they are.
    """

    words: Words
    types: Sequence[str]
    spans: Sequence[tuple[int, int, int]]
    unknown: Sequence[tuple[int, int]]
    doc: Doc
    names: Sequence[str] = ()
    likely: Sequence[int] | None = None
    explanations: Mapping[tuple[int, int, int], str] = MappingProxyType({})


class GoldTargets(NamedTuple):
    """Gold annotation of the rows of a batch, in the words and types of each row.

    n_words, n_types: *Shape of each:* (batch,), int64.
    spans: Row, first word, last word (exclusive), type.
    unknown: Row, first word, last word (exclusive): no span that touches these words may be taught.
    """

    n_words: torch.Tensor
    n_types: torch.Tensor
    spans: list[tuple[int, int, int, int]]
    unknown: list[tuple[int, int, int]]


class TrainingBatch(NamedTuple):
    """Windows of training texts as the model reads them, and their gold annotation.

    request: The model's input.
    gold: What the windows hold.
    share: The part of all windows of the update that one window is.
    """

    request: Any
    gold: GoldTargets
    share: float
