"""The type-cache weights in the package: there, licensed, and useful out of the box."""

import json

import numpy as np
import pytest
import spacy

from spacy_openner.nn import hub

ARCHITECTURE = "spacy-openner.TypeCacheSpanMatcher.v1"
LABELS = ["person", "award", "chemical element", "city"]
TEXTS = {
    "Marie Curie won the Nobel Prize for discovering polonium.": {
        ("Marie Curie", "person"),
        ("Nobel Prize", "award"),
        ("polonium", "chemical element"),
    },
    "Barack Obama met Angela Merkel in Berlin last week.": {
        ("Barack Obama", "person"),
        ("Angela Merkel", "person"),
        ("Berlin", "city"),
    },
    "The novel was written by Jane Austen.": {("Jane Austen", "person")},
}


def build(labels, **config):
    nlp = spacy.blank("en")
    model = {"@architectures": ARCHITECTURE, "precision": "float32"}
    nlp.add_pipe("open_ner_span", config={"labels": labels, "model": model, **config})
    return nlp


@pytest.fixture(scope="module")
def nlp():
    return build(LABELS)


def test_files_and_size():
    directory = hub.default_directory(hub.TYPE_CACHE)
    names = {path.name for path in directory.iterdir()}
    assert {"model.int8.safetensors", "type_cache.json", "tokenizer.json", "README.md", "NOTICE.md"} <= names
    assert sum(path.stat().st_size for path in directory.iterdir()) < 27_000_000
    config = json.loads((directory / "type_cache.json").read_text(encoding="utf8"))
    assert "_name_or_path" not in config["encoder"]  # no path of the machine that trained it


def test_entities_of_plain_sentences(nlp):
    for doc, expected in zip(nlp.pipe(TEXTS), TEXTS.values(), strict=True):
        assert {(ent.text, ent.label_) for ent in doc.ents} == expected


def test_order_and_repetition_of_labels_change_nothing(nlp):
    doc = nlp.make_doc(next(iter(TEXTS)))
    spans = [doc[:2], doc[4:6]]
    pipe = nlp.get_pipe("open_ner_span")
    scores = pipe.span_scores(doc, spans, LABELS)
    assert np.array_equal(pipe.span_scores(doc, spans, LABELS[::-1])[:, ::-1], scores)


def test_a_thousand_types_in_one_pass():
    nlp = build([*LABELS, *(f"{kind} of kind {number}" for kind in ("vehicle", "tool") for number in range(498))])
    doc = nlp("Barack Obama met Angela Merkel in Berlin last week.")
    assert {("Barack Obama", "person"), ("Angela Merkel", "person"), ("Berlin", "city")} <= {
        (ent.text, ent.label_) for ent in doc.ents
    }


def test_they_are_saved_whole_with_a_pipeline(nlp, tmp_path, monkeypatch):
    nlp.to_disk(tmp_path / "pipeline")
    monkeypatch.setattr(hub, "PACKAGE", tmp_path / "nothing here")
    loaded = spacy.load(tmp_path / "pipeline")
    for doc, expected in zip(loaded.pipe(TEXTS), TEXTS.values(), strict=True):
        assert {(ent.text, ent.label_) for ent in doc.ents} == expected
    again = build(LABELS).from_bytes(nlp.to_bytes())
    assert {(ent.text, ent.label_) for ent in again(next(iter(TEXTS))).ents} == next(iter(TEXTS.values()))
