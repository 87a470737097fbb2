"""Which types stay: by threshold, by rank, and whatever their scores."""

import json

import numpy as np
import pytest

from spacy_openner.decoding.type_selection import TypeSelector
from spacy_openner.descriptions import TABLE, describe_types, type_text
from spacy_openner.labels import LabelSet

TYPES = ["a", "b", "c", "d"]
SCORES = np.array([0.1, 0.9, 0.5, 0.7], dtype=np.float32)


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"threshold": 0.4}, "bcd"),
        ({"threshold": 0.5}, "bd"),  # a score must be greater
        ({"threshold": -1.0}, "abcd"),
        ({"threshold": 1.0}, ""),
        ({"threshold": 0.4, "label_thresholds": {"b": 0.95, "a": 0.0}}, "acd"),
        ({"threshold": 0.4, "top_k": 2}, "bd"),
        ({"threshold": 0.4, "top_k": 0}, ""),
        ({"threshold": 0.8, "keep_labels": ["a"]}, "ab"),
        ({"threshold": 0.0, "keep_labels": ["a"], "top_k": 1}, "ab"),  # what always stays does not count
        ({"threshold": 0.8, "min_types": 3}, "bcd"),
        ({"threshold": 1.0, "min_types": 9}, "abcd"),
        ({"threshold": 0.0, "top_k": 1, "min_types": 2}, "bd"),
        ({"threshold": 1.0, "keep_labels": ["a"], "min_types": 1}, "a"),
        ({"threshold": 1.0, "keep_labels": ["elsewhere"]}, ""),
    ],
)
def test_select(settings, kept):
    assert "".join(TYPES[i] for i in TypeSelector(**settings).select(TYPES, SCORES)) == kept


def test_no_types():
    assert TypeSelector(0.5, min_types=2, top_k=1).select([], np.zeros(0, dtype=np.float32)) == []


def test_of_equal_scores_the_first_is_the_better():
    assert TypeSelector(0.0, top_k=2).select(TYPES, np.full(4, 0.5, dtype=np.float32)) == [0, 1]


def test_the_table_describes_common_types():
    described = describe_types(["Person", "chemical_element", "zorp"])
    assert described["Person"].startswith("Names of people")
    assert "oxygen" in described["chemical_element"]
    assert described["zorp"] == "zorp"


def test_own_descriptions_win():
    assert (
        describe_types({"person": "Only members of the board.", "city": "city"})["person"]
        == "Only members of the board."
    )
    assert describe_types({"city": "city"})["city"] != "city"
    LabelSet(describe_types(["person", "zorp"]))


def test_the_table_is_one():
    table = json.loads(TABLE.read_text(encoding="utf8"))
    assert len(table) >= 150
    for name, text in table.items():
        assert name == " ".join(name.lower().split())
        assert text.endswith(".")


def test_one_template():
    assert type_text("location", "Names that are locations.") == "location: Names that are locations."
    assert type_text("zorp", "zorp") == "zorp: zorp"


def test_of_many_equal_scores_the_first_ones_are_kept():
    """Sorting that is not stable shows from about 16 values on."""
    scores = np.tile(np.array([0.5, 0.9, 0.7]), 20)
    kept = TypeSelector(0.0, top_k=30).select([str(i) for i in range(60)], scores)
    assert kept == sorted([*range(1, 60, 3), *list(range(2, 60, 3))[:10]])


def test_no_types_with_a_least_number():
    assert TypeSelector(0.0, min_types=2).select([], np.zeros(0)) == []
