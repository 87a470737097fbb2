"""What formats have in common whose answers list the entities of a text, written freely."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .gner import bio_tags

if TYPE_CHECKING:
    from typing_extensions import Self


class ListingPrompt:
    """Base of these formats; see `models.jobs.Prompt` for what else they have.

    instruction: What stands around types and text; None where the format has but one.
    target: What answers look like.
    in_order: Whether answers say more of the text than its entities, in its order.
    explain: Whether answers say why their entities are what they are.
    most_types: The most types in one question; None for any number.
    """

    instruction: str | None = None
    target = "list"
    in_order = False
    explain = False
    most_types: int | None = None

    def fitting(self, own: str | None) -> "Self":
        """The format, whatever instruction a model's files name."""
        return self

    def chunk(self, word: str, tag: str) -> str:
        """One word with its tag, which these formats do not say; what answers say instead is of that size."""
        return f"{word}({tag})"

    def tags(self, labels: Sequence[str]) -> list[str]:
        """All tags of BIO, "O" first, then each label's two."""
        return bio_tags(labels)

    def explanations(self, text: str, entities: Sequence[str]) -> list[str]:
        """What an answer says about why its entities are what they are."""
        return [""] * len(entities)
