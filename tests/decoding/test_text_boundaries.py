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


PEOPLE = ["Marie Curie", "Niels Bohr"]
LONG_KEYS = ["Full name of the applicant: Marie Salomea Skłodowska Curie", "City and country: Warsaw, in Poland"]
SHAPES = {
    "Markdown without walls at the edges": (
        "Name | City\nMarie Curie | Warsaw",
        ["Name", "City", "Marie Curie", "Warsaw"],
    ),
    "one line of several cells": ("Marie Curie | Niels Bohr | Kim", [*PEOPLE, "Kim"]),
    "drawn walls": (
        "│ Marie Curie │ Warsaw │\n│ Niels Bohr │ Paris │",
        ["Marie Curie", "Warsaw", "Niels Bohr", "Paris"],
    ),
    "columns of blanks": (
        "Marie Curie    Warsaw\nNiels Bohr     Paris",
        ["Marie Curie", "Warsaw", "Niels Bohr", "Paris"],
    ),
    "dots between": ("Marie Curie · Niels Bohr · Kim", [*PEOPLE, "Kim"]),
    "keys": ("\n".join(LONG_KEYS), LONG_KEYS),
    "a dialogue": ("Marie Curie: Have you read it, all of it?\nNiels Bohr: Yes.", 2),
    "times": ("[12:01] Marie Curie came in at the front door\n[12:02] Niels Bohr", 2),
    "dates": ("2026-01-01 12:00 INFO Marie Curie was here before\n2026-01-02 12:00 INFO Niels Bohr", 2),
    "a quoted list": ("> Marie Curie\n> Niels Bohr", PEOPLE),
    "a quoted table": ("> | Marie Curie | Warsaw |\n> | Kim | Oslo |", ["Marie Curie", "Warsaw", "Kim", "Oslo"]),
    "quotes of quotes": (
        ">> We shall all come to see the great Marie\n> Curie, said Niels Bohr to those who were there.",
        2,
    ),
    "a quoted paragraph": (
        "> The prize of the year went to the chemist Marie\n> Curie, who came from Warsaw to Paris.",
        1,
    ),
    "arrows": ("→ Marie Curie\n→ Niels Bohr", PEOPLE),
    "circled numbers": ("① Marie Curie\n② Niels Bohr", PEOPLE),
    "wide numbers": ("１．張偉\n２．李娜", ["張偉", "李娜"]),
    "Chinese numbers": ("一、張偉\n二、李娜", ["張偉", "李娜"]),
    "pictures": ("🔹 Marie Curie\n✅ Niels Bohr", PEOPLE),
    "old line ends": ("Marie Curie\rNiels Bohr", PEOPLE),
    # What is none.
    "one gap": ("Marie Curie    Niels Bohr", 1),
    "one key": ("He told them that all of this was quite clear\nby now: Marie would come to see them in Paris.", 1),
    "a word with a wall": ("a|b c|d e|f", 1),
    "more than": ("more > less > nothing at all", 1),
    "a Chinese paragraph": (
        "北京大学的张伟教授昨天访问了位于法国首都巴黎的居里研究所并且会见了许多著名科\n学家和学生，讨论了合作。",
        1,
    ),
}


@pytest.mark.parametrize(("text", "parts"), SHAPES.values(), ids=SHAPES)
def test_shapes(text, parts):
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
