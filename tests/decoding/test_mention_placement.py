"""Mentions find their places."""

import doctest

import pytest
import spacy

from spacy_openner.decoding import mention_placement
from spacy_openner.decoding.mention_placement import SpellingIndex, place_mentions

NLP = spacy.blank("en")


def placed(text, *mentions):
    words = [token for token in NLP(text) if not token.is_space]
    index = SpellingIndex(text, [token.idx for token in words], [token.idx + len(token) for token in words])
    pairs = [mention if isinstance(mention, tuple) else (mention, "x") for mention in mentions]
    places = place_mentions(index, pairs)
    return [
        place and text[words[place[0]].idx : words[place[1] - 1].idx + len(words[place[1] - 1])] for place in places
    ], places


def test_longer_ones_come_first_whatever_the_order():
    text = "Paris Hilton was in Paris. Paris is big."
    _, places = placed(text, ("Paris", "city"), ("Paris", "city"), ("Paris Hilton", "person"))
    assert places == [(4, 5), (6, 7), (0, 2)]


def test_equal_ones_from_left_to_right():
    _, places = placed("Ann met Ann and Ann", "Ann", "Ann", "Ann", "Ann")
    assert places == [(0, 1), (2, 3), (4, 5), None]


def test_nested_ones():
    _, places = placed("The University of Oslo", ("Oslo", "city"), ("University of Oslo", "school"))
    assert places == [(3, 4), (1, 4)]


def test_one_place_may_have_two_labels_and_no_label_twice():
    _, places = placed("Washington slept", ("Washington", "person"), ("Washington", "city"), ("Washington", "city"))
    assert places == [(0, 1), (0, 1), None]


@pytest.mark.parametrize(
    ("text", "mention"),
    [
        ("Miles O\u2019Connor", "O'Connor"),
        ("Miles O'Connor", "O\u2019Connor"),
        ("in Cafe\u0301 Ro\u0308sti today", "Caf\u00e9 R\u00f6sti"),
        ("in Caf\u00e9 R\u00f6sti today", "Cafe\u0301 Ro\u0308sti"),
        ("New\u200bYork wins", "NewYork"),
        ("the Wal\u00admart store", "Walmart"),
        ("the Com-\npany Acme", "Company Acme"),
        ("New  York", "new york"),
        ("New\nYork", "New York"),
        ("Rolls\u2013Royce flies", "Rolls-Royce"),
        ("\uff21\uff22\uff23 Corp", "ABC Corp"),
        ("STRASSE 5", "Stra\u00dfe 5"),
    ],
)
def test_other_spellings(text, mention):
    assert placed(text, mention)[1] != [None]


@pytest.mark.parametrize("mention", ["", " ", "Rom", "ome", "Paris", "\u200b"])
def test_what_is_not_there_or_no_words_has_no_place(mention):
    assert placed("Rome is big", mention)[1] == [None]


def test_long_lists_of_made_up_names_take_no_time():
    text = "word " * 2000
    assert placed(text, *(f"name {i}" for i in range(20_000)))[1] == [None] * 20_000


def test_example():
    assert doctest.testmod(mention_placement).failed == 0
