"""Checkpoints as they occur in the wild: old and new conventions, missing files, damage, unsupported kinds."""

import json
import shutil
from pathlib import Path

import pytest
import spacy
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from spacy_openner.errors import CheckpointError, OpenNERWarning
from spacy_openner.models import splitters
from spacy_openner.models.gliner import checkpoint as gliner_checkpoint
from spacy_openner.models.gliner.checkpoint import SHARED_KEYS, SPAN_KEYS, TOKEN_KEYS, key_table
from spacy_openner.nn import hub as sources
from spacy_openner.nn.weights import rename
from tests.support import tiny_models as tiny


@pytest.fixture
def copy(tiny_path, tmp_path):
    """A checkpoint that a test may change."""
    shutil.copytree(tiny_path, tmp_path / "copy")
    return tmp_path / "copy"


def edit(path, **changes):
    file = path / "gliner_config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def logits(path, text=tiny.SENTENCES[0]):
    nlp = spacy.blank("en")
    config = {
        "labels": tiny.LABELS,
        "threshold": 0.0,
        "overlap": "all",
        "model": tiny.span_matcher(path, precision="float32"),
    }
    nlp.add_pipe("open_ner_span", config=config)
    return tiny.found(nlp(text))


def test_key_tables_are_reversible():
    for table in (SHARED_KEYS + SPAN_KEYS, SHARED_KEYS + TOKEN_KEYS):
        for side in (0, 1):
            names = [pair[side] for pair in table]
            assert len(set(names)) == len(names)
            assert not any(a != b and a.startswith(b) for a in names for b in names)


@pytest.mark.parametrize("options", [{}, {"span_mode": "token_level"}, {"span_mode": "marker", "lstm_layers": 2}])
def test_renaming_there_and_back(options, tmp_path):
    state = tiny.checkpoint("bert", tmp_path, **options).network.state_dict()
    published = rename(state, key_table(state), to_network=False)
    assert not any(key.startswith(("encoder.", "head.", "lstm.")) for key in published)
    assert rename(published, key_table(published), to_network=True).keys() == state.keys()


def test_saving_twice_changes_nothing(tiny_path, tmp_path):
    gliner_checkpoint.save(gliner_checkpoint.load(tiny_path), tmp_path / "again")
    first, second = load_file(tiny_path / "model.safetensors"), load_file(tmp_path / "again/model.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert logits(tmp_path / "again") == logits(tiny_path)


def test_half_precision_on_disk_is_float32_in_memory(tiny_path, tmp_path):
    gliner_checkpoint.save(gliner_checkpoint.load(tiny_path), tmp_path / "half", dtype=torch.float16)
    assert load_file(tmp_path / "half/model.safetensors")["prompt_rep_layer.0.weight"].dtype == torch.float16
    network = gliner_checkpoint.load(tmp_path / "half").network
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_pickled_weights_run_no_code(copy, tmp_path):
    expected = logits(copy)
    weights = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    torch.save(weights, copy / "pytorch_model.bin")
    assert logits(copy) == expected

    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "attacked"), "w"))

    torch.save({**weights, "x": Attack()}, copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="O105"):
        gliner_checkpoint.load(copy)
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize("markers", [2, 3])
def test_bare_tokenizers_of_both_conventions(copy, tiny_path, markers):
    """Without tokenizer files that know the markers, the embedding's rows say which convention it was."""
    expected = logits(copy)
    for file in tiny_path.parent.glob("backbone/*token*"):
        shutil.copy(file, copy)
    (copy / "added_tokens.json").unlink(missing_ok=True)
    tok = AutoTokenizer.from_pretrained(copy)
    if markers == 2:  # drop the row of [FLERT]
        weights = load_file(copy / "model.safetensors")
        key = "token_rep_layer.bert_layer.model.embeddings.word_embeddings.weight"
        rows = [i for i in range(len(weights[key])) if i != len(tok)]
        weights[key] = weights[key][rows].clone()
        save_file(weights, copy / "model.safetensors")
    edit(copy, class_token_index=-1, vocab_size=-1)
    checkpoint = gliner_checkpoint.load(copy)
    assert checkpoint.entity_id == len(tok) + markers - 2
    assert checkpoint.separator_id == len(tok) + markers - 1
    tiny.same(logits(copy), expected)


