"""Sampling of the types that one training text is asked for, and of the words that stand for them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..config_format import fits_config
from ..errors import error
from ..json_files import read_json

SYNONYMS = 'a mapping from types to lists of other names: {"person": ["human being", "people"]}'


class Sampler(Protocol):
    """A function that draws the types of one text's prompt."""

    def __call__(self, present: Sequence[str], annotated_types: Mapping[str, str]) -> dict[str, str]:
        """Draw types, in the order of the prompt.

        present (Sequence[str]): Types that the text holds.
        annotated_types (Mapping[str, str]): All types that were looked for when the text was annotated, each with
            its description. Any other type is unknown there, not absent.
        RETURNS (dict[str, str]): Type -> the text that stands for it; no two types share a text.
        """
        ...


@dataclass(frozen=True)
class TypeSampler:
    """A sampler of present and absent types; see `TypeSampler_v1` for its settings."""

    negative_ratio: float = 0.5
    max_negatives: int = 0
    positive_dropout: float = 0.1
    max_types: int = 25
    description_ratio: float = 0.0
    synonym_ratio: float = 0.0
    synonyms: Mapping[str, Sequence[str]] | None = None
    finest_only_ratio: float = 0.0

    def __call__(self, present: Sequence[str], annotated_types: Mapping[str, str]) -> dict[str, str]:
        """Draw types; see `Sampler`. Randomness is Python's own, which `[training] seed` fixes."""
        here = [label for label in annotated_types if label in set(present)]
        if len(here) > 1 and self.positive_dropout and random.random() < self.positive_dropout:
            here = random.sample(here, random.randint(1, len(here)))
        elsewhere = [label for label in annotated_types if label not in set(present)]
        absent = random.sample(elsewhere, min(len(elsewhere), self._n_negatives(len(here))))
        chosen = here + absent
        random.shuffle(chosen)
        return self._texts(chosen[: self.max_types], annotated_types)

    def _n_negatives(self, n_present: int) -> int:
        """Return how many absent types to add, one at least where none is present."""
        if self.max_negatives:
            return random.randint(0 if n_present else 1, self.max_negatives)
        ratio = self.negative_ratio
        wanted = round(n_present * ratio / (1 - ratio)) if ratio < 1 else self.max_types
        return max(wanted, 0 if n_present else 1)

    def _texts(self, labels: Sequence[str], annotated_types: Mapping[str, str]) -> dict[str, str]:
        """Put each type into words: its name, its description, or another name."""
        synonyms = self.synonyms or {}
        texts: dict[str, str] = {}
        taken = set(labels)
        for label in labels:
            text, draw = label, random.random()
            if draw < self.description_ratio:
                text = annotated_types[label]
            elif draw < self.description_ratio + self.synonym_ratio and synonyms.get(label):
                text = random.choice(synonyms[label])
            texts[label] = label if text in taken else text
            taken.add(texts[label])
        return texts


def finest_only_ratio(sampler: Sampler) -> float:
    """Return how often a span keeps only the first of its types that are drawn; 0 for samplers other than ours."""
    return sampler.finest_only_ratio if isinstance(sampler, TypeSampler) else 0.0


def TypeSampler_v1(
    negative_ratio: float = 0.5,
    max_negatives: int = 0,
    positive_dropout: float = 0.1,
    max_types: int = 25,
    description_ratio: float = 0.0,
    synonym_ratio: float = 0.0,
    synonyms: Path | dict[str, list[str]] | None = None,
    finest_only_ratio: float = 0.0,
) -> TypeSampler:
    """Sample types for training prompts (GLiNER, section 3.2 and appendix A.1), as "spacy-openner.TypeSampler.v1".

    negative_ratio (float): Share of absent types in a prompt.
    max_negatives (int): If not 0, a random number of absent types up to this one, whatever `negative_ratio` says.
    positive_dropout (float): How often some of the present types are left out of the prompt.
    max_types (int): The most types in a prompt.
    description_ratio (float): How often a type's description stands for it.
    synonym_ratio (float): How often another name stands for it, where `synonyms` has one.
    synonyms (Path | dict | None): Type -> other names; a JSON file or the mapping itself.
    finest_only_ratio (float): How often, of several types that a span has, only the first that is in the prompt counts:
        beside "writer", "person" stands for the other people. For corpora that list the finest type first. With 1.0
        a broad type is hardly ever right where finer ones are asked too, and the model forgets it there.
    RETURNS (TypeSampler): For the component's `sampler`.
    RAISES (SettingError): For a value out of range.
    RAISES (DataError): For a file of `synonyms` that cannot be read, or holds something else.
    """
    ratios = {
        "negative_ratio": negative_ratio,
        "positive_dropout": positive_dropout,
        "description_ratio": description_ratio,
        "synonym_ratio": synonym_ratio,
        "finest_only_ratio": finest_only_ratio,
    }
    for name, value in ratios.items():
        if not 0 <= value <= 1:
            raise error("O001", name=name, value=value, allowed="a number from 0 to 1")
    for name, value, least in (("max_negatives", max_negatives, 0), ("max_types", max_types, 1)):
        if value < least:
            raise error("O001", name=name, value=value, allowed=f"a whole number from {least}")
    return TypeSampler(
        negative_ratio,
        max_negatives,
        positive_dropout,
        max_types,
        description_ratio,
        synonym_ratio,
        _read_synonyms(synonyms),
        finest_only_ratio,
    )


def _read_synonyms(synonyms: Path | dict[str, list[str]] | None) -> Mapping[str, Sequence[str]]:
    table = read_json(Path(synonyms), SYNONYMS) if isinstance(synonyms, str | Path) else synonyms or {}
    lists = table.values() if isinstance(table, dict) else [None]
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists):
        if isinstance(synonyms, str | Path):
            raise error("O404", path=str(synonyms), expected=SYNONYMS, found=repr(table)[:200])
        raise error("O001", name="synonyms", value=synonyms, allowed=SYNONYMS)
    if not isinstance(synonyms, str | Path) and not fits_config(table):
        allowed = "texts that spaCy's config files can hold; put the others into a JSON file, and name it"
        raise error("O001", name="synonyms", value=synonyms, allowed=allowed)
    return dict(table)
