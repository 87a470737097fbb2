"""Lay prompts over texts, window by window: nothing is cut, however long the text or many the types."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...errors import error, warn
from ...nn.batching import batch_by_length
from ...prompts.base import Prompt
from ..words import Words
from .model import Generator

# A word may take this share of the limit at most; of a longer one only the beginning is shown.
WORD_SHARE = 8


class TaggingQuery(NamedTuple):
    """One text, and the types to look for.

    words (Words): Its words.
    types (Sequence[str]): The types, as they are written into prompts.
    draft (Sequence[tuple[int, int, int]]): Entities that somebody guesses: first word, last word (exclusive), index of
        the type.
    hints (Sequence[int] | None): Indices of types that the text probably holds; None where nobody says.
    """

    words: Words
    types: Sequence[str]
    draft: Sequence[tuple[int, int, int]] = ()
    hints: Sequence[int] | None = None


class DecodingSettings(NamedTuple):
    """The way to decode.

    constrained (bool): Whether answers can only repeat the text; else the model answers freely.
    num_beams (int): 1 for greedy decoding.
    batch_tokens (int): The most subwords of prompts in a batch, padding included.
    max_types (int | None): The most types in one prompt; if None, as many as leave half of the limit to the text.
    overlap (int): Words that neighbouring windows share.
    window (int): The most subwords of each answer that a pass of the decoder is fed.
    """

    constrained: bool = True
    num_beams: int = 1
    batch_tokens: int = 2048
    max_types: int | None = None
    overlap: int = 16
    window: int = 512


class PromptWindow(NamedTuple):
    """One prompt: a run of a text's words, and some of its types.

    query (int): Index of the query.
    first, last (int): The words, `last` exclusive.
    own (range): The words whose entities this window decides about, by their first words.
    types (range): The types.
    n_subwords (int): About how many the prompt has.
    """

    query: int
    first: int
    last: int
    own: range
    types: range
    n_subwords: int

    def render(self, prompt: Prompt, query: TaggingQuery, words: Sequence[str], causal: bool) -> str:
        """Render the prompt.

        words (Sequence[str]): Those of the window, as `visible_words` has them.
        """
        hints = None if query.hints is None else [query.types[i] for i in query.hints if i in self.types]
        types = query.types[self.types.start : self.types.stop]
        return prompt.render(words, types, causal=causal, hints=hints)


@dataclass(frozen=True)
class PromptSizes:
    """The subwords that the parts of the prompts of one query take.

    frame (int): Of what stands around types and text.
    words (np.ndarray): Of each word. *Shape:* (words,).
    labels (np.ndarray): Of each type. *Shape:* (types,).
    tags (np.ndarray): Of each tag of the answer. *Shape:* (1 + 2 * types,).
    """

    frame: int
    words: np.ndarray
    labels: np.ndarray
    tags: np.ndarray

    def of_prompt(self, types: range) -> int:
        """Return the subwords of a prompt about some types, without its words."""
        return self.frame + int(self.labels[types.start : types.stop].sum())

    def longest_tag(self, types: range) -> int:
        """Return the subwords of the longest tag of some types."""
        return int(self.tags[1 + 2 * types.start : 1 + 2 * types.stop].max()) + 1


def plan_windows(
    generator: Generator, prompt: Prompt, query: TaggingQuery, index: int, settings: DecodingSettings
) -> Iterator[PromptWindow]:
    """Lay windows over a text, and split its types over prompts.

    index (int): Of the query.
    YIELDS (PromptWindow): For each group of types windows whose `own` words are all words of the text, each once.
    RAISES (SettingError): O006, when a type alone does not fit into a prompt.
    """
    if not query.words.texts or not query.types:
        return
    sizes = _prompt_sizes(generator, prompt, query)
    most = min((n for n in (settings.max_types, prompt.max_types) if n is not None), default=None)
    for types in split_types(sizes.labels, generator.limit - sizes.frame, query.types, most):
        for first, last, own in _word_windows(query.words, sizes, types, generator, settings.overlap):
            n_subwords = sizes.of_prompt(types) + int(sizes.words[first:last].sum())
            yield PromptWindow(index, first, last, own, types, n_subwords)


def batch_windows(windows: Sequence[PromptWindow], budget: int) -> Iterator[list[PromptWindow]]:
    """Group windows of similar length; `budget` bounds the subwords of a batch, padding included."""
    return batch_by_length(windows, lambda window: window.n_subwords, budget)


def visible_words(generator: Generator, words: Sequence[str]) -> list[str]:
    """Return the words as the model reads them: of one that would fill the window by itself, only the beginning."""
    budget = generator.limit // WORD_SHARE
    sizes = _sizes(generator, words)
    if int(sizes.max(initial=0)) > budget:
        warn("W011", n=int((sizes > budget).sum()), budget=budget)
    return [
        word if size <= budget else word[: max(1, len(word) * budget // size)]
        for word, size in zip(words, sizes.tolist(), strict=True)
    ]


def split_types(sizes: np.ndarray, budget: int, types: Sequence[str], most: int | None) -> list[range]:
    """Split types over prompts, so that half of the budget is left to the text.

    sizes (np.ndarray): The subwords of each type. *Shape:* (types,).
    budget (int): The subwords of a prompt for types and text.
    most (int | None): The most types in one prompt.
    RAISES (SettingError): O006, when a type alone takes more than half of the budget.
    """
    groups, start, used = [], 0, 0
    for i, size in enumerate(sizes.tolist()):
        if size > budget // 2:
            raise error("O006", label=types[i], size=size, budget=budget // 2)
        if used + size > budget // 2 or (most is not None and i - start >= most):
            groups.append(range(start, i))
            start, used = i, 0
        used += size
    return [*groups, range(start, len(types))]


def _prompt_sizes(generator: Generator, prompt: Prompt, query: TaggingQuery) -> PromptSizes:
    hints = None if query.hints is None else list[str]()
    frame = _sizes(generator, [prompt.render([], [], causal=generator.causal, hints=hints)])
    labels = _sizes(generator, [f"{label}, " for label in query.types])
    return PromptSizes(
        # A tokenizer adds four subwords at the ends at most.
        int(frame[0]) + 4,
        np.minimum(_sizes(generator, query.words.texts), generator.limit // WORD_SHARE),
        # Hints name some types twice.
        labels if query.hints is None else labels * 2,
        _sizes(generator, [f"({tag})" for tag in prompt.tags(query.types)]),
    )


def _sizes(generator: Generator, texts: Sequence[str]) -> np.ndarray:
    """Return the subwords of each text, and one for the space before it. *Shape:* (texts,)."""
    encoded = generator.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
    return np.array([len(ids) + 1 for ids in encoded], dtype=np.int64)


def _word_windows(
    words: Words, sizes: PromptSizes, types: range, generator: Generator, overlap: int
) -> Iterator[tuple[int, int, range]]:
    """Lay windows over words: first, last, and the words whose entities are the window's own.

    A window ends where prompt or answer would pass the limit: at the last start of a sentence or line in the second
    half of what fits, if there is one. Otherwise neighbours share words, and each decides about the nearer half.
    """
    limit, n = generator.limit, len(words)
    prompt, tag = sizes.of_prompt(types), sizes.longest_tag(types)
    first, own_from = 0, 0
    while True:
        ahead = sizes.words[first : first + limit]
        in_prompt = prompt + np.cumsum(ahead)
        in_answer = np.cumsum(ahead + tag) + 1
        fits = (in_prompt + in_answer <= limit) if generator.causal else (in_prompt <= limit) & (in_answer <= limit)
        last = first + max(1, int(fits.sum()))
        if last >= n:
            yield first, n, range(own_from, n)
            return
        cut = words.last_start(first, last)
        if cut is not None and cut > own_from:
            yield first, cut, range(own_from, cut)
            first = own_from = cut
            continue
        shared = min(overlap, (last - first) // 2)
        middle = last - shared // 2
        yield first, last, range(own_from, middle)
        first, own_from = last - shared, middle
