"""Sets of types, and the types that a doc has of its own."""

import pickle
import subprocess
import sys

import pytest
import spacy

from spacy_openner.errors import SettingError
from spacy_openner.labels import LabelSet, get_label_scores, get_labels, labels_before, narrow_labels, set_labels


@pytest.mark.parametrize(
    ("given", "names", "descriptions"),
    [
        (["b", "a", "b"], ("b", "a"), ("b", "a")),
        (("x, y (z)",), ("x, y (z)",), ("x, y (z)",)),
        ({"a": "about a"}, ("a",), ("about a",)),
        ({"b", "a"}, ("a", "b"), ("a", "b")),
        ({"b": 1, "a": 2}.keys(), ("a", "b"), ("a", "b")),
        ([], (), ()),
    ],
)
def test_label_sets(given, names, descriptions):
    labels = LabelSet(given)
    assert (labels.names, labels.descriptions) == (names, descriptions)
    assert LabelSet(labels) == labels
    assert LabelSet(labels.plain()) == labels
    assert dict(labels) == dict(zip(names, descriptions, strict=True))
    assert pickle.loads(pickle.dumps(labels)) == labels


def test_the_order_of_labels_counts():
    assert LabelSet(["a", "b"]) != LabelSet(["b", "a"])
    assert LabelSet(["a", "b"]) == {"b": "b", "a": "a"}
    assert LabelSet(["a"]) != ["a"]
    assert len({LabelSet(["a"]), LabelSet({"a": "a"}), LabelSet({"a": "x"})}) == 2


def test_a_label_set_does_not_follow_what_it_was_made_of():
    given = {"a": "about a"}
    labels = LabelSet(given)
    given["a"] = "changed"
    assert labels["a"] == "about a"


def test_plain_form_and_selection():
    described = LabelSet({"a": "about a", "b": "b", "c": "c"})
    assert described.plain() == {"a": "about a", "b": "b", "c": "c"}
    assert described.select([2, 1]).plain() == ["c", "b"]
    assert described.prompt_texts(True) == ("about a", "b", "c")
    assert described.prompt_texts(False) == ("a", "b", "c")
    assert repr(described.select([0])) == "LabelSet({'a': 'about a'})"


@pytest.mark.parametrize(
    "given",
    [
        "person",
        b"person",
        3,
        None,
        [None],
        [" "],
        {"a": 1},
        {"": "x"},
        [["a"]],
        [{}],
        {1, "a"},
        ["\ud800"],
        {"a": "\ud800"},
    ],
)
def test_refused(given):
    with pytest.raises(SettingError, match=r"O00[234]"):
        LabelSet(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [(["a", 3], "O003.* 3"), ({"a": "", "b": "x"}, "O004.*'a'"), ({"a": 7}, "O004.*'a'.* 7")],
)
def test_what_is_refused_is_named(given, message):
    with pytest.raises(SettingError, match=message):
        LabelSet(given)


def narrowed(*steps, own=None):
    """A doc whose types filters have narrowed: each step a filter, the types that it leaves, and their scores."""
    doc = spacy.blank("en").make_doc("x")
    set_labels(doc, own)
    for name, labels, scores in steps:
        narrow_labels(doc, name, None if labels is None else LabelSet(labels), scores)
    return doc


FIRST, SECOND = ("first", ["a", "b"], {"a": 0.9, "b": 0.8}), ("second", ["b"], {"b": 0.7})


@pytest.mark.parametrize("own", [None, ["a", "b", "c"], {"a": "about a", "c": "about c"}])
def test_a_filter_sees_the_types_that_were_there_before_it(own):
    before = None if own is None else LabelSet(own)
    doc = narrowed(FIRST, SECOND, own=own)
    assert get_labels(doc) == LabelSet(["b"])
    assert labels_before(doc, "first") == before
    assert labels_before(doc, "second") == LabelSet(["a", "b"])
    # One that has not run sees what is there.
    assert labels_before(doc, "third") == LabelSet(["b"])
    assert labels_before(narrowed(own=own), "first") == before


def test_a_filter_that_runs_again_starts_anew():
    doc = narrowed(FIRST, SECOND, ("first", ["c"], {"c": 0.6}))
    assert get_labels(doc) == LabelSet(["c"])
    assert labels_before(doc, "first") is None
    # What the second noted is of the run before.
    assert labels_before(doc, "second") == LabelSet(["c"])
    assert get_label_scores(doc) == {"c": 0.6}