def test_impossible_marker_counts_are_refused(copy):
    tiny.tokenizer("modernbert").save_pretrained(copy)
    with pytest.raises(CheckpointError, match="O106"):
        gliner_checkpoint.load(copy)


def test_backbone_config_and_tokenizer_by_name(copy, tiny_path, tmp_path):
    expected = logits(copy)
    backbone = shutil.copytree(tiny_path.parent / "backbone", tmp_path / "hub")
    for file in copy.glob("*token*"):
        file.unlink()
    edit(copy, encoder_config=None, model_name=str(backbone))
    tiny.same(logits(copy), expected)
    shutil.rmtree(backbone)
    with pytest.raises(CheckpointError, match="O118"):
        gliner_checkpoint.load(copy)


def test_numbers_as_strings_and_unknown_fields(copy):
    expected = logits(copy)
    edit(copy, hidden_size="24", max_width="12", moe_experts="8", train_batch_size="8", lr_encoder="1e-5")
    assert logits(copy) == expected
    edit(copy, max_width="wide")
    with pytest.raises(CheckpointError, match="max_width"):
        gliner_checkpoint.load(copy)


def test_encoder_config_without_model_type_is_deberta(tmp_path):
    path = tiny.saved("deberta-v2", tmp_path)
    config = json.loads((path / "gliner_config.json").read_text())
    expected = logits(path)
    config["encoder_config"].pop("model_type")
    (path / "gliner_config.json").write_text(json.dumps(config))
    assert logits(path) == expected


def test_old_configs_that_lie_about_the_lstm(tmp_path):
    path = tiny.saved("bert", tmp_path, lstm_layers=1)
    edit(path, num_rnn_layers=0, has_rnn=False)
    assert gliner_checkpoint.load(path).network.lstm is not None


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("cross_fuser.layers.0.x", "cross attention"),
        ("token_rep_layer.bert_layer.layers_fuser.W1.weight", "fuse_layers"),
        ("span_rep_layer.span_rep_layer.project_context.0.weight", "markerV2"),
        ("span_rep_layer.context_encoder.0.weight", "span_encoder_config"),
    ],
)
def test_unsupported_kinds_are_refused_by_name(copy, key, reason):
    weights = load_file(copy / "model.safetensors")
    save_file({**weights, key: torch.zeros(2)}, copy / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"O103.*{reason}"):
        gliner_checkpoint.load(copy)


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("subtoken_pooling", "median", "'median'"),
        ("represent_spans", True, "represent_spans"),
        ("decoder_mode", "prompt", "decoder_mode 'prompt'"),
    ],
)
def test_unsupported_settings_are_refused_by_name(copy, setting, value, reason):
    edit(copy, **{setting: value})
    with pytest.raises(CheckpointError, match=f"O103.*{reason}"):
        gliner_checkpoint.load(copy)


@pytest.mark.parametrize(
    ("key", "task"), [("decoder.model.x", "generates names"), ("relations_rep_layer.x", "relations")]
)
def test_parts_of_other_tasks_are_named_and_kept(copy, key, task, tmp_path):
    expected = logits(copy)
    weights = load_file(copy / "model.safetensors")
    save_file({**weights, key: torch.ones(2)}, copy / "model.safetensors")
    with pytest.warns(OpenNERWarning, match=f"W121.*{task}"):
        checkpoint = gliner_checkpoint.load(copy)
    gliner_checkpoint.save(checkpoint, tmp_path / "again")
    assert torch.equal(load_file(tmp_path / "again/model.safetensors")[key], torch.ones(2))
    with pytest.warns(OpenNERWarning, match="W121"):
        assert logits(copy) == expected


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
@pytest.mark.parametrize("window", [None, 48])
def test_pooled_words_are_the_same_in_any_batch(pooling, window, copy):
    edit(copy, subtoken_pooling=pooling)
    nlp = spacy.blank("en")
    model = tiny.span_matcher(copy, precision="float32", window=window)
    nlp.add_pipe("open_ner_span", config={"labels": ["person"], "threshold": 0.0, "overlap": "all", "model": model})
    together = list(nlp.pipe(tiny.SENTENCES))
    nlp.get_pipe("open_ner_span").batch_tokens = 1
    for doc, text in zip(together, tiny.SENTENCES, strict=True):
        tiny.same(tiny.found(doc), tiny.found(nlp(text)))


