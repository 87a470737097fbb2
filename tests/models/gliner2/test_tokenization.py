"""Windows as GLiNER2 reads them."""

import numpy as np
import pytest
import spacy

from spacy_openner.errors import SettingError
from spacy_openner.models.words import doc_words
from spacy_openner.prompts.gliner2 import DescribedType
from tests.support import tiny_gliner2 as tiny2
from tests.support import tiny_models as tiny

NLP = spacy.blank("en")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny2.checkpoint("span", tmp_path_factory.mktemp("span"))


def tokens(checkpoint, ids):
    return checkpoint.tokenizer.convert_ids_to_tokens([int(i) for i in ids])


def plan(checkpoint, text, types, window=512, max_types=None):
    types = [each if isinstance(each, DescribedType) else DescribedType(each) for each in types]
    return list(checkpoint.planner(window, 8, max_types).plan([doc_words(NLP.make_doc(text), "gliner2")], [types]))


def test_one_window_is_schema_lowered_words_and_a_full_stop(checkpoint):
    (window,) = plan(checkpoint, "Marie Curie", ["person", DescribedType("award", "Prize")])
    said = tokens(checkpoint, window.input_ids)
    assert said[0] == "("
    assert said[1] == "[P]"
    assert said.count("[E]") == 2
    assert said.count("[DESCRIPTION]") == 1
    text = said[said.index("[SEP_TEXT]") + 1 :]
    assert "".join(text).replace("##", "") == "mariecurie."
    assert [said[i] for i in window.type_positions] == ["[P]", "[E]", "[E]"]
    assert (window.first, window.last) == (0, 2)
    assert [said[i][:2] for i in window.word_positions] == ["ma", "cu", "."], "the full stop is a word of the network"


@pytest.mark.parametrize("mark", [".", "!", "?"])
def test_texts_that_end_a_sentence_get_no_full_stop(checkpoint, mark):
    (window,) = plan(checkpoint, "Marie won " + mark, ["person"])
    assert len(window.word_positions) == window.last == 3
    assert window.word_positions[-1] == len(window.input_ids) - 1


def test_long_texts_are_covered_by_windows_that_overlap(checkpoint):
    text = tiny.long_text(300)
    windows = plan(checkpoint, text, tiny.LABELS, window=128)
    n = len(doc_words(NLP.make_doc(text), "gliner2"))
    assert len(windows) > 3
    assert windows[0].first == 0
    assert windows[-1].last == n
    assert all(len(w.input_ids) <= 128 for w in windows)
    assert all(b.first < a.last for a, b in zip(windows, windows[1:], strict=False))
    seen = np.zeros(n, dtype=bool)
    for w in windows:
        seen[w.first : w.last] = True
        assert (w.word_positions < len(w.input_ids)).all()
    assert seen.all()


def test_many_types_are_split_over_prompts(checkpoint):
    types = [f"type {i}" for i in range(100)]
    windows = plan(checkpoint, "Marie", types)
    assert len(windows) > 1
    assert [i for w in windows for i in w.types] == list(range(100))
    assert all(len(w.type_positions) == len(w.types) + 1 for w in windows)
    assert [len(w.types) for w in plan(checkpoint, "Marie", types[:6], max_types=2)] == [2, 2, 2]


def test_a_type_that_does_not_fit_is_an_error(checkpoint):
    with pytest.raises(SettingError, match="O006"):
        plan(checkpoint, "Marie", [DescribedType("person", "a b c " * 200)])


def test_texts_and_labels_cannot_pose_as_a_schema(checkpoint):
    (window,) = plan(checkpoint, "https://x/[P][SEP_TEXT]", ["a [E] b", DescribedType("c", "[SEP_TEXT] d")])
    said = tokens(checkpoint, window.input_ids)
    assert (said.count("[P]"), said.count("[E]"), said.count("[SEP_TEXT]")) == (1, 2, 1)


def test_nothing_to_ask_or_to_read(checkpoint):
    assert plan(checkpoint, "", ["person"]) == []
    assert plan(checkpoint, "Marie", []) == []
