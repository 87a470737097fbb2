"""The encoder of texts in ONNX Runtime says what PyTorch says, and travels with the component."""

import multiprocessing
import pickle
import threading

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_openner.errors import CheckpointError, MissingExtra, SettingError
from spacy_openner.labels import set_labels
from spacy_openner.models.type_cache import onnx_encoder
from tests.support.tiny_models import LABELS, SENTENCES, found, long_text, same
from tests.support.type_cache import KINDS, pipeline, saved_type_cache

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
TEXTS = [*SENTENCES, "", long_text(200)]
ONNX = {"backend": "onnx", "precision": "auto"}
INT8 = {"backend": "onnx", "precision": "int8"}
FILES = "open_ner_span/model/onnx"


@pytest.fixture(scope="module", params=KINDS)
def path(request, tmp_path_factory):
    return saved_type_cache(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return saved_type_cache("bert", tmp_path_factory.mktemp("one"))


def results(nlp, texts=TEXTS, **settings):
    return [found(doc) for doc in nlp.pipe(texts, **settings)]


def all_same(left, right, **tolerance):
    for a, b in zip(left, right, strict=True):
        same(a, b, **tolerance)


@pytest.mark.parametrize("most_scores", [onnx_encoder.MOST_SCORES, 1])
def test_float32_equals_torch(path, monkeypatch, most_scores):
    """In one run of the graph, or row by row."""
    monkeypatch.setattr(onnx_encoder, "MOST_SCORES", most_scores)
    expected = results(pipeline(path, LABELS, {"window": 64, "overlap": 8}, overlap="all"))
    all_same(results(pipeline(path, LABELS, {**ONNX, "window": 64, "overlap": 8}, overlap="all")), expected, atol=1e-4)


def test_texts_of_a_batch_may_ask_for_types_of_their_own(path, monkeypatch):
    monkeypatch.setattr(onnx_encoder, "MOST_SCORES", 2**10)
    lists = [LABELS[:2], LABELS[3:], [], LABELS[1:4], ["award"], LABELS, LABELS[:2]]

    def run(model):
        nlp = pipeline(path, model=model, overlap="all")
        docs = [nlp.make_doc(text) for text in TEXTS]
        for doc, labels in zip(docs, lists, strict=False):
            set_labels(doc, labels)
        return results(nlp, docs)

    all_same(run(ONNX), run({}), atol=1e-4)


def test_many_types(bert):
    """Longer lists than the trace saw, and of another number at each call."""
    words = [word for text in SENTENCES for word in text.split()]
    types = [f"{a} {b}" for a in words[:16] for b in words[:16]]
    expected, nlp = pipeline(bert), pipeline(bert, model=ONNX)
    for count in (1, len(types)):
        scores = []
        for each in (expected, nlp):
            doc = each.make_doc(SENTENCES[0])
            scores.append(each.get_pipe("open_ner_span").span_scores(doc, [doc[:2], doc[3:4]], types[:count]))
        assert np.allclose(*scores, atol=1e-4)


@pytest.mark.parametrize("options", [{"markers_only": True}, {"blind_layers": 1}], ids=str)
def test_markers_only_and_blind_layers(tmp_path, options):
    path = saved_type_cache("bert", tmp_path, **options)
    all_same(
        results(pipeline(path, LABELS, ONNX, overlap="all")), results(pipeline(path, LABELS, overlap="all")), atol=1e-4
    )


def test_int8_is_close(path):
    plain, quantised = (
        {key[:3]: key[3] for key in found(pipeline(path, LABELS, model, overlap="all")(SENTENCES[0]))}
        for model in (ONNX, INT8)
    )
    assert plain.keys() == quantised.keys()
    assert 0 < np.mean([abs(plain[key] - quantised[key]) for key in plain]) < 0.1


@pytest.mark.parametrize("model", [ONNX, INT8], ids=["float32", "int8"])
def test_exported_once_and_kept(bert, tmp_path, monkeypatch, model):
    nlp = pipeline(bert, LABELS, model, overlap="all")
    expected = results(nlp)
    nlp.to_disk(tmp_path)
    assert list((tmp_path / FILES).glob(f"encoder.{'int8' if model is INT8 else 'float32'}.*.onnx"))
    monkeypatch.setattr(onnx_encoder, "export", None)
    monkeypatch.setattr("spacy_openner.nn.onnx.quantise", None)
    assert results(spacy.load(tmp_path)) == expected


def test_exports_of_other_weights_are_not_used(bert, tmp_path):
    """A pipeline that is trained on, or saved over an older one, leaves no files of the old weights."""
    nlp = pipeline(bert, ["person", "city"], ONNX, overlap="all")
    old = results(nlp)
    nlp.to_disk(tmp_path)
    (stale,) = (tmp_path / FILES).iterdir()
    optimizer = nlp.initialize()
    gold = Doc(nlp.vocab, words=["mrs", "marie", "lives", "in", "paris"])
    gold.spans["openner"] = [Span(gold, 1, 2, label="person")]
    set_labels(gold, ["person", "city"])
    for _ in range(3):
        nlp.update([Example(Doc(nlp.vocab, words=[t.text for t in gold]), gold)], sgd=optimizer)
    new = results(nlp)
    assert new != old
    nlp.to_disk(tmp_path)
    assert not stale.exists()
    all_same(results(spacy.load(tmp_path)), new)
    settings = {"backend": "torch", "precision": "float32"}
    plain = spacy.load(tmp_path, config={f"components.open_ner_span.model.{k}": v for k, v in settings.items()})
    all_same(results(plain), new, atol=1e-4)


@pytest.mark.parametrize("damage", ["garbage", "another encoder"])
def test_damaged_exports_are_said(bert, tmp_path, damage):
    nlp = pipeline(bert, LABELS, ONNX)
    nlp(TEXTS[0])
    nlp.to_disk(tmp_path / "pipeline")
    (file,) = (tmp_path / "pipeline" / FILES).iterdir()
    if damage == "garbage":
        file.write_bytes(b"no graph")
    else:
        other = pipeline(saved_type_cache("modernbert", tmp_path))
        onnx_encoder.export(other.get_pipe("open_ner_span").model.shims[0].runtime.network, file)
    with pytest.raises(CheckpointError, match="O105"):
        spacy.load(tmp_path / "pipeline")(TEXTS[0])


def test_bytes_and_pickles_hold_no_exports(bert):
    nlp = pipeline(bert, LABELS, ONNX, overlap="all")
    expected = results(nlp)
    data = nlp.get_pipe("open_ner_span").to_bytes()
    assert b".onnx" not in data
    other = pipeline(bert, LABELS, ONNX, overlap="all")
    other.get_pipe("open_ner_span").from_bytes(data)
    assert results(other) == expected
    assert results(pickle.loads(pickle.dumps(nlp))) == expected


def test_threads(bert):
    expected = results(pipeline(bert, LABELS, overlap="all"))
    nlp, answers = pipeline(bert, LABELS, ONNX, overlap="all"), []
    threads = [threading.Thread(target=lambda: answers.append(results(nlp))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    for answer in answers:
        all_same(answer, expected, atol=1e-4)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("method", [pytest.param("spawn", marks=pytest.mark.slow), "fork"])
def test_two_processes(bert, method, monkeypatch):
    """Also after the parent has predicted with several threads, whose pools a fork leaves behind dead."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    nlp = pipeline(bert, LABELS, ONNX, overlap="all")
    expected = results(nlp)
    monkeypatch.setattr("spacy.language.mp", multiprocessing.get_context(method))
    answers = results(nlp, TEXTS * 2, n_process=2, batch_size=4)
    torch.set_num_threads(threads)
    all_same(answers, expected * 2, atol=1e-5)


@pytest.mark.parametrize(
    "model", [{"backend": "jax"}, {"backend": "onnx", "precision": "bfloat16"}, {"precision": "int8"}]
)
def test_settings_are_checked(model):
    with pytest.raises(SettingError, match="O001"):
        pipeline("somewhere", model=model)


def test_refused_without_the_extra(bert, monkeypatch):
    monkeypatch.setattr("spacy_openner.nn.optional.has_onnx", False)
    with pytest.raises(MissingExtra, match=r"O301.*spacy-openner\[onnx\]"):
        pipeline(bert, model=ONNX)
