"""Merged tokens and joined docs keep their span groups and scores."""

import warnings
from itertools import permutations

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span, SpanGroup

from spacy_openner import merge_docs, move_span_groups, read_decisions
from spacy_openner.components.annotate import annotate
from spacy_openner.errors import OpenNERWarning, TextError
from spacy_openner.lar.decisions import Decision, as_attrs
from spacy_openner.span_groups import spans_of
from spacy_openner.types import Candidate

TEXT = "Jane Austen met Mary Poppins in New York City today."
NAMES = {"Jane Austen": ("person", 0.75), "Mary Poppins": ("person", 0.5), "New York City": ("city", 0.875)}


@Language.component("merging_test_finder")
def find_names(doc):
    """Finds the names that begin and end where tokens do."""
    places = [(doc.char_span(at, at + len(name)), *NAMES[name]) for name in NAMES for at in [doc.text.find(name)]]
    found = [Candidate(s.start, s.end, label, score) for s, label, score in places if s is not None]
    annotate(doc, found, name="finder", spans_key="openner", annotate_ents=True, overwrite_ents=False)
    return doc


def pipeline(*names):
    nlp = spacy.blank("en")
    for name in names:
        nlp.add_pipe(name)
    return nlp


def of_group(doc, key="openner"):
    return {span.text: (span.label_, span._.openner_score) for span in doc.spans[key]}


def copies(doc):
    """The ways in which spaCy stores docs and sends them to other processes."""
    yield doc.copy()
    yield Doc(doc.vocab).from_bytes(doc.to_bytes())
    yield next(DocBin(docs=[doc]).get_docs(doc.vocab))


MERGING = ("merge_entities", "merge_openner_entities")


@pytest.mark.parametrize("names", list(permutations(["merging_test_finder", *MERGING])), ids=" ".join)
def test_every_order_beside_spacys_own(names):
    doc = pipeline(*names)(TEXT)
    behind = names[names.index("merging_test_finder") + 1 :]
    assert len(doc) == (7 if behind else 11)
    if behind == ("merge_entities",):
        with pytest.raises(TextError, match="O204"):
            spans_of(doc, "openner")
        move_span_groups(doc)
    assert of_group(doc) == NAMES
    assert {ent.text: (ent.label_, ent._.openner_score) for ent in doc.ents} == NAMES
    assert all(of_group(copy) == NAMES for copy in copies(doc))


def test_in_other_processes():
    nlp = pipeline("merging_test_finder", "merge_openner_entities")
    assert [of_group(doc) for doc in nlp.pipe([TEXT] * 3, n_process=2, batch_size=1)] == [NAMES] * 3


def test_a_saved_pipeline(tmp_path):
    nlp = pipeline("merge_openner_entities")
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).pipe_names == ["merge_openner_entities"]


def test_components_that_meet_groups_left_behind():
    nlp = pipeline("merging_test_finder", "merge_entities")
    config = {"source": "openner", "table": {"human": "person"}, "labels": ["human"], "on_none": "never"}
    nlp.add_pipe("lar_reassigner", config=config)
    with pytest.raises(TextError, match=r"O204.*'openner'.*merge_openner_entities"):
        nlp(TEXT)
    nlp.add_pipe("merge_openner_entities", after="merge_entities")
    assert [ent.text for ent in nlp(TEXT).ents if ent.label_ == "human"] == ["Jane Austen", "Mary Poppins"]


def test_spans_inside_of_merged_tokens_are_left_out_aloud():
    doc = find_names(spacy.blank("en")(TEXT))
    york = Span(doc, 6, 9, label="city", kb_id="Q60", span_id="nyc")
    spans = [Span(doc, 0, 1, label="first name"), york, Span(doc, 6, 8, label="state"), doc[9:10]]
    attrs = {"scores": np.array([0.1, 0.2, 0.3, 0.4]), "notes": ["a", "b", "c", "d"], "name": "x", "more": [1]}
    doc.spans["mine"] = SpanGroup(doc, name="other name", spans=spans, attrs=attrs)
    pipe = spacy.blank("en").add_pipe("merge_openner_entities")
    with pytest.warns(OpenNERWarning, match=r"W018.*2 spans.*'mine'"):
        pipe(doc)
    group = doc.spans["mine"]
    assert [span.text for span in group] == ["New York City", "today"]
    assert (group[0].label_, group[0].kb_id_, group[0].id_) == ("city", "Q60", "nyc")
    assert group.name == "other name"
    assert group.attrs["scores"].tolist() == [0.2, 0.4]
    assert {key: group.attrs[key] for key in ("notes", "name", "more")} == {
        "notes": ["b", "d"],
        "name": "x",
        "more": [1],
    }
    assert of_group(doc) == NAMES


def test_tokens_that_are_split():
    doc = find_names(spacy.blank("en")(TEXT))
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[2], ["m", "et"], heads=[doc[2], doc[2]])
    move_span_groups(doc)
    assert of_group(doc) == NAMES


