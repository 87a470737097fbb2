"""From words and types to windows as GLiNER2 reads them: a schema in front of the text, each item tokenised apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...errors import error
from ...nn.vector_cache import BoundedCache
from ...prompts.gliner2 import (
    SENTENCE_ENDS,
    TYPE_MARKER,
    DescribedType,
    closing,
    describe,
    description_text,
    opening,
    plain,
)
from ..gliner.tokenization import KNOWN_PROMPTS, Prompt, PromptTokenizer, SubwordMap, even_parts
from ..gliner.windows import InputWindow, WindowPlanner

KNOWN_ITEMS = 100_000
"""Items whose subwords are remembered: words come back, and each is tokenised by itself."""


@dataclass(frozen=True)
class TextSubwords(SubwordMap):
    """The subwords of a text's words, and which words a sentence may end with. *Shape of the latter:* (words,)."""

    ends_sentence: np.ndarray


class SchemaTokenizer(PromptTokenizer):
    """A tokenizer that splits words, which it reads in lower case, and lays out schemas.

    tokenizer (Any): A fast tokenizer that knows the markers.
    limit (int): The most subwords that the model reads at once; schemas take half of them at most.
    max_types (int | None): The most types in one schema; as many as fit if None.
    """

    def __init__(self, tokenizer: Any, limit: int, *, max_types: int | None = None) -> None:
        self.tokenizer, self.limit, self.max_types = tokenizer, limit, max_types
        self._known = BoundedCache[str, np.ndarray](KNOWN_ITEMS)
        self._prompts = BoundedCache[tuple[Any, ...], list[Prompt]](KNOWN_PROMPTS)
        backend = tokenizer.backend_tokenizer
        # Set once: changing them at call time is what makes fast tokenizers unsafe between threads.
        backend.no_truncation()
        backend.no_padding()
        self.prefix = np.zeros(0, dtype=np.int64)
        # Every window has room for a full stop; see `SchemaPlanner`.
        (self.suffix,) = self._items(["."])

    def prompt_types(self, types: Sequence[str], names: Sequence[str]) -> Sequence[DescribedType]:
        """Tell names from descriptions; see `prompts.gliner2.describe`."""
        return describe(types, names)

    def split_words(self, texts: Sequence[list[str]]) -> list[SubwordMap]:
        """Tokenise lists of words, each word by itself."""
        lowered = [[plain(word.lower()) for word in words] for words in texts]
        coded = iter(self._items([word for words in lowered for word in words]))
        split: list[SubwordMap] = []
        for words in lowered:
            items = [next(coded) for _ in words]
            ends = np.cumsum([len(ids) for ids in items], dtype=np.int64)
            starts = np.concatenate([np.zeros(1, dtype=np.int64), ends])[:-1]
            closed = np.array([word.endswith(SENTENCE_ENDS) for word in words], dtype=bool)
            split.append(TextSubwords(np.concatenate([*items, self.prefix]), starts, ends, closed))
        return split

    def prompts(self, types: Sequence[Any]) -> list[Prompt]:
        """Split types over schemas of about equal size; see `PromptTokenizer.prompts`."""
        return self._prompts.look_up([tuple(types)], lambda missing: [self.split_types(key) for key in missing])[0]

    def split_types(self, types: Sequence[Any]) -> list[Prompt]:
        """Lay out the schemas of types; see `prompts`."""
        (marker,) = self._items([TYPE_MARKER])
        names = self._items([plain(t.name) for t in types])
        descriptions = self._items([description_text(t) if t.description else "" for t in types])
        sizes = np.array([len(marker) + len(a) + len(b) for a, b in zip(names, descriptions, strict=True)])
        budget = self.limit // 2
        for described, size in zip(types, sizes.tolist(), strict=True):
            if size > budget:
                raise error("O006", label=described.name, size=size, budget=budget)
        return [self._schema(types, part) for part in even_parts(sizes, budget, self.max_types)]

    def _schema(self, types: Sequence[DescribedType], part: range) -> Prompt:
        """Assemble the schema of some types. Its positions are those of the task's marker and of each type's."""
        chosen = [types[i] for i in part]
        start = opening(chosen)
        named = [text for described in chosen for text in (TYPE_MARKER, plain(described.name))]
        items = self._items([*start, *named, *closing()])
        offsets = np.cumsum([0, *(len(ids) for ids in items)], dtype=np.int64)
        at_types = offsets[len(start) : len(start) + len(named) : 2]
        return Prompt(np.concatenate(items), part, np.concatenate([offsets[1:2], at_types]))

    def _items(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Tokenise items, each by itself."""
        return self._known.look_up(texts, self._encode_items)

    def _encode_items(self, texts: list[str]) -> list[np.ndarray]:
        encoded = self.tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int64) for encoding in encoded]


class SchemaPlanner(WindowPlanner):
    """Lays windows over texts; see `WindowPlanner`.

    A window whose last word ends no sentence has a full stop as one more word, as all texts have that the family is
    trained with; `InputWindow.last` does not count it, so that no span holds it.
    """

    def window(self, text: int, subwords: SubwordMap, first: int, last: int, prompt: Prompt) -> InputWindow:
        """Assemble one input row; see `InputWindow`."""
        window = super().window(text, subwords, first, last, prompt)
        assert isinstance(subwords, TextSubwords)
        # A word without subwords is read at the subword that follows it.
        words = len(prompt.ids) + subwords.starts[first:last] - subwords.starts[first]
        full_stop = len(window.input_ids) - len(self.tokenizer.suffix)
        if subwords.ends_sentence[last - 1]:
            ids = window.input_ids[:full_stop]
            return replace(window, input_ids=ids, word_positions=np.minimum(words, len(ids) - 1))
        return replace(window, word_positions=np.append(words, full_stop))
