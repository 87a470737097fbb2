"""Models with a checkpoint of the GLiNER family: words and types in one prompt, or types encoded apart."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model

from ..queries import ScoredSpan, SpanQuery, TrainingBatch, TrainingText
from ..span_model import checked_head
from .new_head import from_encoder
from .shim import CheckpointShim, WindowRequest
from .text_windows import BestSpans, gold_targets
from .windows import InputWindow, batch_windows, pad


class PromptSpanModel(CheckpointShim):
    """A span model that lays texts out in windows behind prompts."""

    def initialize(
        self,
        model: Model,
        sample: Callable[[], list[Doc]],
        encoder: str | Path | None = None,
        head: Mapping[str, Any] | None = None,
    ) -> None:
        """Load the checkpoint, or put a new head on an encoder; see `new_head.from_encoder` for its settings."""
        if self.is_loaded or encoder is None:
            _ = self.checkpoint
            return
        self.use(from_encoder(encoder, **checked_head(from_encoder, head)))

    def find(self, model: Model, queries: Sequence[SpanQuery], batch_tokens: int) -> list[list[ScoredSpan]]:
        """Score all spans; see `SpanModel.find`."""
        best, head = BestSpans(len(queries)), self.checkpoint.network.head
        planned = self.planner.plan([query.words for query in queries], self._prompt_types(queries))
        for windows in batch_windows(planned, batch_tokens):
            best.add(head, model.predict(self.request(windows, queries)), windows, queries)
        return best.spans()

    def score(self, model: Model, query: SpanQuery, spans: Sequence[tuple[int, int]]) -> np.ndarray:
        """Score given spans; see `SpanModel.score`."""
        scores = np.zeros((len(spans), len(query.types)), dtype=np.float32)
        for window in self.planner.plan_for_spans(query.words, self._prompt_types([query])[0], spans):
            shown = [i for i, (a, b) in enumerate(spans) if a < b and window.first <= a and b <= window.last]
            starts = torch.tensor([spans[i][0] - window.first for i in shown])
            ends = torch.tensor([spans[i][1] - 1 - window.first for i in shown])
            window_scores = self.score_in_window(self.request([window], [query]), starts, ends).numpy()
            cells = np.ix_(shown, list(window.types))
            scores[cells] = np.maximum(scores[cells], window_scores)
        return scores

    def training_batches(
        self, model: Model, texts: Sequence[TrainingText], batch_tokens: int
    ) -> Iterator[TrainingBatch]:
        """Lay texts out; see `SpanModel.training_batches`."""
        planned = list(self.planner.plan([text.words for text in texts], self._prompt_types(texts)))
        for windows in batch_windows(planned, batch_tokens):
            yield TrainingBatch(self.request(windows, texts), gold_targets(windows, texts), 1 / len(planned))

    def request(
        self, windows: Sequence[InputWindow], texts: Sequence[SpanQuery] | Sequence[TrainingText]
    ) -> WindowRequest:
        """Make the model's input of some windows.

        texts (Sequence): All texts that were planned together.
        """
        checkpoint = self.checkpoint
        batch = pad(windows, checkpoint.tokenizer.pad_token_id or 0)
        if checkpoint.fixed_types:
            # Vectors have names of types alone, whatever describes them.
            names = [text.names or text.types for text in texts]
        elif checkpoint.is_bi_encoder:
            names = [text.types for text in texts]
        else:
            return WindowRequest(batch)
        return WindowRequest(batch, [[names[w.text][i] for i in w.types] for w in windows])

    def _prompt_types(self, texts: Sequence[SpanQuery] | Sequence[TrainingText]) -> list[Sequence[Any]]:
        """Return each text's types as its checkpoint's prompts take them."""
        tokenizer = self.planner.tokenizer
        return [tokenizer.prompt_types(text.types, text.names) for text in texts]