def test_a_later_filter_that_runs_again_keeps_the_scores_of_the_first():
    doc = narrowed(FIRST, SECOND, ("second", ["a"], {"a": 0.6}))
    assert get_labels(doc) == LabelSet(["a"])
    assert labels_before(doc, "second") == LabelSet(["a", "b"])
    assert get_label_scores(doc) == {"a": 0.6, "b": 0.7}


def test_scores_that_were_given_stay_in_the_first_run():
    doc = spacy.blank("en").make_doc("x")
    set_labels(doc, ["a", "b"], {"a": 0.5})
    narrow_labels(doc, "first", LabelSet(["b"]), {"b": 0.25})
    assert get_label_scores(doc) == {"a": 0.5, "b": 0.25}


@pytest.mark.parametrize("own", [None, ["c"]])
def test_a_filter_that_chooses_nothing_leaves_the_types_as_they_were_before_it(own):
    doc = narrowed(FIRST, SECOND, ("second", None, {}), own=own)
    assert get_labels(doc) == LabelSet(["a", "b"])
    assert labels_before(doc, "second") == LabelSet(["a", "b"])
    assert get_labels(narrowed(FIRST, ("first", None, {}), own=own)) == (None if own is None else LabelSet(own))
    untouched = narrowed(("first", None, {}), own=["c"])
    assert get_labels(untouched) == LabelSet(["c"])
    assert get_label_scores(untouched) == {}


def test_types_that_were_set_since_are_no_filters():
    doc = narrowed(FIRST)
    set_labels(doc, ["z"])
    assert labels_before(doc, "first") == LabelSet(["z"])
    set_labels(doc, None)
    assert labels_before(doc, "first") is None


def test_labels_of_a_doc():
    default = LabelSet(["default"])
    doc = spacy.blank("en").make_doc("x")
    assert get_labels(doc) is None
    assert get_labels(doc, default) is default
    for given in (["a"], {"a": "b"}, []):
        set_labels(doc, given)
        assert doc._.openner_labels == given
        assert get_labels(doc) == get_labels(doc, default) == LabelSet(given)
    set_labels(doc, LabelSet({"a": "b"}))
    assert doc._.openner_labels == {"a": "b"}
    set_labels(doc, None)
    assert get_labels(doc, default) is default
    doc._.openner_labels = "person"
    with pytest.raises(SettingError, match="O002"):
        get_labels(doc)


def test_scores_of_types_join():
    doc = spacy.blank("en").make_doc("x")
    assert get_label_scores(doc) == {}
    set_labels(doc, ["a"], {"a": 0.5, "b": 0.1})
    set_labels(doc, {"a": "about a"}, {"a": 0.25})
    assert doc._.openner_labels == {"a": "about a"}
    assert get_label_scores(doc) == {"a": 0.25, "b": 0.1}
    set_labels(doc, None)
    assert get_label_scores(doc) == {"a": 0.25, "b": 0.1}


def test_attributes_are_there_after_import_alone():
    program = "import spacy_openner.labels, spacy.tokens as t; print(t.Doc.has_extension('openner_labels'))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True"


def test_label_sets_are_equal_by_names_and_descriptions():
    plain, described = LabelSet(["a", "b"]), LabelSet({"a": "of a", "b": "b"})
    assert plain == LabelSet(("a", "b"))
    assert plain != described
    assert described != LabelSet({"c": "of a", "d": "b"})
    assert len({plain, described, LabelSet(["a", "b"])}) == 2
    assert hash(plain) == hash(LabelSet(["a", "b"])) != hash(described)


def test_docs_keep_the_form_that_was_given():
    doc = spacy.blank("en")("x")
    for given, kept in (({"a": "a"}, {"a": "a"}), (["a"], ["a"]), (LabelSet(["a"]), ["a"])):
        set_labels(doc, given)
        assert doc._.openner_labels == kept
    set_labels(doc, LabelSet({"a": "of a"}))
    assert doc._.openner_labels == {"a": "of a"}


def test_the_message_names_what_was_given():
    with pytest.raises(SettingError, match=r"O002.*not int \(3\)"):
        LabelSet(3)
