"""One rule for where gold is: the component's span group, or else doc.ents."""

import time
import warnings
from contextlib import suppress

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example

from spacy_openner.calibration.entities import calibrate_entities
from spacy_openner.calibration.types import calibrate_types
from spacy_openner.errors import OpenNERWarning, SettingError
from spacy_openner.labels import LabelSet, get_labels, set_labels
from spacy_openner.lar.alignment import align_labels, count_votes
from spacy_openner.scoring.entities import make_entity_scorer, score_entities
from spacy_openner.scoring.gold import (
    GoldSurvey,
    explanations_of,
    gold_key,
    gold_spans,
    is_annotated,
    judge_types,
    pipes_before,
    reference_of,
    unannotated_copy,
    unannotated_tokens,
)
from spacy_openner.scoring.types import make_type_scorer, score_types
from spacy_openner.span_groups import scores_in_step
from tests.support.known_components import GOLD, TABLE, gold_doc, table_nlp
from tests.support.reassignment_case import source_nlp


@pytest.fixture
def nlp():
    return table_nlp(TABLE)


def doc_with(nlp, ents=None, **groups):
    doc = Doc(nlp.vocab, words=["a0", "a1", "b0"])
    if ents is not None:
        doc.ents = [Span(doc, i, i + 1, label=label) for i, label in ents]
    for key, spans in groups.items():
        doc.spans[key] = [Span(doc, i, i + 1, label=label) for i, label in spans]
    return doc


def texts(spans):
    return [(span.text, span.label_) for span in spans]


def test_the_rule(nlp):
    both = doc_with(nlp, [(0, "a")], openner=[(1, "b")], sc=[(2, "c")])
    assert texts(gold_spans(both, "openner")) == [("a1", "b")]
    assert texts(gold_spans(both, "sc")) == [("b0", "c")]
    assert texts(gold_spans(both, "other")) == texts(gold_spans(both, None)) == [("a0", "a")]
    assert (gold_key(both, "sc"), gold_key(both, "other"), gold_key(both, None)) == ("sc", None, None)


def test_an_empty_group_says_that_there_is_nothing(nlp):
    doc = doc_with(nlp, [(0, "a")], openner=[])
    assert gold_spans(doc, "openner") == []
    assert is_annotated(doc, "openner")
    assert not is_annotated(doc_with(nlp, sc=[(0, "a")]), "openner")
    assert is_annotated(doc_with(nlp, []), "openner")


def test_tokens_without_annotation_count_where_ents_are_read(nlp):
    doc = Doc(nlp.vocab, words=["a", "b"])
    doc.set_ents([Span(doc, 0, 1, label="a")], default="missing")
    assert [token.i for token in unannotated_tokens(doc, "openner")] == [1]
    doc.spans["openner"] = []
    assert unannotated_tokens(doc, "openner") == []


def test_explanations_out_of_step_are_none(nlp):
    doc = doc_with(nlp, openner=[(0, "a"), (1, "b")])
    doc.spans["openner"].attrs["explanations"] = ["why", ""]
    assert explanations_of(doc, "openner") == {(0, 1, "a"): "why"}
    assert explanations_of(doc, "sc") == explanations_of(doc, None) == {}
    doc.spans["openner"].attrs["explanations"] = ["why"]
    assert explanations_of(doc, "openner") == {}


# Gold elsewhere


def survey(key, *docs):
    found = GoldSurvey(key)
    for doc in docs:
        found.add(doc)
    return found


def test_groups_that_were_perhaps_meant_are_named(nlp):
    elsewhere, with_ents = doc_with(nlp, sc=[(0, "a"), (1, "b")], empty=[]), doc_with(nlp, [(0, "a")], sc=[(0, "a")])
    with pytest.warns(OpenNERWarning, match=r"W431.*X finds no.*doc.spans\['openner'\] or doc.ents.*\{'sc': 4\}"):
        survey("openner", elsewhere, elsewhere).warn("X")
    with pytest.warns(OpenNERWarning, match=r"W431.*no entities in doc.ents, .*\{'sc': 2\}"):
        survey(None, elsewhere).warn("X")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for key, docs in (("sc", [elsewhere]), ("openner", [elsewhere, with_ents]), ("openner", [doc_with(nlp, [])])):
            survey(key, *docs).warn("X")


def test_it_is_said_once(nlp):
    found = survey("openner", doc_with(nlp, sc=[(0, "a")]))
    with pytest.warns(OpenNERWarning, match="W431"):
        found.warn("X")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.warn("X")


def test_every_reader_of_gold_says_it(nlp):
    gold = gold_doc(nlp, GOLD, key="sc")
    example = Example(nlp.make_doc(gold.text), gold)
    types_nlp = spacy.blank("en")
    types_nlp.add_pipe("type_filter", config={"labels": ["a"]})
    readers = [
        lambda: score_entities([example]),
        lambda: score_types([example]),
        lambda: align_labels(source_nlp(), [gold]),
        lambda: calibrate_entities(nlp, [gold]),
        lambda: calibrate_types(types_nlp, [gold]),
    ]
    for read in readers:
        with pytest.warns(OpenNERWarning, match=r"W431.*'sc'"), suppress(SettingError):
            # There is nothing to calibrate or align by.
            read()


