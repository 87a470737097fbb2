"""The one door to a model for components: ask it, teach it, save it, whichever architecture it has."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model

from ..words import Words
from .network import Head
from .span_head import Marks

MATCHER = "matcher"
WORD_MODES: tuple[str, ...] = ("spacy", "gliner")


class Question(NamedTuple):
    """What one text is asked.

    words: Its words.
    types: The types, as they are written into prompts.
    thresholds: The score that a span must pass, for each type. *Shape:* (types,).
    doc: The text itself, a Doc, for models whose words are encoded by a layer of spaCy's.
    """

    words: Words
    types: Sequence[str]
    thresholds: np.ndarray
    doc: Any = None


class Lesson(NamedTuple):
    """What one text teaches.

    words: Its words.
    types: The types that it is asked for, as they are written into the prompt.
    spans: Its entities: first word, last word (exclusive), index of the type.
    unknown: Runs of words (end exclusive) about which nothing is taught.
    doc: The text itself; see `Question`.
    names: The types' own names, in step with `types`.
    likely: Indices of the types that a filter thinks the text holds; None where none was asked.
    explanations: Of spans that have one, why they are what they are.
    """

    words: Words
    types: Sequence[str]
    spans: Sequence[tuple[int, int, int]]
    unknown: Sequence[tuple[int, int]]
    doc: Any = None
    names: Sequence[str] = ()
    likely: Sequence[int] | None = None
    explanations: Mapping[tuple[int, int, int], str] = MappingProxyType({})


class LessonBatch(NamedTuple):
    """Windows of lessons as the model reads them, and their gold annotation.

    request: The model's input.
    share: What part of all windows of the update one window is.
    """

    request: Any
    marks: Marks
    share: float


class Answer(NamedTuple):
    """One span that passed. `first` and `last` are words, `last` exclusive; `type` indexes the question's types. Models
    that explain themselves say why."""

    first: int
    last: int
    type: int
    score: float
    explanation: str = ""


class Matcher(Protocol):
    """The ways of one architecture. A model carries it in `attrs["matcher"]`; the functions below lead there."""

    def start(
        self, model: Model, sample: Callable[[], list[Doc]], encoder: str | Path | None, head: Mapping[str, Any]
    ) -> None:
        """See `matching.start`."""
        ...

    def head(self, model: Model) -> Head:
        """The network that scores."""
        ...

    def find(self, model: Model, questions: Sequence[Question], batch_tokens: int) -> list[list[Answer]]:
        """See `matching.find`."""
        ...

    def score(self, model: Model, question: Question, spans: Sequence[tuple[int, int]]) -> np.ndarray:
        """See `matching.score`."""
        ...

    def lesson_batches(self, model: Model, lessons: Sequence[Lesson], batch_tokens: int) -> Iterator[LessonBatch]:
        """See `matching.lesson_batches`."""
        ...

    def save(self, model: Model, path: Path) -> None:
        """Write all that predicting needs into a directory."""
        ...

    def load(self, model: Model, path: Path) -> None:
        """Read what `save` wrote."""
        ...

    def to_bytes(self, model: Model) -> bytes:
        """As `save`, in one object."""
        ...

    def from_bytes(self, model: Model, data: bytes) -> None:
        """Read what `to_bytes` packed."""
        ...


def matcher_of(model: Model) -> Matcher:
    """The ways of a model's architecture."""
    matcher: Matcher = model.attrs[MATCHER]
    return matcher


def shim_of(model: Model) -> Any:
    """The part of a model that holds everything of PyTorch."""
    return model.shims[0]


def start(
    model: Model,
    sample: Callable[[], list[Doc]],
    encoder: str | Path | None = None,
    head: Mapping[str, Any] | None = None,
) -> None:
    """Load a model's weights, or make new ones; weights that are there are left alone.

    sample (Callable[[], list[Doc]]): Gives a few docs, for layers that take their sizes from data.
    encoder, head: What to put a new head on, and its settings, where the architecture knows these.
    RAISES (SettingError): For settings that the architecture does not know.
    """
    matcher_of(model).start(model, sample, encoder, head or {})


def max_width(model: Model) -> int:
    """Words of the widest span that is looked for; 0 where the model sets no limit."""
    return getattr(matcher_of(model).head(model), "max_width", 0)


def find(model: Model, questions: Sequence[Question], batch_tokens: int) -> list[list[Answer]]:
    """Score all spans of texts, in batches across texts.

    questions (Sequence[Question]): Each text with its types.
    batch_tokens (int): The most pieces (or words, where the model reads words) in a batch, padding included.
    RETURNS (list[list[Answer]]): Of each text the spans over their thresholds. A span that several windows
        show has its best score.
    """
    return matcher_of(model).find(model, questions, batch_tokens)


def score(model: Model, question: Question, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Score given spans of one text for given types, however wide.

    question (Question): The text and its types; its thresholds do not matter.
    spans (Sequence[tuple[int, int]]): First word and last word, exclusive. Empty ones score 0.
    RETURNS (np.ndarray): Probabilities; the best over the windows that show a span. *Shape:* (spans, types).
    RAISES (TextError): When a span is longer than any window.
    """
    return matcher_of(model).score(model, question, spans)


def lesson_batches(model: Model, lessons: Sequence[Lesson], batch_tokens: int) -> Iterator[LessonBatch]:
    """Lay lessons out for training; memory is bounded by `batch_tokens`, however many lessons there are.

    To be run to its end, each batch answered (`begin_update`, backprop) before the next is asked for: what a model
    does once for all batches is done before the first and after the last.

    YIELDS (LessonBatch): Windows of similar length. An entity that a window cuts is unknown to that window.
    """
    return matcher_of(model).lesson_batches(model, lessons, batch_tokens)


def targets(model: Model, logits: torch.Tensor, marks: Marks) -> tuple[torch.Tensor, torch.Tensor]:
    """What the scores of a batch should be, and which are known; see the heads' `targets`."""
    return matcher_of(model).head(model).targets(logits, marks)