def test_groups_that_fit_are_left_alone():
    doc = find_names(spacy.blank("en")(TEXT))
    before = doc.spans["openner"]
    move_span_groups(doc)
    assert doc.spans["openner"] is before


def test_an_empty_doc():
    doc = pipeline("merging_test_finder", *MERGING)("")
    assert len(doc) == len(doc.spans["openner"]) == 0


DECISIONS = [
    Decision(0, 2, "person", "writer", 0.5, "llm"),
    Decision(3, 5, "person", "", 0.0, "llm", "none"),
    Decision(6, 9, "place", "city", 0.25, "matcher", "a neighbouring span", (7, 9)),
]


def with_decisions(doc):
    kept = [Candidate(d.start, d.end, d.label, d.score) for d in DECISIONS if d.label]
    settings = {"spans_key": "openner", "annotate_ents": True, "overwrite_ents": False}
    annotate(doc, kept, name="lar", attrs=as_attrs(doc, DECISIONS), **settings)
    return doc


def test_decisions_come_along():
    nlp = pipeline("merge_openner_entities")
    doc = nlp.get_pipe("merge_openner_entities")(with_decisions(nlp.make_doc(TEXT)))
    assert [token.text for token in doc][:6] == ["Jane Austen", "met", "Mary", "Poppins", "in", "New York City"]
    first, dropped, moved = read_decisions(doc)
    assert first == DECISIONS[0]._replace(end=1)
    assert dropped == DECISIONS[1]._replace(start=2, end=4)
    # What was inside of the token is the token now.
    assert moved == DECISIONS[2]._replace(start=5, end=6, moved_from=(5, 6))


# Joined docs


def test_scores_of_joined_docs():
    nlp = pipeline("merging_test_finder")
    docs = [nlp(TEXT), nlp("Nobody is here."), nlp(""), nlp("Then Mary Poppins left New York City.")]
    joined = merge_docs(docs)
    assert joined.text == " ".join(doc.text for doc in docs if len(doc))
    expected = [(span.text, span._.openner_score) for doc in docs for span in doc.spans["openner"]]
    assert [(span.text, span._.openner_score) for span in joined.spans["openner"]] == expected
    assert len(expected) == 5
    assert [ent._.openner_score for ent in joined.ents] == [score for _, score in expected]
    assert joined.spans["openner"].attrs["openner"] == "finder"
    assert all(of_group(copy) == of_group(joined) for copy in copies(joined))


def test_spacys_own_way_drops_them():
    """If this fails one day, `merge_docs` is no longer needed."""
    joined = Doc.from_docs([pipeline("merging_test_finder")(TEXT)])
    assert len(joined.spans["openner"]) == 3
    assert not joined.spans["openner"].attrs


@pytest.mark.parametrize("ensure_whitespace", [True, False])
def test_decisions_of_joined_docs(ensure_whitespace):
    nlp = spacy.blank("en")
    docs = [with_decisions(nlp.make_doc(text)) for text in (TEXT, TEXT + " ", TEXT)]
    joined = merge_docs(docs, ensure_whitespace=ensure_whitespace)
    n = len(docs[0])
    expected = [
        d._replace(
            start=d.start + n * i,
            end=d.end + n * i,
            moved_from=d.moved_from and tuple(at + n * i for at in d.moved_from),
        )
        for i in range(3)
        for d in DECISIONS
    ]
    assert read_decisions(joined) == expected


def test_explanations_of_joined_docs():
    nlp = spacy.blank("en")
    docs = [nlp.make_doc("Ada"), nlp.make_doc("Bob")]
    for doc, why in zip(docs, ("because", ""), strict=True):
        found = [Candidate(0, 1, "person", 0.5, why)]
        annotate(doc, found, name="x", spans_key="openner", annotate_ents=True, overwrite_ents=False)
    assert merge_docs(docs).spans["openner"].attrs["explanations"] == ["because", ""]


def test_what_only_some_groups_say_is_left_out_aloud():
    nlp = spacy.blank("en")
    docs = [nlp.make_doc("Ada"), nlp.make_doc("Bob")]
    for doc in docs:
        doc.spans["x"] = [doc[0:1]]
    docs[0].spans["x"].attrs.update(scores=[0.5], unit="km", model="m")
    docs[1].spans["x"].attrs.update(unit="miles", model="m")
    with pytest.warns(OpenNERWarning, match=r"W019.*'x'.*\['scores', 'unit'\]"):
        joined = merge_docs(docs)
    assert joined.spans["x"].attrs == {"model": "m"}


def test_without_docs_groups_or_spans():
    nlp = spacy.blank("en")
    assert merge_docs([]) is None
    doc = pipeline("merging_test_finder")(TEXT)
    assert not merge_docs([doc], exclude=["spans"]).spans
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        joined = merge_docs([nlp.make_doc("Ada"), Doc(nlp.vocab, words=["x"])])
    assert not joined.spans
    assert joined.text == "Ada x "
