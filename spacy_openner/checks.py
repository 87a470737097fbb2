"""Kinds of settings: each declares a dataclass field with its default and the check of its values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from numbers import Integral, Real
from typing import Any, NoReturn, TypeVar

from .arguments import is_text
from .errors import error
from .labels import LabelSet

T = TypeVar("T")
Check = Callable[[str, Any], Any]
"""Takes the name of a setting and a value; returns the value as it is kept, or raises a SettingError."""


class FrozenDict(dict[str, T]):
    """A mapping that cannot be changed: a setting changes as a whole, so that it can be checked."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise error("O022", value=dict(self))

    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


def _field(check: Check, default: Any) -> Any:
    return field(default_factory=lambda: default, metadata={"check": check})


def number(default: float, least: float = 0.0, most: float = 1.0) -> Any:
    """Declare a number in a closed range."""

    def check(name: str, value: Any) -> float:
        if not _is_number(value, least, most):
            raise error("O001", name=name, value=value, allowed=f"a number from {least:g} to {most:g}")
        return float(value)

    return _field(check, default)


def integer(default: int | None, least: int, *, optional: bool = False) -> Any:
    """Declare a whole number, or None where it is optional."""

    def check(name: str, value: Any) -> int | None:
        if value is None and optional:
            return None
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            or_none = ", or None" if optional else ""
            raise error("O001", name=name, value=value, allowed=f"a whole number from {least}{or_none}")
        return int(value)

    return _field(check, default)


def flag(default: bool) -> Any:
    """Declare a truth value; words and numbers are none."""

    def check(name: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise error("O001", name=name, value=value, allowed="True or False")
        return value

    return _field(check, default)


def choice(options: Sequence[str]) -> Any:
    """Declare one of some words; the first is the default."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in options:
            raise error("O001", name=name, value=value, allowed=", ".join(options))
        return value

    return _field(check, options[0])


def choices(options: Sequence[str], default: tuple[str, ...]) -> Any:
    """Declare a list of some words, each once and in the order of the options; it may be empty."""

    def check(name: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or not all(isinstance(w, str) and w in options for w in value):
            raise error("O001", name=name, value=value, allowed=f"a list of some of: {', '.join(options)}")
        return tuple(option for option in options if option in value)

    return _field(check, default)


def text(default: str | None, *, optional: bool = False) -> Any:
    """Declare a string with something in it, or None where it is optional."""

    def check(name: str, value: Any) -> str | None:
        if value is None and optional:
            return None
        if not is_text(value):
            or_none = ", or None" if optional else ""
            raise error("O001", name=name, value=value, allowed=f"a string that is not blank{or_none}")
        return value

    return _field(check, default)


def label_set() -> Any:
    """Declare types, or types with descriptions."""
    return _field(lambda name, value: LabelSet(value), LabelSet())


def label_names() -> Any:
    """Declare names of types."""

    def check(name: str, value: Any) -> tuple[str, ...]:
        if isinstance(value, Mapping):
            raise error("O001", name=name, value=value, allowed="a list of names of labels")
        return LabelSet(value).names

    return _field(check, ())


def label_numbers(least: float, most: float = 1.0, *, optional: bool = False) -> Any:
    """Declare a number for each of some types, or None where it is optional."""

    def check(name: str, value: Any) -> FrozenDict[float] | None:
        if value is None and optional:
            return None
        if not isinstance(value, Mapping):
            raise error("O001", name=name, value=value, allowed="a mapping from labels to numbers")
        for label, number in value.items():
            if not is_text(label):
                raise error("O003", value=label)
            if not _is_number(number, least, most):
                raise error("O005", name=name, label=label, value=number, least=f"{least:g}", most=f"{most:g}")
        return FrozenDict({label: float(number) for label, number in value.items()})

    return _field(check, None if optional else FrozenDict())


def label_validators() -> Any:
    """Declare what the spans of some types must be like; see `EntitySettings`."""

    def check(name: str, value: Any) -> FrozenDict[Any]:
        if not isinstance(value, Mapping):
            raise error("O001", name=name, value=value, allowed="a mapping from labels to validators")
        for label in value:
            if not is_text(label):
                raise error("O003", value=label)
        for label, validator in value.items():
            problem = _validator_problem(validator)
            if problem:
                raise error("O023", label=label, value=validator, reason=problem)
        return FrozenDict({label: FrozenDict(map(_kept, validator.items())) for label, validator in value.items()})

    return _field(check, FrozenDict())


VALIDATOR_KEYS = ("pattern", "mode", "exclude", "choices", "function")
VALIDATOR_MODES = ("full", "partial")
LONGEST_PATTERN = 10_000


def _kept(item: tuple[str, Any]) -> tuple[str, Any]:
    key, value = item
    return key, tuple(value) if key == "choices" else value


def _validator_problem(value: Any) -> str:
    """Return what is wrong with a validator; "" for nothing."""
    if not isinstance(value, Mapping):
        return "it is no mapping"
    unknown = [str(key) for key in value if key not in VALIDATOR_KEYS]
    if unknown:
        return f"it has unknown keys: {', '.join(unknown)}"
    if not {"pattern", "choices", "function"}.intersection(value):
        return "it checks nothing"
    if "pattern" not in value and {"mode", "exclude"}.intersection(value):
        return "`mode` and `exclude` need a `pattern`"
    if value.get("mode", "full") not in VALIDATOR_MODES:
        return "`mode` is neither 'full' nor 'partial'"
    if not isinstance(value.get("exclude", False), bool):
        return "`exclude` is neither true nor false"
    if not is_text(value.get("function", "any")):
        return "`function` is no name"
    choices = value.get("choices", ["any"])
    if not isinstance(choices, list | tuple) or not choices or not all(map(is_text, choices)):
        return "`choices` is no list of texts"
    return _pattern_problem(value["pattern"]) if "pattern" in value else ""


def _pattern_problem(pattern: Any) -> str:
    """Return what is wrong with a regular expression; "" for nothing."""
    if not is_text(pattern):
        return "`pattern` is no text"
    if len(pattern) > LONGEST_PATTERN:
        return f"`pattern` has {len(pattern)} characters (at most {LONGEST_PATTERN})"
    # Slow to import, and needed by few.
    import regex

    try:
        regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as problem:
        return f"`pattern` is no regular expression ({problem})"
    return ""


def table() -> Any:
    """Declare an alignment table in its plain form, or None; `lar.alignment` checks what it says."""

    def check(name: str, value: Any) -> FrozenDict[Any] | None:
        if value is not None and not isinstance(value, Mapping):
            raise error("O001", name=name, value=value, allowed="an alignment table, its plain form, or None")
        return None if value is None else FrozenDict(value)

    return _field(check, None)


def _is_number(value: Any, least: float, most: float) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and bool(least <= value <= most)  # type: ignore[operator]
