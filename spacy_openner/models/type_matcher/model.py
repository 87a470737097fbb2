"""The interface of type matchers to components, whatever reads the texts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model
from torch import Tensor

from ...errors import error
from ...nn.batching import batch_in_order
from ...nn.tok2vec import TOK2VEC, TokenVectors, initialize_layer, layer_width
from ..words import Sentences
from . import text_encoders
from .network import MIN_SCORE, TypeNetwork
from .shim import SubwordWindows, TypeMatcherShim, TypeRequest

# Texts that are scored at once: it bounds the table of windows by types.
TEXTS = 128

# The windows of each text: their subwords, or their vectors. *Shape of these:* (windows, width).
Windows = Sequence[SubwordWindows] | Sequence[Tensor]


@dataclass(frozen=True)
class TypeQuery:
    """One text to score types against.

    sentences: What is scored, the best counts.
    type_texts: What describes the types.
    doc: The text itself, for models whose tokens are encoded by a layer of spaCy's.
    """

    sentences: Sentences
    type_texts: Sequence[str]
    doc: Doc


@dataclass(frozen=True)
class TypeTrainingText:
    """One text to train on.

    query: The text, and types that are known to be there or not to be there.
    present: Whether they are there.
    """

    query: TypeQuery
    present: Sequence[bool]


@dataclass(frozen=True)
class TypeTrainingBatch:
    """Training texts as the model reads them.

    request: The model's input.
    present, known: Which types are there, and which of them count. *Shape:* (texts, types), as the model's output.
    share: The part of the update's texts that one text is.
    """

    request: TypeRequest
    present: Tensor
    known: Tensor
    share: float


class TypeModel(TypeMatcherShim):
    """The shim of a type matcher. Methods take the thinc model that the shim is part of (`model`), since its layers may
    be replaced."""

    def initialize(
        self,
        model: Model,
        sample: Callable[[], list[Doc]],
        encoder: str | Path | None = None,
        static_width: int | None = None,
    ) -> None:
        """Load the weights, or make new ones; weights that are there are left alone.

        sample (Callable[[], list[Doc]]): Gives a few docs, for layers that take their sizes from data.
        encoder (str | Path | None): What to start from; None for what the model names.
        static_width (int | None): Make static vectors of this width of it; None to train it as it is.
        """
        width = 0
        if not self.reads_texts:
            docs = initialize_layer(model.get_ref(TOK2VEC), sample)
            width = 0 if self.is_loaded else layer_width(model.get_ref(TOK2VEC), docs)
        if self.is_loaded:
            return
        chosen = text_encoders.load(encoder) if encoder is not None else self.named_encoder()
        if static_width is not None:
            chosen = text_encoders.distil(chosen, static_width)
        self.use(TypeNetwork(chosen, width))

    def score(self, model: Model, queries: Sequence[TypeQuery], batch_tokens: int) -> list[np.ndarray]:
        """Score types against texts.

        batch_tokens (int): The most subwords in a batch, padding included.
        RETURNS (list[np.ndarray]): For each text a cosine for each of its types; -1 for all where it has no words.
            *Shape of each:* (types,), float32.
        """
        scores = [np.full(len(query.type_texts), MIN_SCORE, dtype=np.float32) for query in queries]
        scored = [i for i, query in enumerate(queries) if query.sentences.texts and query.type_texts]
        if scored:
            _ = self.network  # Without weights, this says so better than a layer below would.
        for part in (scored[i : i + TEXTS] for i in range(0, len(scored), TEXTS)):
            texts = [queries[i] for i in part]
            cosines = model.predict(_request(self._windows(model, texts), texts, batch_tokens)).cpu().numpy()
            for i, row in zip(part, cosines, strict=True):
                scores[i] = row[: len(queries[i].type_texts)]
        return scores

    def training_batches(
        self, model: Model, texts: Sequence[TypeTrainingText], batch_tokens: int
    ) -> Iterator[TypeTrainingBatch]:
        """Lay texts out for training. To be run to its end, each batch answered before the next is asked for.

        Texts are taken together up to `batch_tokens`; a layer of token vectors sees all docs of the update at once, as
        listeners demand, and gets its gradient once, at the end: also where nothing is taught, since others may wait.
        """
        taught = [i for i, text in enumerate(texts) if len(text.present) and text.query.sentences.texts]
        if self.reads_texts:
            windows = self._subword_windows([texts[i].query for i in taught])
            sizes = [sum(map(len, text_windows)) for text_windows in windows]
            for part in batch_in_order(range(len(taught)), sizes.__getitem__, batch_tokens):
                chosen = [texts[taught[i]] for i in part]
                yield _batch([windows[i] for i in part], chosen, batch_tokens, 1 / len(taught))
        elif any(len(text.query.doc) for text in texts):
            vectors, backprop = TokenVectors.begin_update(model, [text.query.doc for text in texts])
            if taught:
                pooled = [self._pooled(vectors, i, texts[i].query) for i in taught]
                yield _batch(pooled, [texts[i] for i in taught], batch_tokens, 1 / len(taught))
            backprop()

    def _windows(self, model: Model, texts: Sequence[TypeQuery]) -> Windows:
        if self.reads_texts:
            return self._subword_windows(texts)
        vectors = TokenVectors.predict(model, [text.doc for text in texts])
        return [self._pooled(vectors, i, text) for i, text in enumerate(texts)]

    def _subword_windows(self, texts: Sequence[TypeQuery]) -> list[list[list[int]]]:
        """Cut each text into windows of subwords."""
        owners = [i for i, text in enumerate(texts) for _ in text.sentences.texts]
        sentences = self.network.encoder.windows_of([sentence for text in texts for sentence in text.sentences.texts])
        windows: list[list[list[int]]] = [[] for _ in texts]
        for owner, vectors in zip(owners, sentences, strict=True):
            windows[owner] += vectors
        return windows

    def _pooled(self, vectors: TokenVectors, i: int, text: TypeQuery) -> Tensor:
        """Return the mean vector of each sentence of a text, or those of all tokens. *Shape:* (vectors, width)."""
        start = vectors.starts[i]
        runs = [vectors.flat[start + first : start + last] for first, last in text.sentences.runs]
        return torch.cat(runs) if self.network.encoder.pooling == "max" else torch.stack([x.mean(0) for x in runs])


def type_model(model: Model) -> TypeModel:
    """Return the type matcher inside a thinc model.

    RAISES (SettingError): When there is none.
    """
    shim = model.shims[0] if model.shims else None
    if not isinstance(shim, TypeModel):
        raise error("O001", name="model", value=model.name, allowed="a type matcher")
    return shim


def _request(windows: Windows, texts: Sequence[TypeQuery], batch_tokens: int) -> TypeRequest:
    """Make the model's input: the windows of all texts, one after the other."""
    owners = [i for i, text_windows in enumerate(windows) for _ in text_windows]
    tensors = [text_windows for text_windows in windows if isinstance(text_windows, Tensor)]
    flat = torch.cat(tensors) if tensors else [window for text_windows in windows for window in text_windows]
    return TypeRequest(flat, owners, [text.type_texts for text in texts], batch_tokens)


def _batch(windows: Windows, texts: Sequence[TypeTrainingText], batch_tokens: int, share: float) -> TypeTrainingBatch:
    longest = max(len(text.present) for text in texts)
    present, known = torch.zeros(2, len(texts), longest, dtype=torch.bool)
    for row, text in enumerate(texts):
        present[row, : len(text.present)] = torch.tensor(text.present)
        known[row, : len(text.present)] = True
    return TypeTrainingBatch(_request(windows, [text.query for text in texts], batch_tokens), present, known, share)
