"""Windows and prompts: every word is shown, every type is asked, nothing is cut."""

import numpy as np
import pytest
import spacy

from spacy_openner.errors import OpenNERWarning, SettingError
from spacy_openner.models.gliner import checkpoint as gliner_checkpoint
from spacy_openner.models.gliner.tokenization import KNOWN_PROMPTS, PromptTokenizer
from spacy_openner.models.gliner.windows import WindowPlanner, batch_windows, pad
from spacy_openner.models.words import Words, doc_words
from spacy_openner.nn.vector_cache import CAPACITY
from tests.support import tiny_models as tiny


@pytest.fixture(scope="module")
def checkpoint(tiny_path):
    return gliner_checkpoint.load(tiny_path)


def planner(checkpoint, limit=64, max_words=384, overlap=8, **options) -> WindowPlanner:
    ids = {"entity_id": checkpoint.entity_id, "separator_id": checkpoint.separator_id}
    return WindowPlanner(PromptTokenizer(checkpoint.tokenizer, limit, **ids, **options), max_words, overlap)


def words_of(text: str, sentences: bool = False) -> Words:
    nlp = spacy.blank("en")
    if sentences:
        nlp.add_pipe("sentencizer")
    return doc_words(nlp(text), "spacy")


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_subwords_equal_the_tokenizer_on_whole_input(kind, tmp_path):
    checkpoint = tiny.checkpoint(kind, tmp_path)
    maker = planner(checkpoint, limit=512)
    for text in tiny.SENTENCES:
        words = words_of(text)
        (window,) = maker.plan([words], [tiny.LABELS])
        whole = [part for label in tiny.LABELS for part in ("<<ENT>>", label)] + ["<<SEP>>", *words.texts]
        expected = checkpoint.tokenizer(whole, is_split_into_words=True)
        assert window.input_ids.tolist() == expected["input_ids"]
        firsts = [expected.word_to_tokens(i) for i in range(2 * len(tiny.LABELS) + 1, len(whole))]
        assert window.word_positions.tolist() == [-1 if at is None else at.start for at in firsts]
        marked = [expected.word_to_tokens(2 * i).start for i in range(len(tiny.LABELS))]
        assert window.type_positions.tolist() == marked


@pytest.mark.parametrize("sentences", [False, True])
@pytest.mark.parametrize("n_words", [1, 20, 100, 1000])
def test_windows_show_every_word(checkpoint, n_words, sentences):
    maker = planner(checkpoint)
    words = words_of(tiny.long_text(n_words), sentences)
    windows = list(maker.plan([words], [["person"]]))
    assert all(len(w.input_ids) <= 64 for w in windows)
    shown = np.zeros(len(words), dtype=int)
    for window in windows:
        shown[window.first : window.last] += 1
        assert len(window.word_positions) == window.last - window.first
    assert (shown >= 1).all()
    for left, right in zip(windows, windows[1:], strict=False):
        starts_sentence = words.sentence_starts[right.first]
        assert right.first == left.last if starts_sentence and sentences else right.first == left.last - 8


def test_windows_prefer_sentence_starts(checkpoint):
    words = words_of("One two three four five. " * 30, sentences=True)
    windows = list(planner(checkpoint).plan([words], [["person"]]))
    assert len(windows) > 2
    assert all(words.sentence_starts[w.first] for w in windows)


def test_max_words_limits_windows(checkpoint):
    words = words_of("a " * 50)
    assert max(w.last - w.first for w in planner(checkpoint, limit=512, max_words=20).plan([words], [["p"]])) == 20


def test_a_word_longer_than_the_window_is_said(checkpoint):
    word = "x9" * 45  # BERT's WordPiece splits words of up to 100 characters
    words = words_of(f"a {word} b")
    maker = planner(checkpoint, limit=24)
    with pytest.warns(OpenNERWarning, match="W003"):
        windows = list(maker.plan([words], [["p"]]))
    assert {i for w in windows for i in range(w.first, w.last)} == {0, 1, 2}
    assert all(len(w.input_ids) <= 24 for w in windows)


@pytest.mark.parametrize("count", [1, 2, 24, 25, 26, 500, 2000])
def test_prompts_ask_every_type_once(checkpoint, count):
    prompts = planner(checkpoint, limit=512, max_types=25).tokenizer.prompts([f"type {i}" for i in range(count)])
    assert [i for prompt in prompts for i in prompt.types] == list(range(count))
    sizes = [len(prompt.types) for prompt in prompts]
    assert max(sizes) <= 25
    assert max(sizes) - min(sizes) <= 1
    for prompt in prompts:
        assert len(prompt.ids) <= 256 + 2
        assert (prompt.ids[prompt.positions] == checkpoint.entity_id).all()
        assert len(prompt.positions) == len(prompt.types)


def test_uneven_types_fit_too(checkpoint):
    types = ["a"] * 30 + ["word " * 12] * 8
    for prompt in planner(checkpoint, limit=128).tokenizer.prompts(types):
        assert len(prompt.ids) <= 64 + 2


def test_a_type_that_fits_nowhere_is_refused(checkpoint):
    with pytest.raises(SettingError, match="O006"):
        planner(checkpoint).tokenizer.prompts(["fine", "word " * 100])


def test_the_piece_after_the_marker(checkpoint):
    marker = planner(checkpoint).tokenizer.prompts(["person"])[0].positions
    after = planner(checkpoint, embed_marker=False).tokenizer.prompts(["person"])[0].positions
    assert after == marker + 1


@pytest.mark.parametrize("text", ["<<ENT>> person", "x <<SEP>> y", "[CLS] <<ENT>>"])
def test_text_cannot_pose_as_a_prompt(checkpoint, text):
    words = Words(text.split(), *(np.arange(len(text.split())) for _ in range(2)), np.zeros(len(text.split()), bool))
    (window,) = planner(checkpoint).plan([words], [["award"]])
    assert (window.input_ids == checkpoint.entity_id).sum() == 1
    assert (window.input_ids == checkpoint.separator_id).sum() == 1
    assert len(window.word_positions) == len(words)
    (window,) = planner(checkpoint).plan([words_of("a")], [[text]])
    assert (window.input_ids == checkpoint.entity_id).sum() == 1


def test_groups_keep_to_the_budget(checkpoint):
    texts = [words_of(tiny.long_text(n, n)) for n in (1, 3, 7, 30, 2, 200, 5)]
    windows = list(planner(checkpoint).plan(texts, [["person"]] * len(texts)))
    for buffer in (1, 512):
        groups = list(batch_windows(windows, 200, buffer))
        assert sorted(id(w) for g in groups for w in g) == sorted(map(id, windows))
        assert all(len(g) == 1 or len(g) * max(len(w.input_ids) for w in g) <= 200 for g in groups)


def test_padding(checkpoint):
    texts = [words_of("a b c"), words_of("d")]
    batch = pad(list(planner(checkpoint).plan(texts, [["p"], ["p", "q"]])), 0)
    assert batch.n_words.tolist() == [3, 1]
    assert batch.word_positions[1].tolist()[1:] == [-1, -1]
    assert batch.type_positions[0].tolist()[1] == -1
    assert batch.attention_mask.sum(1).tolist() == [(batch.input_ids[i] != 0).sum() for i in range(2)]


def test_ever_new_types_do_not_fill_the_memory(checkpoint):
    tokenizer = planner(checkpoint, limit=512).tokenizer
    for start in range(0, 40_000, 50):
        tokenizer.prompts([f"type {i}" for i in range(start, start + 50)])
    assert len(tokenizer._type_ids) <= CAPACITY
    assert len(tokenizer._prompts) <= KNOWN_PROMPTS
