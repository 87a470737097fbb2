"""Calibration of a component: what is chosen, what it leads to, how reliable scores are."""

import json
import random

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_openner.calibration.entities import EntityScores, TypeThreshold, calibrate_entities
from spacy_openner.calibration.reliability import measure_reliability
from spacy_openner.errors import OpenNERWarning
from tests.support.known_components import ASKED, GOLD, TABLE, gold_by_thresholds, gold_doc, table_nlp


@pytest.fixture
def nlp():
    return table_nlp(TABLE)


# What is chosen


def test_best_f1_by_hand(nlp):
    # At 0.5: a 1 of 1, b 1 of 3; F1 = 2 * 2 / (4 + 4). "a" at 0.1 to 0.3 finds two of three: 2 * 3 / (6 + 4) = 0.6.
    # Then "b" over 0.7 says two: 2 * 3 / (5 + 4).
    result = calibrate_entities(nlp, [gold_doc(nlp, GOLD)], min_gold=1)
    assert (result.before, result.after) == (EntityScores(2, 4, 4), EntityScores(3, 5, 4))
    assert result.threshold == 0.5
    assert set(result.label_thresholds) == {"a", "b"}
    assert 0.01 <= result.label_thresholds["a"] < 0.3
    assert result.label_thresholds["b"] == 0.75
    assert result.per_type["a"].before == EntityScores(1, 1, 2)
    assert result.per_type["a"].after == EntityScores(2, 3, 2)
    assert [each.status for each in result.per_type.values()] == ["chosen", "chosen", "unannotated"]
    assert result.per_type["c"] == TypeThreshold(0.5, "unannotated", EntityScores(0, 0, 0), EntityScores(0, 0, 0))


def test_wanted_precision_reached_or_not(nlp):
    with pytest.warns(OpenNERWarning, match=r"W421.*'b' a precision of 0.9: 0.500 is reached, with 2") as caught:
        result = calibrate_entities(nlp, [gold_doc(nlp, GOLD)], precision=0.9, min_gold=1)
    assert len(caught) == 1
    assert result.label_thresholds == {"b": 0.75}
    assert {label: each.status for label, each in result.per_type.items()} == {
        "a": "chosen",
        "b": "unreached",
        "c": "unannotated",
    }
    assert result.per_type["a"].after.precision == 1.0


def test_types_with_too_few_gold_spans_keep_their_threshold(nlp):
    docs = [gold_doc(nlp, GOLD), gold_doc(nlp, {"b0": "b"})]
    result = calibrate_entities(nlp, docs, min_gold=3)
    assert set(result.label_thresholds) == {"b"}
    assert {label: each.status for label, each in result.per_type.items()} == {
        "a": "kept",
        "b": "chosen",
        "c": "unannotated",
    }
    assert calibrate_entities(nlp, docs).label_thresholds == {}
    assert calibrate_entities(nlp, docs, min_gold=0, types=["a", "b", "c"]).per_type["c"].status == "kept"
    assert calibrate_entities(nlp, docs, precision=0.9).after == calibrate_entities(nlp, docs).before


def test_one_threshold_for_all_types(nlp):
    # From the best score down, right of predicted: 0/1, 1/2, 2/3, 2/4 (0.7), 2/5 (0.4), 3/6 (0.3); 4 gold spans.
    result = calibrate_entities(nlp, [gold_doc(nlp, GOLD)], one_threshold=True, min_gold=1)
    assert (result.threshold, result.label_thresholds) == (0.15, {})
    assert result.after == EntityScores(3, 6, 4)
    assert {each.threshold for each in result.per_type.values()} == {0.15}
    with pytest.warns(OpenNERWarning, match="'all types together' a precision of 0.9: 0.667 is reached"):
        precise = calibrate_entities(nlp, [gold_doc(nlp, GOLD)], one_threshold=True, min_gold=1, precision=0.9)
    assert (precise.threshold, precise.after) == (0.75, EntityScores(2, 3, 4))
    assert calibrate_entities(nlp, [gold_doc(nlp, GOLD)], one_threshold=True).after == result.before


