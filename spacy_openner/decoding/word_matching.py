"""From what a model said, word by word, back to the words of the text (GNER, appendix D)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rapidfuzz import fuzz
from rapidfuzz.distance import LCSseq

# Of two words in the same place, one is taken for a misspelling of the other from this similarity on (percent).
SIMILAR = 50.0


class Slips(NamedTuple):
    """How an answer departed from the text, in words (GNER, appendix C).

    omitted: Words of the text that the answer left out.
    added: Words of the answer that the text has not.
    substituted: Words that the answer wrote otherwise.
    """

    omitted: int = 0
    added: int = 0
    substituted: int = 0


class Matching(NamedTuple):
    """For each word of the text the place of its counterpart in the answer; None without one."""

    places: list[int | None]
    slips: Slips


def match(
    words: Sequence[str], said: Sequence[str], retokenise: Callable[[Sequence[str]], Sequence[str]] | None = None
) -> Matching:
    """Find each word's counterpart: by equality, else as a subsequence, else by the longest common subsequence.

    Case does not matter. What lies between common words is paired where it is as many words on both sides and
    alike, or the same letters in other words.

    words (Sequence[str]): The words of the text.
    said (Sequence[str]): The words of the answer.
    retokenise (Callable | None): Encodes and decodes words with the model's tokenizer, which cannot write all of
        them ("brontë" becomes "bront"); either form then counts as the word.
    RETURNS (Matching): Counterparts, in order, and how much went wrong.
    """
    text = [word.casefold() for word in words]
    answer = [word.casefold() for word in said]
    if text == answer:
        return Matching(list(range(len(text))), Slips())
    if retokenise is not None:
        forms = [form.casefold() for form in retokenise(words)]
        # One spelling for both forms of a word; one that is nothing but what the tokenizer cannot write stays.
        written = {word: form or word for word, form in zip(text, forms, strict=True)}
        text, answer = [written[word] for word in text], [written.get(word, word) for word in answer]
        if text == answer:
            return Matching(list(range(len(text))), Slips())
    return _subsequence(text, answer) or _common(text, answer)


def _subsequence(text: Sequence[str], answer: Sequence[str]) -> Matching | None:
    """Match an answer that only left words out, in linear time; None if it did more."""
    places: list[int | None] = [None] * len(text)
    j = 0
    for i, word in enumerate(text):
        if j < len(answer) and word == answer[j]:
            places[i] = j
            j += 1
    return Matching(places, Slips(omitted=len(text) - j)) if j == len(answer) else None


def _common(text: Sequence[str], answer: Sequence[str]) -> Matching:
    """Match along the longest common subsequence, and pair what lies between."""
    places: list[int | None] = [None] * len(text)
    omitted = added = substituted = 0
    for block in LCSseq.opcodes(text, answer):
        if block.tag == "equal":
            places[block.src_start : block.src_end] = range(block.dest_start, block.dest_end)
    for gap in _gaps(places, len(answer)):
        pairs = _pair(text, answer, gap)
        for i, j in pairs:
            places[i] = j
        n_text, n_answer = gap[1] - gap[0], gap[3] - gap[2]
        if pairs:
            substituted += n_text
        else:
            omitted, added = omitted + n_text, added + n_answer
    return Matching(places, Slips(omitted, added, substituted))


def _gaps(places: Sequence[int | None], n_answer: int) -> list[tuple[int, int, int, int]]:
    """Runs between matched words: start and end in the text, start and end in the answer."""
    gaps, i0, j0 = [], 0, 0
    matched = [(i, j) for i, j in enumerate(places) if j is not None]
    for i, j in [*matched, (len(places), n_answer)]:
        if i > i0 or j > j0:
            gaps.append((i0, i, j0, j))
        i0, j0 = i + 1, j + 1
    return gaps


def _pair(text: Sequence[str], answer: Sequence[str], gap: tuple[int, int, int, int]) -> list[tuple[int, int]]:
    """Pair the words of a gap, or none of them."""
    i0, i1, j0, j1 = gap
    if i0 == i1 or j0 == j1:
        return []
    if "".join(text[i0:i1]) == "".join(answer[j0:j1]):
        # The same letters in other words: each word of the text has the tag of the one that its first letter is in.
        starts = [len("".join(answer[j0:j])) for j in range(j0, j1)]
        offsets = [len("".join(text[i0:i])) for i in range(i0, i1)]
        last = [max(k for k, start in enumerate(starts) if start <= offset) for offset in offsets]
        return [(i, j0 + k) for i, k in zip(range(i0, i1), last, strict=True)]
    if i1 - i0 == j1 - j0:
        pairs = list(zip(range(i0, i1), range(j0, j1), strict=True))
        if all(fuzz.ratio(text[i], answer[j]) >= SIMILAR for i, j in pairs):
            return pairs
    return []
