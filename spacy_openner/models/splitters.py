"""Words of languages that are written without spaces, or split by rules of their own, by the packages that know them.

`gliner` names the splitter that a checkpoint was trained with (`words_splitter_type`). Those that need no download
beside their package are used here where it is installed; see `words.doc_words` for the plain splitters.
"""

from collections.abc import Callable, Iterable
from functools import cache
from importlib.util import find_spec
from typing import Any

Split = Callable[[str], list[tuple[int, int]]]
"""Returns the characters of each word of a text, end exclusive."""


def in_order(words_of: Callable[[str], Iterable[str]]) -> Split:
    """Place words in their text, one behind the other. What is written otherwise than in the text is no word."""

    def split(text: str) -> list[tuple[int, int]]:
        words, reached = [], 0
        for word in words_of(text):
            start = text.find(word, reached) if word else -1
            if start >= 0:
                reached = start + len(word)
                words.append((start, reached))
        return words

    return split


def _english() -> Split:
    from spacy.lang.en import English

    tokenizer = English().tokenizer
    return lambda text: [(token.idx, token.idx + len(token)) for token in tokenizer(text)]


def _chinese() -> Split:
    import jieba3

    return in_order(jieba3.jieba3().cut_text)


def _japanese() -> Split:
    from janome.tokenizer import Tokenizer

    tokenizer: Any = Tokenizer()
    return in_order(lambda text: tokenizer.tokenize(text, wakati=True))


def _korean() -> Split:
    import mecab

    return in_order(mecab.MeCab().morphs)


def _arabic() -> Split:
    from camel_tools.tokenizers.word import simple_word_tokenize

    return in_order(simple_word_tokenize)


def _hindi() -> Split:
    from indicnlp.tokenize.indic_tokenize import trivial_tokenize

    return in_order(lambda text: trivial_tokenize(text, lang="hi"))


SPLITTERS: dict[str, tuple[str, str, Callable[[], Split]]] = {
    "english": ("spacy", "spacy", _english),
    "jieba": ("jieba3", "jieba3", _chinese),
    "janome": ("janome", "janome", _japanese),
    "mecab": ("mecab", "python-mecab-ko", _korean),
    "camel": ("camel_tools", "camel-tools", _arabic),
    "hindi": ("indicnlp", "indic-nlp-library", _hindi),
}
"""By name: the module, the package that it comes with, and what makes the splitter."""


def named(published: str) -> str | None:
    """Return the splitter that `gliner` calls by a name; None for one that is not used here."""
    name = {"spacy": "english"}.get(published, published)
    return name if name in SPLITTERS else None


def is_available(name: str) -> bool:
    """Tell whether the package of a splitter is installed."""
    return find_spec(SPLITTERS[name][0]) is not None


def package_of(name: str) -> str:
    """Return the name of the package that a splitter needs."""
    return SPLITTERS[name][1]


@cache
def splitter(name: str) -> Split:
    """Return a splitter, made once.

    name (str): A key of `SPLITTERS`.
    """
    return SPLITTERS[name][2]()
