"""Validators: what the spans of a type must be like to be accepted."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from spacy.tokens import Doc, Span
from spacy.util import registry

from ..errors import error, warn
from ..types import Candidate

PATTERN_SECONDS = 1.0
"""Processor time for each type's pattern in one text. Most patterns take microseconds for a span; a few take years for
spans that were made for them."""


class SpanValidator:
    """Accepts or rejects candidates by the validators of their types.

    validators (Mapping[str, Mapping[str, Any]]): As in `EntitySettings`, checked.
    RAISES (SettingError): For a function that is not registered.
    """

    def __init__(self, validators: Mapping[str, Mapping[str, Any]]) -> None:
        self._validators = validators
        self._patterns = {label: _compiled(own["pattern"]) for label, own in validators.items() if "pattern" in own}
        self._choices = {
            label: frozenset(map(_folded, own["choices"])) for label, own in validators.items() if "choices" in own
        }
        self._functions = {
            label: _registered(label, own["function"]) for label, own in validators.items() if "function" in own
        }

    def __reduce__(self) -> tuple[Any, ...]:
        # Functions are found anew in the process that reads the pickle.
        return type(self), (self._validators,)

    def select(self, doc: Doc, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Keep the candidates that their types' validators accept, and those of types without one.

        RAISES (TextError): When a function fails, or gives no answer.
        """
        if not self._validators:
            return list(candidates)
        matcher = _TextMatcher(self._validators, self._patterns)
        kept = [candidate for candidate in candidates if self._accepts(doc, candidate, matcher)]
        matcher.warn()
        return kept

    def _accepts(self, doc: Doc, candidate: Candidate, matcher: "_TextMatcher") -> bool:
        label = candidate.label
        if label not in self._validators:
            return True
        span = Span(doc, candidate.start, candidate.end, label=label)
        text = span.text
        if label in self._choices and _folded(text) not in self._choices[label]:
            return False
        if label in self._patterns and not matcher.accepts(label, text):
            return False
        return label not in self._functions or self._ask(label, span)

    def _ask(self, label: str, span: Span) -> bool:
        name = self._validators[label]["function"]
        try:
            answer = self._functions[label](span)
        except Exception as problem:
            raise error("O205", function=name, label=label, text=span.text, reason=repr(problem)) from problem
        if not isinstance(answer, bool | np.bool_):
            raise error("O205", function=name, label=label, text=span.text, reason=f"it returned {answer!r}")
        return bool(answer)


class _TextMatcher:
    """Matches texts of one doc with patterns, each within its time; equal texts are matched once."""

    def __init__(self, validators: Mapping[str, Mapping[str, Any]], patterns: Mapping[str, Any]) -> None:
        self._validators, self._patterns = validators, patterns
        self._known: dict[tuple[str, str], bool] = {}
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._unchecked: Counter[str] = Counter()

    def accepts(self, label: str, text: str) -> bool:
        """Tell whether a type's pattern accepts a text; no where time is over."""
        key = (label, text)
        if key not in self._known:
            self._known[key] = self._match(label, text)
        return self._known[key]

    def _match(self, label: str, text: str) -> bool:
        left = PATTERN_SECONDS - self._spent[label]
        settings, pattern = self._validators[label], self._patterns[label]
        match = pattern.search if settings.get("mode") == "partial" else pattern.fullmatch
        begun = time.process_time()
        try:
            if left <= 0:
                raise TimeoutError
            matches = match(text, timeout=left) is not None
        except TimeoutError:
            self._unchecked[label] += 1
            return False
        finally:
            self._spent[label] += time.process_time() - begun
        return matches != settings.get("exclude", False)

    def warn(self) -> None:
        """Say which patterns took too long."""
        for label, n in self._unchecked.items():
            pattern = self._validators[label]["pattern"]
            warn("W020", label=label, seconds=f"{PATTERN_SECONDS:g}", n=n, pattern=pattern)


def _compiled(pattern: str) -> Any:
    # Slow to import, and needed by few. Unlike the standard library's `re`, it can stop in time.
    import regex

    return regex.compile(pattern)


def _registered(label: str, name: str) -> Callable[[Span], Any]:
    if not registry.has("misc", name):
        raise error("O024", label=label, function=name)
    function: Callable[[Span], Any] = registry.get("misc", name)
    return function


def _folded(text: str) -> str:
    """Return a text without differences of case and white space."""
    return " ".join(text.split()).casefold()
