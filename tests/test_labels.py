"""Types that a doc or a user asks for."""

import pytest
import spacy

from spacy_openner import labels
from spacy_openner.errors import SettingError


@pytest.mark.parametrize(
    ("given", "names", "descriptions"),
    [
        (["b", "a", "b"], ("b", "a"), ("b", "a")),
        (("x, y (z)",), ("x, y (z)",), ("x, y (z)",)),
        ({"a": "about a"}, ("a",), ("about a",)),
        ({"b", "a"}, ("a", "b"), ("a", "b")),
        ([], (), ()),
    ],
)
def test_parse(given, names, descriptions):
    parsed = labels.parse(given)
    assert (parsed.names, parsed.descriptions) == (names, descriptions)
    assert labels.parse(parsed) is parsed


@pytest.mark.parametrize("given", ["person", b"person", 3, None, [None], [" "], {"a": 1}, {"": "x"}, [["a"]]])
def test_refused(given):
    with pytest.raises(SettingError, match=r"O00[234]"):
        labels.parse(given)


def test_read_and_write():
    labels.register()
    labels.register()
    default = labels.parse(["default"])
    doc = spacy.blank("en").make_doc("x")
    assert labels.read(doc, default) is default
    for given in (["a"], {"a": "b"}, []):
        labels.write(doc, given)
        assert labels.read(doc, default) == labels.parse(given)
    labels.write(doc, None)
    assert labels.read(doc, default) is default


def test_scores_of_types_join():
    labels.register()
    doc = spacy.blank("en").make_doc("x")
    assert labels.read_scores(doc) == {}
    labels.write(doc, labels.parse(["a"]), {"a": 0.5, "b": 0.1})
    labels.write(doc, labels.parse({"a": "about a"}), {"a": 0.25})
    assert doc._.openner_labels == {"a": "about a"}
    assert labels.read_scores(doc) == {"a": 0.25, "b": 0.1}
    labels.write(doc, None)
    assert labels.read_scores(doc) == {"a": 0.25, "b": 0.1}
