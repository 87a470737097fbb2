"""What counts as gold when a component is calibrated or measured; its settings; mistakes."""

import warnings

import pytest
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_openner.calibration.entities import EntityScores, calibrate_entities
from spacy_openner.calibration.reliability import measure_reliability
from spacy_openner.errors import OpenNERWarning, SettingError
from tests.support import tiny_models as tiny
from tests.support.known_components import GOLD, TABLE, WORDS, Table, gold_by_thresholds, gold_doc, table_nlp


@pytest.fixture
def nlp():
    return table_nlp(TABLE)


# What counts as gold


def test_gold_lies_under_the_key_or_in_ents(nlp):
    both = gold_doc(nlp, {"a0": "a"}, key="openner")
    both.ents = [Span(both, 1, 2, label="b")]
    result = calibrate_entities(nlp, [both])
    assert result.before == EntityScores(1, 1, 1)
    other = gold_doc(nlp, {"a0": "a"}, key="sc")
    with pytest.raises(SettingError, match="O421"):
        calibrate_entities(nlp, [other])
    assert calibrate_entities(nlp, [both, other]).skipped == 1


def test_a_listed_type_that_never_occurs_is_absent_and_not_unknown(nlp):
    doc = gold_doc(nlp, GOLD)
    assert calibrate_entities(nlp, [doc], types=["a", "b", "c"]).before == EntityScores(2, 5, 4)
    assert calibrate_entities(nlp, [doc], types={"a": "of a", "c": "of c"}).before == EntityScores(2, 5, 4)
    assert (
        calibrate_entities(nlp, [doc], types=["a", "b"]).before
        == calibrate_entities(nlp, [doc]).before
        == EntityScores(2, 4, 4)
    )


def test_types_that_are_not_asked_for_are_named_and_count_nowhere(nlp):
    result = calibrate_entities(nlp, [gold_doc(nlp, {**GOLD, "x": "odd", "c2": "odd"})])
    assert result.not_asked == {"odd": 2}
    assert result.before == EntityScores(2, 4, 4)


def test_spans_where_annotation_is_missing_count_nowhere(nlp):
    doc = Doc(nlp.vocab, words=WORDS)
    doc.set_ents([Span(doc, 0, 1, label="a")], missing=[doc[2:5]], default="outside")
    assert calibrate_entities(nlp, [doc], types=["a", "b", "c"]).before == EntityScores(1, 2, 1)


def test_gold_tokens_need_not_be_the_pipelines(nlp):
    words = ["a0", "b", "0", "a", "1."]
    gold = Doc(nlp.vocab, words=words, spaces=[True, False, True, False, False])
    gold.ents = [Span(gold, 0, 1, label="a"), Span(gold, 1, 3, label="b"), Span(gold, 3, 4, label="a")]
    assert [token.text for token in nlp.make_doc(gold.text)] == ["a0", "b0", "a1", "."]
    assert calibrate_entities(nlp, [gold]).before == EntityScores(2, 2, 3)


def test_docs_with_unknown_spaces_keep_their_tokens():
    nlp = table_nlp({"don't": [("a", 0.9)]})
    doc = gold_doc(nlp, {"don't": "a"}, words=["I", "don't"])
    assert doc.has_unknown_spaces
    assert calibrate_entities(nlp, [doc]).before == EntityScores(1, 1, 1)


def test_docs_may_ask_for_types_of_their_own(nlp):
    docs = [gold_doc(nlp, GOLD), gold_doc(nlp, GOLD)]
    docs[0]._.openner_labels = ["b"]
    docs[1]._.openner_labels = []
    result = calibrate_entities(nlp, docs)
    assert set(result.per_type) == {"b"}
    assert result.before == EntityScores(1, 3, 2)
    assert result.not_asked == {"a": 4, "b": 2}


def test_a_reference_may_list_its_types_of_its_own(nlp):
    listing = gold_doc(nlp, {"a0": "a"})
    listing._.openner_labels = ["a", "c"]
    docs = [Example(Doc(nlp.vocab, words=WORDS), doc) for doc in (listing, gold_doc(nlp, GOLD))]
    assert calibrate_entities(nlp, docs[:1], types=["a", "b", "c"]).before == EntityScores(1, 2, 1)
    assert calibrate_entities(nlp, docs).before == EntityScores(3, 7, 5)
    assert calibrate_entities(nlp, docs[1:]).before == EntityScores(2, 4, 4)


def test_examples_are_taken_too_and_nothing_is_changed(nlp):
    gold = gold_doc(nlp, GOLD)
    predicted = Doc(nlp.vocab, words=WORDS)
    result = calibrate_entities(nlp, [Example(predicted, gold)], min_gold=1)
    assert result == calibrate_entities(nlp, [gold], min_gold=1)
    for doc in (predicted, gold):
        assert not doc.spans
    assert not predicted.ents


