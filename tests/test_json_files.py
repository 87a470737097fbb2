"""JSON is read strictly, and what is written is read again."""

import pytest

from spacy_openner import json_files
from spacy_openner.errors import DataError
from spacy_openner.json_files import NotJSON, parse_json, read_json, read_json_strictly, write_json


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"[1]", [1]), ("\ufeff{}".encode(), {}), (b' {"a": [1.5, null]}\n', {"a": [1.5, None]}), ('"\\u00e9"', "é")],
)
def test_json_is_read(data, value):
    assert parse_json(data) == value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "line 1, column 1"),
        (b"[1,\n 2,]", "line 2, column"),
        (b'{"a": 1}\n{"b": 2}', "after the end of the value at line 2, column 1"),
        (b"[1] rubbish", "line 1, column 5"),
        (b'{"a": 1, "b": 2, "a": 3}', "more than one entry for .*'a'"),
        (b"[NaN]", "NaN"),
        (b"[-Infinity]", "Infinity"),
        (b'{"a":\n "\xff"}', "UTF-8 .* at line 2, column 3"),
        ('{"a": 1}'.encode("utf-16"), "UTF-8"),
        (b"[" * 101 + b"]" * 101, "more than 100 deep"),
        (b"[" * 200_000, "100 deep"),
        (b'{"a":' * 200_000, "100 deep"),
        (b"9" * 5000, "digits"),
    ],
)
def test_what_is_no_json_says_where(data, reason):
    with pytest.raises(NotJSON, match=reason):
        parse_json(data)


def test_values_of_the_largest_depth_are_read():
    assert parse_json("[" * 100 + "1" + "]" * 100)


def test_json_of_a_known_form(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, {"Größe": [1]})
    assert read_json(path, "a mapping", dict) == {"Größe": [1]}
    with pytest.raises(DataError, match=r"O404.*a list; found"):
        read_json(path, "a list", list)
    path.write_bytes(b"\x1f\x8b")
    with pytest.raises(DataError, match=r"O404.*UTF-8"):
        read_json(path, "a list")
    monkeypatch.setattr(json_files, "MAX_JSON_BYTES", 1 << 20)
    path.write_bytes(b" " * (1 << 20) + b"1")
    with pytest.raises(DataError, match="more than 1 MB"):
        read_json(path, "a number")


def test_strict_json(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, "é"]})
    assert "é" in path.read_text(encoding="utf8")
    assert read_json_strictly(path) == {"b": [1, "é"]}
    for text, reason in (
        ('{"a": 1, "a": 2}', "more than one entry"),
        ("[1,]", "."),
        ("[1] x", "."),
        ("[" * 100000, "."),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=rf"\[O403\].*{reason}"):
            read_json_strictly(path)
    with pytest.raises(DataError, match="O403"):
        read_json_strictly(tmp_path / "none.json")


def test_lone_surrogates_are_written_and_read(tmp_path):
    write_json(tmp_path / "a", {"x": "\ud800é"})
    assert read_json_strictly(tmp_path / "a") == {"x": "\ud800é"}
