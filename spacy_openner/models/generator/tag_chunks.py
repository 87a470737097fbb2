"""Answers as pieces: `word(tag)` chunks, which most tokenizers read independently of one another."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ...decoding.tag_trie import AnswerWord, Subwords, TagTrie
from ...errors import error

# Chunks that a tokenizer which joins words, or bends what stands beside a space, gets wrong.
PROBE = ["The(O)", "New(B-city)", "York(I-city)", "...(O)", "naïve(O)", "co-op(B-a)", "((O)", "x1(O)", "is(O)"]
KEPT_WORDS, KEPT_TRIES = 100_000, 1_000
CARRIERS = ("a", "the", "42", "house")


class Chunks:
    """Turns the chunks of answers into pieces and keeps those of words met before.

    tokenizer: A fast tokenizer of Hugging Face.
    leads (bool): Whether even the first chunk of an answer follows a space, as it does after a causal prompt.
    """

    def __init__(self, tokenizer: Any, leads: bool = False) -> None:
        self.tokenizer = tokenizer
        whole = self._encode([" ".join(PROBE)])[0]
        plain, spaced = self._encode(PROBE), self._encode([" " + chunk for chunk in PROBE])
        # Byte-level tokenizers read a space as a part of the word after it.
        self.spaced = _joined(plain) != whole and _joined([plain[0], *spaced[1:]]) == whole
        self.independent = self.spaced or _joined(plain) == whole
        self.leads = leads
        self._tries: dict[tuple[str, ...], TagTrie | None] = {}
        self._forced: dict[tuple[str, bool], Subwords | None] = {}

    def words(self, texts: Sequence[str], tags: Sequence[str], chunk: Callable[[str, str], str]) -> list[AnswerWord]:
        """Lay out what an answer may say.

        texts (Sequence[str]): The words.
        tags (Sequence[str]): The tags that each may have, "O" first.
        chunk (Callable[[str, str], str]): Writes a word with its tag.
        RETURNS (list[AnswerWord]): For each word its forced pieces and the trie of its tags.
        RAISES (SettingError): When two tags look the same to the tokenizer.
        """
        trie = self._trie(tuple(tags), chunk)
        keys = [(text, self.spaced and (i > 0 or self.leads)) for i, text in enumerate(texts)]
        # Full caches are replaced: another thread may still be reading the old ones.
        if len(self._forced) > KEPT_WORDS:
            self._forced = {}
        known = self._forced
        if trie is not None:
            self._learn(known, set(keys), trie, tags, chunk)
        found = []
        for text, spaced in keys:
            forced = known[text, spaced] if trie is not None else None
            if trie is not None and forced is not None:
                found.append(AnswerWord(forced, trie))
            else:
                sequences = self._encode([" " * spaced + chunk(text, tag) for tag in tags])
                found.append(AnswerWord((), _checked(sequences, tags)))
        return found

    def _trie(self, tags: tuple[str, ...], chunk: Callable[[str, str], str]) -> TagTrie | None:
        """The trie of tags behind any word whose pieces do not mix with theirs; None if they mix with all."""
        if len(self._tries) > KEPT_TRIES:
            self._tries = {}
        known = self._tries
        if tags not in known:
            known[tags] = self._make_trie(tags, chunk)
        return known[tags]

    def _make_trie(self, tags: tuple[str, ...], chunk: Callable[[str, str], str]) -> TagTrie | None:
        for carrier in CARRIERS:
            word = self._encode([carrier])[0]
            sequences = self._encode([chunk(carrier, tag) for tag in tags])
            if all(pieces[: len(word)] == word for pieces in sequences):
                return _checked([pieces[len(word) :] for pieces in sequences], tags)
        return None

    def _learn(
        self,
        known: dict[tuple[str, bool], Subwords | None],
        keys: Iterable[tuple[str, bool]],
        trie: TagTrie,
        tags: Sequence[str],
        chunk: Callable[[str, str], str],
    ) -> None:
        """Find the forced pieces of words: what is left of their chunks without O, B- and I-; None where word and
        tag share a piece."""
        new = [key for key in keys if key not in known]
        probes = range(min(3, len(tags)))
        texts = [" " * spaced + chunk(text, tags[i]) for text, spaced in new for i in probes]
        encoded = iter(self._encode(texts) if texts else ())
        for key in new:
            found = {_without_end(next(encoded), trie.sequences[i]) for i in probes}
            known[key] = found.pop() if len(found) == 1 else None

    def _encode(self, texts: Sequence[str]) -> list[Subwords]:
        return [tuple(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]


def _joined(parts: Sequence[Subwords]) -> Subwords:
    return tuple(piece for part in parts for piece in part)


def _without_end(pieces: Subwords, end: Subwords) -> Subwords | None:
    return pieces[: len(pieces) - len(end)] if pieces[len(pieces) - len(end) :] == end else None


def _checked(sequences: Sequence[Subwords], tags: Sequence[str]) -> TagTrie:
    try:
        return TagTrie(sequences)
    except ValueError as problem:
        a, b = problem.args
        raise error("O013", a=tags[a], b=tags[b]) from problem
