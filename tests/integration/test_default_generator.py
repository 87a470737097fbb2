"""The generator in the package: there, licensed, small, and useful out of the box."""

import json

import pytest
import spacy

from spacy_openner.nn import hub as sources
from spacy_openner.nn import int8 as int8_rows


@pytest.fixture(scope="module")
def nlp():
    nlp = spacy.blank("en")
    nlp.add_pipe("gner_generator", config={"labels": ["person", "city"]})
    return nlp


def test_files_and_size():
    directory = sources.default_directory(sources.GENERATOR)
    names = {path.name for path in directory.iterdir()}
    assert {int8_rows.FILE, "config.json", "tokenizer.json", "README.md", "NOTICE.md"} <= names
    assert sum(path.stat().st_size for path in directory.iterdir()) < 40_000_000
    config = json.loads((directory / "config.json").read_text())
    assert "{sentence}" in config["openner_instruction"]
    # No path of the machine that trained it.
    assert not any(part.get("_name_or_path") for part in (config, config["encoder"], config["decoder"]))


def test_it_finds_people_in_plain_sentences(nlp):
    texts = ["Barack Obama met Angela Merkel in Berlin last week.", "The novel was written by Jane Austen."]
    people = [{ent.text for ent in doc.ents if ent.label_ == "person"} for doc in nlp.pipe(texts)]
    assert people == [{"Barack Obama", "Angela Merkel"}, {"Jane Austen"}]


def test_drafts_change_nothing(nlp):
    """After the span matcher, whose entities are its first guess, it finds what it finds alone."""
    both = spacy.blank("en")
    both.add_pipe("open_ner_span", config={"labels": ["person", "city"], "spans_key": "drafts", "annotate_ents": False})
    both.add_pipe("gner_generator", config={"labels": ["person", "city"], "draft_from": "drafts"})
    texts = ["Barack Obama met Angela Merkel in Berlin last week.", "Kim lives in Oslo (Norway).", "", "😀", "北京"]
    for text in texts:
        alone, drafted = nlp(text), both(text)
        assert [(e.start, e.end, e.label_) for e in drafted.ents] == [(e.start, e.end, e.label_) for e in alone.ents]
    counts = [pipe.get_pipe("gner_generator").stats for pipe in (both, nlp)]
    assert counts[0].n_passes / counts[0].n_windows <= counts[1].n_passes / counts[1].n_windows


def test_saved_it_loads_alone(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    doc = spacy.load(tmp_path)("Barack Obama met Angela Merkel in Berlin last week.")
    expected = nlp("Barack Obama met Angela Merkel in Berlin last week.")
    assert [(e.text, e.label_) for e in doc.ents] == [(e.text, e.label_) for e in expected.ents]
