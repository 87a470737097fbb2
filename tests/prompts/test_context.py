"""How much of a text a prompt shows."""

import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_openner.prompts.context import surrounding_text, visible_range


def test_the_text_around_an_entity_is_the_doc_s_own():
    doc = spacy.blank("en")("One two three, four five six seven Oslo eight.")
    start = next(token.i for token in doc if token.text == "Oslo")
    assert surrounding_text(doc, start, start + 1) == (", four five six seven ", " eight."[1:])
    assert surrounding_text(doc, 0, 1, 2) == ("", "two three")
    assert surrounding_text(doc, 0, len(doc)) == ("", "")


def test_entities_are_in_the_middle_of_what_is_shown():
    assert visible_range(50, 52, 100, 10) == (46, 56)
    assert visible_range(1, 3, 100, 10) == (0, 10)
    assert visible_range(98, 100, 100, 10) == (90, 100)
    assert visible_range(10, 40, 100, 10) == (10, 40)


@given(st.integers(0, 50), st.integers(1, 50), st.integers(0, 50), st.integers(1, 60))
def test_what_is_shown_holds_the_entities_and_keeps_to_the_budget(start, size, rest, budget):
    length = start + size + rest
    first, end = visible_range(start, start + size, length, budget)
    assert 0 <= first <= start
    assert start + size <= end <= length
    assert end - first == max(size, min(budget, length))
