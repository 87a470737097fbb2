"""Damaged states that components read back: from bytes and from directories, a coded error or what was written."""

import random

import pytest
import spacy
import srsly

from spacy_openner.errors import OpenNERError
from tests.support.every_model import MODELS, component

KINDS = {"open_ner_span": "span", "gner_generator": "generator-t5", "type_filter": "types-static"}
KINDS["lar_reassigner"] = "span"


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory):
    """A component, and what it writes."""
    kind = KINDS[request.param]
    _, config = component(kind, MODELS[kind](tmp_path_factory.mktemp(kind)))
    if request.param == "lar_reassigner":
        config = {"reassigner": {"@misc": "spacy-openner.SpanTypeReassigner.v1", "model": config["model"]}}
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe(request.param, config={**config, "labels": ["person"]})
    nlp("Marie Curie won in Paris.")
    return pipe, pipe.to_bytes()


def test_cut_and_odd_bytes(made):
    pipe, data = made
    cuts = [data[: len(data) * i // 20] for i in range(20)]
    for odd in (*cuts, b"\xc1", b"\x93" * 1000, b"\xdf\xff\xff\xff\xff", b"\x81\xa1a\x01", None, 5, "text", [1]):
        with pytest.raises(OpenNERError):
            pipe.from_bytes(odd)


def test_odd_parts(made):
    pipe, data = made
    parts = srsly.msgpack_loads(data)
    for name, part in parts.items():
        for odd in (b"", b"x", None, 5, [], {}, "x", part[: len(part) // 2]):
            if name == "model" and pipe.name == "lar_reassigner" and odd == b"":
                continue
            with pytest.raises(OpenNERError):
                pipe.from_bytes(srsly.msgpack_dumps({**parts, name: odd}))


def test_bytes_that_flipped(made):
    """At their beginning, where texts are. A letter may become another; all else is refused."""
    pipe, data = made
    drawn = random.Random(0)
    refused = 0
    for _ in range(30):
        flipped = bytearray(data)
        flipped[drawn.randrange(4_000)] ^= 0xFF
        try:
            pipe.from_bytes(bytes(flipped))
        except OpenNERError:
            refused += 1
    assert refused
    pipe.from_bytes(data)


def test_a_damaged_directory(made, tmp_path):
    pipe, _ = made
    pipe.to_disk(tmp_path)
    for file in sorted(each for each in tmp_path.rglob("*") if each.is_file() and "model" not in each.parts):
        data = file.read_bytes()
        for odd in (data[: len(data) // 2], b"\xff\xfe", b"5"):
            if odd != data:
                file.write_bytes(odd)
                with pytest.raises(OpenNERError):
                    pipe.from_disk(tmp_path)
        file.write_bytes(data)
    pipe.from_disk(tmp_path)
