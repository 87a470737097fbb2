"""Mentions find their places."""

import doctest
import re

import pytest
import spacy

from spacy_openner.decoding import mention_placement
from spacy_openner.decoding.mention_placement import SpellingIndex, place_mentions, spelled_letters

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


def test_a_mention_that_is_not_there_takes_no_words():
    _, places = placed("Ann met Ann", "Nobody at all", "Ann")
    assert places == [None, (0, 1)]


@pytest.mark.parametrize(
    ("text", "mentions", "expected"),
    [
        ("Newest York City", ["Newest York", "York City"], [(0, 2), None]),
        ("New York City met Ann Lee Smith", ["New York", "York City", "Ann Lee Smith"], [None, (1, 3), (4, 7)]),
    ],
)
def test_mentions_that_overlap_are_not_within_one_another(text, mentions, expected):
    assert placed(text, *mentions)[1] == expected


def index_of(text, stretches=None):
    """An index of words between spaces."""
    ends = [match.end() for match in re.finditer("[^ ]+", text)]
    starts = [match.start() for match in re.finditer("[^ ]+", text)]
    return SpellingIndex(text, starts, ends, stretches)


def test_mentions_lie_in_one_stretch():
    index = index_of("New York and New York today", [0, 1, 1, 1, 1, 2])
    assert index.find("New York") == [(3, 5)]
    assert index.find_across("New York") == [(0, 2), (3, 5)]


def test_all_places_of_a_mention():
    assert index_of("a a a").find("a") == [(0, 1), (1, 2), (2, 3)]


def test_words_without_letters_belong_to_no_mention():
    assert index_of("Ann \u200b left").find("Ann") == [(0, 1)]


def test_each_word_has_a_start_and_an_end():
    with pytest.raises(ValueError, match="zip"):
        SpellingIndex("ab", [0], [1, 2])


@pytest.mark.parametrize(
    ("text", "letters", "origins"),
    [
        ("be\u0301", "b\u00e9", [0, 2]),
        ("\u0301a", "\u0301a", [0, 1]),
        ("a-", "a-", [0, 1]),
        ("a-\nb", "ab", [0, 3]),
        ("AX\nb", "axb", [0, 1, 3]),
    ],
)
def test_letters_and_where_they_come_from(text, letters, origins):
    assert spelled_letters(text) == (letters, origins)


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