def test_training_says_it(make_nlp):
    nlp = make_nlp(labels=["a"])
    gold = gold_doc(nlp, GOLD, key="sc")
    example = Example(nlp.make_doc(gold.text), gold)
    with pytest.warns(OpenNERWarning, match=r"W431.*'open_ner_span'.*'sc'"):
        nlp.get_pipe("open_ner_span").update([example])


def test_gold_under_another_key_is_found_by_the_components_setting():
    nlp = table_nlp(TABLE, spans_key="sc")
    gold = gold_doc(nlp, GOLD, key="sc")
    assert calibrate_entities(nlp, [gold]).before.right == 2
    nlp.get_pipe("open_ner_span").scorer = make_entity_scorer()
    scores = nlp.evaluate([Example(nlp.make_doc(gold.text), gold)])
    assert scores["openner_r"] == 0.5


# What is scored


def test_entities_of_an_earlier_component_are_not_the_components(make_nlp):
    """spaCy's `ner` before it finds other types: they are no false positives of the component."""
    nlp = make_nlp(labels=["person"], threshold=1.0)
    nlp.add_pipe("entity_ruler", first=True).add_patterns([{"label": "DATE", "pattern": "1903"}])
    doc = nlp.make_doc("Marie Curie won it in 1903")
    gold = nlp.make_doc("Marie Curie won it in 1903")
    gold.ents = [Span(gold, 0, 2, label="person")]
    assert [ent.label_ for ent in nlp(doc).ents] == ["DATE"]
    scores = nlp.evaluate([Example(nlp.make_doc(doc.text), gold)])
    assert scores["openner_per_type"] == {"person": {"p": 0.0, "r": 0.0, "f": 0.0, "tp": 0, "fp": 0, "fn": 1}}
    as_before = make_entity_scorer(spans_key=None)([Example(doc, gold)], spans_key="openner")
    assert as_before["openner_per_type"]["DATE"]["fp"] == 1


def test_overlapping_predictions_meet_flat_gold_by_their_best_flat_set(nlp):
    doc, gold = (Doc(nlp.vocab, words=["New", "York", "City"]) for _ in range(2))
    spans = [Span(doc, 0, 3, label="city"), Span(doc, 0, 2, label="state"), Span(doc, 2, 3, label="word")]
    doc.spans["openner"] = SpanGroup(doc, spans=spans, attrs={"scores": np.array([0.6, 0.9, 0.7])})
    gold.ents = [Span(gold, 0, 2, label="state")]
    scores = score_entities([Example(doc, gold)])
    assert set(scores["openner_per_type"]) == {"state", "word"}
    gold.spans["openner"] = [Span(gold, 0, 2, label="state")]
    assert set(score_entities([Example(doc, gold)])["openner_per_type"]) == {"state", "word", "city"}
    del doc.spans["openner"].attrs["scores"]
    del gold.spans["openner"]
    assert score_entities([Example(doc, gold)])["openner_p"] is not None


def test_docs_without_the_group_are_scored_by_their_ents(nlp):
    doc, gold = doc_with(nlp, [(0, "a")]), doc_with(nlp, openner=[(0, "a")])
    assert score_entities([Example(doc, gold)])["openner_f"] == 1


def test_a_scorer_may_have_a_key_of_its_own(nlp):
    doc, gold = doc_with(nlp, openner=[(0, "a")], sc=[(0, "b")]), doc_with(nlp, openner=[(0, "a")], sc=[(0, "a")])
    assert make_entity_scorer()([Example(doc, gold)], spans_key="openner")["openner_f"] == 1
    assert make_entity_scorer(spans_key="sc")([Example(doc, gold)], spans_key="openner")["openner_f"] == 0
    assert make_type_scorer(spans_key="sc", prefix="t")([Example(doc, gold)], spans_key="openner")["t_skipped"] == 1


# Many entities


@pytest.fixture(scope="module")
def many():
    """16,000 predictions, two of three right, beside 16,000 gold entities."""
    nlp, n = spacy.blank("en"), 16_000

    def make(moved):
        doc = Doc(nlp.vocab, words=[f"w{i}" for i in range(2 * n)])
        starts = [2 * i + (moved and i % 3 == 0) for i in range(n)]
        doc.ents = [Span(doc, start, start + 1, label="ab"[i % 2]) for i, start in enumerate(starts)]
        return doc

    return Example(make(True), make(False))


def test_scores_of_many_entities_take_little_time(many):
    start = time.process_time()
    scores = score_entities([many])
    # Under 1 s where nothing else runs; 44 s if every entity were compared with all others.
    assert time.process_time() - start < 5
    assert scores["openner_f"] == pytest.approx(10_666 / 16_000, abs=1e-3)


