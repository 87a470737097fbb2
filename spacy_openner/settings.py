"""The settings of the components: one frozen dataclass each, checked, saved and loaded in one way."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NoReturn

from typing_extensions import Self

from .checks import (
    Check,
    choice,
    choices,
    flag,
    integer,
    label_names,
    label_numbers,
    label_set,
    label_validators,
    number,
    table,
    text,
)
from .errors import OpenNERError, error
from .labels import LabelSet
from .types import BOUNDARIES, DEFAULT_BOUNDARIES, DEFAULT_SPANS_KEY, ENTS, OVERLAPS

FORMAT = "spacy-openner.settings.v1"


# The components' settings


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all settings: values are checked whenever settings are made.

    RAISES (SettingError): For a value that is not allowed.
    """

    def __post_init__(self) -> None:
        for setting in fields(self):
            object.__setattr__(self, setting.name, self.check(setting.name, getattr(self, setting.name)))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of all settings, in order."""
        return tuple(setting.name for setting in fields(cls))

    @classmethod
    def check(cls, name: str, value: Any) -> Any:
        """Return one setting's value as it is kept.

        RAISES (SettingError): For a value that is not allowed.
        """
        check: Check = cls.__dataclass_fields__[name].metadata["check"]
        return check(name, value)

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return the plain form of the defaults, for a factory's `default_config`."""
        return cls().plain()

    def replace(self, **changes: Any) -> Self:
        """Return settings of which some are others."""
        return replace(self, **changes)

    def changed_from(self, others: "Settings | None") -> tuple[str, ...]:
        """Return the names of the settings that differ from others; all of them from None."""
        return tuple(n for n in self.names() if others is None or getattr(self, n) != getattr(others, n))

    def plain(self) -> dict[str, Any]:
        """Return what JSON and spaCy's config can hold."""
        return {name: _plain(getattr(self, name)) for name in self.names()}

    def to_json(self) -> str:
        """Return the text that `from_json` reads."""
        return json.dumps({"format": FORMAT, "settings": self.plain()}, indent=2, allow_nan=False)

    @classmethod
    def from_json(cls, data: str | bytes, base: Self, where: str) -> Self:
        """Read what `to_json` wrote.

        data (str | bytes): The text, as UTF-8 where it is bytes.
        base (Settings): Gives what the text does not name.
        where (str): What is read, for messages.
        RAISES (CheckpointError): For anything else.
        """
        try:
            # The standard library's JSON: srsly's reads 0.6 as its neighbour, which is no longer what was given.
            loaded = json.loads(data, parse_constant=_refuse_constant)
            if not isinstance(loaded, dict) or loaded.get("format") != FORMAT:
                raise ValueError(f"it does not say that its format is {FORMAT!r}")
            values = loaded.get("settings")
            if not isinstance(values, dict):
                raise ValueError('"settings" is no object')
            unknown = sorted(set(values) - set(cls.names()))
            if unknown:
                raise ValueError(f"unknown settings: {', '.join(unknown)}")
            return base.replace(**values)
        except (ValueError, RecursionError, OpenNERError) as problem:
            raise error("O021", where=where, reason=problem) from problem

    def loaded(self, built: "Settings", saved: Mapping[str, Any]) -> Self:
        """Combine these settings, which were saved, with what a config says at load: that wins.

        built (Settings): What the component was built with: the saved config, with overrides.
        saved (Mapping[str, Any]): What the saved config says, without overrides; defaults where it says nothing.
        RETURNS (Settings): The saved values, but for overridden settings, or keys of mappings.
        """
        changes = {}
        for name in self.names():
            given, before = _plain(getattr(built, name)), self._saved_value(name, saved)
            if given != before:
                changes[name] = _overridden(_plain(getattr(self, name)), before, given)
        return self.replace(**changes)

    def _saved_value(self, name: str, saved: Mapping[str, Any]) -> Any:
        try:
            return _plain(self.check(name, saved[name]) if name in saved else getattr(type(self)(), name))
        except OpenNERError:
            # It must have been overridden: with this value the component could not have been built.
            return saved[name]


