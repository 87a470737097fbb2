"""Which types one text is asked for in training, and by which words."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from ..errors import error


class Sampler(Protocol):
    """Draws the types of one text's prompt."""

    def __call__(self, present: Sequence[str], universe: Mapping[str, str]) -> dict[str, str]:
        """Draw types, in the order of the prompt.

        present (Sequence[str]): Types that the text holds.
        universe (Mapping[str, str]): All types that were looked for when the text was annotated, each with
            its description. Any other type is unknown there, not absent.
        RETURNS (dict[str, str]): Type -> the text that stands for it; no two types share a text.
        """
        ...


class TypeSampler(NamedTuple):
    """See `TypeSampler_v1`."""

    ratio: float
    most_absent: int
    drop: float
    max_types: int
    describe: float
    rename: float
    names: Mapping[str, Sequence[str]]
    finest: float = 0.0

    def __call__(self, present: Sequence[str], universe: Mapping[str, str]) -> dict[str, str]:
        """Draw types; see `Sampler`. Randomness is Python's own, which `[training] seed` fixes."""
        here = [label for label in universe if label in set(present)]
        if len(here) > 1 and self.drop and random.random() < self.drop:
            here = random.sample(here, random.randint(1, len(here)))
        elsewhere = [label for label in universe if label not in set(present)]
        absent = random.sample(elsewhere, min(len(elsewhere), self._absent(len(here))))
        chosen = here + absent
        random.shuffle(chosen)
        return self._named(chosen[: self.max_types], universe)

    def _absent(self, n_present: int) -> int:
        """How many absent types to add: about `ratio` of the prompt, at least one where none is present."""
        if self.most_absent:
            return random.randint(0 if n_present else 1, self.most_absent)
        wanted = round(n_present * self.ratio / (1 - self.ratio)) if self.ratio < 1 else self.max_types
        return max(wanted, 0 if n_present else 1)

    def _named(self, labels: Sequence[str], universe: Mapping[str, str]) -> dict[str, str]:
        """Put each type into words: its name, its description, or another name."""
        texts: dict[str, str] = {}
        taken = set(labels)
        for label in labels:
            text, draw = label, random.random()
            if draw < self.describe:
                text = universe[label]
            elif draw < self.describe + self.rename and self.names.get(label):
                text = random.choice(self.names[label])
            texts[label] = label if text in taken else text
            taken.add(texts[label])
        return texts


def TypeSampler_v1(
    ratio: float = 0.5,
    most_absent: int = 0,
    drop: float = 0.1,
    max_types: int = 25,
    describe: float = 0.0,
    rename: float = 0.0,
    names: Path | dict[str, list[str]] | None = None,
    finest: float = 0.0,
) -> TypeSampler:
    """Sample types for training prompts (GLiNER, section 3.2 and appendix A.1), as "spacy-openner.TypeSampler.v1".

    ratio (float): Share of absent types in a prompt.
    most_absent (int): If not 0, a random number of absent types up to this one, whatever `ratio` says.
    drop (float): How often some of the present types are left out of the prompt.
    max_types (int): The most types in a prompt.
    describe (float): How often a type's description stands for it.
    rename (float): How often another name stands for it, where `names` has one.
    names (Path | dict | None): Type -> other names; a JSON file or the mapping itself.
    finest (float): How often, of several types that a span has, only the first that is in the prompt counts:
        beside "writer", "person" stands for the other people. For corpora that list the finest type first. With 1.0
        a broad type is hardly ever right where finer ones are asked too, and the model forgets it there.
    RETURNS (Sampler): For the component's `sampler`.
    RAISES (SettingError): For a value out of range.
    """
    for name, value in {"ratio": ratio, "drop": drop, "describe": describe, "rename": rename, "finest": finest}.items():
        if not 0 <= value <= 1:
            raise error("O001", name=name, value=value, allowed="a number from 0 to 1")
    for name, value, least in (("most_absent", most_absent, 0), ("max_types", max_types, 1)):
        if value < least:
            raise error("O001", name=name, value=value, allowed=f"a whole number from {least}")
    others = names if isinstance(names, dict) else {}
    if isinstance(names, str | Path):
        others = json.loads(Path(names).read_text(encoding="utf8"))
    return TypeSampler(ratio, most_absent, drop, max_types, describe, rename, others, finest)
