"""The component: real pipelines around tiny random generators."""

import itertools
import multiprocessing
import warnings

import numpy as np
import pytest
import torch
from spacy.tokens import Doc, Span

from spacy_openner.errors import OpenNERWarning, SettingError
from spacy_openner.prompts.base import spans_from_tags
from tests.support import tiny_models as tiny
from tests.support.generator_case import LABELS, PROMPT, pipeline


@pytest.fixture(scope="module", params=["t5", "llama"])
def path(request, tmp_path_factory):
    return tiny.saved_generator(request.param, tmp_path_factory.mktemp(request.param) / "model")


def test_writes_spans_entities_and_scores(path):
    nlp = pipeline(path)
    docs = list(nlp.pipe(tiny.SENTENCES))
    assert any(doc.ents for doc in docs)
    for doc in docs:
        group = doc.spans["openner"]
        assert len(group.attrs["scores"]) == len(group)
        assert all(0 < score <= 1 for score in group.attrs["scores"])
        assert {span.label_ for span in group} <= set(LABELS)
        assert [(e.start, e.end, e.label_) for e in doc.ents] == [(s.start, s.end, s.label_) for s in group]
    alone = [tiny.found(nlp(text)) for text in tiny.SENTENCES]
    together = [tiny.found(doc) for doc in docs]
    for a, b in zip(alone, together, strict=True):
        assert [x[:3] for x in a] == [x[:3] for x in b]
        assert np.allclose([x[3] for x in a], [x[3] for x in b], atol=1e-4)


def test_nothing_to_read_or_to_ask(path):
    nlp = pipeline(path)
    assert not nlp("").ents
    assert not nlp("  \n ").ents
    assert len(nlp("Hi").spans["openner"]) <= 1
    nlp.get_pipe("gner_generator").labels = []
    with pytest.warns(OpenNERWarning, match="W001"):
        assert not nlp("Marie Curie").ents


def test_per_doc_labels_and_other_names(path):
    nlp = pipeline(path)
    doc = nlp.make_doc(tiny.SENTENCES[0])
    doc._.openner_labels = ["song"]
    assert {span.label_ for span in nlp(doc).spans["openner"]} <= {"song"}


def test_thresholds(path):
    nlp = pipeline(path)
    pipe = nlp.get_pipe("gner_generator")
    scores = [x[3] for text in tiny.SENTENCES for x in tiny.found(nlp(text))]
    # Scores are kept in float32: one that is compared with itself may be rounded to either side.
    pipe.threshold = float(np.median(scores)) - 1e-6
    kept = [x[3] for text in tiny.SENTENCES for x in tiny.found(nlp(text))]
    assert 0 < len(kept) < len(scores)
    assert min(kept) > pipe.threshold


def test_long_texts_are_read_to_the_end(tmp_path):
    """By a model that finds entities everywhere."""
    nlp = pipeline(tiny.saved_generator("llama", tmp_path / "model"))
    text = tiny.long_text(1500)
    doc = nlp(text)
    starts = [span.start for span in doc.spans["openner"]]
    assert starts == sorted(starts)
    assert any(start > len(doc) - 100 for start in starts)
    assert any(start < 100 for start in starts)
    spans = [(s.start, s.end) for s in doc.spans["openner"]]
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))


@pytest.mark.parametrize("word", ["😀", "((O)", "(B-person)", "北京大学", "ⵜⴰⵎⴰⵣⵉⵖⵜ", "\u200b", "a\u00a0b", "x" * 3000])
def test_odd_words_keep_their_places(path, word):
    nlp = pipeline(path)
    words = ["Marie", word, "Curie", word, "won"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OpenNERWarning)
        doc = nlp(Doc(nlp.vocab, words))
    assert [token.text for token in doc] == words
    assert all(0 <= span.start < span.end <= 5 for span in doc.spans["openner"])


def test_a_word_that_would_fill_the_window_is_said(t5):
    with pytest.warns(OpenNERWarning, match="W011"):
        pipeline(t5)("a " + "x" * 3000)


def test_many_types_are_split_over_prompts(t5):
    nlp = pipeline(t5, max_types=2)
    pipe = nlp.get_pipe("gner_generator")
    pipe.labels = [f"type {letter}" for letter in "abcdefg"]
    nlp(tiny.SENTENCES[0])
    assert pipe.stats.n_windows == 4
    pipe.max_types = None
    pipe.labels = [f"kind of thing {a}{b}" for a in "abcdefghijklm" for b in "abcdefghijkl"]
    doc = nlp(tiny.SENTENCES[0])
    assert pipe.stats.n_windows > 5
    spans = [(s.start, s.end) for s in doc.spans["openner"]]
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))


def test_a_type_too_long_for_any_prompt(t5):
    nlp = pipeline(t5)
    nlp.get_pipe("gner_generator").labels = ["very " * 500 + "long"]
    with pytest.raises(SettingError, match="O006"):
        nlp("Marie Curie")


