"""The weights in the package: there, licensed, and useful out of the box."""

import json

import pytest
import spacy

from spacy_openner.nn import hub as sources
from tests.support import tiny_models as tiny

LABELS = ["person", "award", "chemical element"]


@pytest.fixture(scope="module")
def nlp():
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span", config={"labels": LABELS})
    return nlp


def test_files_and_size():
    directory = sources.default_directory()
    assert {"model.safetensors", "gliner_config.json", "tokenizer.json", "README.md", "NOTICE.md"} <= {
        path.name for path in directory.iterdir()
    }
    assert sum(path.stat().st_size for path in directory.iterdir()) < 50_000_000
    config = json.loads((directory / "gliner_config.json").read_text())
    assert config["model_name"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert "_name_or_path" not in config["encoder_config"]  # no path of the machine that trained it


def test_it_finds_people_in_plain_sentences(nlp):
    texts = [
        "Marie Curie won the Nobel Prize for discovering polonium.",
        "Barack Obama met Angela Merkel in Berlin last week.",
        "The novel was written by Jane Austen.",
    ]
    people = [{ent.text for ent in doc.ents if ent.label_ == "person"} for doc in nlp.pipe(texts)]
    assert people == [{"Marie Curie"}, {"Barack Obama", "Angela Merkel"}, {"Jane Austen"}]


def test_other_types_need_no_other_model(nlp):
    pipe = nlp.get_pipe("open_ner_span")
    pipe.labels = ["location", "disease"]
    doc = nlp("An outbreak of malaria was reported in Kenya.")
    pipe.labels = LABELS
    assert {ent.text for ent in doc.ents if ent.label_ == "location"} == {"Kenya"}


@pytest.mark.parametrize("words", ["spacy", "gliner"])
def test_the_end_of_a_long_doc_is_read(words):
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span", config={"labels": ["person"], "model": tiny.span_matcher("", words=words)})
    doc = nlp("It rained all day and nobody came. " * 400 + "Then Barack Obama met Angela Merkel.")
    assert [ent.text for ent in doc.ents][-2:] == ["Barack Obama", "Angela Merkel"]