def test_votes_of_many_entities_take_little_time(many):
    votes = {}
    start = time.process_time()
    count_votes(many, "ents", votes)
    assert time.process_time() - start < 5
    assert sum(counts[""] for counts in votes.values()) == 5_334


def test_calibration_by_many_entities_takes_little_time(many):
    gold = many.reference
    table = {token.text: [("ab"[i // 2 % 3 // 2], 0.05 + 0.9 * i / len(gold))] for i, token in enumerate(gold)}
    nlp = table_nlp(table)
    start = time.process_time()
    result = calibrate_entities(nlp, [gold], types=["a", "b", "c"])
    assert time.process_time() - start < 10
    assert result.after.f1 >= result.before.f1 > 0


@pytest.mark.parametrize("scores", [None, 3, "ab", [0.5], [0.5, "x"], [0.5, None], {"a": 1}, [[1], [2]]])
def test_odd_scores_of_others_are_none(nlp, scores):
    doc = doc_with(nlp, openner=[(0, "a"), (1, "b")])
    doc.spans["openner"].attrs["scores"] = scores
    assert scores_in_step(doc.spans["openner"]) is None
    gold = doc_with(nlp, [(0, "a")])
    assert score_entities([Example(doc, gold)])["openner_p"] == 0.5


@pytest.mark.parametrize("explanations", [None, 3, "ab", {"a": 1}, ["why"]])
def test_odd_explanations_of_others_are_none(nlp, explanations):
    doc = doc_with(nlp, openner=[(0, "a"), (1, "b")])
    doc.spans["openner"].attrs["explanations"] = explanations
    assert explanations_of(doc, "openner") == {}


# Which types a reference holds


@pytest.mark.parametrize(
    ("group", "ents", "listed", "judged"),
    [
        ([(0, "a")], None, None, {"a": True, "b": False, "c": False}),
        ([(0, "a")], [(1, "b")], None, {"a": True, "b": False, "c": False}),
        ([(0, "a")], None, ["b"], {"a": True, "b": False}),
        ([], [(0, "a")], ["b", "c", "d"], {"b": False, "c": False}),
        (None, [(0, "a")], None, {"a": True, "b": False, "c": False}),
        (None, [(0, "a")], ["c"], {"a": True, "c": False}),
        (None, None, None, {}),
        (None, None, ["a"], {}),
    ],
)
def test_types_of_a_reference(nlp, group, ents, listed, judged):
    doc = doc_with(nlp, ents, **({} if group is None else {"openner": group}))
    set_labels(doc, listed)
    assert judge_types(doc, "openner", ["a", "b", "c"]) == judged


def test_types_where_annotation_is_missing(nlp):
    doc = Doc(nlp.vocab, words=["a0", "a1"])
    doc.set_ents([Span(doc, 0, 1, label="a")], default="missing")
    assert judge_types(doc, "openner", ["a", "b"]) == {"a": True}
    doc.spans["openner"] = []
    assert judge_types(doc, "openner", ["a", "b"]) == {"a": False, "b": False}


# Docs as input


def test_copies_have_the_text_and_no_annotation(nlp):
    gold = doc_with(nlp, [(0, "a")], openner=[(1, "b")])
    set_labels(gold, ["x"])
    copy = unannotated_copy(nlp, gold)
    assert (copy.text, copy.ents, dict(copy.spans)) == ("a0 a1 b0 ", (), {})
    assert get_labels(copy, LabelSet(["other"])).names == ("x",)
    assert get_labels(unannotated_copy(nlp, gold, own_types=False), LabelSet(["other"])).names == ("other",)


def test_copies_are_tokenised_by_the_pipeline_unless_spaces_are_unknown(nlp):
    gold = Doc(nlp.vocab, words=["a", "0", "b"], spaces=[False, True, False])
    assert [token.text for token in unannotated_copy(nlp, gold)] == ["a0", "b"]
    unknown = Doc(nlp.vocab, words=["a", "0"])
    unknown.has_unknown_spaces = True
    assert [token.text for token in unannotated_copy(nlp, unknown)] == ["a", "0"]


def test_of_an_example_the_predicted_side_is_copied(nlp):
    predicted, reference = nlp.make_doc("a0 b"), Doc(nlp.vocab, words=["a", "0", "b"], spaces=[False, True, False])
    set_labels(predicted, ["x"])
    set_labels(reference, ["y"])
    example = Example(predicted, reference)
    copy = unannotated_copy(nlp, example)
    assert [token.text for token in copy] == ["a0", "b"]
    assert copy is not predicted
    assert get_labels(copy, LabelSet()).names == ("x",)
    assert reference_of(example) is example.reference
    assert reference_of(reference) is reference


def test_components_before_one(nlp):
    for name in ("first", "second", "third"):
        nlp.add_pipe("sentencizer", name=name)
    nlp.disable_pipe("first")
    assert pipes_before(nlp, "third") == ["open_ner_span", "second"]
    assert pipes_before(nlp, "first") == ["open_ner_span"]
