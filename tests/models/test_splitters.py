"""Splitters of other packages; each is skipped where its package is not installed."""

import pytest

from spacy_openner.models import splitters

TEXTS = {
    "english": "Kim  can't\nleave U.S. soil!  ",
    "jieba": "北京大学的张伟 访问了巴黎。\n他很高兴!",
    "janome": "東京都に 住む山田さん。\n",
    "mecab": "김철수는 서울에 산다.\n안녕!",
    "camel": "ذهب محمد إلى باريس، 2020!",
    "hindi": "राम दिल्ली में रहता है। 2020",
}
PUBLISHED = {"english": "spacy"}
REFERENCES = {
    "english": "SpaCyTokenSplitter",
    "janome": "JanomeJaTokenSplitter",
    "mecab": "MecabKoTokenSplitter",
    "camel": "CamelArabicSplitter",
    "hindi": "HindiSplitter",
}


def needs(name):
    if not splitters.is_available(name):
        pytest.skip(f"{splitters.package_of(name)} is not installed")


@pytest.mark.parametrize("name", splitters.SPLITTERS)
def test_words_are_parts_of_the_text_in_order(name):
    needs(name)
    words = splitters.splitter(name)(TEXTS[name])
    assert len(words) > 4
    assert all(a < b for a, b in words)
    assert all(first[1] <= second[0] for first, second in zip(words, words[1:], strict=False))
    left = set(range(len(TEXTS[name]))) - {i for a, b in words for i in range(a, b)}
    assert all(TEXTS[name][i].isspace() for i in left)


@pytest.mark.parametrize("name", REFERENCES)
def test_words_equal_those_of_gliner(name):
    needs(name)
    tokenizer = pytest.importorskip("gliner.data_processing.tokenizer")
    reference = getattr(tokenizer, REFERENCES[name])()
    assert splitters.splitter(name)(TEXTS[name]) == [(start, end) for _, start, end in reference(TEXTS[name])]


def test_every_splitter_has_the_name_that_gliner_gives_it():
    for name in splitters.SPLITTERS:
        assert splitters.named(PUBLISHED.get(name, name)) == name
    assert splitters.named("stanza") is None


def test_what_is_written_otherwise_is_no_word():
    assert splitters.in_order(lambda text: ["Kim", "", "LEFT", "."])("Kim left.") == [(0, 3), (8, 9)]
