"""Words and types to subwords: the subwords of each word, and prompts that ask for types."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ...errors import error
from ...nn.vector_cache import BoundedCache

# Lists of types whose prompts are remembered.
KNOWN_PROMPTS = 64


@dataclass(frozen=True)
class SubwordMap:
    """The subwords of a list of words: word w has ids[starts[w]:ends[w]]. *Shapes:* (subwords,), (words,)."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True)
class Prompt:
    """Types in front of a text.

    ids: All subwords, the special prefix included. *Shape:* (subwords,).
    types: Index range of the types that it asks for, among the text's types.
    positions: Where the vectors of these types stand; empty for a bi-encoder. *Shape:* (types,).
    """

    ids: np.ndarray
    types: range
    positions: np.ndarray


class PromptTokenizer:
    """A tokenizer that splits words and lays out prompts. May be used from several threads.

    tokenizer (Any): A fast tokenizer.
    limit (int): The most subwords that the model reads at once; prompts take half of them at most.
    entity_id, separator_id (int): Marker ids; -1 for a bi-encoder, whose input has no prompt.
    embed_marker (bool): Whether a type's vector stands at its marker (or else at the subword after it).
    max_types (int | None): The most types in one prompt; as many as fit if None.
    separators (int): How many end a prompt.
    asks_types (bool): Whether prompts hold the types; else the model knows vectors of them, and prompts are empty.
    """

    def __init__(
        self,
        tokenizer: Any,
        limit: int,
        *,
        entity_id: int = -1,
        separator_id: int = -1,
        embed_marker: bool = True,
        max_types: int | None = None,
        separators: int = 1,
        asks_types: bool = True,
    ) -> None:
        self.tokenizer, self.limit = tokenizer, limit
        self.entity_id, self.separator_id = entity_id, separator_id
        self.embed_marker, self.max_types, self.separators = embed_marker, max_types, separators
        self.asks_types = asks_types
        self._type_ids = BoundedCache[str, np.ndarray]()
        self._prompts = BoundedCache[tuple[Any, ...], list[Prompt]](KNOWN_PROMPTS)
        backend = tokenizer.backend_tokenizer
        # Set once: changing them at call time is what makes fast tokenizers unsafe between threads.
        backend.no_truncation()
        backend.no_padding()
        self.prefix, self.suffix = self._special_ids()
        self._markers = np.array([i for i in (entity_id, separator_id) if i >= 0], dtype=np.int64)

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

    def prompt_types(self, types: Sequence[str], names: Sequence[str]) -> Sequence[Any]:
        """Return what `prompts` takes for the types of a text.

        types (Sequence[str]): The types, as they are written into prompts.
        names (Sequence[str]): Their own names, in step; empty where `types` are all there is.
        """
        return types

    def prompts(self, types: Sequence[Any]) -> list[Prompt]:
        """Split types over prompts of about equal size.

        types (Sequence[Any]): At least one; see `prompt_types`.
        RETURNS (list[Prompt]): A bi-encoder needs one, empty but for the prefix; a model that knows its types, one that
            holds separators alone.
        RAISES (SettingError): When one type alone does not fit.
        """
        if self.entity_id < 0:
            return [Prompt(self.prefix, range(len(types)), np.zeros(0, dtype=np.int64))]
        if not self.asks_types:
            return [replace(self._prompt([], range(0)), types=range(len(types)))]
        return self._prompts.look_up([tuple(types)], lambda missing: [self.split_types(key) for key in missing])[0]

    def split_types(self, types: Sequence[Any]) -> list[Prompt]:
        """Lay out the prompts of types; see `prompts`."""
        coded = self._type_ids.look_up(types, lambda missing: [self._encode_type(text) for text in missing])
        budget = self.limit // 2
        for text, ids in zip(types, coded, strict=True):
            if len(ids) > budget:
                raise error("O006", label=text, size=len(ids), budget=budget)
        sizes = np.array([len(ids) for ids in coded])
        return [self._prompt(coded, part) for part in even_parts(sizes, budget, self.max_types)]

    def decode(self, ids: np.ndarray) -> str:
        """Spell subwords, for messages."""
        return str(self.tokenizer.decode(ids.tolist()))

    def _prompt(self, coded: Sequence[np.ndarray], part: range) -> Prompt:
        ids, positions, length = [self.prefix], [], len(self.prefix)
        for i in part:
            positions.append(length if self.embed_marker else length + 1)
            ids.append(coded[i])
            length += len(coded[i])
        ids.append(np.full(self.separators, self.separator_id, dtype=np.int64))
        return Prompt(np.concatenate(ids), part, np.array(positions, dtype=np.int64))

    def _encode_type(self, text: str) -> np.ndarray:
        """Encode marker and subwords of a type, which is one item of the word list however many words it has."""
        subwords = self.split_words([[text]])[0]
        ids = subwords.ids[subwords.starts[0] : subwords.ends[0]]
        return np.concatenate([[self.entity_id], ids]).astype(np.int64)

    def _special_ids(self) -> tuple[np.ndarray, np.ndarray]:
        """Find what the tokenizer puts before and after each text."""
        plain, whole = self._encode([["a"]], special=False)[0].ids, self._encode([["a"]], special=True)[0].ids
        at = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), 0)
        return np.array(whole[:at], dtype=np.int64), np.array(whole[at + len(plain) :], dtype=np.int64)

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


def even_parts(sizes: np.ndarray, budget: int, most: int | None = None) -> list[range]:
    """Split items into runs of about equal number.

    sizes (np.ndarray): Of each item; none is over the budget. *Shape:* (items,), at least one.
    budget (int): The most that the sizes of a run add up to.
    most (int | None): The most items in a run.
    RETURNS (list[range]): As few runs as fit.

    Sizes 3 3 3 3 3 and a budget of 7 make the runs 0-0, 1-2, 3-4.
    """
    count = max(-(-int(sizes.sum()) // budget), -(-len(sizes) // (most or len(sizes))))
    while any(sizes[part.start : part.stop].sum() > budget for part in _cut_evenly(len(sizes), count)):
        count += 1
    return _cut_evenly(len(sizes), count)


def _cut_evenly(n: int, count: int) -> list[range]:
    edges = [n * i // count for i in range(count + 1)]
    return [range(a, b) for a, b in pairwise(edges) if b > a]
