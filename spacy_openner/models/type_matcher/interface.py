"""The one door to a type matcher for components: ask it, teach it, save it, whatever reads the texts."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model
from torch import Tensor

from ..gliner.bi_encoder_model import TOK2VEC, Vectors, initialize_layer, layer_width
from ..gliner.shim import pack, unpack
from ..words import Sentences
from . import text_encoders
from .network import LEAST, TypeMatcherShim, TypeNetwork, TypeRequest

# Texts that are scored at once: it bounds the table of windows by types.
TEXTS = 128


class TypeQuestion(NamedTuple):
    """What one text is asked.

    sentences: What is scored, the best counts.
    type_texts: What describes the types.
    doc: The text itself, a Doc, for models whose tokens are encoded by a layer of spaCy's.
    """

    sentences: Sentences
    type_texts: Sequence[str]
    doc: Any = None


class TypeLesson(NamedTuple):
    """What one text teaches.

    question: The text, and types that are known to be there or not to be there.
    present: Whether they are there.
    """

    question: TypeQuestion
    present: Sequence[bool]


class TypeBatch(NamedTuple):
    """Lessons as the model reads them.

    request: The model's input.
    present, known: Which types are there, and which of them count. *Shape:* (texts, types), as the model's output.
    share: What part of the update's texts one text is.
    """

    request: TypeRequest
    present: Tensor
    known: Tensor
    share: float


def initialize(
    model: Model,
    sample: Callable[[], list[Doc]],
    encoder: str | Path | None = None,
    static_width: int | None = None,
) -> None:
    """Load a model's weights, or make new ones; weights that are there are left alone.

    sample (Callable[[], list[Doc]]): Gives a few docs, for layers that take their sizes from data.
    encoder (str | Path | None): What to start from; None for what the model names.
    static_width (int | None): Make static vectors of this width of it; None to train it as it is.
    """
    shim, width = _shim(model), 0
    if not shim.reads_texts:
        docs = initialize_layer(model.get_ref(TOK2VEC), sample)
        width = 0 if shim.is_loaded else layer_width(model.get_ref(TOK2VEC), docs)
    if shim.is_loaded:
        return
    chosen = text_encoders.load(encoder) if encoder is not None else shim.named_encoder()
    if static_width is not None:
        chosen = text_encoders.distil(chosen, static_width)
    shim.use(TypeNetwork(chosen, width))


def score(model: Model, questions: Sequence[TypeQuestion], batch_tokens: int) -> list[np.ndarray]:
    """Score types against texts.

    batch_tokens (int): The most pieces in a batch, padding included.
    RETURNS (list[np.ndarray]): For each text a cosine for each of its types; -1 for all where it has no words.
        *Shape of each:* (types,), float32.
    """
    found = [np.full(len(question.type_texts), LEAST, dtype=np.float32) for question in questions]
    asked = [i for i, question in enumerate(questions) if question.sentences.texts and question.type_texts]
    if asked:
        _ = _shim(model).network  # Without weights, this says so better than a layer below would.
    for part in (asked[i : i + TEXTS] for i in range(0, len(asked), TEXTS)):
        texts = [questions[i] for i in part]
        windows: Sequence[Any]
        if _shim(model).reads_texts:
            windows = _pieces(model, texts)
        else:
            vectors = Vectors(model, model.get_ref(TOK2VEC).predict([text.doc for text in texts]))
            vectors.check()
            windows = [_pooled(model, vectors, i, text) for i, text in enumerate(texts)]
        cosines = model.predict(_request(windows, texts, batch_tokens)).cpu().numpy()
        for i, row in zip(part, cosines, strict=True):
            found[i] = row[: len(questions[i].type_texts)]
    return found


def training_batches(model: Model, lessons: Sequence[TypeLesson], batch_tokens: int) -> Iterator[TypeBatch]:
    """Lay lessons out for training. To be run to its end, each batch answered before the next is asked for.

    Texts are taken together up to `batch_tokens`; a layer of token vectors sees all docs of the update at once, as
    listeners demand, and gets its gradient once, at the end: also where nothing is taught, since others may wait.
    """
    taught = [i for i, lesson in enumerate(lessons) if len(lesson.present) and lesson.question.sentences.texts]
    if _shim(model).reads_texts:
        windows = _pieces(model, [lessons[i].question for i in taught])
        sizes = [sum(map(len, each)) for each in windows]
        for places in _grouped(sizes, batch_tokens):
            batch = [lessons[taught[place]] for place in places]
            yield _batch([windows[place] for place in places], batch, batch_tokens, 1 / len(taught))
    elif any(len(lesson.question.doc) for lesson in lessons):
        tokvecs, backprop = model.get_ref(TOK2VEC).begin_update([lesson.question.doc for lesson in lessons])
        vectors = Vectors(model, tokvecs)
        vectors.flat.requires_grad_()
        if taught:
            pooled = [_pooled(model, vectors, i, lessons[i].question) for i in taught]
            yield _batch(pooled, [lessons[i] for i in taught], batch_tokens, 1 / len(taught))
        backprop(vectors.gradients())


def save(model: Model, path: Path) -> None:
    """Write all that predicting needs into a directory."""
    _shim(model).save(path)
    if not _shim(model).reads_texts:
        (path / TOK2VEC).write_bytes(model.get_ref(TOK2VEC).to_bytes())


def load(model: Model, path: Path) -> None:
    """Read what `save` wrote."""
    if not _shim(model).reads_texts:
        model.get_ref(TOK2VEC).from_bytes((path / TOK2VEC).read_bytes())
    _shim(model).load(path)


def to_bytes(model: Model) -> bytes:
    """As `save`, in one object."""
    return pack(lambda path: save(model, path))


def from_bytes(model: Model, data: bytes) -> None:
    """Read what `to_bytes` packed."""
    unpack(data, lambda path: load(model, path))


def _shim(model: Model) -> TypeMatcherShim:
    return model.shims[0]


def _pieces(model: Model, texts: Sequence[TypeQuestion]) -> list[list[list[int]]]:
    """The windows of each text, in pieces."""
    encoder = _shim(model).network.encoder
    windows = iter(encoder.windows_of([sentence for text in texts for sentence in text.sentences.texts]))
    return [[window for _ in text.sentences.texts for window in next(windows)] for text in texts]


def _pooled(model: Model, vectors: Vectors, i: int, text: TypeQuestion) -> Tensor:
    """The mean vector of each sentence of a text, or the vectors of all tokens. *Shape:* (vectors, width)."""
    start = int(vectors.starts[i])
    runs = [vectors.flat[start + first : start + last] for first, last in text.sentences.runs]
    return torch.cat(runs) if _shim(model).network.encoder.pooling == "max" else torch.stack([x.mean(0) for x in runs])


def _request(windows: Sequence[Any], texts: Sequence[TypeQuestion], batch_tokens: int) -> TypeRequest:
    """The model's input: the windows of all texts, one after the other."""
    owners = [i for i, each in enumerate(windows) for _ in each]
    flat = torch.cat(list(windows)) if torch.is_tensor(windows[0]) else [window for each in windows for window in each]
    return TypeRequest(flat, owners, [text.type_texts for text in texts], batch_tokens)


def _batch(windows: Sequence[Any], lessons: Sequence[TypeLesson], batch_tokens: int, share: float) -> TypeBatch:
    longest = max(len(lesson.present) for lesson in lessons)
    present, known = torch.zeros(2, len(lessons), longest, dtype=torch.bool)
    for row, lesson in enumerate(lessons):
        present[row, : len(lesson.present)] = torch.tensor(lesson.present)
        known[row, : len(lesson.present)] = True
    return TypeBatch(_request(windows, [lesson.question for lesson in lessons], batch_tokens), present, known, share)


def _grouped(sizes: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Group neighbouring places up to a budget; a group of one may pass it."""
    group: list[int] = []
    held = 0
    for place, size in enumerate(sizes):
        if group and held + size > budget:
            yield group
            group, held = [], 0
        group.append(place)
        held += size
    if group:
        yield group
