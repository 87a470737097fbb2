"""Checkpoints that are cut, or whose configs and bytes are hostile: a coded error, or the same scores, in bounded time
and memory."""

import json
import os
import pickle
import re
import shutil
import time
from functools import cache

import pytest
import torch
from safetensors.torch import load_file, save_file

from spacy_openner.errors import CheckpointError, OpenNERError
from tests.support.every_model import MODELS, pipeline
from tests.support.processes import in_child

TEXT = "Marie Curie won the Nobel Prize in Paris."
CUTS = [i / 20 for i in range(20)]
HUGE, GIGABYTES = 10**9, 2 << 30
CONFIGS = {
    "generator-t5": "config.json",
    "generator-bert": "config.json",
    "generator-llama": "config.json",
    "types-transformer": "config.json",
    "types-static": "type_matcher.json",
    "type-cache": "type_cache.json",
    "gliner2-span": "config.json",
    "gliner2-boundary": "config.json",
    "span": "gliner_config.json",
    "bi": "gliner_config.json",
}
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Where a model of a kind lies; made once."""
    return cache(lambda kind: MODELS[kind](tmp_path_factory.mktemp(kind)))


@pytest.fixture(scope="module")
def expected(saved):
    """What a model of a kind finds where nothing is wrong."""
    return cache(lambda kind: found(pipeline(kind, saved(kind))))


@pytest.fixture
def copy(saved, tmp_path):
    return lambda kind: shutil.copytree(saved(kind), tmp_path / "copy")


def found(nlp):
    """What a pipeline finds; its model is read now, if it was not before."""
    doc = nlp(TEXT)
    group = doc.spans.get("openner", [])
    spans = [(span.start, span.end, span.label_) for span in group]
    return spans, [round(float(p), 4) for p in group.attrs["scores"]] if spans else [], doc._.openner_type_scores


def edit(file, change):
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


def cut_files(kind, whole, copy, share_of_cuts, result):
    """Cut each file of a copy. What reads it says so, and reads it well once it is whole again.

    share_of_cuts (Callable): The cuts of the nth file.
    """
    assert result[0] or result[2]
    nlp = pipeline(kind, copy)
    for n, file in enumerate(sorted(each for each in whole.rglob("*") if each.is_file())):
        data = file.read_bytes()
        for share in share_of_cuts(n):
            (copy / file.relative_to(whole)).write_bytes(data[: int(len(data) * share)])
            with pytest.raises(OpenNERError):
                found(nlp)
        (copy / file.relative_to(whole)).write_bytes(data)
    assert found(nlp) == result


@pytest.mark.parametrize("kind", MODELS)
def test_cut_anywhere(kind, saved, copy, expected):
    """Each file, cut at some twentieths: all of them over the kinds."""
    first = list(MODELS).index(kind)
    cut_files(kind, saved(kind), copy(kind), lambda n: CUTS[(first + n) % 7 :: 7], expected(kind))


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_cut_at_each_twentieth(kind, saved, copy, expected):
    cut_files(kind, saved(kind), copy(kind), lambda n: CUTS, expected(kind))


def leaves(values, before=()):
    """The places of all values of nested objects, lists left aside."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, (*before, key))
        else:
            yield (*before, key)


def put(values, place, value):
    for key in place[:-1]:
        values = values[key]
    values[place[-1]] = value


ODD = [HUGE, 10**30, -1, "x", [], None]
BENT = ["generator-t5", "types-transformer", "gliner2-boundary", "type-cache"]


def bend(kind, value, path, share):
    """Put an odd value in some places of a config: it does no harm, or is refused in bounded time and memory."""
    file = path / CONFIGS[kind]
    content = file.read_text()
    places = [place for place in leaves(json.loads(content)) if not {"id2label", "label2id"} & set(place)]

    def try_all():
        nlp, raised, longest = pipeline(kind, path), [], 0.0
        for place in places[sum(map(ord, str(value))) % share :: share]:
            edited = json.loads(content)
            put(edited, place, value)
            file.write_text(json.dumps(edited))
            begun = time.monotonic()
            try:
                found(nlp)
                nlp = pipeline(kind, path)
            except OpenNERError:
                pass
            except BaseException as problem:
                raised.append((place, repr(problem)))
            longest = max(longest, time.monotonic() - begun)
        return raised, longest

    outcome = in_child(try_all, seconds=300, memory=GIGABYTES)
    assert outcome.signal == 0, (outcome, json.loads(file.read_text()))
    assert outcome.raised == "", outcome
    raised, longest = outcome.value
    assert not raised
    assert longest < 60


