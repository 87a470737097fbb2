"""The encoder in ONNX Runtime says what PyTorch says, and travels with the component."""

import numpy as np
import pytest
import spacy

from spacy_openner.errors import MissingExtra
from tests.support import tiny_models as tiny
from tests.support.tiny_models import found, same

pytest.importorskip("onnxruntime")
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
    monkeypatch.setattr("spacy_openner.models.gliner.onnx_encoder.quantise", None)
    assert [found(doc) for doc in spacy.load(tmp_path).pipe(TEXTS)] == expected


def test_refused_without_the_extra(make_nlp, monkeypatch):
    monkeypatch.setattr("spacy_openner.nn.optional.has_onnx", False)
    with pytest.raises(MissingExtra, match=r"O301.*spacy-openner\[onnx\]"):
        make_nlp({"backend": "onnx"})
