"""Checks of what public functions are given: an error that names the argument, where Python's own would name an
attribute that some object deep inside lacks."""

import sys
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, TypeGuard, TypeVar

from .errors import error
from .files import is_utf8

T = TypeVar("T")
LARGEST = sys.float_info.max


def is_text(value: object) -> TypeGuard[str]:
    """Return whether a value is a string that is not blank, and that UTF-8 can hold: one without lone surrogates."""
    return isinstance(value, str) and bool(value.strip()) and is_utf8(value)


def as_instance(value: Any, kind: type[T], name: str, allowed: str) -> T:
    """Return a value of some type.

    RAISES (SettingError): For any other.
    """
    if not isinstance(value, kind):
        raise error("O001", name=name, value=value, allowed=allowed)
    return value


def as_list(values: Any, kind: type[T], name: str, allowed: str) -> list[T]:
    """Return values of some type as a list; an iterator is read.

    RAISES (SettingError): For anything else, naming the first value that is of no such type.
    """
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise error("O001", name=name, value=values, allowed=allowed)
    items = list(values)
    for value in items:
        if not isinstance(value, kind):
            raise error("O001", name=name, value=value, allowed=allowed)
    return items


def as_iterable(value: Any, name: str, allowed: str) -> Iterable[Any]:
    """Return what can be iterated over, and is no text. RAISES (SettingError): For anything else."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise error("O001", name=name, value=value, allowed=allowed)
    return value


def as_name(value: Any, name: str) -> str:
    """Return a text that is not blank. RAISES (SettingError): For anything else."""
    if not is_text(value):
        raise error("O001", name=name, value=value, allowed="a name: text that is not blank")
    return value


def as_names(values: Any, name: str) -> list[str]:
    """Return texts as a list. RAISES (SettingError): For anything else."""
    return as_list(values, str, name, "a list of names")


def as_mapping(value: Any, name: str, allowed: str) -> dict[str, Any]:
    """Return a mapping with texts for keys.

    RAISES (SettingError): For anything else.
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise error("O001", name=name, value=value, allowed=allowed)
    return dict(value)


def as_function(value: Any, name: str, allowed: str) -> Callable[..., Any]:
    """Return what can be called. RAISES (SettingError): For anything else."""
    if not callable(value):
        raise error("O001", name=name, value=value, allowed=allowed)
    return value


MOST = 2**31 - 1
"""Of what is counted: more of anything there is not, and what counts in C takes no more."""
MOST_THREADS = 1024
"""Of one process: with more than a system has room for, arithmetic ends the process."""


def as_whole(value: Any, name: str, least: int, most: int = MOST) -> int:
    """Return a whole number in a range; True and False are none.

    RAISES (SettingError): For anything else.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        raise error("O001", name=name, value=value, allowed=f"a whole number from {least} to {most}")
    return int(value)


def is_share(value: Any) -> bool:
    """Tell whether a value is a number over 0, up to 1."""
    return isinstance(value, Real) and not isinstance(value, bool) and bool(0 < value <= 1)  # type: ignore[operator]


def as_number(value: Any, name: str, least: float = -LARGEST, most: float = LARGEST) -> float:
    """Return a number in a range, or any finite one; True and False are none.

    RAISES (SettingError): For anything else.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= value <= most:  # type: ignore[operator]
        allowed = "a finite number" if most == LARGEST else f"a number from {least:g} to {most:g}"
        raise error("O001", name=name, value=value, allowed=allowed)
    return float(value)