@dataclass(frozen=True, kw_only=True)
class LabelSettings(Settings):
    """Settings of all components.

    labels (LabelSet): Types, or types with descriptions. A doc that has types of its own in `doc._.openner_labels` is
        searched for those instead.
    threshold (float): A score must be greater.
    label_thresholds (Mapping[str, float]): Thresholds of single types.
    spans_key (str): Where in `doc.spans` entities are.
    """

    labels: LabelSet = label_set()  # noqa: RUF009 (it makes a field)
    threshold: float = number(0.5)
    label_thresholds: Mapping[str, float] = label_numbers(0.0)
    spans_key: str = text(DEFAULT_SPANS_KEY)


@dataclass(frozen=True, kw_only=True)
class EntitySettings(LabelSettings):
    """Settings of the components that find entities.

    overlap (str): Which spans may stand together: "flat", those that share no token, the better first; "longest", the
        same, the longer first; "nested", those that contain one another too; "all".
    validators (Mapping[str, Mapping[str, Any]]): What spans of single types must be like. Others are left out before
        it is settled which stand together. {"pattern": "..."}: the text matches a regular expression as a whole; with
        "mode": "partial", in a part; with "exclude": true, not. {"choices": ["..."]}: the text is one of these, in any
        case. {"function": "..."}: a function of the registry `misc` takes the span and returns True.
    annotate_ents (bool): Write the best flat set to `doc.ents`.
    overwrite_ents (bool): Replace entities that are touched; they are kept otherwise.
    boundaries (tuple[str, ...]): The places that no entity crosses: "paragraphs" (blank lines), "lists" (items, and
        lines that no wrapping of a paragraph explains), "cells" (cells and rows of tables, between tabs or strokes),
        "lines" (all ends of lines), "sentences". Models read a comma there, where no punctuation stands.
    """

    overlap: str = choice(OVERLAPS)
    validators: Mapping[str, Mapping[str, Any]] = label_validators()
    annotate_ents: bool = flag(True)
    overwrite_ents: bool = flag(False)
    boundaries: tuple[str, ...] = choices(BOUNDARIES, DEFAULT_BOUNDARIES)


@dataclass(frozen=True, kw_only=True)
class OpenNERSpanSettings(EntitySettings):
    """Settings of `open_ner_span`, beside those that components share (`EntitySettings`, `LabelSettings`).

    use_descriptions (bool): Let the model read descriptions instead of names.
    batch_tokens (int): The most subwords in a batch, padding included.
    """

    use_descriptions: bool = flag(False)
    batch_tokens: int = integer(2048, 1)


@dataclass(frozen=True, kw_only=True)
class GNERGeneratorSettings(EntitySettings):
    """Settings of `gner_generator`, beside those that components share (`EntitySettings`, `LabelSettings`).

    Spans of one prompt never overlap. `overlap` is about those of several prompts.

    use_descriptions (bool): Put descriptions into prompts instead of names.
    batch_tokens (int): The most subwords in a batch, padding included.
    loss (str): What training minimises: "choices", the cross-entropy of what constrained decoding chooses; or "answer",
        that of all subwords of the answer, which free decoding needs.
    type_recognition_ratio (float): How often training asks a text for its types instead of its entities (ToNER,
        section 3.4), from 0 to 1; for prompts that can ask so, and the loss "answer".
    type_classification_weight (float): How much a classifier of types on the encoder counts beside the loss (ToNER,
        lambda in equation 6; 0.1 there); 0 for none. It knows the component's labels, and is used in training alone.
    attention_weight (float): How much it counts beside the loss that the decoder attends to the word whose tag it
        chooses, or that it copies; 0 for not at all. New decoders learn faster so.
    label_hints (str): What a doc's own types in `doc._.openner_labels` mean: "only" they are looked for, or a "hint"
        for prompts that tell the model which of all types a text probably holds (ToNER, section 3.2).
    decoding (str): "constrained": answers can only repeat the text, so that nothing is left out, added or misspelt;
        "free": the model's answer is free, and is matched with the text.
    num_beams (int): Above 1, beam search (GNER, section 5.3), many times slower.
    draft_from (str | None): "ents" or the key of a span group that an earlier component wrote: guesses that make
        constrained decoding faster where they are right, and never change its result.
    max_types (int | None): The most types in one prompt; more are split over several. None for what fits.
    """

    threshold: float = number(0.0)
    use_descriptions: bool = flag(False)
    batch_tokens: int = integer(2048, 1)
    loss: str = choice(("choices", "answer"))
    type_recognition_ratio: float = number(0.0)
    type_classification_weight: float = number(0.0)
    attention_weight: float = number(0.0)
    label_hints: str = choice(("only", "hint"))
    decoding: str = choice(("constrained", "free"))
    num_beams: int = integer(1, 1)
    draft_from: str | None = text(None, optional=True)
    max_types: int | None = integer(None, 1, optional=True)


