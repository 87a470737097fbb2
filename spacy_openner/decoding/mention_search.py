"""Find the entities that a model listed, without the text around them, among the words of the text."""

from collections.abc import Sequence

from .mention_placement import spelled_letters
from .word_matching import Retokenize, WordErrors, WordMatch

# Words by which a mention may differ from the text's words and still be the same letters ("NewYork").
SLACK = 2


def locate_mentions(
    words: Sequence[str],
    answer: Sequence[str],
    mentions: Sequence[tuple[int, int]],
    retokenize: Retokenize | None = None,
) -> WordMatch:
    """Find each mention: a run of words with the same letters.

    Case, spaces, quotes, dashes and invisible characters do not matter (see `mention_placement.SpellingIndex`), and no
    word is in two mentions. Mentions are taken to be in the order of the text; where they cannot be, longer ones choose
    first, and equal ones stand from left to right.

    words (Sequence[str]): The words of the text.
    answer (Sequence[str]): The words of all mentions.
    mentions (Sequence[tuple[int, int]]): The first and last word (exclusive) of each among these.
    retokenize (Callable | None): See `match_words`.
    RETURNS (WordMatch): For each word of the text its counterpart in the answer. Words of mentions that the text has
        not count as added.

    The mentions "New York" and "Ann", found in a text that writes the first as one word:

        >>> locate_mentions(["Ann", "left", "NewYork"], ["New", "York", "Ann"], [(0, 2), (2, 3)])
        WordMatch(indices=[2, None, 0], errors=WordErrors(omitted=0, added=0, substituted=0))
    """
    forms = [list(words)] if retokenize is None else [list(words), retokenize(words)]
    spellings = [[_letters(form) for form in spelled] for spelled in forms]
    sought = [(_letters("".join(answer[first:last])), last - first) for first, last in mentions]
    free = [True] * len(words)
    there = [i for i, (letters, n) in enumerate(sought) if _find_run(spellings, letters, n, free, 0)]
    longest_first = sorted(there, key=lambda i: -len(sought[i][0]))
    runs = _in_order(spellings, sought, there) or _one_by_one(spellings, sought, longest_first)
    indices: list[int | None] = [None] * len(words)
    for mention, run in runs.items():
        first, last = mentions[mention]
        for i in range(*run):
            indices[i] = min(first + i - run[0], last - 1)
    return WordMatch(indices, WordErrors(added=sum(n for i, (_, n) in enumerate(sought) if i not in runs)))


def _letters(text: str) -> str:
    return spelled_letters(text)[0]


def _in_order(
    spellings: Sequence[Sequence[str]], sought: Sequence[tuple[str, int]], order: Sequence[int]
) -> dict[int, tuple[int, int]]:
    """Place mentions each behind the one before; none of them where one does not fit."""
    runs: dict[int, tuple[int, int]] = {}
    free, after = [True] * len(spellings[0]), 0
    for i in order:
        run = _find_run(spellings, *sought[i], free, after)
        if run is None:
            return {}
        runs[i], after = run, run[1]
    return runs


def _one_by_one(
    spellings: Sequence[Sequence[str]], sought: Sequence[tuple[str, int]], order: Sequence[int]
) -> dict[int, tuple[int, int]]:
    """Place mentions each at the first place that is free, as far as there is one."""
    runs: dict[int, tuple[int, int]] = {}
    free = [True] * len(spellings[0])
    for i in order:
        run = _find_run(spellings, *sought[i], free, 0)
        if run is not None:
            runs[i] = run
            free[slice(*run)] = [False] * (run[1] - run[0])
    return runs


def _find_run(
    spellings: Sequence[Sequence[str]], letters: str, n: int, free: Sequence[bool], start: int
) -> tuple[int, int] | None:
    """Return the first run of free words that spells some letters: its first and last word, exclusive."""
    for texts in spellings:
        for first in range(start, len(texts)):
            if not texts[first] or not letters.startswith(texts[first]):
                continue
            for last in range(first + 1, min(first + n + SLACK, len(texts)) + 1):
                if "".join(texts[first:last]) == letters and all(free[first:last]):
                    return first, last
    return None
