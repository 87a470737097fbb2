"""How models with a checkpoint of the GLiNER family are asked and taught: words and types in one prompt."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model

from ...errors import error
from ...nn.backbones import piece_limit
from ..queries import ScoredSpan, SpanQuery, TrainingBatch, TrainingText
from ..words import Words
from .network import Head
from .new_head import from_encoder
from .shim import CheckpointShim, Request
from .tokenization import InputWindow, PromptTokenizer, SubwordMap, group, pad
from .windows import BestSpans, gold_targets


class Limits(NamedTuple):
    """Settings of `pieces.PromptTokenizer` that a user may change; None for the model's own."""

    window: int | None
    overlap: int
    max_types: int | None


class PromptMatcher:
    """See `interface.Matcher`; it holds nothing of its own."""

    def initialize(
        self, model: Model, sample: Callable[[], list[Doc]], encoder: str | Path | None, head: Mapping[str, Any]
    ) -> None:
        """Load the checkpoint, or put a new head on an encoder; see `new_head.from_encoder` for its settings."""
        shim = _shim(model)
        if shim.is_loaded or encoder is None:
            _ = shim.checkpoint
            return
        known = inspect.signature(from_encoder).parameters
        unknown = [name for name in head if name not in known]
        if unknown:
            raise error("O001", name="head", value=unknown, allowed=", ".join(list(known)[1:]))
        shim.use(from_encoder(encoder, **head))

    def head(self, model: Model) -> Head:
        """The checkpoint's head."""
        return _shim(model).checkpoint.network.head

    def find(self, model: Model, queries: Sequence[SpanQuery], batch_tokens: int) -> list[list[ScoredSpan]]:
        """Score all spans; see `interface.find`."""
        best = BestSpans(len(queries))
        planned = pieces_of(model).plan([q.words for q in queries], [q.types for q in queries])
        for windows in group(planned, batch_tokens):
            request = request_of(model, windows, [q.types for q in queries])
            best.add(self.head(model), model.predict(request), windows, queries)
        return best.answers()

    def score(self, model: Model, query: SpanQuery, spans: Sequence[tuple[int, int]]) -> np.ndarray:
        """Score given spans; see `interface.score`."""
        types = query.types
        scores = np.zeros((len(spans), len(types)), dtype=np.float32)
        for window in _windows_over(model, query.words, types, spans):
            shown = [i for i, (a, b) in enumerate(spans) if a < b and window.first <= a and b <= window.last]
            if not shown:
                continue
            starts = torch.tensor([spans[i][0] - window.first for i in shown])
            ends = torch.tensor([spans[i][1] - 1 - window.first for i in shown])
            part = _shim(model).score_spans(request_of(model, [window], [types]), starts, ends).numpy()
            place = np.ix_(shown, list(window.types))
            scores[place] = np.maximum(scores[place], part)
        return scores

    def training_batches(
        self, model: Model, texts: Sequence[TrainingText], batch_tokens: int
    ) -> Iterator[TrainingBatch]:
        """Lay texts out; see `interface.training_batches`."""
        planned = list(pieces_of(model).plan([each.words for each in texts], [each.types for each in texts]))
        for windows in group(planned, batch_tokens):
            request = request_of(model, windows, [each.types for each in texts])
            yield TrainingBatch(request, gold_targets(windows, texts), 1 / len(planned))

    def save(self, model: Model, path: Path) -> None:
        """Write the checkpoint."""
        _shim(model).save(path)

    def load(self, model: Model, path: Path) -> None:
        """Read the checkpoint."""
        _shim(model).load(path)

    def to_bytes(self, model: Model) -> bytes:
        """Pack the checkpoint."""
        return _shim(model).to_bytes()

    def from_bytes(self, model: Model, data: bytes) -> None:
        """Unpack the checkpoint."""
        _shim(model).from_bytes(data)


def pieces_of(model: Model) -> PromptTokenizer:
    """The maker of windows for a model, made once for each checkpoint."""
    shim = _shim(model)
    if shim.pieces is None:
        with shim.lock:
            if shim.pieces is None:
                shim.pieces = _make_pieces(model)
    return shim.pieces


def request_of(model: Model, windows: list[InputWindow], types: Sequence[Sequence[str]]) -> Request:
    """The model's input for some windows.

    types (Sequence[Sequence[str]]): The types of each text that was planned.
    """
    checkpoint = _shim(model).checkpoint
    batch = pad(windows, checkpoint.tokenizer.pad_token_id or 0)
    if not checkpoint.is_bi_encoder:
        return Request(batch)
    return Request(batch, [[types[w.text][i] for i in w.types] for w in windows])


def _shim(model: Model) -> CheckpointShim:
    return model.shims[0]


def _make_pieces(model: Model) -> PromptTokenizer:
    checkpoint = _shim(model).checkpoint
    limits = Limits(*model.attrs["limits"])
    own = piece_limit(checkpoint.network.encoder.config)
    return PromptTokenizer(
        checkpoint.tokenizer,
        limit=min(limits.window or own, own),
        max_words=checkpoint.config.get("max_len", 384),
        overlap=max(limits.overlap, getattr(checkpoint.network.head, "max_width", 0) - 1),
        entity_id=checkpoint.entity_id,
        separator_id=checkpoint.separator_id,
        embed_marker=checkpoint.config.get("embed_ent_token", True),
        max_types=limits.max_types or checkpoint.max_types,
    )


def _windows_over(
    model: Model, words: Words, types: Sequence[str], spans: Sequence[tuple[int, int]]
) -> Iterable[InputWindow]:
    """The usual windows, and one more around each span that none of them shows whole."""
    maker = pieces_of(model)
    if not len(words) or not types or not spans:
        return
    split = maker.split_words([words.texts])[0]
    for prompt, in_prompt, positions in maker.prompts(types):
        room = maker.room(prompt)
        runs = list(maker.windows(words, split, room))
        for first, last in spans:
            if first < last and not any(a <= first and last <= b for a, b in runs):
                runs.append(_around(maker, words, split, first, last, room))
        for first, last in runs:
            if any(a < b and first <= a and b <= last for a, b in spans):
                yield maker.window(0, split, first, last, prompt, in_prompt, positions)


def _around(
    maker: PromptTokenizer, words: Words, split: SubwordMap, first: int, last: int, room: int
) -> tuple[int, int]:
    """Widen a span to both sides as far as a window allows."""
    size = int(split.ends[last - 1] - split.starts[first])
    if size > room or last - first > maker.max_words:
        raise error("O201", text=" ".join(words.texts[first : first + 8]) + " ...", pieces=size, room=room)
    while last - first < maker.max_words:
        wider = (max(first - 1, 0), min(last + 1, len(words)))
        grown = int(split.ends[wider[1] - 1] - split.starts[wider[0]])
        if wider == (first, last) or grown > room or wider[1] - wider[0] > maker.max_words:
            break
        first, last = wider
    return first, last