@dataclass(frozen=True, kw_only=True)
class TypeFilterSettings(LabelSettings):
    """Settings of `type_filter`, beside those that components share (`LabelSettings`).

    Thresholds are of cosines, from -1 to 1; `spans_key` is where gold entities are.

    top_k (int | None): The most types that are kept beside `keep_labels`; None for no limit.
    keep_labels (tuple[str, ...]): Types that are never filtered out.
    min_types (int): At least so many are kept, the best ones, whatever their scores.
    propose_descriptions (bool): Describe types that have no description by the table of `describe_types`.
    batch_tokens (int): The most subwords in a batch, padding included.
    """

    threshold: float = number(0.2, -1.0)
    label_thresholds: Mapping[str, float] = label_numbers(-1.0)
    top_k: int | None = integer(None, 0, optional=True)
    keep_labels: tuple[str, ...] = label_names()
    min_types: int = integer(0, 0)
    propose_descriptions: bool = flag(False)
    batch_tokens: int = integer(2048, 1)


@dataclass(frozen=True, kw_only=True)
class LARReassignerSettings(EntitySettings):
    """Settings of `lar_reassigner`, beside those that components share (`EntitySettings`, `LabelSettings`).

    `labels` are the target types. An entity whose target type does not reach its threshold counts as having none.
    `overwrite_ents` is about entities that did not come in through `source`.

    table (Mapping | None): Which source type each target type belongs to: the plain form of an `AlignmentTable`, or a
        mapping from target to source types. None: every entity may have every type of `labels`.
    source (str): Where entities come from: "ents", or the key of a span group.
    on_none (str): Entities that have none of their options are dropped ("drop") or keep their source types ("keep");
        "never": this is no option.
    on_unmapped (str): Entities whose source type no target type belongs to keep it ("keep"), or are dropped ("drop").
    correct_bounds (bool): Move an entity to the neighbouring span that has the score, where its own scores nothing.
    gate (Mapping[str, float] | None): For a reassigner that is a cascade: below which score of its first reassigner the
        second is asked, by type. None for what the reassigner's own settings say.
    """

    threshold: float = number(0.0)
    overlap: str = choice(("all", "flat", "nested", "longest"))
    table: Mapping[str, Any] | None = table()
    source: str = text(ENTS)
    on_none: str = choice(("drop", "keep", "never"))
    on_unmapped: str = choice(("keep", "drop"))
    correct_bounds: bool = flag(False)
    gate: Mapping[str, float] | None = label_numbers(0.0, 2.0, optional=True)


def _plain(value: Any) -> Any:
    if isinstance(value, LabelSet):
        return value.plain()
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _overridden(saved: Any, before: Any, given: Any) -> Any:
    """spaCy merges mappings: keys that were not overridden are as they were saved."""
    if isinstance(saved, Mapping) and isinstance(before, Mapping) and isinstance(given, Mapping):
        changed = {key: new for key, new in given.items() if key not in before or before[key] != new}
        return {**saved, **changed}
    return given


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
