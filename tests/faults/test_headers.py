"""Headers of weights that say anything, and ids that no model has: a coded error, in bounded time and memory."""

import json
import struct

import pytest

from spacy_openner.errors import OpenNERError
from tests.support.every_model import MODELS, pipeline

TEXT = "Marie Curie won in Paris ."
KINDS = ["span", "type-cache", "types-static", "generator-t5"]
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module", params=KINDS)
def saved(request, tmp_path_factory):
    return request.param, MODELS[request.param](tmp_path_factory.mktemp(request.param))


def headers(data):
    """Odd forms of a file of weights, by what is odd."""
    (length,) = struct.unpack("<Q", data[:8])
    plain, body = data[8 : 8 + length], data[8 + length :]
    header = json.loads(plain)
    first = next(name for name in header if name != "__metadata__")

    def of(value):
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        return struct.pack("<Q", len(text)) + text + body

    def with_first(**changes):
        return of({**header, first: {**header[first], **changes}})

    return {
        "a huge length": struct.pack("<Q", 2**63 - 1) + data[8:],
        "a negative length": struct.pack("<q", -1) + data[8:],
        "no length": struct.pack("<Q", 0) + data[8:],
        "a length of a gigabyte": struct.pack("<Q", 10**9) + data[8:],
        "no JSON": of(b"{" * length),
        "deep": of(b'{"a":' * 50_000),
        "deep, and closed": of(b'{"__metadata__":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
        "an offset beyond": with_first(data_offsets=[0, 10**15]),
        "an offset before": with_first(data_offsets=[-8, 8]),
        "an offset of 40 digits": with_first(data_offsets=[0, 10**40]),
        "a huge shape": with_first(shape=[10**9, 10**9]),
        "a negative shape": with_first(shape=[-1, 4]),
        "a shape of 5,000 dimensions": with_first(shape=[1] * 5_000),
        "an unknown type": with_first(dtype="X"),
        "a name twice": of(plain.rstrip()[:-1] + b", " + json.dumps({first: header[first]}).encode()[1:]),
        "a name gone": of({name: value for name, value in header.items() if name != first}),
        "no names": of({}),
        "nothing": b"",
    }


def test_headers(saved):
    kind, path = saved
    data = (path / WEIGHTS).read_bytes()
    read, messages = [], {}
    try:
        for name, odd in headers(data).items():
            (path / WEIGHTS).write_bytes(odd)
            try:
                pipeline(kind, path)(TEXT)
                read.append(name)
            except OpenNERError as problem:
                messages[name] = str(problem)
    finally:
        (path / WEIGHTS).write_bytes(data)
    assert [name for name, message in messages.items() if str(path) not in message] == []
    # Releases of safetensors differ in whether they take the second of two equal entries.
    assert set(read) <= {"a name twice"}
    pipeline(kind, path)(TEXT)


IDS = {"decoder_start_token_id": (-1, 10**12, "x"), "eos_token_id": (-1, 10**12, [], "x", [-1])}


@pytest.mark.parametrize("kind", ["generator-t5", "generator-bart", "generator-llama"])
def test_ids_that_no_generator_has(kind, tmp_path):
    path = MODELS[kind](tmp_path)
    file = path / "generation_config.json"
    values = json.loads(file.read_text())
    for name, odd in IDS.items():
        if name.startswith("decoder") and kind == "generator-llama":
            continue
        for value in odd:
            file.write_text(json.dumps({**values, name: value}))
            with pytest.raises(OpenNERError, match="O113"):
                pipeline(kind, path)(TEXT)
    file.write_text(json.dumps(values))
    pipeline(kind, path)(TEXT)
