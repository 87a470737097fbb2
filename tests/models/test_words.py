"""Words and tokens: nothing that is found in a word may be lost on the way to spaCy's tokens."""

import pytest
import spacy
from spacy.tokens import Doc

from spacy_openner.models.words import doc_words

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
