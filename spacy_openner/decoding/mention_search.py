"""Find the entities that a model listed, without the text around them, among the words of the text."""

from collections.abc import Sequence

from .word_matching import Retokenize, WordErrors, WordMatch

# Words by which a mention may differ from the text's words and still be the same letters ("NewYork").
SLACK = 2


def locate_mentions(
    words: Sequence[str],
    answer: Sequence[str],
    mentions: Sequence[tuple[int, int]],
    retokenize: Retokenize | None = None,
) -> WordMatch:
    """Find each mention: the first run of words with the same letters, after the mention before it where there is one.

    Case and spaces do not matter, and no word is in two mentions.

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
    spellings = [[word.casefold() for word in words]]
    if retokenize is not None:
        spellings.append([form.casefold() for form in retokenize(words)])
    indices: list[int | None] = [None] * len(words)
    added = after = 0
    for first, last in mentions:
        letters, n = "".join(answer[first:last]).casefold(), last - first
        run = _find_run(spellings, letters, n, indices, after) or _find_run(spellings, letters, n, indices, 0)
        if run is None:
            added += n
            continue
        for i in range(*run):
            indices[i] = min(first + i - run[0], last - 1)
        after = run[1]
    return WordMatch(indices, WordErrors(added=added))


def _find_run(
    spellings: Sequence[Sequence[str]], letters: str, n: int, indices: Sequence[int | None], start: int
) -> tuple[int, int] | None:
    """Return the first run of free words that spells some letters: its first and last word, exclusive."""
    for texts in spellings:
        for first in range(start, len(texts)):
            if not texts[first] or not letters.startswith(texts[first]):
                continue
            for last in range(first + 1, min(first + n + SLACK, len(texts)) + 1):
                if "".join(texts[first:last]) == letters and all(index is None for index in indices[first:last]):
                    return first, last
    return None
