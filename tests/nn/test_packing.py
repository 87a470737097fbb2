"""Directories as bytes: nothing but what was packed is laid out."""

from pathlib import Path

import pytest
import srsly

from spacy_openner.errors import CheckpointError
from spacy_openner.nn import packing
from spacy_openner.nn.packing import pack, unpack


def write(path: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


def read(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_round_trip():
    files = {
        "config.json": b"{}",
        "model-00001-of-00002.safetensors": b"\x00\x01",
        "label_encoder/tokenizer.json": b"1",
        "reassigner/label_encoder/spiece.model": b"",
        "tok2vec": b"x",
    }
    found = []
    unpack(pack(lambda path: write(path, files)), lambda path: found.append(read(path)))
    assert found == [files]


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.json",
        "a/../../escaped.json",
        "/tmp/escaped.json",
        "..",
        ".hidden.json",
        "a/.hidden/x.json",
        "a\\..\\escaped.json",
        "C:escaped.json",
        "run.py",
        "weights.bin",
        "a//b.json",
        "a/b/c/d/e/f.json",
        "",
        "x.json\n",
        "x\x00.json",
        7,
    ],
)
def test_names_that_lead_elsewhere_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.setattr(packing.tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    data = srsly.msgpack_dumps({"fine.json": b"{}", name: b"harmless"})
    with pytest.raises(CheckpointError, match="O117"):
        unpack(data, lambda path: pytest.fail("nothing is to be loaded"))
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


@pytest.mark.parametrize("data", [b"", b"rubbish", srsly.msgpack_dumps([1]), srsly.msgpack_dumps({"a.json": "text"})])
def test_other_bytes_are_refused(data):
    with pytest.raises(CheckpointError, match="O117"):
        unpack(data, lambda path: pytest.fail("nothing is to be loaded"))


def test_too_large_files_are_said(monkeypatch):
    monkeypatch.setattr(packing, "MSGPACK_LIMIT", 3)
    with pytest.raises(CheckpointError, match="O109"):
        pack(lambda path: write(path, {"a.json": b"1234"}))
