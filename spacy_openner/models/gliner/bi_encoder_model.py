"""Bi-encoders on the token vectors of a spaCy layer (see `architectures.BiEncoderSpanMatcher_v1`).

A span's score depends on the vectors of its first and last word alone, so windows change no score here: they bound
memory. What the vectors depend on is the business of the layer that makes them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model

from ...errors import error
from ...nn.batching import batch_by_length, batch_in_order
from ...nn.tok2vec import TOK2VEC, TokenVectors, initialize_layer, layer_width
from ..queries import ScoredSpan, SpanQuery, TrainingBatch, TrainingText
from .bi_encoder import BiEncoderShim, WordRequest
from .text_windows import BestSpans, gold_targets

WINDOW_WORDS = 384
WINDOW_TYPES = 128
# How many batches' worth of tokens get their vectors at once.
BUFFER = 16

Texts = Sequence[SpanQuery] | Sequence[TrainingText]


class WordWindow(NamedTuple):
    """A run of a text's words and types; see `text_windows.TextWindow`."""

    text: int
    first: int
    last: int
    types: range


class BiEncoderSpanModel(BiEncoderShim):
    """A span model on the token vectors of a layer."""

    def initialize(
        self,
        model: Model,
        sample: Callable[[], list[Doc]],
        encoder: str | Path | None = None,
        head: Mapping[str, Any] | None = None,
    ) -> None:
        """Make a new head on the layer of token vectors, which is initialised first if it has no weights.

        RAISES (SettingError): For an encoder or a head, which are settings of the model here.
        """
        for name, value in (("encoder", encoder), ("head", head)):
            if value:
                raise error("O012", name=name)
        tok2vec = model.get_ref(TOK2VEC)
        docs = initialize_layer(tok2vec, sample)
        if not self.is_loaded:
            self.build(layer_width(tok2vec, docs))

    def find(self, model: Model, queries: Sequence[SpanQuery], batch_tokens: int) -> list[list[ScoredSpan]]:
        """Score all spans; see `SpanModel.find`."""
        best, head = BestSpans(len(queries)), self.network.head
        scored = [i for i, query in enumerate(queries) if len(query.words) and query.types]
        for part in batch_in_order(scored, lambda i: len(queries[i].doc), BUFFER * batch_tokens):
            vectors = TokenVectors.predict(model, [queries[i].doc for i in part])
            rows = {text: vectors.starts[i] + queries[text].words.starts for i, text in enumerate(part)}
            for windows in _batches(plan_windows(queries, part, head.max_width), batch_tokens):
                logits = model.predict(_request(vectors.flat, rows, windows, queries))
                best.add(head, logits, windows, queries)
        return best.spans()

    def score(self, model: Model, query: SpanQuery, spans: Sequence[tuple[int, int]]) -> np.ndarray:
        """Score given spans, of any width; see `SpanModel.score`."""
        scores = np.zeros((len(spans), len(query.types)), dtype=np.float32)
        shown = [i for i, (first, last) in enumerate(spans) if first < last]
        if not shown or not query.types:
            return scores
        _ = self.network  # Without weights, this says so better than the layer below would.
        vectors = TokenVectors.predict(model, [query.doc])
        rows = query.words.starts
        for start in range(0, len(shown), WINDOW_WORDS):
            part = shown[start : start + WINDOW_WORDS]
            starts = vectors.flat[rows[[spans[i][0] for i in part]]]
            ends = vectors.flat[rows[[spans[i][1] - 1 for i in part]]]
            scores[part] = self.score_spans(starts, ends, query.types).numpy()
        return scores

    def training_batches(
        self, model: Model, texts: Sequence[TrainingText], batch_tokens: int
    ) -> Iterator[TrainingBatch]:
        """Lay texts out; see `SpanModel.training_batches`.

        The layer of vectors sees all docs of the update at once, as listeners demand, and gets its gradient once, at
        the end: also where nothing is taught, since others may wait for it.
        """
        if not any(len(text.doc) for text in texts):
            return
        planned = list(plan_windows(texts, range(len(texts)), self.network.head.max_width))
        vectors, backprop = TokenVectors.begin_update(model, [text.doc for text in texts])
        rows = {i: vectors.starts[i] + text.words.starts for i, text in enumerate(texts)}
        for windows in _batches(planned, batch_tokens):
            request = _request(vectors.flat, rows, windows, texts)
            yield TrainingBatch(request, gold_targets(windows, texts), 1 / len(planned))
        backprop()


def plan_windows(texts: Texts, part: Sequence[int], max_width: int) -> Iterator[WordWindow]:
    """Lay windows over texts, so that each span that is looked for is whole in one of them.

    part (Sequence[int]): The texts that windows are laid over.
    """
    step = WINDOW_WORDS - max_width + 1
    for text in part:
        n_words, n_types = len(texts[text].words), len(texts[text].types)
        for first in range(0, max(n_words - max_width + 1, min(n_words, 1)), step):
            for label in range(0, n_types, WINDOW_TYPES):
                types = range(label, min(label + WINDOW_TYPES, n_types))
                yield WordWindow(text, first, min(first + WINDOW_WORDS, n_words), types)


def _batches(windows: Iterable[WordWindow], batch_words: int) -> Iterator[list[WordWindow]]:
    """Group windows of similar numbers of types and words."""

    def n_words(window: WordWindow) -> int:
        return window.last - window.first

    return batch_by_length(windows, n_words, batch_words, order=lambda window: (len(window.types), n_words(window)))


def _request(
    flat: torch.Tensor, rows: Mapping[int, np.ndarray], windows: Sequence[WordWindow], texts: Texts
) -> WordRequest:
    """Make the model's input of some windows; padding repeats the first vector of all, which nobody reads.

    flat (torch.Tensor): The vectors of all tokens. *Shape:* (tokens, width).
    rows (Mapping[int, np.ndarray]): By text the row of `flat` of each word.
    """
    index = np.zeros((len(windows), max(w.last - w.first for w in windows)), dtype=np.int64)
    for row, window in zip(index, windows, strict=True):
        row[: window.last - window.first] = rows[window.text][window.first : window.last]
    types = [texts[w.text].types[w.types.start : w.types.stop] for w in windows]
    return WordRequest(flat[torch.from_numpy(index).to(flat.device)], types)