@pytest.mark.parametrize("source", ["ents", "guesses"])
def test_drafts_change_the_cost_and_not_the_result(t5, source):
    plain, drafting = pipeline(t5), pipeline(t5, draft_from=source, overwrite_ents=True)
    for text in tiny.SENTENCES[:3]:
        found = plain(text)
        doc = drafting.make_doc(text)
        spans = [Span(doc, s.start, s.end, label=s.label_) for s in found.spans["openner"]]
        if source == "ents":
            doc.ents = spans
        else:
            doc.spans["guesses"] = spans
        assert [x[:3] for x in tiny.found(drafting(doc))] == [x[:3] for x in tiny.found(found)]
    cost = [nlp.get_pipe("gner_generator").stats.n_passes for nlp in (plain, drafting)]
    assert cost[1] == 3 < cost[0]


def test_entities_of_rules_are_kept(t5):
    nlp = pipeline(t5, before=["entity_ruler"])
    nlp.get_pipe("entity_ruler").add_patterns([{"label": "RULE", "pattern": "Marie Curie"}])
    assert ("Marie Curie", "RULE") in [(e.text, e.label_) for e in nlp(tiny.SENTENCES[0]).ents]


def test_free_decoding_matches_what_was_said(path):
    nlp = pipeline(path, decoding="free")
    docs = list(nlp.pipe(tiny.SENTENCES[:3]))
    pipe = nlp.get_pipe("gner_generator")
    # A random model repeats nothing: all words are left out, and that is counted.
    assert pipe.stats.errors.omitted > 0
    assert all(len(doc.spans["openner"].attrs["scores"]) == len(doc.spans["openner"]) for doc in docs)


def begins(answer, pieces):
    return len(answer) > len(pieces) and list(answer[: len(pieces)]) == pieces


def test_beams_are_those_of_generate_among_all_answers_written_out(t5):
    """The reference knows no trie: it lists every legal answer and lets `generate` choose among their beginnings."""
    nlp = pipeline(t5, labels=["person", "award"], num_beams=3)
    pipe = nlp.get_pipe("gner_generator")
    generator = pipe.model.shims[0].generator
    for words in (["Marie", "Curie", "won"], ["Hi", "Paris"], ["the", "Nobel", "Prize"]):
        legal = {}
        for tags in itertools.product(pipe.prompt.tags(pipe.labels), repeat=len(words)):
            if all(t[:2] != "I-" or before[2:] == t[2:] for before, t in itertools.pairwise(["O", *tags])):
                answer = generator.tokenizer(pipe.prompt.answer(words, tags), add_special_tokens=False)["input_ids"]
                legal[(*answer, generator.end)] = tags
        ids, mask = generator.encode_prompts([pipe.prompt.render(words, pipe.labels)])
        (said,) = generator.network.generate(
            input_ids=ids,
            attention_mask=mask,
            num_beams=3,
            do_sample=False,
            max_new_tokens=max(map(len, legal)),
            prefix_allowed_tokens_fn=lambda _, before, legal=legal: (
                sorted({a[len(before) - 1] for a in legal if begins(a, before[1:].tolist())}) or [0]
            ),
        )
        said = said[1:].tolist()
        expected = spans_from_tags(legal[tuple(said[: said.index(generator.end) + 1])])
        doc = nlp(Doc(nlp.vocab, words))
        assert [x[:3] for x in tiny.found(doc)] == expected


@pytest.mark.parametrize("settings", [{"decoding": "magic"}, {"num_beams": 0}, {"max_types": 0}, {"threshold": 2}])
def test_settings_are_checked(t5, settings):
    with pytest.raises(SettingError, match=next(iter(settings))):
        pipeline(t5, **settings)


@pytest.mark.timeout(120)
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
def test_two_processes(t5, monkeypatch):
    """Also after the parent has predicted with several threads, whose pools a fork leaves behind dead."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    nlp = pipeline(t5)
    expected = [tiny.found(doc) for doc in nlp.pipe(tiny.SENTENCES)]
    monkeypatch.setattr("spacy.language.mp", multiprocessing.get_context("fork"))
    found = [tiny.found(doc) for doc in nlp.pipe(tiny.SENTENCES, n_process=2, batch_size=3)]
    torch.set_num_threads(threads)
    assert [[x[:3] for x in each] for each in found] == [[x[:3] for x in each] for each in expected]


def test_a_tokenizer_whose_chunks_hang_together_takes_the_reference_path(t5, monkeypatch):
    nlp = pipeline(t5)
    expected = [[x[:3] for x in tiny.found(nlp(text))] for text in tiny.SENTENCES[:2]]
    generator = nlp.get_pipe("gner_generator").model.shims[0].generator
    monkeypatch.setattr(generator.chunks, "independent", False)
    passes = nlp.get_pipe("gner_generator").stats.n_passes
    assert [[x[:3] for x in tiny.found(nlp(text))] for text in tiny.SENTENCES[:2]] == expected
    assert nlp.get_pipe("gner_generator").stats.n_passes == passes


def test_constrained_decoding_needs_answers_that_tag_every_word(t5):
    with pytest.raises(SettingError, match="O014"):
        pipeline(t5, prompt={**PROMPT, "target": "entities"})
