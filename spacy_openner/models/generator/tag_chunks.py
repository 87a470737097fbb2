"""Encode answers as subwords: `word(tag)` chunks, which most tokenizers read independently of one another."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ...decoding.tag_trie import ALL_TAGS, AnswerWord, Subwords, TagTrie
from ...errors import error

# Chunks that a tokenizer which joins words, or bends what stands beside a space, gets wrong.
PROBE = ["The(O)", "New(B-city)", "York(I-city)", "...(O)", "naïve(O)", "co-op(B-a)", "((O)", "x1(O)", "is(O)"]
# Words and lists of tags that are kept, and how long these may be together: of words in characters, of lists in tags.
KEPT_WORDS, KEPT_TRIES = 100_000, 1_000
KEPT_CHARS, KEPT_TAGS = 4_000_000, 20_000
CARRIERS = ("a", "the", "42", "house")

Chunk = Callable[[str, str], str]
"""Renders a word with its tag; see `Prompt.chunk`."""


class ChunkEncoder:
    """Encodes the chunks of answers, and keeps the subwords of words that it has met.

    tokenizer (Any): A fast tokenizer of Hugging Face.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        whole = self._encode([" ".join(PROBE)])[0]
        plain, spaced = self._encode(PROBE), self._encode([" " + chunk for chunk in PROBE])
        # Byte-level tokenizers read a space as a part of the word after it.
        self.spaced = _joined(plain) != whole and _joined([plain[0], *spaced[1:]]) == whole
        self.independent = self.spaced or _joined(plain) == whole
        self._tries: dict[tuple[str, ...], TagTrie | None] = {}
        self._forced: dict[tuple[str, bool], Subwords | None] = {}
        self._n_tags = self._n_chars = 0

    def encode_words(
        self,
        texts: Sequence[str],
        tags: Sequence[str],
        chunk: Chunk,
        after_space: bool = False,
        limits: Sequence[int] | None = None,
    ) -> list[AnswerWord]:
        """Lay out what a constrained answer may say.

        texts (Sequence[str]): The words.
        tags (Sequence[str]): The tags that each may have, "O" first.
        chunk (Chunk): Renders a word with its tag.
        after_space (bool): Whether even the first word follows a space, as it does after most causal prompts.
        limits (Sequence[int] | None): The tags, as bits, that each word may have at all; all of them if None.
        RETURNS (list[AnswerWord]): For each word its forced subwords and the trie of its tags.
        RAISES (SettingError): O013, when two tags look the same to the tokenizer.
        """
        trie = self._trie(tuple(tags), chunk)
        keys = [(text, self.spaced and (i > 0 or after_space)) for i, text in enumerate(texts)]
        # Full caches are replaced: another thread may still be reading the old ones.
        if len(self._forced) > KEPT_WORDS or self._n_chars > KEPT_CHARS:
            self._forced, self._n_chars = {}, 0
        known = self._forced
        if trie is not None:
            self._add_forced(known, set(keys), trie, tags, chunk)
        words = []
        for (text, spaced), limit in zip(keys, limits or [ALL_TAGS] * len(keys), strict=True):
            forced = known[text, spaced] if trie is not None else None
            if trie is not None and forced is not None:
                words.append(AnswerWord(forced, trie, limit))
            else:
                sequences = self._encode([" " * spaced + chunk(text, tag) for tag in tags])
                words.append(AnswerWord((), _checked_trie(sequences, tags), limit))
        return words

    def _trie(self, tags: tuple[str, ...], chunk: Chunk) -> TagTrie | None:
        """Return the trie of tags behind any word whose subwords do not mix with theirs; None if they mix with all."""
        if len(self._tries) > KEPT_TRIES or self._n_tags > KEPT_TAGS:
            self._tries, self._n_tags = {}, 0
        known = self._tries
        if tags not in known:
            known[tags] = self._make_trie(tags, chunk)
            self._n_tags += len(tags)
        return known[tags]

    def _make_trie(self, tags: tuple[str, ...], chunk: Chunk) -> TagTrie | None:
        for carrier in CARRIERS:
            word = self._encode([carrier])[0]
            sequences = self._encode([chunk(carrier, tag) for tag in tags])
            if all(subwords[: len(word)] == word for subwords in sequences):
                return _checked_trie([subwords[len(word) :] for subwords in sequences], tags)
        return None

    def _add_forced(
        self,
        known: dict[tuple[str, bool], Subwords | None],
        keys: Iterable[tuple[str, bool]],
        trie: TagTrie,
        tags: Sequence[str],
        chunk: Chunk,
    ) -> None:
        """Find the forced subwords of new words: what is left of their chunks without O, B- and I-.

        They are None where word and tag share a subword.
        """
        new = [key for key in keys if key not in known]
        self._n_chars += sum(len(text) for text, _ in new)
        n_probes = min(3, len(tags))
        encoded = self._encode(
            [" " * spaced + chunk(text, tag) for text, spaced in new for tag in tags[:n_probes]] if new else []
        )
        for i, key in enumerate(new):
            probes = encoded[i * n_probes : (i + 1) * n_probes]
            forced = {_without_end(subwords, end) for subwords, end in zip(probes, trie.sequences, strict=False)}
            known[key] = forced.pop() if len(forced) == 1 else None

    def _encode(self, texts: Sequence[str]) -> list[Subwords]:
        if not texts:
            return []
        return [tuple(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]


def _joined(parts: Sequence[Subwords]) -> Subwords:
    return tuple(subword for part in parts for subword in part)


def _without_end(subwords: Subwords, end: Subwords) -> Subwords | None:
    return subwords[: len(subwords) - len(end)] if subwords[len(subwords) - len(end) :] == end else None


def _checked_trie(sequences: Sequence[Subwords], tags: Sequence[str]) -> TagTrie:
    try:
        return TagTrie(sequences)
    except ValueError as problem:
        a, b = problem.args
        raise error("O013", a=tags[a], b=tags[b]) from problem
