"""Match the words of a free answer with the words of its text (GNER, appendix D)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rapidfuzz import fuzz
from rapidfuzz.distance import LCSseq

# Of two words between the same neighbours, one is taken for a misspelling of the other from this similarity on
# (percent).
SIMILAR = 50.0

Retokenize = Callable[[Sequence[str]], Sequence[str]]


class WordErrors(NamedTuple):
    """The differences between an answer and its text, in words (GNER, appendix C).

    omitted (int): Words of the text that the answer left out.
    added (int): Words of the answer that the text has not.
    substituted (int): Words that the answer wrote otherwise.
    """

    omitted: int = 0
    added: int = 0
    substituted: int = 0


class WordMatch(NamedTuple):
    """For each word of the text the index of its counterpart in the answer, None without one; and the differences."""

    indices: list[int | None]
    errors: WordErrors


class Gap(NamedTuple):
    """A run between matched words: first and last word (exclusive) in the text, and in the answer."""

    first: int
    last: int
    answer_first: int
    answer_last: int


def match_words(words: Sequence[str], answer: Sequence[str], retokenize: Retokenize | None = None) -> WordMatch:
    """Find each word's counterpart: by equality, else as a subsequence, else by the longest common subsequence.

    Case does not matter. What lies between common words is paired where it is as many words on both sides and
    alike, or the same letters in other words.

    words (Sequence[str]): The words of the text.
    answer (Sequence[str]): The words of the answer.
    retokenize (Callable | None): Encodes and decodes words with the model's tokenizer, which cannot write all of
        them ("brontë" becomes "bront"); either form then counts as the word.
    RETURNS (WordMatch): Counterparts, in order, and how much went wrong.

    Here the answer leaves out "the", and misspells "Paris":

        >>> match_words(["in", "the", "Paris", "area"], ["in", "Pariss", "area"])
        WordMatch(indices=[0, None, None, 2], errors=WordErrors(omitted=2, added=1, substituted=0))
        >>> match_words(["in", "Paris", "area"], ["in", "Pariss", "area"])
        WordMatch(indices=[0, 1, 2], errors=WordErrors(omitted=0, added=0, substituted=1))
    """
    text = [word.casefold() for word in words]
    answered = [word.casefold() for word in answer]
    if text == answered:
        return WordMatch(list(range(len(text))), WordErrors())
    if retokenize is not None:
        forms = [form.casefold() for form in retokenize(words)]
        # One spelling for both forms of a word; one that is nothing but what the tokenizer cannot write stays.
        written = {word: form or word for word, form in zip(text, forms, strict=True)}
        text, answered = [written[word] for word in text], [written.get(word, word) for word in answered]
        if text == answered:
            return WordMatch(list(range(len(text))), WordErrors())
    return _match_subsequence(text, answered) or _match_common(text, answered)


def _match_subsequence(text: Sequence[str], answer: Sequence[str]) -> WordMatch | None:
    """Match an answer that only left words out, in linear time; None if it did more."""
    indices: list[int | None] = [None] * len(text)
    j = 0
    for i, word in enumerate(text):
        if j < len(answer) and word == answer[j]:
            indices[i] = j
            j += 1
    return WordMatch(indices, WordErrors(omitted=len(text) - j)) if j == len(answer) else None


def _match_common(text: Sequence[str], answer: Sequence[str]) -> WordMatch:
    """Match along the longest common subsequence, and pair what lies between."""
    indices: list[int | None] = [None] * len(text)
    omitted = added = substituted = 0
    for block in LCSseq.opcodes(text, answer):
        if block.tag == "equal":
            indices[block.src_start : block.src_end] = range(block.dest_start, block.dest_end)
    for gap in _gaps(indices, len(answer)):
        pairs = _pair(text[gap.first : gap.last], answer[gap.answer_first : gap.answer_last])
        for i, j in pairs:
            indices[gap.first + i] = gap.answer_first + j
        if pairs:
            substituted += gap.last - gap.first
        else:
            omitted, added = omitted + gap.last - gap.first, added + gap.answer_last - gap.answer_first
    return WordMatch(indices, WordErrors(omitted, added, substituted))


def _gaps(indices: Sequence[int | None], n_answer: int) -> list[Gap]:
    """Return the runs between matched words."""
    gaps, first, answer_first = [], 0, 0
    matched = [(i, j) for i, j in enumerate(indices) if j is not None]
    for i, j in [*matched, (len(indices), n_answer)]:
        if i > first or j > answer_first:
            gaps.append(Gap(first, i, answer_first, j))
        first, answer_first = i + 1, j + 1
    return gaps


def _pair(text: Sequence[str], answer: Sequence[str]) -> list[tuple[int, int]]:
    """Pair the words of a gap, or none of them."""
    if not text or not answer:
        return []
    if "".join(text) == "".join(answer):
        # The same letters in other words: each word of the text is paired with the one that its first letter is in.
        starts = [len("".join(answer[:j])) for j in range(len(answer))]
        offsets = [len("".join(text[:i])) for i in range(len(text))]
        return [(i, max(j for j, start in enumerate(starts) if start <= at)) for i, at in enumerate(offsets)]
    if len(text) == len(answer) and all(fuzz.ratio(a, b) >= SIMILAR for a, b in zip(text, answer, strict=True)):
        return [(i, i) for i in range(len(text))]
    return []
