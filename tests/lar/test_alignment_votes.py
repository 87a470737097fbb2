"""Alignment by predictions: what votes are counted, which source types are known, and what is refused."""

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_openner.errors import OpenNERWarning, SettingError
from spacy_openner.labels import LabelSet
from spacy_openner.lar.alignment import (
    PseudoLabelAlignment_v1,
    align_labels,
    check_type_name,
    count_votes,
    source_types,
)
from spacy_openner.lar.embedding_alignment import EmbeddingAlignment_v1
from spacy_openner.lar.table import AlignedType
from tests.support.reassignment_case import gold_doc, source_nlp

# Arguments, and what is told


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nlp": "en"}, "`nlp`.*a pipeline"),
        ({"source": " "}, "`source`"),
        ({"spans_key": ""}, "`spans_key`"),
        ({"strategy": len}, "`strategy`.*an alignment strategy, or None"),
        ({"before": "nowhere"}, "`before`.*entity_ruler"),
    ],
)
def test_arguments_that_are_not_allowed(wrong, message):
    nlp = source_nlp()
    arguments = {"nlp": nlp, "gold": [gold_doc(nlp, "Ada")], **wrong}
    with pytest.raises(SettingError, match=f"O001.*{message}"):
        align_labels(**arguments)


@pytest.mark.parametrize(("name", "value"), [("min_share", -0.1), ("min_source_share", 1.1)])
def test_a_share_is_a_number_from_0_to_1(name, value):
    with pytest.raises(SettingError, match=rf"O001.*`{name}` is {value}.*a number from 0 to 1"):
        PseudoLabelAlignment_v1(**{name: value})


def test_types_alone_are_nothing_to_align_by_where_predictions_decide():
    nlp = source_nlp()
    with pytest.raises(SettingError, match=r"O508.*no doc has a gold entity"):
        align_labels(nlp, [nlp.make_doc("Ada")], targets=["politician"])
    assert align_labels(nlp, [], EmbeddingAlignment_v1(), targets=["person"]).options("person") == ("person",)


def test_gold_under_another_key_is_told():
    nlp = source_nlp()
    doc = nlp.make_doc("Ada")
    doc.spans["sc"] = [Span(doc, 0, 1, label="singer")]
    with pytest.warns(OpenNERWarning, match=r"W431.*The alignment"), pytest.raises(SettingError, match="O508"):
        align_labels(nlp, [doc])


# Which source types a table knows


def test_source_types_are_those_of_components_that_find_entities():
    nlp = source_nlp()
    nlp.add_pipe("span_ruler").add_patterns([{"label": "thing", "pattern": "x"}])
    nlp.add_pipe("tagger").add_label("NOUN")
    assert source_types(nlp, nlp.pipe_names).names == ("person", "place", "thing")
    assert source_types(nlp, ["span_ruler", "tagger"]).names == ("thing",)
    with pytest.warns(OpenNERWarning, match="W505"):
        table = align_labels(nlp, [gold_doc(nlp, "Ada")], before="span_ruler")
    assert table.sources == ("person", "place")


def test_components_that_find_entities_need_not_name_types():
    nlp = source_nlp()

    @Language.component("alignment_test_finds", assigns=["doc.ents"])
    def finds(doc):
        return doc

    nlp.add_pipe("alignment_test_finds", first=True)
    assert source_types(nlp, nlp.pipe_names).names == ("person", "place")


def test_types_that_were_only_predicted_stand_behind_those_that_are_named():
    votes = {"x": {"B": 2, "": 3, "A": 1}, "y": {"Z": 1}}
    table = PseudoLabelAlignment_v1()(votes, LabelSet(["Z", "Y"]), LabelSet(["x"]))
    assert table.sources == ("Z", "Y", "A", "B")
    assert table.strategy == "spacy-openner.PseudoLabelAlignment.v1"
    assert list(table.targets) == ["x"]


# Which prediction an entity counts for


@pytest.mark.parametrize(
    ("entity", "predictions", "expected"),
    [
        ((1, 3), {(0, 3): "wide", (1, 3): "same", (1, 5): "wider"}, "same"),
        ((1, 4), {(0, 2): "one word", (2, 6): "two words"}, "two words"),
        ((1, 3), {(0, 2): "short", (2, 6): "long"}, "short"),
        ((1, 3), {(0, 1): "before", (3, 4): "behind"}, ""),
        ((1, 3), {}, ""),
    ],
)
def test_an_entity_counts_for_what_shares_most_and_has_the_least_else(entity, predictions, expected):
    nlp = spacy.blank("en")
    words = ["aa", "bb", "cc", "dd", "ee", "ff"]
    gold, predicted = Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words)
    gold.ents = [Span(gold, *entity, label="x")]
    predicted.spans["found"] = [Span(predicted, *extent, label=label) for extent, label in predictions.items()]
    votes = {}
    count_votes(Example(predicted, gold), "found", votes)
    assert votes == {"x": {expected: 1}}


def test_docs_that_say_nothing_of_entities_do_not_count():
    nlp = source_nlp()
    votes = {}
    count_votes(Example(nlp("Ada"), nlp.make_doc("Ada")), "ents", votes)
    assert votes == {}


def test_the_share_that_must_be_recognised_is_enough_itself():
    votes, types = {"x": {"A": 1, "": 1}}, LabelSet(["x"])
    enough, few = (PseudoLabelAlignment_v1(min_share=share)(votes, LabelSet([]), types) for share in (0.5, 0.51))
    assert enough.targets["x"] == AlignedType(("A",), 0.5, {"": 1, "A": 1})
    assert few.targets["x"] == AlignedType(("miscellaneous",), 0.5, {"": 1, "A": 1})


@pytest.mark.parametrize(("name", "kind"), [(3, "3"), (" ", "' '"), (None, "None")])
def test_names_of_types_are_texts(name, kind):
    with pytest.raises(SettingError, match=rf"O001.*`other` is {kind}; allowed: the name of a type"):
        check_type_name("other", name)


def test_names_of_types_can_be_written_into_a_config():
    assert check_type_name("other", "a type") is None
    with pytest.raises(SettingError, match="`other`"):
        check_type_name("other", "a ${type}")


def test_of_equal_counts_the_first_name_stands_first():
    found = PseudoLabelAlignment_v1()({"x": {"B": 2, "C": 3, "A": 2}}, LabelSet([]), LabelSet(["x"])).targets["x"]
    assert found.sources == ("C", "A", "B")
    assert list(found.counts) == ["C", "A", "B"]