def test_one_threshold_is_not_worse_than_several_that_were_there(nlp):
    several = {"a": 0.2, "b": 0.75}
    nlp.get_pipe("open_ner_span").label_thresholds = several
    result = calibrate_entities(nlp, [gold_doc(nlp, GOLD)], one_threshold=True, min_gold=1)
    assert (result.threshold, result.label_thresholds) == (0.5, several)
    assert result.after == result.before == EntityScores(3, 5, 4)
    nlp.get_pipe("open_ner_span").label_thresholds = {"a": 0.95}
    result = calibrate_entities(nlp, [gold_doc(nlp, GOLD)], one_threshold=True, min_gold=1)
    assert (result.threshold, result.label_thresholds) == (0.15, {})


def test_thresholds_that_were_set_before_are_the_start(nlp):
    pipe = nlp.get_pipe("open_ner_span")
    pipe.label_thresholds = {"a": 0.25, "c": 0.6}
    result = calibrate_entities(nlp, [gold_doc(nlp, GOLD)], min_gold=1)
    assert result.before == EntityScores(3, 6, 4)
    assert result.label_thresholds == {"a": 0.25, "b": 0.75, "c": 0.6}


def test_a_very_low_threshold_is_a_start_too():
    nlp = table_nlp({"a0": [("a", 0.005)], "a1": [("a", 0.002)]}, threshold=0.001)
    result = calibrate_entities(nlp, [gold_doc(nlp, {"a0": "a"})], min_gold=1)
    assert (result.before, result.after) == (EntityScores(1, 2, 1), EntityScores(1, 1, 1))


def test_equal_scores_are_settled_as_the_component_does():
    nlp = table_nlp({"a0": [("a", 0.9), ("b", 0.9)]})
    assert calibrate_entities(nlp, [gold_doc(nlp, {"a0": "a"})], types=["a", "b"]).before == EntityScores(1, 1, 1)
    assert calibrate_entities(nlp, [gold_doc(nlp, {"a0": "b"})], types=["a", "b"]).before == EntityScores(0, 1, 1)


# The component: a real one with random weights


def evaluate(nlp, docs):
    return nlp.evaluate([Example(nlp.make_doc(doc.text), doc) for doc in docs])["openner_f"]


@pytest.mark.parametrize("one_threshold", [False, True])
def test_scores_are_those_of_evaluate_before_and_after(make_nlp, one_threshold):
    nlp = make_nlp(labels=ASKED, threshold=0.3)
    docs = gold_by_thresholds(nlp)
    result = calibrate_entities(nlp, docs, one_threshold=one_threshold, min_gold=2, types=ASKED)
    assert result.before.f1 == pytest.approx(evaluate(nlp, docs))
    result.apply(nlp)
    assert result.after.f1 == pytest.approx(evaluate(nlp, docs))
    assert result.after.f1 > result.before.f1
    assert calibrate_entities(nlp, docs, one_threshold=one_threshold, min_gold=2, types=ASKED).after == result.after


@pytest.mark.parametrize("overlap", ["flat", "nested", "all"])
def test_thresholds_lead_to_the_spans_that_were_counted(make_nlp, overlap):
    nlp = make_nlp(labels=ASKED, overlap=overlap, threshold=0.2)
    docs = gold_by_thresholds(nlp)
    result = calibrate_entities(nlp, docs, min_gold=2, types=ASKED)
    result.apply(nlp)
    found = list(nlp.pipe(nlp.make_doc(doc.text) for doc in docs))
    for label, each in result.per_type.items():
        assert sum(span.label_ == label for doc in found for span in doc.spans["openner"]) == each.after.predicted