@pytest.mark.parametrize(("name", "advice"), [("stanza", ": take a language"), ("jieba", ": install jieba3 and set")])
def test_other_word_splitters_are_named(name, advice, copy, monkeypatch):
    monkeypatch.setattr(splitters, "is_available", lambda name: False)
    edit(copy, words_splitter_type=name)
    with pytest.warns(OpenNERWarning, match=f"W122.*{name!r}.*{advice}"):
        assert gliner_checkpoint.load(copy).word_mode == "gliner"


def test_a_word_splitter_that_is_there_is_used(copy):
    edit(copy, words_splitter_type="spacy")
    nlp = spacy.blank("xx")
    config = {"labels": ["person"], "threshold": 0.0, "overlap": "all"}
    nlp.add_pipe("open_ner_span", config={**config, "model": tiny.span_matcher(copy, words="gliner")})
    doc = nlp("Kim  can't\nleave.")
    spans = {span.text for span in doc.spans["openner"]}
    assert {"Kim", "can't", "Kim  can't", "Kim  can't\nleave."} <= spans
    assert not any(text != text.strip() for text in spans)
    assert nlp.get_pipe("open_ner_span").model.shims[0].word_mode == "english"


def test_tokens_in_place_of_a_word_splitter_are_warned_of(copy):
    edit(copy, words_splitter_type="spacy")
    nlp = spacy.blank("xx")
    nlp.add_pipe("open_ner_span", config={"labels": ["person"], "model": tiny.span_matcher(copy)})
    with pytest.warns(OpenNERWarning, match="W123.*'english'"):
        nlp("Kim left.")


def test_v0_pickles_are_refused(tmp_path):
    (tmp_path / "gliner_base.pt").write_bytes(b"\x80\x02")
    for path in (tmp_path, tmp_path / "gliner_base.pt"):
        with pytest.raises(CheckpointError, match="O102"):
            gliner_checkpoint.load(sources.find(str(path), None))


def test_a_missing_weight_is_an_error(copy):
    weights = load_file(copy / "model.safetensors")
    weights.pop("prompt_rep_layer.0.bias")
    save_file(weights, copy / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"O104.*head\.prompt\.0\.bias"):
        gliner_checkpoint.load(copy)


def test_an_unknown_weight_is_an_error(copy):
    weights = load_file(copy / "model.safetensors")
    save_file({**weights, "something.else": torch.zeros(1)}, copy / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"O104.*something\.else"):
        gliner_checkpoint.load(copy)


def test_a_weight_of_another_shape_is_an_error(copy):
    weights = load_file(copy / "model.safetensors")
    weights["prompt_rep_layer.0.bias"] = torch.zeros(3)
    save_file(weights, copy / "model.safetensors")
    with pytest.raises(CheckpointError, match="O104"):
        gliner_checkpoint.load(copy)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["safetensors", "pickle"])
def test_weights_that_are_no_numbers_are_refused(copy, value, kind):
    weights = load_file(copy / "model.safetensors")
    weights["prompt_rep_layer.0.bias"][1] = value
    save_file(weights, copy / "model.safetensors")
    if kind == "pickle":
        (copy / "model.safetensors").unlink()
        torch.save(weights, copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"O105.*finite.*prompt_rep_layer\.0\.bias"):
        gliner_checkpoint.load(copy)


@pytest.mark.parametrize("content", [[1, 2], {"a": "text"}, torch.zeros(2)])
def test_pickles_without_tensors_are_refused(copy, content):
    (copy / "model.safetensors").unlink()
    torch.save(content, copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"O105.*no tensors"):
        gliner_checkpoint.load(copy)


def test_no_weights_are_not_no_checkpoint(copy):
    (copy / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"O105.*no model\.safetensors"):
        gliner_checkpoint.load(copy)


