"""Reading span groups and the scores in them."""

import pickle
import time

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span, SpanGroup

import spacy_openner
from spacy_openner.components.annotate import annotate
from spacy_openner.errors import TextError
from spacy_openner.span_groups import get_score, scores_in_step, spans_of
from spacy_openner.types import Candidate
from tests.support.command_line import execute

WORDS = ["She", "left", "the", "University", "of", "Oslo", "for", "Bergen", "."]
FOUND = [
    Candidate(3, 6, "university", 0.9),
    Candidate(5, 6, "city", 0.625),
    Candidate(7, 8, "city", 0.75),
    Candidate(7, 8, "town", 0.5),
]


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


def write(doc, found=FOUND, key="openner", **settings):
    annotate(
        doc,
        found,
        **{"name": "x", "spans_key": key, "annotate_ents": True, "overwrite_ents": False, **settings},
    )
    return doc


@pytest.fixture
def doc(nlp):
    return write(Doc(nlp.vocab, words=WORDS))


def scores(doc):
    return [span._.openner_score for span in doc.spans["openner"]]


def test_scores_of_entities_spans_and_new_spans(doc):
    assert [ent._.openner_score for ent in doc.ents] == pytest.approx([0.9, 0.75])
    assert scores(doc) == pytest.approx([0.9, 0.625, 0.75, 0.5])
    assert Span(doc, 7, 8, label="town")._.openner_score == get_score(Span(doc, 7, 8, label="town")) == 0.5
    assert doc.char_span(27, 31, label="city")._.openner_score == 0.625
    # Of another type, of no type, of other bounds.
    assert Span(doc, 5, 6, label="town")._.openner_score is None
    assert doc[5:6]._.openner_score is None
    assert Span(doc, 5, 7, label="city")._.openner_score is None
    assert spacy_openner.get_score is get_score


def test_scores_of_a_pipeline(make_nlp):
    doc = make_nlp(overlap="all")("Marie Curie lived in Paris .")
    group = doc.spans["openner"]
    assert len(group) > 3
    assert scores(doc) == pytest.approx(list(group.attrs["scores"]))
    by_place = {(s.start, s.end, s.label): score for s, score in zip(group, scores(doc), strict=True)}
    assert [by_place[ent.start, ent.end, ent.label] for ent in doc.ents] == [ent._.openner_score for ent in doc.ents]


def test_what_no_component_found_has_none(nlp):
    doc = Doc(nlp.vocab, words=WORDS)
    doc.ents = [Span(doc, 0, 1, label="person")]
    doc.spans["sc"] = SpanGroup(doc, spans=[doc.ents[0]], attrs={"scores": np.array([0.25])})
    assert doc.ents[0]._.openner_score is None
    write(doc)
    assert next(ent._.openner_score for ent in doc.ents) is None


def test_the_later_component_counts(doc):
    write(doc, [Candidate(7, 8, "city", 0.25)], key="second")
    assert Span(doc, 7, 8, label="city")._.openner_score == 0.25
    assert Span(doc, 5, 6, label="city")._.openner_score == 0.625


def test_scores_are_read_where_they_are(doc):
    """No copy: what is changed later holds."""
    doc.spans["openner"].attrs["scores"][2] = 0.125
    assert Span(doc, 7, 8, label="city")._.openner_score == 0.125
    write(doc, [Candidate(0, 1, "person", 0.5)])
    assert Span(doc, 7, 8, label="city")._.openner_score is None
    del doc.spans["openner"]
    assert Span(doc, 0, 1, label="person")._.openner_score is None


def test_groups_in_another_order(doc):
    group = doc.spans["openner"]
    order = [3, 1, 0, 2]
    attrs = {**group.attrs, "scores": [float(group.attrs["scores"][i]) for i in order]}
    doc.spans["openner"] = SpanGroup(doc, name="openner", spans=[group[i] for i in order], attrs=attrs)
    assert scores(doc) == pytest.approx([0.5, 0.625, 0.9, 0.75])


def test_groups_that_change_after_they_were_read(doc):
    """Whatever is changed: the order, a span in its place, the number of spans."""
    town, none = Span(doc, 7, 8, label="town"), Span(doc, 0, 1, label="person")
    assert none._.openner_score is None
    test_groups_in_another_order(doc)
    group = doc.spans["openner"]
    assert (town._.openner_score, none._.openner_score) == (0.5, None)
    group[2] = none
    assert none._.openner_score == pytest.approx(0.9)
    group[2] = town
    assert none._.openner_score is None
    group.append(none)
    group.attrs["scores"].append(0.25)
    assert none._.openner_score == 0.25


@pytest.mark.parametrize("odd", [None, 3, "abcd", {"a": 1}, [0.5], [None] * 4])
def test_odd_scores_are_none(doc, odd):
    doc.spans["openner"].attrs["scores"] = odd
    assert scores(doc) == [None] * 4


def test_scores_survive_storage(nlp, doc):
    expected = scores(doc)
    copies = [
        pickle.loads(pickle.dumps(doc)),
        Doc(nlp.vocab).from_bytes(doc.to_bytes()),
        doc.copy(),
        next(DocBin().from_bytes(DocBin(docs=[doc]).to_bytes()).get_docs(nlp.vocab)),
    ]
    for copy in copies:
        assert scores(copy) == expected
        assert [ent._.openner_score for ent in copy.ents] == [ent._.openner_score for ent in doc.ents]


def test_it_is_there_in_a_process_that_loads_a_pipeline(doc, own_plugins, tmp_path):
    DocBin(docs=[doc]).to_disk(tmp_path / "docs.spacy")
    program = (
        "import spacy; from spacy.tokens import DocBin; vocab = spacy.blank('en').vocab;"
        f"doc = next(DocBin().from_disk({str(tmp_path / 'docs.spacy')!r}).get_docs(vocab));"
        "print([ent._.openner_score for ent in doc.ents])"
    )
    run = execute("-c", program)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str([ent._.openner_score for ent in doc.ents])


def test_many_entities(nlp):
    n = 10_000
    doc = write(Doc(nlp.vocab, words=["w"] * n), [Candidate(i, i + 1, "w", 0.5) for i in range(n)])
    begun = time.process_time()
    assert all(ent._.openner_score == 0.5 for ent in doc.ents)
    assert time.process_time() - begun < 5


def test_spans_of(doc):
    assert [span.text for span in spans_of(doc, "openner")][:2] == ["University of Oslo", "Oslo"]
    assert spans_of(doc, "nothing") == []
    doc.spans["empty"] = [Span(doc, 2, 2)]
    assert len(spans_of(doc, "empty")) == 1


@pytest.mark.parametrize("merged", [(0, 8), (0, 2)], ids=["they point past the doc", "they point to other words"])
def test_groups_that_no_longer_fit(doc, merged):
    city = Span(doc, 7, 8, label="city")
    assert city._.openner_score == 0.75
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[slice(*merged)])
    with pytest.raises(TextError, match=r"O204.*'openner'.*merge_openner_entities"):
        spans_of(doc, "openner")


def test_scores_of_a_group_that_points_past_the_doc(doc):
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:8])
    with pytest.raises(TextError, match="O204"):
        _ = Span(doc, 0, 1, label="city")._.openner_score


def test_scores_in_step(doc):
    group = SpanGroup(doc, spans=[doc[0:1], doc[1:2]])
    assert scores_in_step(group) is None
    group.attrs["scores"] = np.array([0.5, 1], dtype="float32")
    assert scores_in_step(group) == [0.5, 1.0]
