"""All components in processes that are spawned: these import everything anew, and get the pipeline pickled.

It is one pipeline, since each process takes many seconds to begin.
"""

import multiprocessing

import pytest
import torch
from spacy.training import Example

from spacy_openner.lar.decisions import read_decisions
from tests.support import tiny_models as tiny
from tests.support.fake_chat_server import serve
from tests.support.generator_case import PROMPT
from tests.support.reassignment_case import GOLD, TABLE, TEXTS, gated, generator, lar_nlp, llm, span_matcher
from tests.support.type_cache import ARCHITECTURE, saved_type_cache

CNN = {"@architectures": "spacy.HashEmbedCNN.v2", "width": 32, "depth": 1, "embed_size": 200, "window_size": 1}
CNN |= {"maxout_pieces": 2, "subword_features": True, "pretrained_vectors": None}


def add(nlp, factory, name, model, **config):
    settings = {"labels": tiny.LABELS, "model": model, "spans_key": name, "annotate_ents": False, "overlap": "all"}
    return nlp.add_pipe(factory, name=name, config={**settings, **config})


@pytest.fixture
def nlp(tiny_path, bi_encoder_path, t5, tmp_path):
    """A pipeline with each component, and with each kind of model for them."""
    with serve(gold=GOLD) as server:
        nlp = lar_nlp(gated(span_matcher(tiny_path), llm(server.url), below=0.9))
        own = {"table": TABLE, "reassigner": generator(t5), "spans_key": "by_generator", "annotate_ents": False}
        nlp.add_pipe("lar_reassigner", name="by_generator", before="lar_reassigner", config=own)
        plain = tiny.span_matcher(tiny_path, precision="float32")
        add(nlp, "open_ner_span", "torch", plain, threshold=0.3)
        add(nlp, "open_ner_span", "onnx", {**plain, "backend": "onnx"}, threshold=0.3)
        add(nlp, "open_ner_span", "bi_encoder", {**plain, "name": str(bi_encoder_path)}, threshold=0.3)
        cached = {"@architectures": ARCHITECTURE, "name": str(saved_type_cache("bert", tmp_path)), "backend": "onnx"}
        add(nlp, "open_ner_span", "type_cache", {**cached, "precision": "float32"}, threshold=0.3)
        encoder = tiny.backbone("bert", tmp_path / "types", seed=3)
        vectors = {"@architectures": "spacy-openner.BiEncoderSpanMatcher.v1", "tok2vec": CNN, "width": 64}
        pipe = add(nlp, "open_ner_span", "vectors", {**vectors, "label_encoder": str(encoder)}, threshold=0.3)
        doc = nlp.make_doc(tiny.SENTENCES[0])
        pipe.initialize(lambda: [Example(doc, doc)], nlp=nlp)
        add(nlp, "gner_generator", "generator", {"name": str(t5), "precision": "float32"}, prompt=PROMPT)
        # The last one, since it settles what the others would look for.
        static = {"name": str(tiny.saved_types(tmp_path))}
        nlp.add_pipe("type_filter", config={"labels": tiny.LABELS, "threshold": 0.0, "model": static})
        yield nlp


def test_two_spawned_processes(nlp, own_plugins, monkeypatch):
    """Also after the parent has predicted with several threads."""
    texts = [*tiny.SENTENCES, *TEXTS]
    expected = list(nlp.pipe(texts))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    nlp(texts[0])
    monkeypatch.setattr("spacy.language.mp", multiprocessing.get_context("spawn"))
    docs = list(nlp.pipe(texts, n_process=2, batch_size=4))
    torch.set_num_threads(threads)
    for doc, alone in zip(docs, expected, strict=True):
        for key in ("torch", "onnx", "bi_encoder", "type_cache", "vectors"):
            tiny.same(tiny.found(doc, key), tiny.found(alone, key))
        assert [x[:3] for x in tiny.found(doc, "generator")] == [x[:3] for x in tiny.found(alone, "generator")]
        for key in ("openner", "by_generator"):
            decisions, wanted = read_decisions(doc, key), read_decisions(alone, key)
            assert [d._replace(score=0.0) for d in decisions] == [d._replace(score=0.0) for d in wanted]
            assert [d.score for d in decisions] == pytest.approx([d.score for d in wanted], abs=1e-4)
        assert [(e.text, e.label_) for e in doc.ents] == [(e.text, e.label_) for e in alone.ents]
        assert doc._.openner_labels == alone._.openner_labels
        assert doc._.openner_type_scores == pytest.approx(alone._.openner_type_scores, abs=1e-5)
    assert any(tiny.found(doc, key) for doc in docs for key in ("torch", "type_cache", "vectors", "generator"))
    assert any(read_decisions(doc, "by_generator") for doc in docs)
