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


@pytest.mark.parametrize("rubbish", ["x" * 1_000_000, ["x" * 10] * 100_000], ids=["text", "list"])
@pytest.mark.parametrize("code", [*errors.MESSAGES, *errors.WARNINGS])
def test_no_message_is_longer_than_can_be_read(code, rubbish):
    """Whatever a field is given: a file's content, a server's words, a list of thousands of names."""
    message = errors.MESSAGES[code][1] if code in errors.MESSAGES else errors.WARNINGS[code]
    numbers = set(re.findall(r"(?<!{){(\w+):", message))
    texts = set(re.findall(r"(?<!{){(\w+)[!}]", message)) - numbers
    values = {**dict.fromkeys(texts, rubbish), **dict.fromkeys(numbers, 5)}
    if code in errors.MESSAGES:
        shown = str(errors.error(code, **values))
    else:
        with pytest.warns(errors.OpenNERWarning) as caught:
            errors.warn(code, **values)
        shown = str(caught[0].message)
    assert len(shown) < len(message) + 2_100 * message.count("{") + len("[O001] ") + 1
    assert not texts or "characters)" in shown
