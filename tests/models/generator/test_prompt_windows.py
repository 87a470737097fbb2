"""Prompt windows: every word belongs to one window, every type to one prompt, and all of it fits."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_openner.errors import SettingError
from spacy_openner.models.generator.prompt_windows import (
    DecodingSettings,
    TaggingQuery,
    batch_windows,
    plan_windows,
    split_types,
    visible_words,
)
from spacy_openner.models.words import Words
from spacy_openner.prompts.gner import GNERPrompt_v1
from spacy_openner.prompts.toner import ToNERPrompt_v1
from spacy_openner.prompts.uniner import UniNERPrompt_v1

PROMPTS = [GNERPrompt_v1("{labels}: {sentence}"), ToNERPrompt_v1(), UniNERPrompt_v1("{label}: {sentence}")]


@dataclass
class LetterGenerator:
    """A model whose tokenizer has a subword for each letter."""

    limit: int
    causal: bool

    @cached_property
    def tokenizer(self) -> Any:
        return lambda texts, **options: {"input_ids": [[ord(c) for c in text] for text in texts]}


def query_of(words, types, hints=None, starts=()):
    n = len(words)
    opening = np.isin(np.arange(n), list(starts))
    return TaggingQuery(Words(words, np.arange(n), np.arange(1, n + 1), opening), types, hints=hints)


WORDS = st.lists(st.text("ab(", min_size=1, max_size=12), max_size=120)
TYPES = st.lists(st.text("xyz ", min_size=1, max_size=15), min_size=1, max_size=12, unique=True)


STARTS = st.sets(st.integers(0, 119))


@given(WORDS, TYPES, st.sampled_from(PROMPTS), st.booleans(), st.integers(0, 20), st.none() | st.integers(1, 5), STARTS)
def test_windows_partition_the_text_and_the_types(words, types, prompt, causal, overlap, max_types, starts):
    generator = LetterGenerator(300, causal)
    settings = DecodingSettings(overlap=overlap, max_types=max_types)
    windows = list(plan_windows(generator, prompt, query_of(words, types, starts=starts), 7, settings))
    if not words:
        assert windows == []
        return
    groups = list(dict.fromkeys(window.types for window in windows))
    assert [t for group in groups for t in group] == list(range(len(types)))
    most = min(n for n in (max_types, prompt.max_types, len(types)) if n is not None)
    assert all(len(group) <= most for group in groups)
    for group in groups:
        own = [window for window in windows if window.types == group]
        assert [i for window in own for i in window.own] == list(range(len(words)))
        for window in own:
            assert window.query == 7
            assert window.first <= window.own.start < window.own.stop <= window.last
        for before, after in zip(own, own[1:], strict=False):
            assert before.first < after.first <= before.last < after.last
            assert before.last - after.first <= overlap


def test_windows_begin_at_starts_of_sentences_and_lines():
    words, starts = ["ab"] * 100, range(0, 100, 7)
    query = query_of(words, ["x"], starts=starts)
    windows = list(plan_windows(LetterGenerator(300, False), PROMPTS[0], query, 0, DecodingSettings()))
    assert len(windows) > 2
    assert {window.first for window in windows} < set(starts)
    assert all(window.own == range(window.first, window.last) for window in windows)


@given(WORDS.filter(bool), TYPES, st.sampled_from(PROMPTS), st.booleans())
def test_prompts_and_answers_fit(words, types, prompt, causal):
    """Within the limit; only a word that alone passes it, with the longest tag, has a window of its own."""
    generator = LetterGenerator(300, causal)
    query = query_of(words, types)
    for window in plan_windows(generator, prompt, query, 0, DecodingSettings()):
        shown = visible_words(generator, words[window.first : window.last])
        asked = len(window.render(prompt, query, shown, causal))
        tags = prompt.tags([types[t] for t in window.types])
        longest = max(tags, key=len)
        answer = len(" ".join(prompt.chunk(word, longest) for word in shown)) + 1
        assert asked <= window.n_subwords
        if window.last - window.first > 1:
            assert (asked + answer if causal else max(asked, answer)) <= generator.limit


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 60)), max_size=40), st.integers(1, 200))
def test_batches_hold_every_window_once_and_keep_to_the_budget(sizes, budget):
    windows = [
        window
        for i, (n_words, n_letters) in enumerate(sizes)
        for window in plan_windows(
            LetterGenerator(300, False), PROMPTS[0], query_of(["a" * n_letters] * n_words, ["x"]), i, DecodingSettings()
        )
    ]
    batches = list(batch_windows(windows, budget))
    assert sorted((w.query, w.first) for batch in batches for w in batch) == sorted((w.query, w.first) for w in windows)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(w.n_subwords for w in batch) <= budget


def test_hints_are_counted_and_named():
    query = query_of(["Ann", "left"], ["person", "city"], hints=[1])
    (window,) = plan_windows(LetterGenerator(300, False), PROMPTS[1], query, 0, DecodingSettings())
    assert window.render(PROMPTS[1], query, ["Ann", "left"], False).endswith("type [city] may exist in text.")


def test_a_type_that_does_not_fit_is_named():
    with pytest.raises(SettingError, match=r"O006.*xxxx"):
        split_types(np.array([3, 60]), 100, ["a", "x" * 60], None)
