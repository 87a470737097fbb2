"""Checks of docs, spans and examples that public functions are given; see `arguments`."""

from collections.abc import Iterator
from typing import Any

from spacy.tokens import Doc, Span
from spacy.training import Example

from .arguments import as_function, as_instance, as_iterable, as_list
from .errors import error


def as_doc(value: Any, name: str = "doc") -> Doc:
    """Return a doc. RAISES (SettingError): For anything else."""
    return as_instance(value, Doc, name, "a Doc")


def as_docs(values: Any, name: str = "docs") -> list[Doc]:
    """Return docs as a list. RAISES (SettingError): For anything else."""
    allowed = "a list of Docs"
    return as_list(_listed(values, name, allowed), Doc, name, allowed)


def as_pairs(docs: Any, predictions: Any, kind: Any, allowed: str) -> list[tuple[Doc, Any]]:
    """Return docs with what is predicted of each. RAISES (SettingError): For anything else, or another number."""
    texts, items = as_docs(docs), as_list(predictions, kind, "predictions", allowed)
    if len(texts) != len(items):
        raise error("O001", name="predictions", value=f"{len(items)} for {len(texts)} docs", allowed=allowed)
    return list(zip(texts, items, strict=True))


def as_examples(values: Any, name: str = "examples") -> list[Example]:
    """Return examples as a list. RAISES (SettingError): For anything else."""
    return as_list(values, Example, name, "a list of Examples")


def examples_of(get_examples: Any) -> Iterator[Example]:
    """Yield what `initialize` is given; a corpus need not fit into memory.

    RAISES (SettingError): For anything else than a function that returns Examples.
    """
    allowed = "a function that returns Examples, such as lambda: examples"
    give = as_function(get_examples, "get_examples", allowed)
    for example in as_iterable(give(), "get_examples", allowed):
        yield as_instance(example, Example, "get_examples", allowed)


def as_spans(values: Any, name: str = "spans") -> list[Span]:
    """Return spans as a list. RAISES (SettingError): For anything else."""
    allowed = "a list of Spans, such as [doc[0:2]]"
    return as_list(_listed(values, name, allowed), Span, name, allowed)


def _listed(values: Any, name: str, allowed: str) -> Any:
    """Return what is no doc or span: those are iterables of tokens, and may have none."""
    if isinstance(values, Doc | Span):
        raise error("O001", name=name, value=values, allowed=allowed)
    return values
