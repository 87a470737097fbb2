"""Checkpoints that are cut, or whose configs and bytes are hostile: a coded error, or the same scores, in bounded time
and memory."""

import json
import os
import pickle
import shutil
import time

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
    made = {}

    def find(kind):
        if kind not in made:
            made[kind] = MODELS[kind](tmp_path_factory.mktemp(kind))
        return made[kind]

    return find


@pytest.fixture
def copy(saved, tmp_path):
    return lambda kind: shutil.copytree(saved(kind), tmp_path / "copy")


def found(kind, path):
    doc = pipeline(kind, path)(TEXT)
    group = doc.spans.get("openner", [])
    spans = [(span.start, span.end, span.label_) for span in group]
    return spans, [round(float(p), 4) for p in group.attrs["scores"]] if spans else [], doc._.openner_type_scores


def edit(file, change):
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


@pytest.mark.parametrize("kind", MODELS)
def test_cut_anywhere(kind, saved, tmp_path):
    """Each file, cut at some twentieths: all of them over the kinds."""
    whole = saved(kind)
    expected = found(kind, whole)
    assert expected[0] or expected[2]
    first = list(MODELS).index(kind)
    for n, file in enumerate(sorted(each for each in whole.rglob("*") if each.is_file())):
        data = file.read_bytes()
        for share in CUTS[(first + n) % 7 :: 7]:
            copy = shutil.copytree(whole, tmp_path / f"{file.name}-{share}")
            (copy / file.relative_to(whole)).write_bytes(data[: int(len(data) * share)])
            with pytest.raises(OpenNERError):
                found(kind, copy)
            shutil.rmtree(copy)


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


@pytest.mark.parametrize("value", [HUGE, 10**30, -1, "x", [], None], ids=str)
@pytest.mark.parametrize("kind", ["generator-t5", "types-transformer", "gliner2-boundary", "type-cache"])
def test_one_odd_value(kind, value, saved, tmp_path):
    """Some of a config's values, another sample for each odd value."""
    whole, name = saved(kind), CONFIGS[kind]
    found(kind, whole)
    content = json.loads((whole / name).read_text())
    places = [place for place in leaves(content) if not {"id2label", "label2id"} & set(place)]
    shift = sum(map(ord, str(value)))
    copy = shutil.copytree(whole, tmp_path / "copy")
    for place in places[shift % 7 :: 7]:
        edited = json.loads(json.dumps(content))
        put(edited, place, value)
        (copy / name).write_text(json.dumps(edited))
        begun = time.monotonic()
        outcome = in_child(lambda: found(kind, copy) and None, seconds=60, memory=GIGABYTES)
        assert outcome.is_coded or not (outcome.raised or outcome.signal), (place, outcome)
        assert time.monotonic() - begun < 60


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
    outcome = in_child(lambda: found(kind, path) and None, seconds=60, memory=GIGABYTES)
    assert outcome.is_coded, outcome


@pytest.mark.parametrize("kind", CONFIGS)
def test_deep_and_doubtful_json(kind, copy):
    path = copy(kind)
    for text in ("[" * 100_000 + "]" * 100_000, '{"a":' * 5_000 + "1" + "}" * 5_000, "[]", "\ufeff", "{} {}", "\x00"):
        (path / CONFIGS[kind]).write_text(text, encoding="utf8")
        with pytest.raises(OpenNERError):
            found(kind, path)


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
def test_a_configs_type_of_numbers_does_not_win(kind, copy, saved):
    """The setting `precision` holds; these pipelines say float32."""
    path, (name, place) = copy(kind), DTYPES[kind]

    def say_half(values):
        for key in ("torch_dtype", "dtype"):
            put(values, (*place, key), "float16")

    edit(path / name, say_half)
    nlp = pipeline(kind, path)
    assert found(kind, path) == found(kind, saved(kind))
    ((_, pipe),) = nlp.components
    nlp(TEXT)
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
    for name in ("pytorch_model.bin", "model.pt"):
        torch.save({"x": Marker(marker)}, path / name)
        with pytest.raises(OpenNERError):
            found(kind, path)
        (path / name).write_bytes(pickle.dumps(Marker(marker)))
        with pytest.raises(OpenNERError):
            found(kind, path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "kind", ["span", "gliner2-boundary", "type-cache", "types-static", "types-transformer", "generator-t5"]
)
@pytest.mark.parametrize("damage", ["nan", "missing", "renamed", "int"])
def test_weights_of_another_kind(kind, damage, copy):
    path = copy(kind)
    weights = load_file(path / WEIGHTS)
    name = max(weights, key=lambda key: weights[key].numel())
    if damage == "nan":
        weights[name].view(-1)[0] = float("nan")
    elif damage == "int":
        weights[name] = torch.full(weights[name].shape, 2**62)
    else:
        value = weights.pop(name)
        weights |= {"something.else": value} if damage == "renamed" else {}
    save_file(weights, path / WEIGHTS, metadata={"format": "pt"})
    if damage == "int":
        # Whole numbers are numbers, too, if odd ones.
        outcome = in_child(lambda: found(kind, path) and None)
        assert not outcome.signal
        assert outcome.is_coded or not outcome.raised
        return
    with pytest.raises(CheckpointError):
        found(kind, path)


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
