"""From the entities that a model named, without the text around them, back to the words of the text."""

from collections.abc import Callable, Sequence

from .word_matching import Matching, Slips

# Words by which a mention may differ from the text's words and still be the same letters ("NewYork").
SLACK = 2


def locate(
    words: Sequence[str],
    said: Sequence[str],
    mentions: Sequence[tuple[int, int]],
    retokenise: Callable[[Sequence[str]], Sequence[str]] | None = None,
) -> Matching:
    """Find each mention: the first run of words with the same letters, after the mention before it where there is one.

    Case and spaces do not matter, and no word is in two mentions.

    words (Sequence[str]): The words of the text.
    said (Sequence[str]): The words of the mentions.
    mentions (Sequence[tuple[int, int]]): The first and last word (exclusive) of each among these.
    retokenise (Callable | None): See `lcs.match`.
    RETURNS (Matching): For each word of the text its counterpart among `said`. Words of mentions that the text has not
        count as added.
    """
    spellings = [[word.casefold() for word in words]]
    if retokenise is not None:
        spellings.append([form.casefold() for form in retokenise(words)])
    places: list[int | None] = [None] * len(words)
    added = after = 0
    for first, last in mentions:
        letters, n = "".join(said[first:last]).casefold(), last - first
        found = _find(spellings, letters, n, places, after) or _find(spellings, letters, n, places, 0)
        if found is None:
            added += n
            continue
        for i in range(*found):
            places[i] = min(first + i - found[0], last - 1)
        after = found[1]
    return Matching(places, Slips(added=added))


def _find(
    spellings: Sequence[Sequence[str]], letters: str, n: int, places: Sequence[int | None], start: int
) -> tuple[int, int] | None:
    """The first run of free words that spells some letters: its first and last word, exclusive."""
    for texts in spellings:
        for first in range(start, len(texts)):
            if not texts[first] or not letters.startswith(texts[first]):
                continue
            for last in range(first + 1, min(first + n + SLACK, len(texts)) + 1):
                if "".join(texts[first:last]) == letters and not any(place is not None for place in places[first:last]):
                    return first, last
    return None