def test_saved_thresholds_are_loaded(make_nlp, tmp_path):
    nlp = make_nlp(labels=ASKED, threshold=0.3)
    result = calibrate_entities(nlp, gold_by_thresholds(nlp), min_gold=2, types=ASKED)
    assert result.label_thresholds
    result.apply(nlp)
    nlp.to_disk(tmp_path)
    pipe = spacy.load(tmp_path).get_pipe("open_ner_span")
    assert pipe.label_thresholds == result.label_thresholds
    assert pipe.threshold == 0.3


# Reliability


def test_reliability_by_hand():
    rows = {"a0": 0.95, "a1": 0.85, "b0": 0.83, "b1": 0.15, "c0": 0.03}
    nlp = table_nlp({word: [("a", score)] for word, score in rows.items()})
    result = measure_reliability(nlp, [gold_doc(nlp, {"a0": "a", "b0": "a", "x": "a"})])
    assert result.count == 4
    filled = {i: (b.count, b.mean_score, b.share_right) for i, b in enumerate(result.bins) if b.count}
    assert filled == {
        1: (1, pytest.approx(0.15), 0.0),
        8: (2, pytest.approx(0.84), 0.5),
        9: (1, pytest.approx(0.95), 1.0),
    }
    assert result.ece == pytest.approx((1 * 0.15 + 2 * 0.34 + 1 * 0.05) / 4)
    assert result.brier == pytest.approx((0.15**2 + 0.85**2 + 0.17**2 + 0.05**2) / 4)
    assert [(b.low, b.high) for b in result.bins] == [(i / 10, (i + 1) / 10) for i in range(10)]
    assert result.bins[0].mean_score is result.bins[0].share_right is None


def test_reliability_of_sure_spans_of_none_and_of_those_over_a_threshold():
    nlp = table_nlp({"a0": [("a", 1.0)], "a1": [("a", 0.5)]})
    doc = gold_doc(nlp, {"a0": "a"})
    sure = measure_reliability(nlp, [doc])
    assert sure.bins[9].count == 1
    assert sure.bins[5].count == 1
    assert measure_reliability(nlp, [doc], threshold=0.5).count == 1
    none = measure_reliability(nlp, [doc], threshold=1.0)
    assert (none.count, none.ece, none.brier) == (0, None, None)


def test_reliability_is_of_what_the_component_would_return():
    table = {"a0": [("a", 0.9), ("b", 0.8)], "c0": [("c", 0.9)]}
    doc = gold_doc(table_nlp(table), {"a0": "b"})
    flat = measure_reliability(table_nlp(table, label_thresholds={"b": 0.95}), [doc], types=["a", "b"])
    assert (flat.count, flat.brier) == (1, pytest.approx(0.81))
    both = measure_reliability(table_nlp(table, overlap="all"), [doc], types=["a", "b"])
    assert (both.count, both.brier) == (2, pytest.approx((0.81 + 0.04) / 2))


# With the default weights and real sentences


@pytest.mark.slow
@pytest.mark.data
def test_real_sentences_score_better_also_others_of_the_kind(data_dir):
    rows = [json.loads(line) for line in (data_dir / "crossner_science" / "dev.jsonl").open(encoding="utf8")]
    random.Random(0).shuffle(rows)
    nlp = spacy.blank("en")
    labels = sorted({label for row in rows for *_, label in row["spans"]} - {"miscellaneous"})
    nlp.add_pipe("open_ner_span", config={"labels": labels})

    def docs(rows):
        for row in rows:
            doc = Doc(nlp.vocab, words=row["tokens"])
            doc.ents = [Span(doc, a, b, label=label) for a, b, label in row["spans"] if label in labels]
            yield doc

    result = calibrate_entities(nlp, docs(rows[:150]), types=labels)
    assert result.after.f1 > result.before.f1 + 0.05
    others = [Example(Doc(nlp.vocab, words=[t.text for t in doc]), doc) for doc in docs(rows[150:300])]
    before = nlp.evaluate(others)["openner_f"]
    result.apply(nlp)
    others = [Example(Doc(nlp.vocab, words=[t.text for t in each.reference]), each.reference) for each in others]
    assert nlp.evaluate(others)["openner_f"] > before + 0.03
