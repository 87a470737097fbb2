"""The one door to a model for components: ask it, teach it, save it, whichever architecture it has."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model

from ..queries import GoldTargets, ScoredSpan, SpanQuery, TrainingBatch, TrainingText
from .network import Head

MATCHER = "matcher"
WORD_MODES: tuple[str, ...] = ("spacy", "gliner")


class Matcher(Protocol):
    """The ways of one architecture. A model carries it in `attrs["matcher"]`; the functions below lead there."""

    def initialize(
        self, model: Model, sample: Callable[[], list[Doc]], encoder: str | Path | None, head: Mapping[str, Any]
    ) -> None:
        """See `interface.initialize`."""
        ...

    def head(self, model: Model) -> Head:
        """The network that scores."""
        ...

    def find(self, model: Model, queries: Sequence[SpanQuery], batch_tokens: int) -> list[list[ScoredSpan]]:
        """See `interface.find`."""
        ...

    def score(self, model: Model, query: SpanQuery, spans: Sequence[tuple[int, int]]) -> np.ndarray:
        """See `interface.score`."""
        ...

    def training_batches(
        self, model: Model, texts: Sequence[TrainingText], batch_tokens: int
    ) -> Iterator[TrainingBatch]:
        """See `interface.training_batches`."""
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


def initialize(
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
    matcher_of(model).initialize(model, sample, encoder, head or {})


def max_width(model: Model) -> int:
    """Words of the widest span that is looked for; 0 where the model sets no limit."""
    return getattr(matcher_of(model).head(model), "max_width", 0)


def find(model: Model, queries: Sequence[SpanQuery], batch_tokens: int) -> list[list[ScoredSpan]]:
    """Score all spans of texts, in batches across texts.

    queries (Sequence[SpanQuery]): Each text with its types.
    batch_tokens (int): The most pieces (or words, where the model reads words) in a batch, padding included.
    RETURNS (list[list[ScoredSpan]]): Of each text the spans over their thresholds. A span that several windows
        show has its best score.
    """
    return matcher_of(model).find(model, queries, batch_tokens)


def score(model: Model, query: SpanQuery, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Score given spans of one text for given types, however wide.

    query (SpanQuery): The text and its types; its thresholds do not matter.
    spans (Sequence[tuple[int, int]]): First word and last word, exclusive. Empty ones score 0.
    RETURNS (np.ndarray): Probabilities; the best over the windows that show a span. *Shape:* (spans, types).
    RAISES (TextError): When a span is longer than any window.
    """
    return matcher_of(model).score(model, query, spans)


def training_batches(model: Model, texts: Sequence[TrainingText], batch_tokens: int) -> Iterator[TrainingBatch]:
    """Lay texts out for training; memory is bounded by `batch_tokens`, however many texts there are.

    To be run to its end, each batch answered (`begin_update`, backprop) before the next is asked for: what a model
    does once for all batches is done before the first and after the last.

    YIELDS (TrainingBatch): Windows of similar length. An entity that a window cuts is unknown to that window.
    """
    return matcher_of(model).training_batches(model, texts, batch_tokens)


def targets(model: Model, logits: torch.Tensor, gold: GoldTargets) -> tuple[torch.Tensor, torch.Tensor]:
    """What the scores of a batch should be, and which are known; see the heads' `targets`."""
    return matcher_of(model).head(model).targets(logits, gold)
