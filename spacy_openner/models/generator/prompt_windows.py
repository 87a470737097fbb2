"""What a generative model is asked, window by window: nothing is cut, however long the text or many the types."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ...errors import error, warn
from ...prompts.base import Prompt
from ..words import Words
from .model import Generator

# A word may take this share of the room at most; of a longer one only the beginning is shown.
WORD_SHARE = 8


class Question(NamedTuple):
    """What one text is asked.

    words: Its words.
    types: The types, as they are written into prompts.
    draft: Entities that somebody guesses: first word, last word (exclusive), index of the type.
    likely: Indices of types that the text probably holds; None where nobody says.
    """

    words: Words
    types: Sequence[str]
    draft: Sequence[tuple[int, int, int]] = ()
    likely: Sequence[int] | None = None


class Settings(NamedTuple):
    """How to decode.

    constrained: Whether answers can only repeat the text; else the model says what it likes.
    num_beams: 1 for greedy decoding.
    batch_tokens: The most pieces of prompts in a batch, padding included.
    max_types: The most types in one prompt; as many as leave half of the limit to the text if None.
    overlap: Words that neighbouring windows share.
    window: The most pieces of each answer that a pass of the decoder is fed.
    """

    constrained: bool = True
    num_beams: int = 1
    batch_tokens: int = 2048
    max_types: int | None = None
    overlap: int = 16
    window: int = 512


class Job(NamedTuple):
    """One prompt: a run of a text's words, asked for some of its types.

    own: The words whose entities this window decides about, by their first words.
    """

    text: int
    first: int
    last: int
    own: range
    types: range
    pieces: int

    def prompt(self, prompt: Prompt, question: Question, words: Sequence[str], causal: bool) -> str:
        """What the model is asked.

        words (Sequence[str]): Those of the window, as `shown` has them.
        """
        hints = None if question.likely is None else [question.types[i] for i in question.likely if i in self.types]
        types = question.types[self.types.start : self.types.stop]
        return prompt.render(words, types, causal=causal, hints=hints)


def jobs_of(generator: Generator, prompt: Prompt, question: Question, text: int, settings: Settings) -> Iterator[Job]:
    """Lay windows over a text, and split its types over prompts."""
    words = question.words.texts
    if not words or not question.types:
        return
    in_words = np.minimum(_sizes(generator, words), generator.limit // WORD_SHARE)
    in_tags = _sizes(generator, [f"({tag})" for tag in prompt.tags(question.types)])
    in_labels = _sizes(generator, [f"{label}, " for label in question.types])
    if question.likely is not None:
        # Some are named twice.
        in_labels = in_labels * 2
    hints = None if question.likely is None else list[str]()
    # What a tokenizer adds at the ends is four pieces at most.
    frame = int(_sizes(generator, [prompt.render([], [], causal=generator.causal, hints=hints)])[0]) + 4
    most = min((n for n in (settings.max_types, prompt.max_types) if n is not None), default=None)
    for types in _split_types(in_labels, generator.limit - frame, question.types, most):
        asked = frame + int(in_labels[types.start : types.stop].sum())
        longest_tag = int(in_tags[1 + 2 * types.start : 1 + 2 * types.stop].max()) + 1
        for first, last, own in _windows(in_words, asked, longest_tag, generator, settings.overlap):
            yield Job(text, first, last, own, types, asked + int(in_words[first:last].sum()))


def shown(generator: Generator, words: Sequence[str]) -> list[str]:
    """The words as the model sees them: of one that would fill the window by itself, only the beginning."""
    room = generator.limit // WORD_SHARE
    sizes = _sizes(generator, words)
    if int(sizes.max(initial=0)) > room:
        warn("W011", n=int((sizes > room).sum()), room=room)
    return [
        word if size <= room else word[: max(1, len(word) * room // size)]
        for word, size in zip(words, sizes.tolist(), strict=True)
    ]


def _sizes(generator: Generator, texts: Sequence[str]) -> np.ndarray:
    """Pieces of each text, and one for the space before it. *Shape:* (texts,)."""
    encoded = generator.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
    return np.array([len(ids) + 1 for ids in encoded], dtype=np.int64)


def _split_types(sizes: np.ndarray, room: int, types: Sequence[str], most: int | None) -> list[range]:
    """Split types over prompts, so that half of the room is left to the text."""
    groups, start, used = [], 0, 0
    for i, size in enumerate(sizes.tolist()):
        if size > room // 2:
            raise error("O006", label=types[i], pieces=size, room=room // 2)
        if used + size > room // 2 or (most is not None and i - start >= most):
            groups.append(range(start, i))
            start, used = i, 0
        used += size
    return [*groups, range(start, len(types))]


def _windows(
    sizes: np.ndarray, asked: int, longest_tag: int, generator: Generator, overlap: int
) -> Iterator[tuple[int, int, range]]:
    """Windows over words: first, last, and the words whose entities are the window's own.

    A window is cut where prompt or answer would pass the limit; neighbours share words, and each decides about the
    nearer half of them.
    """
    limit, n = generator.limit, len(sizes)
    first, own_from = 0, 0
    while True:
        ahead = sizes[first : first + limit]
        in_prompt = asked + np.cumsum(ahead)
        in_answer = np.cumsum(ahead + longest_tag) + 1
        fits = (in_prompt + in_answer <= limit) if generator.causal else (in_prompt <= limit) & (in_answer <= limit)
        last = first + max(1, int(fits.sum()))
        if last >= n:
            yield first, n, range(own_from, n)
            return
        shared = min(overlap, (last - first) // 2)
        middle = last - shared // 2
        yield first, last, range(own_from, middle)
        first, own_from = last - shared, middle


def in_batches(jobs: Sequence[Job], budget: int) -> Iterator[list[Job]]:
    """Group prompts of similar length."""
    batch: list[Job] = []
    for job in sorted(jobs, key=lambda job: -job.pieces):
        if batch and (len(batch) + 1) * batch[0].pieces > budget:
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch
