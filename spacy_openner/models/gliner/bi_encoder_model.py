"""How bi-encoders on token vectors are asked and taught (see `architectures.BiEncoderSpanMatcher_v1`).

A span's score depends on the vectors of its first and last word alone, so windows change no score here: they bound
memory. What the vectors depend on is the business of the layer that makes them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import srsly
import torch
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Model
from thinc.util import torch2xp, xp2torch

from ...errors import error, warn
from ..queries import ScoredSpan, SpanQuery, TrainingBatch, TrainingText
from .bi_encoder import BiEncoderShim, WordRequest
from .span_head import MarkerV0Head
from .windows import BestSpans, gold_targets

TOK2VEC = "tok2vec"
WINDOW_WORDS = 384
WINDOW_TYPES = 128
# How many batches' worth of tokens get their vectors at once.
BUFFER = 16


class WordWindow(NamedTuple):
    """See `windows.InputWindow`."""

    text: int
    first: int
    last: int
    types: range


class BiEncoderMatcher:
    """See `interface.Matcher`; it holds nothing of its own."""

    def initialize(
        self, model: Model, sample: Callable[[], list[Doc]], encoder: str | Path | None, head: Mapping[str, Any]
    ) -> None:
        """Make a new head on the layer of token vectors, which is initialised first if it has no weights.

        RAISES (SettingError): For an encoder or a head, which are settings of the model here.
        """
        for name, value in (("encoder", encoder), ("head", head)):
            if value:
                raise error("O012", name=name)
        tok2vec = model.get_ref(TOK2VEC)
        docs = initialize_layer(tok2vec, sample)
        if not _shim(model).is_loaded:
            _shim(model).build(layer_width(tok2vec, docs))

    def head(self, model: Model) -> MarkerV0Head:
        """The head on the vectors."""
        return _shim(model).network.head

    def find(self, model: Model, queries: Sequence[SpanQuery], batch_tokens: int) -> list[list[ScoredSpan]]:
        """Score all spans; see `interface.find`."""
        best, head = BestSpans(len(queries)), self.head(model)
        for part in _parts(queries, BUFFER * batch_tokens):
            vectors = Vectors(model, model.get_ref(TOK2VEC).predict([queries[i].doc for i in part]))
            vectors.check()
            places = {text: vectors.places(i, queries[text]) for i, text in enumerate(part)}
            for windows in _batches(_plan(queries, part, head.max_width), batch_tokens):
                logits = model.predict(_request(vectors.flat, places, windows, queries))
                best.add(head, logits, windows, queries)
        return best.answers()

    def score(self, model: Model, query: SpanQuery, spans: Sequence[tuple[int, int]]) -> np.ndarray:
        """Score given spans, of any width; see `interface.score`."""
        scores = np.zeros((len(spans), len(query.types)), dtype=np.float32)
        shown = [i for i, (first, last) in enumerate(spans) if first < last]
        if not shown or not query.types:
            return scores
        self.head(model)  # Without weights, this says so better than the layer below would.
        vectors = Vectors(model, model.get_ref(TOK2VEC).predict([query.doc]))
        vectors.check()
        places = vectors.places(0, query)
        for start in range(0, len(shown), WINDOW_WORDS):
            rows = shown[start : start + WINDOW_WORDS]
            starts = vectors.flat[places[[spans[i][0] for i in rows]]]
            ends = vectors.flat[places[[spans[i][1] - 1 for i in rows]]]
            scores[rows] = _shim(model).score_spans(starts, ends, query.types).numpy()
        return scores

    def training_batches(
        self, model: Model, texts: Sequence[TrainingText], batch_tokens: int
    ) -> Iterator[TrainingBatch]:
        """Lay texts out; see `interface.training_batches`.

        The layer of vectors sees all docs of the update at once, as listeners demand, and gets its gradient once, at
        the end: also where nothing is taught, since others may wait for it.
        """
        if not any(len(text.doc) for text in texts):
            return
        max_width = self.head(model).max_width
        tokvecs, backprop = model.get_ref(TOK2VEC).begin_update([text.doc for text in texts])
        vectors = Vectors(model, tokvecs)
        vectors.flat.requires_grad_()
        places = {i: vectors.places(i, text) for i, text in enumerate(texts)}
        planned = list(_plan(texts, range(len(texts)), max_width))
        for windows in _batches(planned, batch_tokens):
            request = _request(vectors.flat, places, windows, texts)
            yield TrainingBatch(request, gold_targets(windows, texts), 1 / len(planned))
        backprop(vectors.gradients())

    def save(self, model: Model, path: Path) -> None:
        """Write the head, the label encoder and the layer of vectors."""
        _shim(model).save(path)
        (path / TOK2VEC).write_bytes(model.get_ref(TOK2VEC).to_bytes())

    def load(self, model: Model, path: Path) -> None:
        """Read what `save` wrote."""
        model.get_ref(TOK2VEC).from_bytes((path / TOK2VEC).read_bytes())
        _shim(model).load(path)

    def to_bytes(self, model: Model) -> bytes:
        """Pack the same."""
        packed: bytes = srsly.msgpack_dumps(
            {"shim": _shim(model).to_bytes(), TOK2VEC: model.get_ref(TOK2VEC).to_bytes()}
        )
        return packed

    def from_bytes(self, model: Model, data: bytes) -> None:
        """Read what `to_bytes` packed."""
        parts = srsly.msgpack_loads(data)
        model.get_ref(TOK2VEC).from_bytes(parts[TOK2VEC])
        _shim(model).from_bytes(parts["shim"])


class Vectors:
    """The token vectors of some docs, laid end to end.

    model (Model): The model that they are for.
    tokvecs (Sequence[Any]): An array for each doc. *Shape of each:* (tokens, width).
    """

    def __init__(self, model: Model, tokvecs: Sequence[Any]) -> None:
        self.lengths = [len(each) for each in tokvecs]
        self.starts = np.cumsum([0, *self.lengths])
        # Layers may give empty docs vectors of no width at all.
        full = [each for each in tokvecs if len(each)]
        # A copy: gradients are gathered in it.
        self.flat = xp2torch(model.ops.xp.concatenate(full)).float()

    def places(self, i: int, text: SpanQuery | TrainingText) -> np.ndarray:
        """Where the words of a doc are. *Shape:* (words,)."""
        return np.asarray(self.starts[i] + text.words.starts)

    def check(self) -> None:
        """Warn when the vectors say nothing."""
        if not bool(self.flat.any()):
            warn("W009")

    def gradients(self) -> list[Any]:
        """What backpropagation has gathered, doc by doc. *Shape of each:* (tokens, width)."""
        gradient = self.flat.grad if self.flat.grad is not None else torch.zeros_like(self.flat)
        return [torch2xp(part) for part in gradient.split(self.lengths)]


def _shim(model: Model) -> BiEncoderShim:
    return model.shims[0]


def _has_weights(layer: Model) -> bool:
    """Whether a layer has parameters, and all of them have values. (Layers without any know themselves what
    there is to initialise.)"""
    known = [node.has_param(name) for node in layer.walk() for name in node.param_names]
    return bool(known) and all(known)


def initialize_layer(tok2vec: Model, sample: Callable[[], list[Doc]]) -> list[Doc]:
    """Initialise a layer of token vectors, if it has no weights.

    sample (Callable[[], list[Doc]]): Gives a few docs.
    RETURNS (list[Doc]): Docs that the layer can be tried on.
    """
    docs = [doc for doc in sample() if len(doc)] or [Doc(Vocab(), words=["a"])]
    if not _has_weights(tok2vec):
        _guarded(lambda: tok2vec.initialize(X=docs))
    return docs


def layer_width(tok2vec: Model, docs: list[Doc]) -> int:
    """The width of a layer's output, found by trying."""
    return int(_guarded(lambda: tok2vec.predict(docs[:1]))[0].shape[1])


