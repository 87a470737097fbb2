"""Choose how much of a text a prompt shows around its entities."""

from collections.abc import Sequence
from typing import Protocol

SURROUNDING_TOKENS = 5


class TextToken(Protocol):
    """A token that knows its text and the space after it, as spaCy's do."""

    @property
    def text_with_ws(self) -> str:
        """The text, with the space after it."""


def surrounding_text(tokens: Sequence[TextToken], start: int, end: int, n: int = SURROUNDING_TOKENS) -> tuple[str, str]:
    """Return the text before and after an entity, which tells it from others of the same spelling.

    tokens (Sequence[TextToken]): Those of the text, such as a `Doc`.
    start, end (int): The entity's tokens, `end` exclusive.
    n (int): The most tokens on each side.
    RETURNS (tuple[str, str]): Both texts, spaces included; "" at the edges of the text.
    """
    before, after = tokens[max(0, start - n) : start], tokens[end : end + n]
    return "".join(token.text_with_ws for token in before), "".join(token.text_with_ws for token in after)


def visible_range(start: int, end: int, length: int, budget: int) -> tuple[int, int]:
    """Choose which tokens of a text to show: all of them, or `budget` of them with the entities in the middle.

    start, end (int): The tokens that have to be shown, `end` exclusive; they may be more than the budget.
    length (int): Tokens of the text.
    budget (int): The most tokens to show.
    RETURNS (tuple[int, int]): The first token and the end.

    For a text of 100 tokens, an entity at 50 to 52 and a budget of 10, this returns (46, 56); near the start of the
    text, for an entity at 1 to 3, it returns (0, 10).
    """
    spare = max(0, budget - (end - start))
    first = max(0, min(start - spare // 2, length - budget))
    return min(first, start), min(length, max(first + budget, end))