def test_components_before_it_are_run_and_later_ones_are_not():
    nlp = table_nlp(TABLE)
    seen = []

    @Language.component("calibration_test_asks")
    def asks(doc):
        doc._.openner_labels = ["a"]
        return doc

    @Language.component("calibration_test_sees")
    def sees(doc):
        seen.append(doc)
        return doc

    nlp.add_pipe("calibration_test_asks", before="open_ner_span")
    nlp.add_pipe("calibration_test_sees")
    assert set(calibrate_entities(nlp, [gold_doc(nlp, GOLD)]).per_type) == {"a"}
    assert not seen
    assert nlp.pipe_names == ["calibration_test_asks", "open_ner_span", "calibration_test_sees"]
    predicted = Doc(nlp.vocab, words=WORDS)
    assert set(calibrate_entities(nlp, [Example(predicted, gold_doc(nlp, GOLD))]).per_type) == {"a"}
    assert predicted._.openner_labels is None
    nlp.disable_pipe("calibration_test_asks")
    assert set(calibrate_entities(nlp, [gold_doc(nlp, GOLD)]).per_type) == {"a", "b", "c"}


def test_a_component_without_labels_is_asked_for_the_listed_types():
    nlp = table_nlp(TABLE, labels=[])
    result = calibrate_entities(nlp, [gold_doc(nlp, GOLD)], types={"a": "of a", "b": "of b"}, min_gold=1)
    assert set(result.label_thresholds) == {"a", "b"}
    assert nlp.get_pipe("open_ner_span").labels == ()
    with pytest.warns(OpenNERWarning, match="W001"), pytest.raises(SettingError, match="O421"):
        calibrate_entities(nlp, [gold_doc(nlp, GOLD)])


# Settings


def state(pipe):
    return {name: getattr(pipe, name) for name in ("descriptions", "threshold", "label_thresholds", "overlap")}


@pytest.mark.parametrize("labels", [{"a": "of a", "b": "of b"}, ["a", "b"], []])
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("measure", [calibrate_entities, measure_reliability])
def test_settings_are_put_back(labels, fails, measure, monkeypatch):
    nlp = table_nlp(TABLE, labels=labels, threshold=0.4, overlap="nested")
    pipe = nlp.get_pipe("open_ner_span")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe.label_thresholds = {"a": 0.2, "unknown": 0.3}
    before, during = state(pipe), []

    def predict(docs):
        during.append(state(pipe))
        if fails:
            raise RuntimeError("as asked")
        return Table.predict(pipe, docs)

    monkeypatch.setattr(pipe, "predict", predict)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing that was said when the settings were made is said again
        if fails:
            with pytest.raises(RuntimeError, match="as asked"):
                measure(nlp, [gold_doc(nlp, GOLD)], types=["a", "b"])
        else:
            measure(nlp, [gold_doc(nlp, GOLD)], types=["a", "b"])
    assert state(pipe) == before
    assert pipe.label_thresholds == {"a": 0.2, "unknown": 0.3}
    assert during[0]["label_thresholds"] == {}
    assert during[0]["threshold"] < 0.1
    assert list(during[0]["descriptions"]) == ["a", "b"]
    assert nlp.pipe_names == ["open_ner_span"]


# Errors


def test_errors(nlp, tmp_path):
    doc = gold_doc(nlp, GOLD)
    with pytest.raises(SettingError, match=r"O421.*asked for: \['a', 'b', 'c'\]; annotated: \['person'\]"):
        calibrate_entities(nlp, [gold_doc(nlp, {"a0": "person"})])
    for measure in (calibrate_entities, measure_reliability):
        with pytest.raises(SettingError, match="O422"):
            measure(nlp, [])
        with pytest.raises(SettingError, match=r"O423.*'ner'.*\['open_ner_span'\]"):
            measure(nlp, [doc], "ner")
    nlp.add_pipe("sentencizer")
    with pytest.raises(SettingError, match=r"O423.*'sentencizer'.*find entities: \['open_ner_span'\]"):
        calibrate_entities(nlp, [doc], "sentencizer")
    for precision in (0, -0.5, 1.5, float("nan")):
        with pytest.raises(SettingError, match=f"O424.*{precision}"):
            calibrate_entities(nlp, [doc], precision=precision)
    with pytest.raises(SettingError, match=r"O001.*`threshold`"):
        measure_reliability(nlp, [doc], threshold=2)


def test_models_that_join_words_are_refused(make_nlp, tmp_path):
    nlp = make_nlp(model={"name": str(tiny.saved("bert", tmp_path, max_width=1))})
    with pytest.raises(SettingError, match="O425"):
        calibrate_entities(nlp, gold_by_thresholds(nlp))
