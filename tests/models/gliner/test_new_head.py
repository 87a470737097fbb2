"""New heads on pretrained encoders: nothing of the encoder is left to chance."""

import logging
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from spacy_openner.errors import CheckpointError, SettingError
from spacy_openner.models.gliner.new_head import from_encoder
from spacy_openner.models.gliner.pretrained import pretrained
from tests.support import tiny_models as tiny


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return tiny.backbone("bert", tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def copy(backbone, tmp_path):
    return shutil.copytree(backbone, tmp_path / "copy")


def edit_weights(path, change):
    weights = load_file(path / "model.safetensors")
    change(weights)
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})


def drop(weights):
    del weights[next(key for key in weights if "query.weight" in key)]


def reshape(weights):
    weights[next(key for key in weights if "query.weight" in key)] = torch.zeros(3, 3)


def spoil(weights):
    weights[next(key for key in weights if "query.weight" in key)][0, 0] = float("nan")


@pytest.mark.parametrize("change", [drop, reshape, spoil])
def test_weights_are_never_made_up(copy, change):
    edit_weights(copy, change)
    with pytest.raises(CheckpointError, match=r"O124.*(query|size mismatch|mismatched)"):
        from_encoder(copy)


def test_a_missing_pooler_is_not_worth_a_word(copy, caplog, capsys):
    edit_weights(copy, lambda weights: [weights.pop(key) for key in list(weights) if "pooler" in key])
    with caplog.at_level(logging.INFO):
        _, network = pretrained(copy)
    assert "TRAIN" not in caplog.text + capsys.readouterr().err
    assert network.pooler is not None


def test_no_encoder(tmp_path):
    with pytest.raises(CheckpointError, match="O124"):
        from_encoder(tmp_path)


def test_no_tokenizer(copy):
    for file in copy.glob("*token*"):
        file.unlink()
    with pytest.raises(CheckpointError, match=r"O1(19|20|24)"):
        from_encoder(copy)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 0),
        ("max_width", 0),
        ("max_width", 10**9),
        ("max_width", 2.5),
        ("max_len", -1),
        ("lstm_layers", 1000),
        ("dropout", 7),
        ("dropout", float("nan")),
        ("max_types", 0),
        ("max_types", "16"),
        ("span_mode", "markerV9"),
    ],
)
def test_settings_out_of_range(backbone, name, value):
    with pytest.raises(SettingError, match=f"O001.*{name}"):
        from_encoder(backbone, **{name: value})
