"""The words around a mention, which tell it from others of the same spelling."""

from collections.abc import Sequence

AROUND = 5


def words_around(words: Sequence[str], start: int, end: int, n: int = AROUND) -> tuple[str, str]:
    """Show the words on both sides of a mention.

    words (Sequence[str]): Of the whole text, each with the white space behind it.
    start, end (int): The mention, `end` exclusive.
    n (int): The most words of each side.
    RETURNS (tuple[str, str]): The text before the mention, and that behind it.
    """
    return "".join(words[max(0, start - n) : start]), "".join(words[end : end + n])
