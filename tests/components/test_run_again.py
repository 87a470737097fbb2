"""Docs that are run again with other settings, and components that write to one span group."""

import warnings

import pytest
import spacy
from spacy.tokens import Span

from spacy_openner.errors import OpenNERWarning
from tests.support import tiny_models as tiny
from tests.support.reassignment_case import lar_nlp

TEXT = "Marie Curie lived in Paris"
LABELS = ["person", "city", "company"]


@pytest.fixture(scope="module")
def types_path(tmp_path_factory):
    return tiny.saved_types(tmp_path_factory.mktemp("types"))


@pytest.fixture
def filtering(types_path):
    """Build a pipeline of type filters, by name, with settings."""

    def build(**filters):
        nlp = spacy.blank("en")
        for name, settings in filters.items():
            nlp.add_pipe("type_filter", name=name, config={"model": {"name": str(types_path)}, **settings})
        return nlp

    return build


def test_a_filter_chooses_from_all_types_again(filtering):
    nlp = filtering(few={"labels": LABELS, "threshold": 1.0, "min_types": 1})
    doc = nlp(TEXT)
    (first,) = doc._.openner_labels
    nlp.get_pipe("few").min_types = 3
    assert set(nlp(doc)._.openner_labels) == set(LABELS)
    nlp.get_pipe("few").labels = ["award", "river"]
    doc = nlp(doc)
    assert set(doc._.openner_labels) == {"award", "river"}
    assert set(doc._.openner_type_scores) == {"award", "river"}
    nlp.get_pipe("few").labels = []
    doc = nlp(doc)
    assert doc._.openner_labels is None
    assert first in LABELS


def test_a_docs_own_types_come_back_and_stay(filtering):
    nlp = filtering(few={"labels": LABELS, "threshold": 1.0, "min_types": 1})
    doc = nlp.make_doc(TEXT)
    doc._.openner_labels = {"award": "a prize", "river": "a stream"}
    for n in (1, 2, 1):
        nlp.get_pipe("few").min_types = n
        doc = nlp(doc)
        assert len(doc._.openner_labels) == n
    # What a user says between two runs is the user's.
    doc._.openner_labels = ["award"]
    nlp.get_pipe("few").min_types = 3
    assert nlp(doc)._.openner_labels == ["award"]


def test_two_filters_narrow_one_another_in_each_run(filtering):
    nlp = filtering(
        first={"labels": LABELS, "threshold": 1.0, "min_types": 2},
        second={"labels": LABELS, "threshold": 1.0, "min_types": 1},
    )
    doc = nlp(TEXT)
    again = nlp(nlp(TEXT))
    assert again._.openner_labels == doc._.openner_labels
    assert len(doc._.openner_labels) == 1
    nlp.get_pipe("second").min_types = 3
    assert len(nlp(again)._.openner_labels) == 2


def test_entities_of_an_earlier_run_are_not_the_users(make_nlp):
    nlp = make_nlp(threshold=0.0)
    doc = nlp.make_doc(tiny.SENTENCES[0])
    doc.ents = [Span(doc, 0, 1, label="mine")]
    doc = nlp(doc)
    assert len(doc.ents) > 1
    nlp.get_pipe("open_ner_span").threshold = 1.0
    doc = nlp(doc)
    assert [(ent.start, ent.end, ent.label_) for ent in doc.ents] == [(0, 1, "mine")]
    fresh = make_nlp(threshold=0.0, labels=["award"])(doc)
    assert {ent.label_ for ent in fresh.ents} == {"mine", "award"}
    assert {ent.label_ for ent in make_nlp(threshold=0.0, labels=["x"])(fresh).ents} == {"mine", "x"}


def test_a_reassigner_decides_anew(tmp_path):
    nlp = lar_nlp(table={"politician": "person", "city": "place"}, labels=["politician", "city"], on_none="never")
    doc = nlp("Ada met Lee in Oslo")
    assert {ent.label_ for ent in doc.ents} == {"politician", "city"}
    pipe = nlp.get_pipe("lar_reassigner")
    pipe.settings = pipe.settings.replace(labels=["human", "town"], table={"human": "person", "town": "place"})
    doc = nlp(doc)
    assert {ent.label_ for ent in doc.ents} == {"human", "town"}
    pipe.settings = pipe.settings.replace(table={"human": "person", "town": "thing"}, on_unmapped="drop")
    doc = pipe(doc)
    assert {ent.label_ for ent in doc.ents} == {"human"}
    pipe.on_unmapped = "keep"
    assert {ent.label_ for ent in pipe(doc).ents} == {"human", "place"}


@pytest.mark.parametrize("stream", [False, True], ids=["call", "pipe"])
def test_two_components_with_one_span_group(make_nlp, tiny_path, stream):
    nlp = make_nlp(threshold=0.0, labels=["person"])
    model = tiny.span_matcher(tiny_path, precision="float32")
    nlp.add_pipe("open_ner_span", name="other", config={"labels": ["award"], "model": model, "threshold": 0.0})
    with pytest.warns(OpenNERWarning, match=r"W004.*'other'"):
        doc = next(nlp.pipe([TEXT])) if stream else nlp(TEXT)
    assert {span.label_ for span in doc.spans["openner"]} == {"award"}


def test_a_reassigner_is_meant_to_refine(make_nlp):
    nlp = make_nlp(threshold=0.0, labels=["person"])
    config = {"labels": ["winner"], "table": {"winner": "person"}, "on_none": "never"}
    nlp.add_pipe("lar_reassigner", config=config)
    with warnings.catch_warnings():
        warnings.simplefilter("error", OpenNERWarning)
        doc = nlp(TEXT)
        assert {ent.label_ for ent in nlp(doc).ents} == {"winner"}


def test_what_later_components_found_is_of_the_run_before(make_nlp):
    """A component that runs again finds what it did when nothing behind it had run, whatever the span groups' keys."""
    nlp = make_nlp(labels=["person"], threshold=0.9, spans_key="first")
    config = {"model": nlp.get_pipe_config("open_ner_span")["model"], "labels": ["city", "company"], "threshold": 0.2}
    nlp.add_pipe("open_ner_span", name="behind", config={**config, "spans_key": "second"})
    doc = nlp("Marie Curie lived in Paris with Pierre and won a prize in Oslo")
    assert {ent.label_ for ent in doc.ents} & {"city", "company"}
    nlp.get_pipe("open_ner_span").threshold = 0.1
    fresh = nlp(nlp.make_doc(doc.text))
    again = nlp(doc)
    for key in ("first", "second"):
        assert [(s.start, s.end, s.label_) for s in again.spans[key]] == [
            (s.start, s.end, s.label_) for s in fresh.spans[key]
        ]
    assert [(e.start, e.end, e.label_) for e in again.ents] == [(e.start, e.end, e.label_) for e in fresh.ents]
