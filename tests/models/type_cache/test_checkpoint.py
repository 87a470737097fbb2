"""Files of a type-cache model: what is saved, and what is refused."""

import json
import shutil

import pytest
import torch

from spacy_openner.errors import CheckpointError, SettingError
from spacy_openner.models.gliner import checkpoint as gliner
from spacy_openner.models.type_cache import checkpoint as checkpoints
from spacy_openner.models.type_cache.new_network import from_encoder
from tests.support.tiny_models import backbone, saved
from tests.support.type_cache import KINDS, pipeline, saved_type_cache


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return saved_type_cache("bert", tmp_path_factory.mktemp("saved"), markers_only=True)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_loaded(kind, tmp_path):
    path = saved_type_cache(kind, tmp_path)
    first = checkpoints.load(path)
    checkpoints.save(first, tmp_path / "again")
    second = checkpoints.load(tmp_path / "again")
    assert first.config == second.config
    assert first.marker_id == second.marker_id
    weights = second.network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in first.network.state_dict().items())


def test_float16_on_disk_is_float32_in_memory(path, tmp_path):
    first = checkpoints.load(path)
    checkpoints.save(first, tmp_path, dtype=torch.float16)
    assert (tmp_path / "model.safetensors").stat().st_size < 0.6 * (path / "model.safetensors").stat().st_size
    second = checkpoints.load(tmp_path).network.state_dict()
    for name, value in first.network.state_dict().items():
        assert second[name].dtype is value.dtype
        assert torch.equal(second[name], value.half().float() if value.is_floating_point() else value)


def test_rounded_weights_are_a_quarter_of_the_size(path, tmp_path):
    first = checkpoints.load(path)
    checkpoints.save_int8(first, tmp_path)
    assert [file.name for file in tmp_path.glob("*.safetensors")] == ["model.int8.safetensors"]
    second = checkpoints.load(tmp_path).network.state_dict()
    for name, value in first.network.state_dict().items():
        if value.ndim == 2:
            assert (second[name] - value).abs().max() <= value.abs().max() / 250
        else:
            assert torch.equal(second[name], value)
    checkpoints.save(first, tmp_path)
    assert [file.name for file in tmp_path.glob("*.safetensors")] == ["model.safetensors"]


def test_two_kinds_of_weights_in_one_directory_are_refused(path, tmp_path):
    checkpoints.save_int8(checkpoints.load(path), tmp_path)
    shutil.copy(path / "model.safetensors", tmp_path)
    with pytest.raises(CheckpointError, match=r"O131.*model\.int8\.safetensors and model\.safetensors"):
        checkpoints.load(tmp_path)


def test_no_directory_of_it(tmp_path):
    with pytest.raises(CheckpointError, match=r"O131.*type_cache\.json"):
        checkpoints.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"width": 0}, "width"),
        ({"max_width": "12"}, "max_width"),
        ({"depth": 3}, "depth"),
        ({"encoder": None}, "encoder"),
        ({"encoder": {"model_type": "gpt2"}}, "modernbert"),
        ({"marker": "<<TYPE>>"}, "marker"),
        ({"encoder": {"model_type": "bert", "hidden_size": 32, "num_attention_heads": 5}}, "which 5 heads"),
        ({"encoder": {"model_type": "bert", "hidden_size": 32, "num_attention_heads": 4}}, "12 layers"),
    ],
)
def test_a_config_that_does_not_fit(path, tmp_path, changes, problem):
    copy = shutil.copytree(path, tmp_path / "copy")
    values = json.loads((copy / "type_cache.json").read_text())
    (copy / "type_cache.json").write_text(json.dumps({**values, **changes}))
    with pytest.raises(CheckpointError, match=problem):
        checkpoints.load(copy)


def test_a_damaged_config(path, tmp_path):
    copy = shutil.copytree(path, tmp_path / "copy")
    (copy / "type_cache.json").write_text("{")
    with pytest.raises(CheckpointError, match="O131"):
        checkpoints.load(copy)


def test_weights_of_another_size(path, tmp_path):
    copy = shutil.copytree(path, tmp_path / "copy")
    values = json.loads((copy / "type_cache.json").read_text())
    (copy / "type_cache.json").write_text(json.dumps({**values, "width": 16}))
    with pytest.raises(CheckpointError, match=r"O131.*other sizes"):
        checkpoints.load(copy)


def test_weights_that_an_installation_lacks_are_missed(monkeypatch, tmp_path):
    monkeypatch.setattr("spacy_openner.nn.hub.PACKAGE", tmp_path / "package")
    with pytest.raises(SettingError, match="O132"):
        pipeline("", ["person"])("A text.")


# New networks


def test_a_span_matcher_that_reads_prompts_lends_its_head(tmp_path):
    path = saved("bert", tmp_path)
    made, old = from_encoder(path), gliner.load(path)
    assert torch.equal(made.network.head.out[0].weight, old.network.head.out[0].weight)
    assert torch.equal(made.network.projection.weight, old.network.projection.weight)
    assert made.marker_id == old.entity_id
    other = from_encoder(path, width=16)
    assert other.network.head.width == 16


def test_layers_are_cut_behind(tmp_path):
    for kind in KINDS:
        encoder = backbone(kind, tmp_path / kind)
        made = from_encoder(encoder, layers=1)
        assert len(made.network.encoder.stack) == 1
        checkpoints.save(made, tmp_path / f"{kind}-1")
        assert len(checkpoints.load(tmp_path / f"{kind}-1").network.encoder.stack) == 1
    for layers in (0, 3):
        with pytest.raises(SettingError, match="1 to 2"):
            from_encoder(encoder, layers=layers)


def test_an_encoder_without_an_adapter(tmp_path):
    with pytest.raises(SettingError, match="deberta-v2"):
        from_encoder(backbone("deberta-v2", tmp_path))


@pytest.mark.parametrize(("kind", "layers"), [("bert", 2), ("bert", -1), ("bert", True), ("modernbert", 1)])
def test_some_layer_sees_types(kind, layers, tmp_path):
    with pytest.raises(SettingError, match=r"O001.*blind_layers"):
        saved_type_cache(kind, tmp_path, blind_layers=layers)
    path = saved_type_cache(kind, tmp_path)
    config = json.loads((path / "type_cache.json").read_text(encoding="utf8"))
    (path / "type_cache.json").write_text(json.dumps({**config, "blind_layers": layers}), encoding="utf8")
    with pytest.raises(CheckpointError, match=r"O131.*blind_layers"):
        checkpoints.load(path)
