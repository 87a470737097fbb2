"""Words and tokens: nothing that is found in a word may be lost on the way to spaCy's tokens."""

import pytest
import spacy
from spacy.tokens import Doc

from spacy_openner.models.words import doc_words
from spacy_openner.types import DEFAULT_BOUNDARIES

MISMATCHES = [
    # text, the pieces that gliner's splitter makes, the tokens each stands for
    ("don't", ["don", "'", "t"], ["do", "don't"[2:], "n't"]),
    ("U.K.", ["U", ".", "K", "."], ["U.K.", "U.K.", "U.K.", "U.K."]),
    ("$5bn", ["$", "5bn"], ["$", "5bn"]),
    ("state-of-the-art", ["state-of-the-art"], ["state-of-the-art"]),
    ("a\n\n b", ["a", "b"], ["a", "b"]),
    ("北京大学 访问", ["北京大学", "访问"], ["北京大学", "访问"]),
    ("x😀y", ["x", "😀", "y"], ["x😀y", "x😀y", "x😀y"]),
]


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


@pytest.mark.parametrize(("text", "words"), [(text, words) for text, words, _ in MISMATCHES])
def test_gliner_words_expand_to_tokens(nlp, text, words):
    doc = nlp.make_doc(text)
    split = doc_words(doc, "gliner")
    assert split.texts == words
    offset = 0
    for word, start, end in zip(split.texts, split.starts, split.ends, strict=True):
        at = text.index(word, offset)
        offset = at + len(word)
        span = doc[start:end]
        assert end > start
        assert span.start_char <= at
        assert offset <= span.end_char


def test_spacy_words_skip_white_space(nlp):
    doc = nlp.make_doc("New \n York  City")
    split = doc_words(doc, "spacy")
    assert split.texts == ["New", "York", "City"]
    assert [doc[s:e].text for s, e in zip(split.starts, split.ends, strict=True)] == split.texts


@pytest.mark.parametrize("mode", ["spacy", "gliner"])
@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_no_words(nlp, mode, text):
    assert len(doc_words(nlp.make_doc(text), mode)) == 0


@pytest.mark.parametrize("mode", ["spacy", "gliner"])
def test_of_span_is_the_inverse(nlp, mode):
    doc = nlp.make_doc("Mr. O'Neill didn't  visit the U.K. in \n 2024 (sadly).")
    words = doc_words(doc, mode)
    for start in range(len(doc)):
        for end in range(start + 1, len(doc) + 1):
            span = doc[start:end]
            first, last = words.of_span(span)
            assert (first == last) == (not span.text.strip())
            if first < last:
                assert words.starts[first] < end
                assert words.ends[last - 1] > start


def test_sentence_starts():
    doc = Doc(
        spacy.blank("en").vocab, words=["A", "b", ".", "U.K.", "d"], sent_starts=[True, False, False, True, False]
    )
    assert doc_words(doc, "spacy").sentence_starts.tolist() == [True, False, False, True, False]
    flags = doc_words(doc, "gliner").sentence_starts.tolist()
    assert flags == [True, False, False, True, False, False, False, False]


def shown(words):
    """The words, with bars where a stretch ends."""
    parts, before = [], None
    for text, stretch in zip(words.texts, words.stretches.tolist(), strict=True):
        parts += ["|"] * (before is not None and stretch != before) + [text]
        before = stretch
    return " ".join(parts)


@pytest.mark.parametrize("mode", ["spacy", "gliner", "gliner2"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Kim Lee\nBo Ng", "Kim Lee | , | Bo Ng"),
        ("- Kim Lee\n- Bo Ng\n", "Kim Lee | , | Bo Ng"),
        ("Here:\n1. Kim Lee\n2. Bo Ng", "Here : | Kim Lee | , | Bo Ng"),
        ("It rained.\n\nKim left", "It rained . | Kim left"),
        ("Kim\tOslo\nBo\t\tRome", "Kim | , | Oslo | , | Bo | , | Rome"),
    ],
)
def test_boundaries_divide_words(nlp, mode, text, expected):
    doc = nlp.make_doc(text)
    words = doc_words(doc, mode, DEFAULT_BOUNDARIES)
    assert shown(words) == expected
    for word, start, end, stretch in zip(words.texts, words.starts, words.ends, words.stretches, strict=True):
        assert doc[start:end].text == word if stretch >= 0 else not doc[start:end].text.strip(" -12.\n\t")
    bounds = [i for i in range(1, len(words)) if words.stretches[i] != words.stretches[i - 1]]
    for first in range(len(words)):
        for last in range(first + 1, len(words) + 1):
            inside = not any(first < bound < last for bound in bounds) and words.stretches[first] >= 0
            assert words.is_within(first, last) == inside
    assert words.barriers == {int(words.starts[i]) for i in bounds}


@pytest.mark.parametrize("mode", ["spacy", "gliner"])
def test_spans_with_separators_at_their_ends_are_the_words_between(nlp, mode):
    doc = nlp.make_doc("- Kim Lee\n- Bo Ng")
    words = doc_words(doc, mode, DEFAULT_BOUNDARIES)
    found = {doc[a:b].text: words.of_span(doc[a:b]) for a in range(len(doc)) for b in range(a + 1, len(doc) + 1)}
    assert found["- Kim Lee\n"] == found["Kim Lee"] == (0, 2)
    assert found["\n- Bo"] == found["Bo"] == (3, 4)
    assert found["Lee\n- Bo"] == (1, 4)
    assert found["\n"][0] == found["\n"][1]
    assert found["-"][0] == found["-"][1]


def test_lines_start_windows_and_cells_do_not(nlp):
    words = doc_words(nlp.make_doc("Kim\tOslo\nBo\tRome"), "spacy", DEFAULT_BOUNDARIES)
    assert [text for text, starts in zip(words.texts, words.sentence_starts, strict=True) if starts] == ["Bo"]


def test_sentences_are_boundaries_on_demand():
    vocab = spacy.blank("en").vocab
    doc = Doc(vocab, words=["Kim", "Lee", "Bo", "Ng"], sent_starts=[True, False, True, False])
    assert doc_words(doc, "spacy", DEFAULT_BOUNDARIES).stretches is None
    for mode in ("spacy", "gliner"):
        words = doc_words(doc, mode, ["sentences"])
        assert shown(words) == "Kim Lee | Bo Ng"
        assert words.barriers == {2}


@pytest.mark.parametrize("text", ["", "\n", "- ", "- \n- ", "| | |", "Kim Lee met Bo."])
@pytest.mark.parametrize("mode", ["spacy", "gliner"])
def test_texts_without_boundaries_between_words(nlp, mode, text):
    doc = nlp.make_doc(text)
    words = doc_words(doc, mode, DEFAULT_BOUNDARIES)
    assert not words.barriers
    assert len(words) == len(words.starts) == len(words.ends)
