"""spaCy's files of annotated docs."""

import gzip
import json
import os
import zlib

import pytest
import spacy
import srsly
from spacy.tokens import Doc, DocBin, Span

from spacy_openner.data import convert
from spacy_openner.data.docbin import read_annotated, write_annotated
from spacy_openner.errors import DataError


@pytest.fixture
def nlp():
    return spacy.blank("en")


@pytest.fixture
def doc(nlp):
    doc = Doc(nlp.vocab, ["Ada", "left", "Oslo"])
    doc.ents = [Span(doc, 0, 1, label="person")]
    doc.spans["openner"] = [Span(doc, 2, 3, label="a very own city")]
    return doc


def test_docs_and_the_list_of_their_types(nlp, doc, tmp_path):
    path = tmp_path / "new" / "dev.spacy"
    write_annotated([doc], path)
    docs, types = read_annotated(path, nlp.vocab)
    assert ([span.label_ for span in docs[0].spans["openner"]], types) == (["a very own city"], None)
    for listed in (["a"], {"a": "of a"}):
        write_annotated([doc], path, listed)
        assert read_annotated(path, nlp.vocab)[1] == listed
    path.rename(path.with_name("dev-00001.spacy"))
    assert read_annotated(path.with_name("dev-00001.spacy"), nlp.vocab)[1] == {"a": "of a"}


def test_what_cannot_be_written_leaves_both_files(nlp, doc, tmp_path, monkeypatch):
    path = tmp_path / "dev.spacy"
    write_annotated([doc], path, ["old"])
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(DocBin, "to_disk", full)
    with pytest.raises(DataError, match=r"O407.*No space left"):
        write_annotated([doc, doc], path, ["new"])
    assert (path.read_bytes(), json.loads((tmp_path / "dev.labels.json").read_text())) == (before, ["old"])
    assert sorted(os.listdir(tmp_path)) == ["dev.labels.json", "dev.spacy"]


KINDS = ["another file", "cut", "another message", "words", "labels", "numbers", "groups"]


def damaged(data, kind):
    """A .spacy file that is cut, or something else, or lacks parts of its message."""
    message = srsly.msgpack_loads(zlib.decompress(data))
    if kind == "another file":
        return gzip.compress(b"[]")
    if kind == "cut":
        return data[: len(data) // 2]
    if kind == "another message":
        return zlib.compress(srsly.msgpack_dumps({"a": 1}))
    if kind == "words":
        message["strings"] = [text for text in message["strings"] if text not in ("Ada", "left")]
    if kind == "labels":
        message["strings"] = [text for text in message["strings"] if text != "a very own city"]
    if kind == "numbers":
        message["tokens"] = message["tokens"][:-8]
    if kind == "groups":
        message["span_groups"] = [group[: len(group) // 2] for group in message["span_groups"]]
    return zlib.compress(srsly.msgpack_dumps(message))


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_named(doc, tmp_path, kind):
    path = tmp_path / "dev.spacy"
    write_annotated([doc], path)
    path.write_bytes(damaged(path.read_bytes(), kind))
    # A vocabulary that knows none of the strings.
    with pytest.raises(DataError, match=r"O403.*dev.spacy"):
        read_annotated(path, spacy.vocab.Vocab())
    with pytest.raises(DataError, match=r"O403.*dev.spacy"):
        convert.convert(path, tmp_path / "out.spacy", source_key="openner")
    assert not (tmp_path / "out.spacy").exists()
