"""Find and score spans with a model: windows in, candidates out. The one door to a model for components."""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from thinc.api import Model

from ..errors import error
from .backbones import piece_limit
from .fresh import from_encoder
from .hf_shim import CheckpointShim, Request
from .pieces import Pieces, Window, WordPieces, group, pad
from .span_matcher import Marks
from .words import Words

WORD_MODES: tuple[str, ...] = ("spacy", "gliner")


class Limits(NamedTuple):
    """Settings of `pieces.Pieces` that a user may change; None for the model's own."""

    window: int | None
    overlap: int
    max_types: int | None


class Question(NamedTuple):
    """What one text is asked.

    words: Its words.
    types: The types, as they are written into prompts.
    thresholds: The score that a span must pass, for each type. *Shape:* (types,).
    """

    words: Words
    types: Sequence[str]
    thresholds: np.ndarray


class Lesson(NamedTuple):
    """What one text teaches.

    words: Its words.
    types: The types that it is asked for, as they are written into the prompt.
    spans: Its entities: first word, last word (exclusive), index of the type.
    unknown: Runs of words (end exclusive) about which nothing is taught.
    """

    words: Words
    types: Sequence[str]
    spans: Sequence[tuple[int, int, int]]
    unknown: Sequence[tuple[int, int]]


class LessonBatch(NamedTuple):
    """Windows of lessons as the model reads them, and their gold annotation.

    share: What part of all windows of the update one window is.
    """

    request: Request
    marks: Marks
    share: float


class Answer(NamedTuple):
    """One span that passed. `first` and `last` are words, `last` exclusive; `type` indexes the question's types."""

    first: int
    last: int
    type: int
    score: float


def shim_of(model: Model) -> CheckpointShim:
    """The part of a model that holds its checkpoint."""
    return model.shims[0]


def pieces_of(model: Model) -> Pieces:
    """The maker of windows for a model, made once for each checkpoint."""
    shim = shim_of(model)
    if shim.pieces is None:
        with shim.lock:
            if shim.pieces is None:
                shim.pieces = _make_pieces(model)
    return shim.pieces


def _make_pieces(model: Model) -> Pieces:
    checkpoint = shim_of(model).checkpoint
    limits = Limits(*model.attrs["limits"])
    own = piece_limit(checkpoint.network.encoder.config)
    return Pieces(
        checkpoint.tokenizer,
        limit=min(limits.window or own, own),
        max_words=checkpoint.config.get("max_len", 384),
        overlap=max(limits.overlap, max_width(model) - 1),
        entity_id=checkpoint.entity_id,
        separator_id=checkpoint.separator_id,
        embed_marker=checkpoint.config.get("embed_ent_token", True),
        max_types=limits.max_types,
    )


def start(model: Model, encoder: str | Path | None = None, head: Mapping[str, Any] | None = None) -> None:
    """Load a model's weights, or put a new head on an encoder; weights that are there are left alone.

    encoder, head: See `fresh.from_encoder`.
    RAISES (SettingError): For an unknown setting of the head.
    """
    shim = shim_of(model)
    if shim.is_loaded or encoder is None:
        _ = shim.checkpoint
        return
    known = inspect.signature(from_encoder).parameters
    unknown = [name for name in head or {} if name not in known]
    if unknown:
        raise error("O001", name="head", value=unknown, allowed=", ".join(list(known)[1:]))
    shim.use(from_encoder(encoder, **(head or {})))


def max_width(model: Model) -> int:
    """Words of the widest span that is looked for; 0 where the model sets no limit."""
    return getattr(shim_of(model).checkpoint.network.head, "max_width", 0)


def find(model: Model, questions: Sequence[Question], batch_tokens: int) -> list[list[Answer]]:
    """Score all spans of texts, in batches across texts.

    questions (Sequence[Question]): Each text with its types.
    batch_tokens (int): The most pieces in a batch, padding included.
    RETURNS (list[list[Answer]]): Of each text the spans over their thresholds. A span that several windows
        show has its best score.
    """
    best: list[dict[tuple[int, int, int], float]] = [{} for _ in questions]
    planned = pieces_of(model).plan([q.words for q in questions], [q.types for q in questions])
    for windows in group(planned, batch_tokens):
        for window, first, last, label, score in _answers(model, windows, questions):
            scores, key = best[window.text], (window.first + first, window.first + last, window.types[label])
            scores[key] = max(score, scores.get(key, 0.0))
    return [[Answer(*key, score) for key, score in scores.items()] for scores in best]


