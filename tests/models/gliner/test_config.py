"""Configs of checkpoints may say anything: each number has a range, and sizes are held against the weights."""

import json
import shutil
import time

import pytest

from spacy_openner.errors import CheckpointError
from spacy_openner.models.gliner import checkpoint as gliner_checkpoint
from spacy_openner.models.gliner.config import read_config, read_json
from tests.models.gliner.test_checkpoint import edit


@pytest.fixture
def copy(tiny_path, tmp_path):
    return shutil.copytree(tiny_path, tmp_path / "copy")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("max_width", value) for value in (0, -1, 10**9, 1.5, "wide", True, [12], {}, float("nan"))],
        *[("max_len", value) for value in (0, -5, 10**12, "long", float("inf"))],
        *[("dropout", value) for value in (7, -0.1, float("nan"), "much", False)],
        *[("openner_max_types", value) for value in (0, -1, "many", 2.5, 10**9)],
        *[("hidden_size", value) for value in (0, 10**9, None.__class__.__name__)],
        ("encoder_config", "bert"),
        ("encoder_config", [1]),
        ("labels_encoder_config", 5),
        ("model_name", 5),
        ("labels_encoder", ["a"]),
        ("ent_token", 7),
        ("sep_token", {}),
        ("embed_ent_token", "no"),
    ],
)
def test_values_out_of_range_are_refused(copy, name, value):
    edit(copy, **{name: value})
    with pytest.raises(CheckpointError, match=f"O105.*({name} is .* must be|no JSON number)"):
        gliner_checkpoint.load(copy)


def test_numbers_as_strings_are_read(copy):
    edit(copy, max_width="12", max_len="384.0", dropout="0.25", openner_max_types="16")
    config = read_config(copy)
    assert [config[name] for name in ("max_width", "max_len", "dropout", "openner_max_types")] == [12, 384, 0.25, 16]
    assert gliner_checkpoint.load(copy).max_types == 16


def test_null_is_as_good_as_nothing(copy):
    names = ("max_width", "max_len", "dropout", "openner_max_types", "ent_token", "sep_token", "embed_ent_token")
    edit(copy, **dict.fromkeys(names))
    checkpoint = gliner_checkpoint.load(copy)
    assert (checkpoint.max_words, checkpoint.max_types, checkpoint.embed_marker) == (384, None, True)
    assert checkpoint.network.head.max_width == 12


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[1]", "null", "", "{", "\x00"])
def test_other_json_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(CheckpointError, match="O105"):
        read_json(tmp_path / "x.json")


def edit_encoder(path, **changes):
    config = json.loads((path / "gliner_config.json").read_text())
    edit(path, encoder_config={**config["encoder_config"], **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 20_000},
        {"num_hidden_layers": 10**12},
        {"num_hidden_layers": "2"},
        {"num_hidden_layers": [2]},
        {"num_attention_heads": 7},
        {"num_attention_heads": 0},
        {"num_attention_heads": "4"},
        {"hidden_size": 10**7},
        {"hidden_size": 25},
        {"hidden_size": 0},
        {"hidden_size": -24},
        {"hidden_size": None},
        {"hidden_size": "wide"},
        {"intermediate_size": 10**10},
        {"max_position_embeddings": 10**10},
        {"max_position_embeddings": 0},
        {"type_vocab_size": 10**11},
        {"pad_token_id": 10**6},
        {"pad_token_id": -(10**6)},
        {"hidden_act": "sleep"},
        {"hidden_act": 3},
        {"hidden_dropout_prob": 7},
        {"attn_implementation": "no such attention"},
        {"model_type": "no such model"},
        {"model_type": 5},
        {"model_type": "gpt2"},
        {"layer_norm_eps": "small"},
    ],
    ids=str,
)
def test_encoders_that_cannot_be_are_refused_before_they_are_built(copy, changes):
    """Nothing of the sizes that are claimed here fits any memory, and none of it takes long."""
    edit_encoder(copy, **changes)
    begun = time.monotonic()
    with pytest.raises(CheckpointError, match=r"O10[45]"):
        gliner_checkpoint.load(copy)
    assert time.monotonic() - begun < 60
