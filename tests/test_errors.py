"""Errors name the value, say what is allowed and what to do; every code in use is in the table."""

import re
from pathlib import Path

import pytest

import spacy_openner
from spacy_openner import errors

SOURCES = "".join(
    path.read_text(encoding="utf8")
    for path in Path(spacy_openner.__file__).parent.rglob("*.py")
    if path.parent.name != "errors"
)


def test_codes_in_use_are_the_codes_in_the_table():
    assert set(re.findall(r'"(O\d{3})"', SOURCES)) == set(errors.MESSAGES)
    assert set(re.findall(r'"(W\d{3})"', SOURCES)) == set(errors.WARNINGS)


@pytest.mark.parametrize("code", errors.MESSAGES)
def test_messages_are_complete(code):
    kind, message = errors.MESSAGES[code]
    fields = set(re.findall(r"(?<!{){(\w+)", message))
    built = errors.error(code, **{field: f"<{field}>" for field in fields})
    assert isinstance(built, errors.OpenNERError)
    assert type(built) is kind
    assert all(f"<{field}>" in str(built) for field in fields)
    assert str(built).startswith(f"[{code}] ")
