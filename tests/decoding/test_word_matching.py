"""Free answers back to their texts: the issues of GNER's table 9, and the limits of what can be matched."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_openner.decoding.word_matching import WordErrors, match_words

# Table 9: the text, the answer, how many words of the text have no counterpart, and the slips.
ISSUES = [
    ("who directed the film the lorax", "who directed the lorax", 2, WordErrors(omitted=2)),
    (
        "any reasonably priced indian restaurants in the theater district",
        "any reasonably priced indian restaurants in theater district",
        1,
        WordErrors(omitted=1),
    ),
    (
        "the conservative regionalist navarra suma finished first",
        "the conservative regionalist regionalist navarra suma finished first",
        0,
        WordErrors(added=1),
    ),
    (
        "which five star italian restaurants in manattan have the best reviews",
        "which five star italian restaurants in manhattan have the best reviews",
        0,
        WordErrors(substituted=1),
    ),
    (
        "polyethylene terephthalate ( pet ) bottles are made from ethylene and p-xylene .",
        "polyethylene terephthalate ( p e t ) bottles are made from ethylene and p-xylene .",
        0,
        WordErrors(substituted=1),
    ),
    (
        "debut album tol cormpnt norz norz norz rock hard journalist wolf-rüdiger mühlmann",
        "debut album tol cormpnt norz norz rock hard journalist wolf-rüdiger mühlmann",
        1,
        WordErrors(omitted=1),
    ),
    (
        "this action film of the the last six years that received a really good rating",
        "this action film of the last six years that received a really good rating",
        1,
        WordErrors(omitted=1),
    ),
    (
        "performed by wet wet wet that remained at number 1",
        "performed by wet wet wet wet that remained at number 1",
        0,
        WordErrors(added=1),
    ),
    (
        "liked by many people that starred william forsythe",
        "liked by many people that starred william forsythe the",
        0,
        WordErrors(added=1),
    ),
    (
        "charlotte brontë , branwell brontë , emily brontë and anne .",
        "charlotte bront , branwell bront , emily bront and anne .",
        0,
        WordErrors(),
    ),
]


def retokenize(words):
    """A tokenizer that cannot write "ë"."""
    return [word.replace("ë", "") for word in words]


@pytest.mark.parametrize(("text", "answer", "lost", "slips"), ISSUES)
def test_every_issue_of_the_paper(text, answer, lost, slips):
    words, said = text.split(), answer.split()
    found = match_words(words, said, retokenize)
    assert found.indices.count(None) == lost
    assert found.errors == slips
    for i, j in enumerate(found.indices):
        if j is not None:
            a, b = retokenize([words[i]])[0], said[j]
            assert a == b or b[0] == a[0], (a, b)
    kept = [j for j in found.indices if j is not None]
    assert kept == sorted(kept)


def test_case_does_not_matter():
    assert match_words(["Ann", "LIVES"], ["ann", "Lives"]) == ([0, 1], WordErrors())


@pytest.mark.parametrize(
    ("text", "answer", "indices", "errors"),
    [
        # Of equal words the first is meant.
        ("a b b", "b", [None, 0, None], WordErrors(omitted=2)),
        # Several words between the same neighbours, and several such gaps.
        ("in nwe yrok today", "in new york today", [0, 1, 2, 3], WordErrors(substituted=2)),
        ("pari and londn", "paris and london", [0, 1, 2], WordErrors(substituted=2)),
        # The same letters in fewer words.
        ("in new york today", "in newyork today", [0, 1, 1, 2], WordErrors(substituted=2)),
        # Just similar enough, and just not.
        ("x ab y", "x ac y", [0, 1, 2], WordErrors(substituted=1)),
        ("x abc y", "x axyz y", [0, None, 2], WordErrors(omitted=1, added=1)),
    ],
)
def test_what_lies_between_common_words(text, answer, indices, errors):
    assert match_words(text.split(), answer.split()) == (indices, errors)


def test_words_without_letters_are_left_out():
    assert match_words(["", "a"], ["a", "b"]) == ([None, 0], WordErrors(omitted=1, added=1))


def test_answers_may_hold_either_form_of_a_word():
    for form in ("Brontë", "Bront"):
        match = match_words(["Brontë", "and", "Anne"], [form, "Anne"], retokenize)
        assert match == ([0, None, 1], WordErrors(omitted=1))


def test_each_word_has_a_form():
    with pytest.raises(ValueError, match="zip"):
        match_words(["a", "b"], ["x"], lambda words: words[:1])


def test_words_that_the_tokenizer_cannot_write_at_all():
    found = match_words(["a", "😀", "b"], ["a", "b"], lambda words: [w if w.isascii() else "" for w in words])
    assert found.indices == [0, None, 1]


def test_unlike_words_in_one_place_are_not_paired():
    assert match_words(["a", "cat", "b"], ["a", "xyzzy", "b"]).indices == [0, None, 2]
    assert match_words(["a", "cat", "b"], ["a", "xyzzy", "b"]).errors == WordErrors(omitted=1, added=1)


def test_nothing_said_and_nothing_to_say():
    assert match_words([], []).indices == []
    assert match_words(["a"], []) == ([None], WordErrors(omitted=1))
    assert match_words([], ["a"]) == ([], WordErrors(added=1))


@given(st.lists(st.sampled_from("abcde"), max_size=12), st.lists(st.sampled_from("abcde"), max_size=12))
def test_as_many_words_match_as_in_the_plain_table(text, answer):
    places = match_words(text, answer).indices
    equal = [(i, j) for i, j in enumerate(places) if j is not None and text[i] == answer[j]]
    table = [[0] * (len(answer) + 1) for _ in range(len(text) + 1)]
    for i, a in enumerate(text):
        for j, b in enumerate(answer):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    assert len(equal) == table[-1][-1]
    matched = [j for j in places if j is not None]
    assert matched == sorted(set(matched)) or "".join(text) == "".join(answer)


def test_long_answers_are_fast_and_right():
    rng = random.Random(0)
    words = [f"w{rng.randint(0, 80)}" for _ in range(2000)]
    said = [word for word in words if rng.random() > 0.1]
    assert match_words(words, said).errors.omitted == len(words) - len(said)
