"""The interface of span models to components, whichever architecture they have."""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model

from ..errors import error
from ..nn.shim import ModelShim
from .queries import GoldTargets, ScoredSpan, SpanQuery, TrainingBatch, TrainingText
from .words import WordMode

WITH_ADAPTERS = "spacy-openner.SpanMatcher.v1"
WORD_MODES: tuple[str, ...] = ("spacy", "gliner")


class SpanModel(ModelShim):
    """The shim of a model that scores spans against types; base of one class for each architecture.

    An abstract class and not a Protocol: asking whether an object has `max_width`, as checks of Protocols do, would
    load the weights. Methods take the thinc model that the shim is part of (`model`), since its layers may be replaced.
    """

    word_mode: WordMode = "spacy"
    """The words that the model sees."""

    @property
    @abstractmethod
    def max_width(self) -> int:
        """Words of the widest span that is looked for; 0 where the model sets no limit."""

    @abstractmethod
    def initialize(
        self,
        model: Model,
        sample: Callable[[], list[Doc]],
        encoder: str | Path | None = None,
        head: Mapping[str, Any] | None = None,
    ) -> None:
        """Load the weights, or make new ones; weights that are there are left alone.

        sample (Callable[[], list[Doc]]): Gives a few docs, for layers that take their sizes from data.
        encoder, head: The encoder that gets a new head, and the head's settings, where the architecture knows these.
        RAISES (SettingError): For settings that the architecture does not know.
        """

    def adapt(self, options: Mapping[str, Any]) -> None:
        """Train low-rank adapters instead of the encoder from now on.

        options (Mapping[str, Any]): Of `peft.LoraConfig`.
        RAISES (SettingError): Where the architecture has none.
        """
        raise error("O001", name="lora", value=dict(options), allowed=f"null: only {WITH_ADAPTERS} takes adapters")

    def load_adapters(self, name: str, path: Path) -> None:
        """Read adapters that `save_adapters` wrote, and use them."""
        raise error("O001", name="name", value=name, allowed=f"nothing: only {WITH_ADAPTERS} takes adapters")

    def use_adapters(self, name: str | None) -> None:
        """Use the adapters of a name, or the weights alone."""
        raise error("O001", name="name", value=name, allowed=f"nothing: only {WITH_ADAPTERS} takes adapters")

    def save_adapters(self, path: Path) -> None:
        """Write the adapters in use."""
        raise error("O001", name="path", value=str(path), allowed=f"nothing: only {WITH_ADAPTERS} takes adapters")

    @abstractmethod
    def find(self, model: Model, queries: Sequence[SpanQuery], batch_tokens: int) -> list[list[ScoredSpan]]:
        """Score all spans of texts, in batches across texts.

        queries (Sequence[SpanQuery]): Each text with its types.
        batch_tokens (int): The most subwords (or words, where the model reads words) in a batch, padding included.
        RETURNS (list[list[ScoredSpan]]): Of each text the spans over their thresholds. A span that several windows
            show has its best score.
        """

    @abstractmethod
    def score(self, model: Model, query: SpanQuery, spans: Sequence[tuple[int, int]]) -> np.ndarray:
        """Score given spans of one text for given types, however wide.

        query (SpanQuery): The text and its types; its thresholds do not matter.
        spans (Sequence[tuple[int, int]]): First word and last word, exclusive. Empty ones score 0.
        RETURNS (np.ndarray): Probabilities; the best over the windows that show a span. *Shape:* (spans, types).
        RAISES (TextError): When a span is longer than any window.
        """

    @abstractmethod
    def training_batches(
        self, model: Model, texts: Sequence[TrainingText], batch_tokens: int
    ) -> Iterator[TrainingBatch]:
        """Lay texts out for training; memory is bounded by `batch_tokens`, however many texts there are.

        To be run to its end, each batch answered (`begin_update`, backprop) before the next is asked for: what a model
        does once for all batches is done before the first and after the last.

        YIELDS (TrainingBatch): Windows of similar length. An entity that a window cuts is unknown to that window.
        """

    @abstractmethod
    def targets(self, logits: torch.Tensor, gold: GoldTargets) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the scores of a batch should be, and which are known.

        logits (torch.Tensor): As `begin_update` returns them.
        RETURNS (tuple): 0 or 1, float32; and whether that is known. *Shape of both:* as `logits`.
        """


def span_model(model: Model) -> SpanModel:
    """Return the span model inside a thinc model.

    RAISES (SettingError): When there is none.
    """
    if not is_span_model(model):
        raise error("O001", name="model", value=getattr(model, "name", model), allowed="a span matcher")
    shim: SpanModel = model.shims[0]
    return shim


def is_span_model(model: object) -> bool:
    """Tell whether this is a thinc model that scores spans."""
    return isinstance(model, Model) and bool(model.shims) and isinstance(model.shims[0], SpanModel)


def checked_head(build: Callable[..., Any], head: Mapping[str, Any] | None) -> dict[str, Any]:
    """Check the settings of a new head against what its builder takes behind the encoder.

    build (Callable): Takes an encoder, and the settings by name.
    RETURNS (dict[str, Any]): The settings.
    RAISES (SettingError): For a setting that the builder does not know.
    """
    settings = dict(head or {})
    known = list(inspect.signature(build).parameters)[1:]
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise error("O001", name="head", value=unknown, allowed=", ".join(known))
    return settings
