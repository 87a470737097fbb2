"""The encoder in ONNX Runtime says what PyTorch says, and travels with the component."""

import json

import numpy as np
import pytest
import spacy
import torch
from transformers import BertConfig, BertModel

from spacy_openner.errors import CheckpointError, MissingExtra
from spacy_openner.models.gliner.onnx_encoder import export
from tests.support import tiny_models as tiny
from tests.support.tiny_models import found, same

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
TEXTS = [*tiny.SENTENCES, "", tiny.long_text(200)]


@pytest.mark.parametrize("kind", ["bert", "deberta-v2", "t5", "roberta", "modernbert"])
def test_float32_equals_torch(kind, tmp_path, make_nlp):
    path = str(tiny.saved(kind, tmp_path))
    torch_nlp = make_nlp({"name": path}, overlap="all", threshold=0.0)
    onnx_nlp = make_nlp({"name": path, "backend": "onnx"}, overlap="all", threshold=0.0)
    for left, right in zip(onnx_nlp.pipe(TEXTS), torch_nlp.pipe(TEXTS), strict=True):
        same(found(left), found(right), atol=1e-4)


def test_bi_encoder(bi_encoder_path, make_nlp):
    nlps = [
        make_nlp({"name": str(bi_encoder_path), "backend": b}, overlap="all", threshold=0.0) for b in ("torch", "onnx")
    ]
    same(found(nlps[0](TEXTS[0])), found(nlps[1](TEXTS[0])), atol=1e-4)


def test_int8_is_close(make_nlp):
    plain = make_nlp(overlap="all", threshold=0.0)(TEXTS[0])
    quantised = make_nlp({"backend": "onnx", "precision": "int8"}, overlap="all", threshold=0.0)(TEXTS[0])
    left, right = dict_of(plain), dict_of(quantised)
    assert left.keys() == right.keys()
    differences = np.array([abs(left[key] - right[key]) for key in left])
    assert 0 < differences.mean() < 0.1


def dict_of(doc):
    return {(s, e, label): p for s, e, label, p in found(doc)}


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_exported_once_and_kept(make_nlp, tmp_path, monkeypatch, precision):
    nlp = make_nlp({"backend": "onnx", "precision": precision}, overlap="all")
    expected = [found(doc) for doc in nlp.pipe(TEXTS)]
    nlp.to_disk(tmp_path)
    assert list((tmp_path / "open_ner_span/model/onnx").glob(f"encoder.{precision}.*.onnx"))
    monkeypatch.setattr("spacy_openner.models.gliner.onnx_encoder.export", None)
    monkeypatch.setattr("spacy_openner.nn.onnx.quantise", None)
    assert [found(doc) for doc in spacy.load(tmp_path).pipe(TEXTS)] == expected


def changed(nlp):
    """Weights that answer otherwise."""
    network = nlp.get_pipe("open_ner_span").model.shims[0].checkpoint.network
    with torch.no_grad():
        for parameter in network.encoder.parameters():
            parameter.mul_(-0.5)
    return nlp


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_exports_of_other_weights_are_not_used(make_nlp, tmp_path, precision):
    """A pipeline that is saved over an older one leaves none of its files, and would not read them."""
    model = {"backend": "onnx", "precision": precision}
    first = make_nlp(model, overlap="all", threshold=0.0)
    old = found(first(TEXTS[0]))
    first.to_disk(tmp_path)
    stale = list((tmp_path / "open_ner_span/model/onnx").iterdir())
    assert stale
    kept = {file.name: file.read_bytes() for file in stale}
    changed(make_nlp(overlap="all", threshold=0.0)).to_disk(tmp_path / "other")
    other = found(spacy.load(tmp_path / "other")(TEXTS[0]))
    second = changed(make_nlp(overlap="all", threshold=0.0))
    second.to_disk(tmp_path)
    assert not [file for file in stale if file.exists()]
    (tmp_path / "open_ner_span/model/onnx").mkdir(exist_ok=True)
    for name, content in kept.items():
        (tmp_path / "open_ner_span/model/onnx" / name).write_bytes(content)
    loaded = spacy.load(
        tmp_path, config={f"components.open_ner_span.model.{key}": value for key, value in model.items()}
    )
    new = found(loaded(TEXTS[0]))
    assert new != old
    same(new, other, atol=1e-4 if precision == "float32" else 0.1)


def test_exports_of_another_config_are_not_used(make_nlp, tmp_path):
    """The same weights compute otherwise with another activation."""
    nlp = make_nlp({"backend": "onnx"}, overlap="all", threshold=0.0)
    old = found(nlp(TEXTS[0]))
    nlp.to_disk(tmp_path)
    assert found(spacy.load(tmp_path)(TEXTS[0])) == old
    file = tmp_path / "open_ner_span/model/gliner_config.json"
    config = json.loads(file.read_text(encoding="utf8"))
    config["encoder_config"]["hidden_act"] = "relu"
    file.write_text(json.dumps(config), encoding="utf8")
    new = found(spacy.load(tmp_path)(TEXTS[0]))
    assert new != old
    by_torch = spacy.load(tmp_path, config={"components.open_ner_span.model.backend": "torch"})
    same(new, found(by_torch(TEXTS[0])), atol=1e-4)


def test_exports_that_are_cut_anywhere_are_said(make_nlp, tmp_path):
    nlp = make_nlp({"backend": "onnx"})
    nlp(TEXTS[0])
    nlp.to_disk(tmp_path)
    (file,) = (tmp_path / "open_ner_span/model/onnx").iterdir()
    data = file.read_bytes()
    for i in range(20):
        file.write_bytes(data[: len(data) * i // 20])
        with pytest.raises(CheckpointError, match="O105"):
            spacy.load(tmp_path)(TEXTS[0])


@pytest.mark.parametrize("damage", ["garbage", "another width", "other names"])
def test_damaged_exports_are_said(make_nlp, tmp_path, damage):
    nlp = make_nlp({"backend": "onnx"})
    nlp(TEXTS[0])
    nlp.to_disk(tmp_path)
    (file,) = (tmp_path / "open_ner_span/model/onnx").iterdir()
    if damage == "garbage":
        file.write_bytes(b"no graph")
    elif damage == "another width":
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        export(BertModel(BertConfig(vocab_size=500, **sizes)).eval(), file)
    else:
        graph = onnx.load(file)
        for value in [*graph.graph.input, *graph.graph.node]:
            if isinstance(value, onnx.ValueInfoProto) and value.name == "input_ids":
                value.name = "tokens"
            elif isinstance(value, onnx.NodeProto):
                value.input[:] = ["tokens" if name == "input_ids" else name for name in value.input]
        onnx.save(graph, file)
    with pytest.raises(CheckpointError, match="O105"):
        spacy.load(tmp_path)(TEXTS[0])


def test_bytes_hold_no_exports(make_nlp):
    nlp = make_nlp({"backend": "onnx"})
    expected = found(nlp(TEXTS[0]))
    data = nlp.get_pipe("open_ner_span").to_bytes()
    assert b".onnx" not in data
    other = make_nlp({"backend": "onnx"})
    other.get_pipe("open_ner_span").from_bytes(data)
    assert found(other(TEXTS[0])) == expected


def test_refused_without_the_extra(make_nlp, monkeypatch):
    monkeypatch.setattr("spacy_openner.nn.optional.has_onnx", False)
    with pytest.raises(MissingExtra, match=r"O301.*spacy-openner\[onnx\]"):
        make_nlp({"backend": "onnx"})