@pytest.mark.parametrize("value", ODD, ids=str)
@pytest.mark.parametrize("kind", BENT)
def test_one_odd_value(kind, value, copy, expected):
    """Some of a config's values, another sample for each odd value."""
    expected(kind)
    bend(kind, value, copy(kind), share=7)


@pytest.mark.slow
@pytest.mark.parametrize("value", ODD, ids=str)
@pytest.mark.parametrize("kind", sorted({*CONFIGS} - {"types-static"}))
def test_each_value_may_be_odd(kind, value, copy, expected):
    expected(kind)
    bend(kind, value, copy(kind), share=1)


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("generator-t5", ("num_layers",)),
        ("generator-t5", ("d_ff",)),
        ("generator-t5", ("vocab_size",)),
        ("generator-t5", ("relative_attention_num_buckets",)),
        ("generator-bert", ("decoder", "num_hidden_layers")),
        ("generator-bert", ("encoder", "max_position_embeddings")),
        ("generator-llama", ("num_hidden_layers",)),
        ("generator-llama", ("hidden_size",)),
        ("types-transformer", ("num_hidden_layers",)),
        ("types-transformer", ("type_vocab_size",)),
        ("gliner2-boundary", ("boundary_head", "boundary_refinement_layers")),
        ("gliner2-boundary", ("boundary_head", "pair_dim")),
        ("gliner2-span", ("span_head", "max_width")),
        ("type-cache", ("width",)),
        ("type-cache", ("max_width",)),
        ("type-cache", ("encoder", "num_hidden_layers")),
        ("span", ("max_width",)),
    ],
)
def test_sizes_are_held_against_the_weights(kind, place, copy):
    """A thousand million of anything is refused, before memory or time is taken for it."""
    path = copy(kind)
    edit(path / CONFIGS[kind], lambda values: put(values, place, HUGE))
    nlp = pipeline(kind, path)
    outcome = in_child(lambda: found(nlp) and None, seconds=60, memory=GIGABYTES)
    assert outcome.is_coded, outcome


@pytest.mark.parametrize("kind", CONFIGS)
def test_deep_and_doubtful_json(kind, copy):
    path = copy(kind)
    nlp = pipeline(kind, path)
    for text in ("[" * 100_000 + "]" * 100_000, '{"a":' * 5_000 + "1" + "}" * 5_000, "[]", "\ufeff", "{} {}", "\x00"):
        (path / CONFIGS[kind]).write_text(text, encoding="utf8")
        with pytest.raises(OpenNERError):
            found(nlp)


@pytest.mark.parametrize(
    ("name", "value", "is_right"),
    [
        *(
            (name, value, False)
            for name in ("width", "max_width", "max_words")
            for value in (True, "12", None, 0, 12.5)
        ),
        *((name, value, False) for name in ("blind_layers", "dropout", "alike") for value in (True, "0", None, -1, [])),
        *(
            ("score_scale", value, False)
            for value in ({"above": True}, {"above": "1"}, {"below": 0}, {"nope": 1}, 1, None)
        ),
        *((name, value, False) for name in ("markers_only", "marker") for value in (0, 1, 0.5, None, [])),
        *((name, None, True) for name in ("width", "max_width", "max_words", "blind_layers", "alike")),
    ],
    ids=str,
)
def test_numbers_of_a_type_cache(name, value, is_right, copy, expected):
    """JSON does not tell 12.0 from 12; all else that is no such number is refused."""
    path = copy("type-cache")
    edit(path / "type_cache.json", lambda values: values.update({name: float(values[name]) if is_right else value}))
    if is_right:
        assert found(pipeline("type-cache", path)) == expected("type-cache")
    else:
        with pytest.raises(CheckpointError, match="O131"):
            found(pipeline("type-cache", path))


DTYPES = {
    "span": ("gliner_config.json", ("encoder_config",)),
    "bi": ("gliner_config.json", ("labels_encoder_config",)),
    "gliner2-span": ("encoder_config/config.json", ()),
    "type-cache": ("type_cache.json", ("encoder",)),
    "types-transformer": ("config.json", ()),
    "generator-t5": ("config.json", ()),
    "generator-llama": ("config.json", ()),
}


