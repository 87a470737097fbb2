"""Boundaries of texts: what parts entities, and what only wraps a paragraph."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_openner.decoding.text_boundaries import text_boundaries
from spacy_openner.types import BOUNDARIES, DEFAULT_BOUNDARIES


def stretches(text, kinds=DEFAULT_BOUNDARIES):
    """Return the texts between boundaries."""
    start, parts = 0, []
    for boundary in text_boundaries(text, kinds):
        parts.append(text[start : boundary.start])
        start = boundary.end
    return [part for part in [*parts, text[start:]] if part.strip()]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Marie Curie\nNiels Bohr", ["Marie Curie", "Niels Bohr"]),
        ("Marie Curie\r\nNiels Bohr\r\n", ["Marie Curie", "Niels Bohr\r\n"]),
        ("Marie Curie\n\nNiels Bohr\n \nLise Meitner", ["Marie Curie", "Niels Bohr", "Lise Meitner"]),
        ("- Marie Curie\n- Niels Bohr", ["Marie Curie", "Niels Bohr"]),
        ("People:\n• Marie Curie\n• Niels Bohr", ["People:", "Marie Curie", "Niels Bohr"]),
        ("1. Marie Curie\n2) Niels Bohr\n(3) Bo", ["Marie Curie", "Niels Bohr", "Bo"]),
        ("a) Marie Curie\nb) Niels Bohr", ["Marie Curie", "Niels Bohr"]),
        ("- [x] Call Bo\n- [ ] Call Kim", ["Call Bo", "Call Kim"]),
        ("Name\tCity\nMarie Curie\tParis\nBo\t\t", ["Name", "City", "Marie Curie", "Paris", "Bo\t\t"]),
        ("| Name | City |\n|---|:--|\n| Bo Ek | Oslo |", ["Name", "City", "Bo Ek", "Oslo"]),
        ("one page\fthe next page", ["one page", "the next page"]),
        ("a\u2029b\u2028c", ["a", "b", "c"]),
        # Initials, dates and figures are no marks of items.
        ("A. Einstein\nB. Russell", ["A. Einstein", "B. Russell"]),
        ("He was born in the small town of Ulm on the day of\n3. Oktober 1990 in the south of the old country.", 1),
        ("-5 degrees - Oslo", 1),
        # Paragraphs that are wrapped, also narrow ones.
        ("Marie Skłodowska\nCurie was born in Warsaw.", 1),
        ("I was told that the great physicist Marie\nCurie went to a conference in Bruxelles to\nmeet the others.", 1),
        ("I was told that the great physicist Marie Curie had come:\nNiels Bohr\nLise Meitner", 3),
        ("The prize of the year\nMarie Curie has won the great prize for her work.", 2),
        ("Marie Curie and Niels Bohr", 1),
        ("a | b", 1),
        ("", 0),
        (" \n\t\n ", 0),
    ],
)
def test_boundaries_by_default(text, parts):
    found = stretches(text)
    assert (found if isinstance(parts, list) else len(found)) == parts


@pytest.mark.parametrize(
    ("kinds", "parts"),
    [
        ([], ["Kim\nLee\n\n- Bo\tNg"]),
        (["lines"], ["Kim", "Lee", "- Bo\tNg"]),
        (["paragraphs"], ["Kim\nLee", "- Bo\tNg"]),
        (["cells"], ["Kim\nLee\n\n- Bo", "Ng"]),
        (["lists", "paragraphs"], ["Kim", "Lee", "Bo\tNg"]),
        (["sentences"], ["Kim\nLee\n\n- Bo\tNg"]),
    ],
)
def test_each_kind_alone(kinds, parts):
    assert stretches("Kim\nLee\n\n- Bo\tNg", kinds) == parts


# An ASCII letter may be an item's mark: "b) ".
@given(st.text(alphabet="aж1.-|\t\n\r\f )", max_size=60), st.sets(st.sampled_from(BOUNDARIES)))
def test_boundaries_are_in_order_and_hold_no_word(text, kinds):
    found = text_boundaries(text, kinds)
    assert all(0 <= each.start < each.end <= len(text) for each in found)
    assert all(a.end < b.start for a, b in zip(found, found[1:], strict=False))
    for each in found:
        assert not set(text[each.start : each.end]) & {"ж"}
