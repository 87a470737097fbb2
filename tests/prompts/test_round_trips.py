"""Every format parses what it renders, whatever the labels hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_openner.prompts.base import normalize_name, spans_from_tags
from spacy_openner.prompts.gner import GNERPrompt_v1
from spacy_openner.prompts.lar import KIND, LARAnswerPrompt_v1
from spacy_openner.prompts.toner import ToNERPrompt_v1
from spacy_openner.prompts.uniner import UniNERPrompt_v1

# What formats are made of, and what tokenizers and regular expressions stumble over.
HOSTILE = [
    "(",
    ")",
    "[",
    "]",
    "{labels}",
    "O",
    "B-",
    "I-",
    ",",
    ".",
    "*",
    "\\",
    '"',
    "'",
    "İ",
    "ß",
    "北",
    "a",
    "b",
    " ",
]
NAMES = st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=6).map("".join).map(str.strip).filter(bool)
LABELS = st.lists(NAMES, min_size=1, max_size=4, unique_by=normalize_name)
WORDS = ["Ada", "Lee", "left", "New", "Rome", ".", "今日", "x-y"]
# An empty pair of brackets can be read as the end of one name and the beginning of the next.
SPANS = st.lists(st.tuples(st.integers(0, 7), st.integers(1, 3), st.integers(0, 3)), max_size=4)


def tags_of(spans, labels):
    """Tags of some spans that do not overlap."""
    tags = ["O"] * len(WORDS)
    for first, length, label in spans:
        run = range(first, min(first + length, len(WORDS)))
        if all(tags[i] == "O" for i in run):
            name = labels[label % len(labels)]
            tags[run.start : run.stop] = [f"B-{name}"] + [f"I-{name}"] * (len(run) - 1)
    return tags


def entities(tagged):
    """The words and labels of parsed entities, in order."""
    tags = [word.tag for word in tagged]
    return [(tuple(word.word for word in tagged[a:b]), label) for a, b, label in spans_from_tags(tags)]


def expected(tags):
    return [(tuple(WORDS[a:b]), label) for a, b, label in spans_from_tags(tags)]


@pytest.mark.parametrize("target", ["bio", "bioes"])
@given(LABELS, SPANS)
def test_tagged_words(target, labels, spans):
    prompt, tags = GNERPrompt_v1(target=target), tags_of(spans, labels)
    tagged = prompt.parse(prompt.answer(WORDS, tags), labels)
    assert [word.word for word in tagged] == WORDS
    assert [word.tag for word in tagged] == tags


@given(LABELS, SPANS)
def test_conversations_about_one_type(labels, spans):
    prompt, label = UniNERPrompt_v1(), labels[0]
    tags = [tag[:2] + label if tag != "O" else tag for tag in tags_of(spans, labels)]
    assert entities(prompt.parse(prompt.answer(WORDS, tags), [label])) == expected(tags)


PLAIN = st.lists(st.sampled_from(["a", "b", "c d", "-", "北", "ß", "'", "O", "B-", "*", "\\"]), min_size=1, max_size=5)
PLAIN_LABELS = st.lists(
    PLAIN.map("".join).map(str.strip).filter(bool), min_size=1, max_size=4, unique_by=normalize_name
)


@pytest.mark.parametrize(
    "prompt",
    [GNERPrompt_v1(target="entities"), GNERPrompt_v1(target="context"), ToNERPrompt_v1(), ToNERPrompt_v1(explain=True)],
    ids=["entities", "context", "toner", "toner explained"],
)
@given(PLAIN_LABELS, SPANS)
def test_lists_of_entities(prompt, labels, spans):
    tags = tags_of(spans, labels)
    assert entities(prompt.parse(prompt.answer(WORDS, tags), labels)) == expected(tags)


@given(PLAIN_LABELS, SPANS)
def test_lines(labels, spans):
    described = [f"{label}{KIND}thing" for label in labels]
    tags = tags_of(spans, described)
    prompt = LARAnswerPrompt_v1()
    assert entities(prompt.parse(prompt.answer(WORDS, tags), described)) == expected(tags)
