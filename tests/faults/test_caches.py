"""What is kept of texts and labels, when no two are alike: within bounds, in each component, by each way to name labels."""

import warnings

import pytest
import spacy

from spacy_openner.decoding import tag_trie
from spacy_openner.labels import LabelSet, set_labels
from spacy_openner.llm import cache
from spacy_openner.models.generator import tag_chunks
from spacy_openner.models.type_cache.cache import TypeStateCache
from spacy_openner.nn.vector_cache import BoundedCache
from spacy_openner.serve.finder import EntityFinder, RequestSettings
from tests.support.every_model import MODELS, component

KINDS = {"span": 40, "bi": 40, "type-cache": 40, "types-static": 150, "generator-t5": 20, "lar": 40}
"""Models, and how many texts each reads here."""
LARGEST = 80
"""The longest thing kept that does not grow is the config of an encoder: 70 settings in transformers 4."""


@pytest.fixture(scope="module", params=KINDS)
def nlp(request, tmp_path_factory):
    nlp = spacy.blank("en")
    kind = "span" if request.param == "lar" else request.param
    factory, config = component(kind, MODELS[kind](tmp_path_factory.mktemp(kind)))
    if request.param == "lar":
        nlp.add_pipe("entity_ruler").add_patterns([{"label": "person", "pattern": "Ada"}])
        config = {"reassigner": {"@misc": "spacy-openner.SpanTypeReassigner.v1", "model": config["model"]}}
        factory = "lar_reassigner"
    pipe = nlp.add_pipe(factory, config=config)
    if factory == "open_ner_span":
        # The service compares with these.
        pipe.labels = ["person"]
        pipe.threshold = 0.999999
    nlp.meta["kind"] = request.param
    return nlp


def held(value, seen, depth=0):
    """Lengths of what an object of this package keeps, at any depth."""
    if id(value) in seen or depth > 8:
        return
    seen.add(id(value))
    if isinstance(value, dict | list | set):
        yield len(value)
        for each in list(value.values() if isinstance(value, dict) else value)[:20]:
            yield from held(each, seen, depth + 1)
    elif type(value).__module__.startswith("spacy_openner") and hasattr(value, "__dict__"):
        if isinstance(value, BoundedCache):
            assert value.capacity <= 16_384
        if isinstance(value, TypeStateCache):
            assert sum(entry.size for entry in value._entries.values()) == value.size <= value.max_bytes
        for each in vars(value).values():
            yield from held(each, seen, depth + 1)


def largest(nlp):
    """The length of the longest thing that a component and its model keep."""
    lengths, seen = [0], set()
    for _, pipe in nlp.components:
        model = getattr(pipe, "model", None) or getattr(getattr(pipe, "reassigner", None), "model", None)
        for part in (pipe, *(model.shims if model is not None else ()), *(model.attrs.values() if model else ())):
            lengths += held(part, seen)
    return max(lengths)


def bound(nlp, monkeypatch):
    """Let every cache hold less, as if there had been ten thousand texts."""
    monkeypatch.setattr(tag_chunks, "KEPT_WORDS", 20)
    monkeypatch.setattr(tag_chunks, "KEPT_TRIES", 5)
    monkeypatch.setattr(tag_trie, "KEPT_PATHS", 20)
    seen = set()

    def shrink(value, depth=0):
        if id(value) in seen or depth > 8 or isinstance(value, str | bytes):
            return
        seen.add(id(value))
        if isinstance(value, BoundedCache):
            value.capacity = 20
        if isinstance(value, TypeStateCache):
            value.max_bytes = 10 * value.size // len(value)
        for each in vars(value).values() if hasattr(value, "__dict__") else ():
            if type(each).__module__.startswith("spacy_openner"):
                shrink(each, depth + 1)

    for _, pipe in nlp.components:
        model = getattr(pipe, "model", None) or getattr(getattr(pipe, "reassigner", None), "model", None)
        for part in (pipe, *(model.shims if model is not None else ()), *(model.attrs.values() if model else ())):
            shrink(part)


def annotate(nlp, i, way):
    """Annotate a text, and ask for labels, that were not there before."""
    text, labels = f"Ada word{i} went to Place{i} .", {f"label {i} {j}": f"description {i} {j}" for j in range(3)}
    pipe = nlp.components[-1][1]
    if way == "service":
        EntityFinder(nlp)([text], RequestSettings(LabelSet(labels), label_thresholds=((f"label {i} 0", 0.99),)))
        return
    with nlp.memory_zone():
        doc = nlp.make_doc(text)
        if way == "doc":
            set_labels(doc, labels)
        elif nlp.meta["kind"] == "lar":
            pipe.settings = pipe.settings.replace(labels=labels, table=dict.fromkeys(labels, "person"))
        else:
            pipe.labels = labels
        nlp(doc)


@pytest.mark.parametrize("way", ["doc", "component", "service"])
def test_new_texts_and_labels(way, nlp, monkeypatch):
    kind = nlp.meta["kind"]
    if way == "service" and kind.startswith(("types", "lar")):
        pytest.skip("no component of a service")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        annotate(nlp, -1, way)
        bound(nlp, monkeypatch)
        for i in range(KINDS[kind] // 4):
            annotate(nlp, i, way)
        strings, said = len(nlp.vocab.strings), len(caught)
        for i in range(KINDS[kind] // 4, KINDS[kind]):
            annotate(nlp, i, way)
    assert len(nlp.vocab.strings) - strings < 3
    assert largest(nlp) <= LARGEST
    # Each warning that names what is new is kept for ever by Python itself.
    assert len(caught) == said


def test_tags_that_hints_allow(monkeypatch):
    monkeypatch.setattr(tag_trie, "KEPT_PATHS", 100)
    trie = tag_trie.TagTrie([(1, i) for i in range(10)])
    for allowed in range(1, 1 << 10, 2):
        assert trie.path(0, allowed).subwords == (1, 0)
    assert len(trie._paths) <= 100


def test_long_lists_and_words_of_generators(monkeypatch):
    monkeypatch.setattr(tag_chunks, "KEPT_TAGS", 300)
    monkeypatch.setattr(tag_chunks, "KEPT_CHARS", 3_000)

    def tokenizer(texts, add_special_tokens):
        return {"input_ids": [[*text.encode()] for text in texts]}

    chunks = tag_chunks.ChunkEncoder(tokenizer)
    for i in range(20):
        tags = ["O", *(f"B-{i}-{j};" for j in range(99))]
        (word,) = chunks.encode_words([f"{i}" * 500], tags, lambda word, tag: f"{word}({tag})")
        assert bytes(word.forced).decode() == f"{i}" * 500
        assert len(chunks._tries) <= 4
        assert sum(len(text) for text, _ in chunks._forced) <= 4_500


def test_answers_without_a_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "KEPT_CHARS", 1_000)
    (tmp_path / "file").write_text("")
    kept = cache.Cache(tmp_path / "file")
    for i in range(100):
        kept.put(str(i), "m", "x" * 100)
        assert kept.get(str(i)) == "x" * 100
    assert len(kept.memory) == 10
    kept.put("99", "m", "y")
    assert kept.get("99") == "y"
    assert kept.get("98") is not None
    assert kept.get("0") is None