def _guarded(call: Callable[[], Any]) -> Any:
    try:
        return call()
    # thinc's listeners do not know their width before they are linked to a component that does.
    except ValueError as problem:
        raise error("O112", reason=str(problem)) from problem


def _parts(queries: Sequence[SpanQuery], budget: int) -> Iterator[list[int]]:
    """Group texts that have something to score, so that no group has more tokens than the budget; one text may."""
    part: list[int] = []
    held = 0
    for i, query in enumerate(queries):
        if not len(query.words) or not query.types:
            continue
        if part and held + len(query.doc) > budget:
            yield part
            part, held = [], 0
        part.append(i)
        held += len(query.doc)
    if part:
        yield part


def _plan(
    texts: Sequence[SpanQuery] | Sequence[TrainingText], part: Sequence[int], max_width: int
) -> Iterator[WordWindow]:
    """Lay windows over texts, so that each span that is looked for is whole in one of them."""
    step = WINDOW_WORDS - max_width + 1
    for text in part:
        n_words, n_types = len(texts[text].words), len(texts[text].types)
        for first in range(0, max(n_words - max_width + 1, min(n_words, 1)), step):
            for label in range(0, n_types, WINDOW_TYPES):
                types = range(label, min(label + WINDOW_TYPES, n_types))
                yield WordWindow(text, first, min(first + WINDOW_WORDS, n_words), types)


def _batches(windows: Iterable[WordWindow], batch_words: int) -> Iterator[list[WordWindow]]:
    """Group windows of similar size, so that no batch has more words than allowed, padding included; one may."""
    batch: list[WordWindow] = []
    longest = 0
    for window in sorted(windows, key=lambda w: (len(w.types), w.last - w.first)):
        longest = max(longest, window.last - window.first)
        if batch and longest * (len(batch) + 1) > batch_words:
            yield batch
            batch, longest = [], window.last - window.first
        batch.append(window)
    if batch:
        yield batch


def _request(
    flat: torch.Tensor,
    places: Mapping[int, np.ndarray],
    windows: Sequence[WordWindow],
    texts: Sequence[SpanQuery] | Sequence[TrainingText],
) -> WordRequest:
    """The model's input for some windows; padding repeats the first vector of all, which nobody reads."""
    index = np.zeros((len(windows), max(w.last - w.first for w in windows)), dtype=np.int64)
    for row, window in zip(index, windows, strict=True):
        row[: window.last - window.first] = places[window.text][window.first : window.last]
    types = [texts[w.text].types[w.types.start : w.types.stop] for w in windows]
    return WordRequest(flat[torch.from_numpy(index).to(flat.device)], types)
