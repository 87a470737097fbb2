"""Words and prompts to padded batches: windows over texts of any length.

Nothing is cut. A text that does not fit is read in overlapping windows, and each window meets each prompt once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...errors import error, warn
from ...nn.batching import batch_by_length
from ..words import Words
from .network import Batch, Pooling
from .tokenization import Prompt, PromptTokenizer, SubwordMap

# How many batches' worth of windows are sorted together.
BUFFER = 512


@dataclass(frozen=True)
class InputWindow:
    """One input row of the network: a run of a text's words behind one prompt.

    text: Index of the text among those planned together.
    first, last: The words that it shows, `last` exclusive.
    types: Index range of the types that it asks for, among the text's types.
    input_ids: All subwords, prompt and special ones included. *Shape:* (subwords,).
    word_positions: Position of each word's first subword, -1 for a word without. *Shape:* (words,).
    type_positions: Position of each type's vector; empty for a bi-encoder. *Shape:* (types,).
    owners: Where a word's vector is made of all its subwords': the word of each position, and `word_positions` are
        those of all subwords. *Shape of both:* (the words' subwords,).
    """

    text: int
    first: int
    last: int
    types: range
    input_ids: np.ndarray
    word_positions: np.ndarray
    type_positions: np.ndarray
    owners: np.ndarray | None = None

    @property
    def n_words(self) -> int:
        """Words that the network sees."""
        return len(self.word_positions) if self.owners is None else self.last - self.first


class WindowPlanner:
    """Lays windows over texts.

    tokenizer (PromptTokenizer): Makes subwords and prompts; its `limit` is that of a window.
    max_words (int): The most words that a window shows.
    overlap (int): Words that neighbouring windows share where no sentence start separates them.
    pooling (Pooling): Which subwords stand for a word.
    """

    def __init__(self, tokenizer: PromptTokenizer, max_words: int, overlap: int, pooling: Pooling = "first") -> None:
        self.tokenizer, self.max_words, self.overlap, self.pooling = tokenizer, max_words, overlap, pooling
        self.n_cut = 0

    def plan(self, texts: Sequence[Words], types: Sequence[Sequence[Any]]) -> Iterator[InputWindow]:
        """Lay windows and prompts over texts.

        texts (Sequence[Words]): The words of each text.
        types (Sequence[Sequence[Any]]): The types of each text; see `PromptTokenizer.prompt_types`.
        YIELDS (InputWindow): Each window of each text behind each of its prompts. Texts without words or
            without types have none.
        """
        split = self.tokenizer.split_words([words.texts for words in texts])
        for text, (words, subwords) in enumerate(zip(texts, split, strict=True)):
            if not len(words) or not types[text]:
                continue
            for prompt in self.tokenizer.prompts(types[text]):
                for first, last in self.runs(words, subwords, self.budget(prompt)):
                    yield self.window(text, subwords, first, last, prompt)

    def plan_for_spans(
        self, words: Words, types: Sequence[Any], spans: Sequence[tuple[int, int]]
    ) -> Iterator[InputWindow]:
        """Lay windows over one text, so that each of some spans is whole in one of them.

        spans (Sequence[tuple[int, int]]): First word and last word, exclusive; empty ones are passed over.
        YIELDS (InputWindow): Those of the usual windows that show a span, and one more around each span that none of
            them shows whole.
        RAISES (TextError): When a span is longer than any window.
        """
        if not len(words) or not types or not spans:
            return
        subwords = self.tokenizer.split_words([words.texts])[0]
        for prompt in self.tokenizer.prompts(types):
            budget = self.budget(prompt)
            runs = list(self.runs(words, subwords, budget))
            for first, last in spans:
                if first < last and not any(a <= first and last <= b for a, b in runs):
                    runs.append(self._around(words, subwords, first, last, budget))
            for first, last in runs:
                if any(a < b and first <= a and b <= last for a, b in spans):
                    yield self.window(0, subwords, first, last, prompt)

    def runs(self, words: Words, subwords: SubwordMap, budget: int) -> Iterator[tuple[int, int]]:
        """Cut a text into runs of words that fit.

        A cut falls on a sentence start in the second half of what fits, if there is one, and the next window
        starts there; otherwise the windows overlap.

        budget (int): Subwords that one window has for words.
        YIELDS (tuple[int, int]): First word and last word, exclusive.
        """
        sizes = np.minimum(subwords.ends - subwords.starts, budget)
        reach = np.concatenate([[0], np.cumsum(sizes)])
        first = 0
        while True:
            last = int(np.searchsorted(reach, reach[first] + budget, side="right")) - 1
            last = min(last, first + self.max_words, len(words))
            if last == len(words):
                yield first, last
                return
            cut = words.last_start(first, last)
            yield first, last if cut is None else cut
            first = max(first + 1, last - self.overlap) if cut is None else cut

    def budget(self, prompt: Prompt) -> int:
        """Count the subwords that a prompt leaves for words."""
        return self.tokenizer.limit - len(prompt.ids) - len(self.tokenizer.suffix)

    def window(self, text: int, subwords: SubwordMap, first: int, last: int, prompt: Prompt) -> InputWindow:
        """Assemble one input row; see `InputWindow`."""
        budget = self.budget(prompt)
        start, end = int(subwords.starts[first]), int(subwords.ends[last - 1])
        if last - first == 1 and end - start > budget:
            self._note_cut(subwords.ids[start : start + 8], end - start, budget)
            end = start + budget
        starts, ends = subwords.starts[first:last], np.minimum(subwords.ends[first:last], end)
        offset = len(prompt.ids) - start
        ids = np.concatenate([prompt.ids, subwords.ids[start:end], self.tokenizer.suffix])
        if self.pooling in ("mean", "max"):
            owners = np.repeat(np.arange(last - first), ends - starts)
            positions = np.arange(start, end) + offset
            return InputWindow(text, first, last, prompt.types, ids, positions, prompt.positions, owners)
        positions = np.where(ends > starts, (starts if self.pooling == "first" else ends - 1) + offset, -1)
        return InputWindow(text, first, last, prompt.types, ids, positions, prompt.positions)

    def _note_cut(self, begin: np.ndarray, size: int, budget: int) -> None:
        """Warn of a word that is cut: of the first, the tenth, the hundredth, since each is said in other words."""
        self.n_cut += 1
        if self.n_cut == 10 ** (len(str(self.n_cut)) - 1):
            warn("W003", word=self.tokenizer.decode(begin), size=size, budget=budget)

    def _around(self, words: Words, subwords: SubwordMap, first: int, last: int, budget: int) -> tuple[int, int]:
        """Widen a span to both sides as far as a window allows."""
        size = int(subwords.ends[last - 1] - subwords.starts[first])
        if size > budget or last - first > self.max_words:
            raise error("O201", text=" ".join(words.texts[first : first + 8]) + " ...", size=size, budget=budget)
        while last - first < self.max_words:
            wider = (max(first - 1, 0), min(last + 1, len(words)))
            grown = int(subwords.ends[wider[1] - 1] - subwords.starts[wider[0]])
            if wider == (first, last) or grown > budget or wider[1] - wider[0] > self.max_words:
                break
            first, last = wider
        return first, last


def batch_windows(
    windows: Iterable[InputWindow], batch_tokens: int, buffer: int = BUFFER
) -> Iterator[list[InputWindow]]:
    """Group windows into batches of similar length.

    batch_tokens (int): The most subwords in a batch, padding included; one window may exceed it.
    buffer (int): How many batches' worth of windows are sorted together, so that memory stays bounded.
    """
    return batch_by_length(
        windows, lambda window: len(window.input_ids), batch_tokens, buffer=buffer, split_unlike=True
    )


def pad(windows: Sequence[InputWindow], pad_id: int) -> Batch:
    """Stack windows into one padded batch.

    pad_id (int): The subword that stands in for nothing.
    RETURNS (Batch): On the CPU.
    """
    owners = [w.owners for w in windows if w.owners is not None]
    return Batch(
        input_ids=_stack([w.input_ids for w in windows], pad_id),
        attention_mask=_stack([np.ones_like(w.input_ids) for w in windows], 0),
        word_positions=_stack([w.word_positions for w in windows], -1),
        n_words=torch.tensor([w.n_words for w in windows]),
        type_positions=_stack([w.type_positions for w in windows], -1),
        owners=_stack(owners, -1) if owners else None,
    )


def _stack(rows: Sequence[np.ndarray], fill: int) -> torch.Tensor:
    stacked = np.full((len(rows), max(len(row) for row in rows)), fill, dtype=np.int64)
    for target, row in zip(stacked, rows, strict=True):
        target[: len(row)] = row
    return torch.from_numpy(stacked)