def test_too_few_rows_for_the_tokenizer(copy):
    """Predicting would end in an IndexError as soon as a text holds such a token."""
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.add_tokens(["qwertz"])
    tokenizer.save_pretrained(copy)
    with pytest.raises(CheckpointError, match="O119"):
        gliner_checkpoint.load(copy)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"model": {"type": "BPE"}}', b"[" * 100_000])
def test_broken_tokenizers(copy, content):
    (copy / "tokenizer.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"O1(19|20)"):
        gliner_checkpoint.load(copy)


def test_no_tokenizer_at_all(copy):
    for file in copy.glob("*token*"):
        file.unlink()
    edit(copy, model_name=None)
    with pytest.raises(CheckpointError, match="O120"):
        gliner_checkpoint.load(copy)


def test_a_bi_encoder_without_its_label_tokenizer(bi_encoder_path, tmp_path):
    copy = shutil.copytree(bi_encoder_path, tmp_path / "copy")
    shutil.rmtree(copy / "labels_tokenizer")
    for name in (None, str(tmp_path / "gone"), "no-such/encoder"):
        edit(copy, labels_encoder=name)
        with pytest.raises(CheckpointError, match=r"O120"):
            gliner_checkpoint.load(copy)
    (copy / "labels_tokenizer").mkdir()
    (copy / "labels_tokenizer" / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    with pytest.raises(CheckpointError, match=r"O1(19|20)"):
        gliner_checkpoint.load(copy)


def test_local_paths_are_not_published(tmp_path):
    checkpoint = tiny.checkpoint("bert", tmp_path)
    assert checkpoint.config["model_name"].startswith("/")
    for name, expected in [
        (checkpoint.config["model_name"], Path(checkpoint.config["model_name"]).name),
        ("/home/anna/secret project/encoder/", "encoder"),
        ("C:\\Users\\anna\\encoder", "encoder"),
        ("~/models/encoder", "encoder"),
        ("../encoder", "encoder"),
        ("microsoft/deberta-v3-small", "microsoft/deberta-v3-small"),
        ("bert-base-cased", "bert-base-cased"),
    ]:
        checkpoint.config["model_name"] = name
        gliner_checkpoint.save(checkpoint, tmp_path / "saved")
        assert json.loads((tmp_path / "saved/gliner_config.json").read_text())["model_name"] == expected


def test_a_missing_pooler_is_none(copy):
    expected = logits(copy)
    weights = load_file(copy / "model.safetensors")
    poolers = [key for key in weights if "pooler" in key]
    assert poolers
    save_file({key: value for key, value in weights.items() if key not in poolers}, copy / "model.safetensors")
    assert logits(copy) == expected


@pytest.mark.parametrize("name", ["model.safetensors", "gliner_config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", None])
def test_damaged_files(copy, name, content):
    file = copy / name
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(CheckpointError, match="O105"):
        gliner_checkpoint.load(copy)


def test_nothing_there(tmp_path):
    with pytest.raises(CheckpointError, match="O101"):
        gliner_checkpoint.load(sources.find(str(tmp_path), None))
    with pytest.raises(CheckpointError, match="O101"):
        sources.find(str(tmp_path / "none"), None)


def test_a_hub_name_offline(tiny_path, tmp_path, monkeypatch):
    """A name that was fetched before loads from the hub's cache; any other is a clear error."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "models--owner--model"
    shutil.copytree(tiny_path, cache / "snapshots" / commit)
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    assert sources.find("owner/model", commit) == cache / "snapshots" / commit
    with pytest.warns(OpenNERWarning, match="W002"):
        assert sources.find("owner/model", None) == cache / "snapshots" / commit
    with pytest.raises(CheckpointError, match="O101"):
        sources.find("owner/other", commit)
    with pytest.raises(CheckpointError, match="O101"):
        sources.find("owner/model", "f" * 40)


def test_tied_embeddings_are_stored_once(tmp_path):
    path = tiny.saved("t5", tmp_path)
    keys = load_file(path / "model.safetensors").keys()
    assert sum("shared" in key or "embed_tokens" in key for key in keys) == 1
    assert logits(path)