@pytest.mark.parametrize("kind", DTYPES)
def test_a_configs_type_of_numbers_does_not_win(kind, copy, expected):
    """The setting `precision` holds; these pipelines say float32."""
    path, (name, place) = copy(kind), DTYPES[kind]

    def say_half(values):
        for key in ("torch_dtype", "dtype"):
            put(values, (*place, key), "float16")

    edit(path / name, say_half)
    nlp = pipeline(kind, path)
    assert found(nlp) == expected(kind)
    ((_, pipe),) = nlp.components
    network = pipe.model.shims[0]._model
    assert {value.dtype for value in network.parameters()} == {torch.float32}


class Marker:
    """A pickle that would make a file, if it were read as one."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["span", "bi", "gliner2-span", "type-cache", "types-transformer", "generator-t5"])
def test_no_pickle_is_run(kind, copy, tmp_path):
    path, marker = copy(kind), tmp_path / "marker"
    (path / WEIGHTS).unlink()
    nlp = pipeline(kind, path)
    for name in ("pytorch_model.bin", "model.pt"):
        torch.save({"x": Marker(marker)}, path / name)
        with pytest.raises(OpenNERError):
            found(nlp)
        (path / name).write_bytes(pickle.dumps(Marker(marker)))
        with pytest.raises(OpenNERError):
            found(nlp)
    assert not marker.exists()


DAMAGES = {
    "NaN": lambda t: torch.full_like(t, float("nan")),
    "infinite": lambda t: torch.full_like(t, float("-inf")),
    "infinite in float32": lambda t: torch.full(t.shape, 1e300, dtype=torch.float64),
    "without rows": lambda t: t[:0],
    "without columns": lambda t: t[..., :0],
    "one number": lambda t: t.flatten()[0],
    "of one more dimension": lambda t: t[None],
    "whole numbers": lambda t: torch.ones_like(t, dtype=torch.int8),
    "huge whole numbers": lambda t: torch.full(t.shape, 2**62),
    "truth values": lambda t: t > 0,
    "complex": lambda t: t.to(torch.complex64),
    "scaled": lambda t: t.to(torch.float8_e4m3fn),
}


@pytest.mark.parametrize(
    "kind",
    ["span", "token", "bi", "gliner2-boundary", "type-cache", "types-static", "types-transformer", "generator-t5"],
)
def test_weights_of_another_kind(kind, copy):
    """Of one tensor, that of the words: the error names the place, and the tensor where there are several."""
    path = copy(kind)
    weights = load_file(path / WEIGHTS)
    name = max(weights, key=lambda key: (re.search("word|shared", key) is not None, weights[key].numel()))
    for damage, change in DAMAGES.items():
        save_file({**weights, name: change(weights[name]).contiguous()}, path / WEIGHTS, metadata={"format": "pt"})
        with pytest.raises(CheckpointError) as raised:
            found(pipeline(kind, path))
        message = str(raised.value)
        assert str(path) in message, damage
        assert kind == "types-static" or name.split(".")[-2] in message, (damage, message)
    others = {key: value for key, value in weights.items() if key != name}
    for more in ({}, {"something.else": weights[name]}):
        save_file({**others, **more}, path / WEIGHTS, metadata={"format": "pt"})
        with pytest.raises(CheckpointError):
            found(pipeline(kind, path))


@pytest.mark.parametrize("kind", ["span", "types-static", "types-transformer", "generator-t5"])
def test_weights_of_another_precision(kind, copy, expected):
    path = copy(kind)
    wide = {key: value.double() for key, value in load_file(path / WEIGHTS).items()}
    save_file(wide, path / WEIGHTS, metadata={"format": "pt"})
    assert found(pipeline(kind, path)) == expected(kind)


@pytest.mark.parametrize("where", ["../out", "/tmp/faults-out", "a/../../out", "model.safetensors/x", "x.py", "C:\\x"])
def test_bytes_that_name_other_places(where, saved, tmp_path, monkeypatch):
    import srsly

    monkeypatch.chdir(tmp_path)
    nlp = pipeline("span", saved("span"))
    pipe = nlp.get_pipe("open_ner_span")
    content = srsly.msgpack_loads(pipe.to_bytes())
    files = srsly.msgpack_loads(content["model"])
    content["model"] = srsly.msgpack_dumps({**files, where: b"x"})
    before = sorted(tmp_path.parent.rglob("*"))
    with pytest.raises(OpenNERError, match="O117"):
        pipe.from_bytes(srsly.msgpack_dumps(content))
    assert sorted(tmp_path.parent.rglob("*")) == before