def lesson_batches(model: Model, lessons: Sequence[Lesson], batch_tokens: int) -> Iterator[LessonBatch]:
    """Lay lessons out for training; memory is bounded by `batch_tokens`, however many lessons there are.

    YIELDS (LessonBatch): Windows of similar length. An entity that a window cuts is unknown to that window.
    """
    planned = list(pieces_of(model).plan([each.words for each in lessons], [each.types for each in lessons]))
    for windows in group(planned, batch_tokens):
        request = _request(model, windows, [each.types for each in lessons])
        yield LessonBatch(request, _marks(windows, lessons), 1 / len(planned))


def targets(model: Model, logits: torch.Tensor, marks: Marks) -> tuple[torch.Tensor, torch.Tensor]:
    """What the scores of a batch should be, and which are known; see the heads' `targets`."""
    return shim_of(model).checkpoint.network.head.targets(logits, marks)


def _marks(windows: list[Window], lessons: Sequence[Lesson]) -> Marks:
    spans, unknown = [], []
    for row, window in enumerate(windows):
        lesson = lessons[window.text]
        for first, last, label in lesson.spans:
            if label not in window.types:
                continue
            if window.first <= first and last <= window.last:
                spans.append((row, first - window.first, last - window.first, label - window.types.start))
            else:
                unknown += _visible(row, window, first, last)
        for first, last in lesson.unknown:
            unknown += _visible(row, window, first, last)
    n_words = torch.tensor([window.last - window.first for window in windows])
    return Marks(n_words, torch.tensor([len(window.types) for window in windows]), spans, unknown)


def _visible(row: int, window: Window, first: int, last: int) -> list[tuple[int, int, int]]:
    """The part of a run of words that a window shows."""
    first, last = max(first, window.first), min(last, window.last)
    return [(row, first - window.first, last - window.first)] if first < last else []


def score(model: Model, words: Words, types: Sequence[str], spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Score given spans of one text for given types, however wide.

    spans (Sequence[tuple[int, int]]): First word and last word, exclusive. Empty ones score 0.
    RETURNS (np.ndarray): Probabilities; the best over the windows that show a span. *Shape:* (spans, types).
    RAISES (TextError): When a span is longer than any window.
    """
    scores = np.zeros((len(spans), len(types)), dtype=np.float32)
    for window in _windows_over(model, words, types, spans):
        shown = [i for i, (a, b) in enumerate(spans) if a < b and window.first <= a and b <= window.last]
        if not shown:
            continue
        starts = torch.tensor([spans[i][0] - window.first for i in shown])
        ends = torch.tensor([spans[i][1] - 1 - window.first for i in shown])
        part = shim_of(model).score_spans(_request(model, [window], [types]), starts, ends).numpy()
        place = np.ix_(shown, list(window.types))
        scores[place] = np.maximum(scores[place], part)
    return scores


def _answers(
    model: Model, windows: list[Window], questions: Sequence[Question]
) -> Iterable[tuple[Window, int, int, int, float]]:
    request = _request(model, windows, [q.types for q in questions])
    logits = model.predict(request)
    limits = [questions[w.text].thresholds[w.types.start : w.types.stop] for w in windows]
    thresholds = np.full((len(windows), max(map(len, limits))), np.inf, dtype=np.float32)
    for row, values in zip(thresholds, limits, strict=True):
        row[: len(values)] = values
    found = shim_of(model).checkpoint.network.head.select(
        logits, request.batch.n_words.to(logits.device), torch.from_numpy(thresholds).to(logits.device)
    )
    rows, *columns = (column.tolist() for column in found)
    return zip((windows[row] for row in rows), *columns, strict=True)


def _request(model: Model, windows: list[Window], types: Sequence[Sequence[str]]) -> Request:
    checkpoint = shim_of(model).checkpoint
    batch = pad(windows, checkpoint.tokenizer.pad_token_id or 0)
    if not checkpoint.is_bi_encoder:
        return Request(batch)
    return Request(batch, [[types[w.text][i] for i in w.types] for w in windows])


def _windows_over(
    model: Model, words: Words, types: Sequence[str], spans: Sequence[tuple[int, int]]
) -> Iterable[Window]:
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


def _around(maker: Pieces, words: Words, split: WordPieces, first: int, last: int, room: int) -> tuple[int, int]:
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
