"""From words and types to padded batches: subwords, windows over long texts, prompts.

Nothing is cut. A text that does not fit is read in overlapping windows, and types that do not fit into one
prompt are split over several; each window of a text meets each prompt once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from ...errors import error, warn
from ..words import Words
from .network import Batch

# A few texts of an update differ more in length than many of a stream do. A shorter window starts a batch of its own
# when the one before it is worth a pass (a share of the budget) and it is not like the longest there (a share of that).
WORTHWHILE, ALIKE = 1 / 8, 0.75


@dataclass(frozen=True)
class SubwordMap:
    """The subwords of a list of words: word w has pieces ids[starts[w]:ends[w]]. *Shapes:* (pieces,), (words,)."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True)
class InputWindow:
    """One input row of the network: a run of a text's words behind one prompt.

    text: Index of the text among those planned together.
    first, last: The words that it shows, `last` exclusive.
    types: Index range of the types that it asks for, among the text's types.
    input_ids: All pieces, prompt and special ones included. *Shape:* (pieces,).
    word_pieces: Position of each word's first piece, -1 for a word without. *Shape:* (words,).
    type_pieces: Position of each type's vector; empty for a bi-encoder. *Shape:* (types,).
    """

    text: int
    first: int
    last: int
    types: range
    input_ids: np.ndarray
    word_pieces: np.ndarray
    type_pieces: np.ndarray


