"""Entities that a model names, found in the text again."""

import pytest

from spacy_openner.decoding.mention_search import locate_mentions
from spacy_openner.decoding.word_matching import WordErrors


@pytest.mark.parametrize(
    ("text", "mentions", "expected", "added"),
    [
        # Words of a mention that stand alone before it do not draw it there.
        ("the bank said the Bank of England", ["bank of England"], [(4, 7)], 0),
        ("Jordan visited Jordan .", ["Jordan", "Jordan"], [(0, 1), (2, 3)], 0),
        ("Jordan visited Jordan .", ["Jordan"], [(0, 1)], 0),
        # Not in the order of the text, or more often than in it.
        ("Ann met Bo", ["Bo", "Ann"], [(0, 1), (2, 3)], 0),
        ("Ann met Bo", ["Ann", "Ann"], [(0, 1)], 1),
        # The same letters in other words.
        ("in New York today", ["NewYork"], [(1, 3)], 0),
        ("a co-op here", ["co - op"], [(1, 2)], 0),
        ("Ann met Bo", ["Cy Dee"], [], 2),
        # Longer ones choose first where the order does not fit; where it does, it counts.
        ("Paris Hilton was in Paris . Paris is big", ["Paris", "Paris", "Paris Hilton"], [(0, 2), (4, 5), (6, 7)], 0),
        ("Ann Lee met Ann", ["Ann", "Ann Lee"], [(0, 2), (3, 4)], 0),
        ("Bo met Ann and Bo", ["Ann", "Bo"], [(2, 3), (4, 5)], 0),
        ("Bo met Ann and Bo", ["Ann", "Bo", "Cy"], [(2, 3), (4, 5)], 1),
        # Other spellings: quotes, dashes, invisible and composed characters, compatibility forms.
        ("saw O\u2019Connor", ["O'Connor"], [(1, 2)], 0),
        ("saw Cafe\u0301 today", ["Caf\u00e9"], [(1, 2)], 0),
        ("a co\u2010op here", ["co-op"], [(1, 2)], 0),
        ("in New\u200b York", ["New York"], [(1, 3)], 0),
        ("the \ufb01rm", ["firm"], [(1, 2)], 0),
        ("", ["Ann"], [], 1),
        ("Ann", [], [], 0),
    ],
)
def test_locate(text, mentions, expected, added):
    words, said, runs = text.split(), [], []
    for mention in mentions:
        runs.append((len(said), len(said) + len(mention.split())))
        said += mention.split()
    found = locate_mentions(words, said, runs)
    assert found.errors == WordErrors(added=added)
    assert len(found.indices) == len(words)
    wanted = {i for first, last in expected for i in range(first, last)}
    assert {i for i, place in enumerate(found.indices) if place is not None} == wanted


def test_what_the_tokenizer_cannot_write_is_found_by_what_it_writes():
    found = locate_mentions(
        ["Charlotte", "Brontë"], ["Charlotte", "Bront"], [(0, 2)], lambda words: [w.rstrip("ë") for w in words]
    )
    assert found.indices == [0, 1]
    # A word of nothing else is no beginning of a mention.
    assert locate_mentions(["ë", "Ann"], ["Ann"], [(0, 1)], lambda words: ["", "Ann"]).indices == [None, 0]


def test_a_mention_that_was_found_is_searched_for_behind_it_first():
    words = ["Ann", "met", "Bob", "and", "Ann"]
    match = locate_mentions(words, ["Bob", "Ann"], [(0, 1), (1, 2)])
    assert match.indices == [None, None, 0, None, 1]


def test_a_word_that_is_there_once_more_is_another_one():
    match = locate_mentions(["Ann", "and", "Ann"], ["Ann", "Ann", "Ann"], [(0, 1), (1, 2), (2, 3)])
    assert match.indices == [0, None, 1]
    assert match.errors.added == 1


def test_white_space_of_the_text_begins_no_mention():
    match = locate_mentions(["", "New", "York"], ["New", "York"], [(0, 2)])
    assert match.indices == [None, 0, 1]


def test_mentions_that_are_missing_are_counted_and_do_not_end_the_search():
    match = locate_mentions(["Ann", "left"], ["New", "York", "Bob", "Ann"], [(0, 2), (2, 3), (3, 4)])
    assert match.indices == [3, None]
    assert match.errors.added == 3


def test_each_word_of_a_long_mention_has_its_counterpart():
    words, answer = ["in", "San", "Juan", "del", "Sur"], ["San", "Juan", "del", "Sur"]
    assert locate_mentions(words, answer, [(0, 4)]).indices == [None, 0, 1, 2, 3]
    # Where the text has more words than the mention, the last ones share one.
    assert locate_mentions(["New", "Yo", "rk"], ["New", "York", "x"], [(0, 2)]).indices == [0, 1, 1]


def test_a_word_is_found_in_three_words_at_most():
    assert locate_mentions(["n", "ew", "s"], ["news"], [(0, 1)]).indices == [0, 0, 0]
    assert locate_mentions(["n", "e", "w", "s"], ["news"], [(0, 1)]) == ([None] * 4, WordErrors(added=1))
