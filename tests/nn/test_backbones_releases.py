"""Configs and tokenizers that one release of transformers wrote, read alike by the other."""

import json
import shutil

import pytest
import torch

from spacy_openner.errors import CheckpointError
from spacy_openner.models.gliner import checkpoint as gliner_checkpoint
from spacy_openner.models.gliner.tokenization import PromptTokenizer
from spacy_openner.nn import backbones
from spacy_openner.nn.backbones import load_tokenizer, with_rope_of_release_4
from tests.support import tiny_models as tiny

ROPE = {
    "full_attention": {"rope_theta": 5000.0, "rope_type": "default"},
    "sliding_attention": {"rope_theta": 700.0, "rope_type": "default"},
}


def test_rope_parameters_reach_release_4(monkeypatch):
    monkeypatch.setattr(backbones, "_release", lambda: 4)
    read = with_rope_of_release_4({"rope_parameters": ROPE, "layer_types": ["full_attention", "sliding_attention"] * 2})
    assert read["global_rope_theta"] == 5000.0
    assert read["local_rope_theta"] == 700.0
    assert read["global_attn_every_n_layers"] == 2
    assert with_rope_of_release_4({"rope_parameters": {"rope_theta": 3.0}})["rope_theta"] == 3.0
    assert with_rope_of_release_4({"hidden_size": 3}) == {"hidden_size": 3}


@pytest.mark.parametrize(
    "values",
    [
        {"rope_parameters": {"rope_theta": 3.0, "rope_type": "yarn"}},
        {"rope_parameters": ROPE, "layer_types": ["sliding_attention", "full_attention", "full_attention"]},
    ],
)
def test_what_release_4_cannot_say_is_refused(values, monkeypatch):
    monkeypatch.setattr(backbones, "_release", lambda: 4)
    with pytest.raises(ValueError, match="transformers 5"):
        with_rope_of_release_4(values)


def test_rope_bases_in_either_words_give_the_same_vectors(tmp_path):
    path = tiny.saved("modernbert", tmp_path)
    file = path / "gliner_config.json"
    content = json.loads(file.read_text())
    old = {k: v for k, v in content["encoder_config"].items() if "rope" not in k and k != "layer_types"}
    kinds = ["full_attention", "sliding_attention"]
    words = [
        {**old, "rope_parameters": ROPE, "layer_types": kinds},
        {**old, "global_rope_theta": 5000.0, "local_rope_theta": 700.0, "global_attn_every_n_layers": 2},
    ]
    outputs = []
    ids = torch.arange(5, 45)[None]
    for config in words:
        file.write_text(json.dumps({**content, "encoder_config": config}))
        with torch.no_grad():
            outputs.append(gliner_checkpoint.load(path).network.encoder(input_ids=ids)[0])
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_tokenizers_of_release_5_split_alike(kind, tmp_path):
    """The words of release 5's files are the same under both releases: those of `tokenizer.json`."""
    first = tiny.tokenizer(kind)
    first.save_pretrained(tmp_path / "old")
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    file = tmp_path / "new" / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    for key in ("added_tokens_decoder", "extra_special_tokens"):
        settings.pop(key, None)
    settings |= {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["[MASK]"]}
    file.write_text(json.dumps(settings))
    second = load_tokenizer(tmp_path, tmp_path / "new", None)
    for text in tiny.SENTENCES:
        for words in ({"text": text}, {"text": text.split(), "is_split_into_words": True}):
            theirs = first.backend_tokenizer.encode(words["text"], is_pretokenized="is_split_into_words" in words)
            ours = second.backend_tokenizer.encode(words["text"], is_pretokenized="is_split_into_words" in words)
            assert ours.ids == theirs.ids
    assert second.pad_token_id == first.pad_token_id
    assert second.unk_token_id == first.unk_token_id


def test_byte_level_words_without_the_space_before_split_alike(tmp_path):
    """Release 4 refuses lists of words to such a tokenizer, release 5 cuts each word as if inside another: so do we."""
    tiny.tokenizer("roberta").save_pretrained(tmp_path)
    for name, change in (
        ("tokenizer.json", {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}}),
        ("tokenizer_config.json", {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": False}),
    ):
        file = tmp_path / name
        file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    tokenizer = PromptTokenizer(load_tokenizer(tmp_path, tmp_path, None), 512)
    (encoded,) = tokenizer._encode([["Marie", "Curie", "Paris"]], special=False)
    assert encoded.tokens == ["Ma", "rie", "C", "urie", "P", "ari", "s"]
    assert encoded.word_ids == [0, 0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("value", [[], "512", {"a": 1}])
def test_a_limit_that_is_no_number_is_refused(value, tmp_path):
    """It is compared with lengths much later, in a bare TypeError."""
    tiny.tokenizer("bert").save_pretrained(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "model_max_length": value}))
    with pytest.raises(CheckpointError, match=r"O120.*model_max_length"):
        load_tokenizer(tmp_path, tmp_path, None)