@dataclass
class PromptTokenizer:
    """A tokenizer and the limits of its model, as one thing that makes windows.

    tokenizer: A fast tokenizer.
    limit: The most pieces that the model reads at once.
    max_words: The most words that a window shows.
    overlap: Words that neighbouring windows share where no sentence start separates them.
    entity_id, separator_id: Marker ids; -1 for a bi-encoder, whose input has no prompt.
    embed_marker: Whether a type's vector stands at its marker (or else at the piece after it).
    max_types: The most types in one prompt; as many as fit in half of the limit if None.
    """

    tokenizer: Any
    limit: int
    max_words: int
    overlap: int
    entity_id: int = -1
    separator_id: int = -1
    embed_marker: bool = True
    max_types: int | None = None
    _type_ids: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    _prompts: dict[tuple[str, ...], list[Any]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        backend = self.tokenizer.backend_tokenizer
        # Set once: changing them at call time is what makes fast tokenizers unsafe between threads.
        backend.no_truncation()
        backend.no_padding()
        plain, whole = self._encode([["a"]], special=False)[0].ids, self._encode([["a"]], special=True)[0].ids
        at = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), 0)
        self._prefix = np.array(whole[:at], dtype=np.int64)
        self._suffix = np.array(whole[at + len(plain) :], dtype=np.int64)
        self._markers = np.array([i for i in (self.entity_id, self.separator_id) if i >= 0], dtype=np.int64)

    def split_words(self, texts: Sequence[list[str]]) -> list[SubwordMap]:
        """Tokenise lists of words.

        A word that spells a marker is read as unknown: text cannot pose as a prompt.

        texts (Sequence[list[str]]): The words of each text.
        RETURNS (list[SubwordMap]): One for each text.
        """
        # The first word of a list may be tokenised unlike the others (some SentencePiece models put the
        # word-start sign there alone), and behind a prompt no text word is the first.
        lead = self.entity_id >= 0
        rows = [["a", *words] for words in texts] if lead else texts
        split = []
        for words, encoding in zip(texts, self._encode(rows, special=False), strict=True):
            owners = np.array(encoding.word_ids, dtype=np.int64)
            ids = np.array(encoding.ids, dtype=np.int64)
            if self._markers.size and np.isin(ids, self._markers).any():
                ids = np.where(np.isin(ids, self._markers), self._unknown_id(), ids)
            index = np.arange(len(words)) + int(lead)
            starts = np.searchsorted(owners, index, side="left")
            split.append(SubwordMap(ids, starts, np.searchsorted(owners, index, side="right")))
        return split

    def plan(self, texts: Sequence[Words], type_texts: Sequence[Sequence[str]]) -> Iterator[InputWindow]:
        """Lay windows and prompts over texts.

        texts (Sequence[Words]): The words of each text.
        type_texts (Sequence[Sequence[str]]): What each text is asked for, as written into prompts.
        YIELDS (InputWindow): Each window of each text behind each of its prompts. Texts without words or
            without types have none.
        """
        for text, (words, pieces, types) in enumerate(
            zip(texts, self.split_words([words.texts for words in texts]), type_texts, strict=True)
        ):
            if not len(words) or not types:
                continue
            for prompt, in_prompt, positions in self.prompts(types):
                for first, last in self.windows(words, pieces, self.room(prompt)):
                    yield self.window(text, pieces, first, last, prompt, in_prompt, positions)

    def prompts(self, types: Sequence[str]) -> list[tuple[np.ndarray, range, np.ndarray]]:
        """Split types over prompts of about equal size.

        RETURNS (list): Of each prompt its pieces (the special prefix included), the types that it asks for,
            and the positions of their vectors. A bi-encoder needs one, empty but for the prefix.
        RAISES (SettingError): When one type alone does not fit.
        """
        if self.entity_id < 0:
            return [(self._prefix, range(len(types)), np.zeros(0, dtype=np.int64))]
        key = tuple(types)
        if key not in self._prompts:
            if len(self._prompts) >= 64:
                self._prompts.clear()
            self._prompts[key] = self._split_types(types)
        return self._prompts[key]

    def _split_types(self, types: Sequence[str]) -> list[tuple[np.ndarray, range, np.ndarray]]:
        coded = [self._type(text) for text in types]
        room = self.limit // 2
        for text, ids in zip(types, coded, strict=True):
            if len(ids) > room:
                raise error("O006", label=text, pieces=len(ids), room=room)
        sizes = np.array([len(ids) for ids in coded])
        count = max(-(-int(sizes.sum()) // room), -(-len(types) // (self.max_types or len(types))))
        while any(sizes[part].sum() > room for part in _even_parts(len(types), count)):
            count += 1
        return [self._prompt(coded, part) for part in map(_as_range, _even_parts(len(types), count))]

    def windows(self, words: Words, pieces: SubwordMap, room: int) -> Iterator[tuple[int, int]]:
        """Cut a text into runs of words that fit.

        A cut falls on a sentence start in the second half of what fits, if there is one, and the next window
        starts there; otherwise the windows overlap.

        room (int): Pieces that one window has for words.
        YIELDS (tuple[int, int]): First word and last word, exclusive.
        """
        sizes = np.minimum(pieces.ends - pieces.starts, room)
        reach = np.concatenate([[0], np.cumsum(sizes)])
        first = 0
        while True:
            last = int(np.searchsorted(reach, reach[first] + room, side="right")) - 1
            last = min(last, first + self.max_words, len(words))
            if last == len(words):
                yield first, last
                return
            middle = first + (last - first) // 2 + 1
            sentences = np.flatnonzero(words.sentence_starts[middle : last + 1])
            cut = middle + int(sentences[-1]) if len(sentences) else last
            yield first, cut
            first = cut if len(sentences) else max(first + 1, cut - self.overlap)

    def window(
        self,
        text: int,
        pieces: SubwordMap,
        first: int,
        last: int,
        prompt: np.ndarray,
        types: range,
        type_pieces: np.ndarray,
    ) -> InputWindow:
        """Assemble one input row; see `InputWindow`."""
        room = self.room(prompt)
        start, end = int(pieces.starts[first]), int(pieces.ends[last - 1])
        if last - first == 1 and end - start > room:
            word = self.tokenizer.decode(pieces.ids[start : start + 8].tolist())
            warn("W003", word=word, pieces=end - start, room=room)
            end = start + room
        starts = pieces.starts[first:last]
        word_pieces = np.where(pieces.ends[first:last] > starts, starts - start + len(prompt), -1)
        ids = np.concatenate([prompt, pieces.ids[start:end], self._suffix])
        return InputWindow(text, first, last, types, ids, word_pieces, type_pieces)

    def room(self, prompt: np.ndarray) -> int:
        """Pieces that a prompt leaves for words."""
        return self.limit - len(prompt) - len(self._suffix)

    def _prompt(self, coded: list[np.ndarray], part: range) -> tuple[np.ndarray, range, np.ndarray]:
        ids, positions, length = [self._prefix], [], len(self._prefix)
        for i in part:
            positions.append(length if self.embed_marker else length + 1)
            ids.append(coded[i])
            length += len(coded[i])
        ids.append(np.array([self.separator_id], dtype=np.int64))
        return np.concatenate(ids), part, np.array(positions, dtype=np.int64)

    def _type(self, text: str) -> np.ndarray:
        """Marker and pieces of a type, which is one item of the word list however many words it has."""
        if text not in self._type_ids:
            pieces = self.split_words([[text]])[0]
            ids = pieces.ids[pieces.starts[0] : pieces.ends[0]]
            self._type_ids[text] = np.concatenate([[self.entity_id], ids]).astype(np.int64)
        return self._type_ids[text]

    def _encode(self, rows: Sequence[list[str]], *, special: bool) -> list[Any]:
        encoded: list[Any] = self.tokenizer.backend_tokenizer.encode_batch(
            rows, is_pretokenized=True, add_special_tokens=special
        )
        return encoded

    def _unknown_id(self) -> int:
        for token_id in (self.tokenizer.unk_token_id, self.tokenizer.pad_token_id):
            if token_id is not None:
                return int(token_id)
        return 0


def group(windows: Iterable[InputWindow], batch_tokens: int, buffer: int = 512) -> Iterator[list[InputWindow]]:
    """Group windows into batches of similar length.

    windows (Iterable[InputWindow]): In any order.
    batch_tokens (int): The most pieces in a batch, padding included; one window may exceed it.
    buffer (int): How many batches' worth of pieces are sorted together, so that memory stays bounded.
    YIELDS (list[InputWindow]): At least one window each.
    """
    waiting: list[InputWindow] = []
    held = 0
    for window in windows:
        waiting.append(window)
        held += len(window.input_ids)
        if held > buffer * batch_tokens:
            yield from _cut(waiting, batch_tokens)
            waiting, held = [], 0
    yield from _cut(waiting, batch_tokens)


def pad(windows: Sequence[InputWindow], pad_id: int) -> Batch:
    """Stack windows into one padded batch.

    pad_id (int): The piece that stands in for nothing.
    RETURNS (Batch): On the CPU.
    """
    return Batch(
        input_ids=_stack([w.input_ids for w in windows], pad_id),
        attention_mask=_stack([np.ones_like(w.input_ids) for w in windows], 0),
        word_pieces=_stack([w.word_pieces for w in windows], -1),
        n_words=torch.tensor([w.last - w.first for w in windows]),
        type_pieces=_stack([w.type_pieces for w in windows], -1),
    )


def _cut(waiting: list[InputWindow], batch_tokens: int) -> Iterator[list[InputWindow]]:
    """Cut windows into batches by length: none over the budget, and none of much padding, unless it is tiny."""
    batch: list[InputWindow] = []
    for window in sorted(waiting, key=lambda window: -len(window.input_ids)):
        if batch:
            longest = len(batch[0].input_ids)
            full = longest * (len(batch) + 1) > batch_tokens
            worthwhile = longest * len(batch) >= WORTHWHILE * batch_tokens
            if full or (worthwhile and len(window.input_ids) < ALIKE * longest):
                yield batch
                batch = []
        batch.append(window)
    if batch:
        yield batch


def _stack(rows: Sequence[np.ndarray], fill: int) -> torch.Tensor:
    stacked = np.full((len(rows), max(len(row) for row in rows)), fill, dtype=np.int64)
    for target, row in zip(stacked, rows, strict=True):
        target[: len(row)] = row
    return torch.from_numpy(stacked)


def _even_parts(n: int, count: int) -> list[slice]:
    edges = [n * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges) if b > a]


def _as_range(part: slice) -> range:
    return range(part.start, part.stop)
