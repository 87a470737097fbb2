"""Reassigners with weights: what they score, what they share, what they do with spans that do not fit."""

from types import SimpleNamespace

import numpy as np
import pytest
import spacy

from spacy_openner.errors import SettingError
from spacy_openner.lar.generator_reassigner import GENERATOR, GeneratorReassigner_v1
from spacy_openner.lar.reassigner import TOO_LONG, EntityCase, LabelSpace
from spacy_openner.lar.span_reassigner import NEIGHBOUR, SPAN, SpanTypeReassigner_v1
from spacy_openner.models.architectures import Generator_v1, SpanMatcher_v1
from spacy_openner.models.generator import checkpoint as generators
from spacy_openner.models.generator.likelihood import log_likelihoods
from spacy_openner.models.generator.model import T5_LIMIT
from spacy_openner.prompts.lar import NONE, LARPrompt, LARPrompt_v1
from tests.support import tiny_models as tiny
from tests.support.reassignment_case import span_matcher

TYPES = LabelSpace(("person", "place"), {"person": "a human", "award": "a prize", "city": "a big town"}, none=True)
NEVER_NONE = TYPES._replace(none=False)


def cases(nlp, *rows):
    """Cases of (text, start, end, options)."""
    docs = {text: nlp.make_doc(text) for text, *_ in rows}
    return [EntityCase(docs[text], start, end, "person", options) for text, start, end, options in rows]


@pytest.fixture
def nlp():
    return spacy.blank("en")


@pytest.fixture
def mixed(nlp):
    """Cases of several texts, one of them hard, with options of their own."""
    return cases(
        nlp,
        (tiny.SENTENCES[0], 0, 2, ("person", "award")),
        (tiny.SENTENCES[0], 4, 6, ("award", "city", "person")),
        (tiny.SENTENCES[4], 0, 1, ("city", "person")),
        ("Hi", 0, 1, ("person",)),
    )


# The span matcher


@pytest.fixture
def by_spans(tiny_path):
    return SpanTypeReassigner_v1(SpanMatcher_v1(str(tiny_path), precision="float32"))


def test_probabilities_of_exactly_these_spans(by_spans, mixed, make_nlp):
    pipe = make_nlp().get_pipe("open_ner_span")
    for case, choice in zip(mixed, by_spans(mixed, NEVER_NONE), strict=True):
        together = dict.fromkeys(o for other in mixed if other.doc is case.doc for o in other.options)
        scores = pipe.span_scores(case.doc, [case.doc[case.start : case.end]], list(together))[0]
        allowed = {label: scores[i] for i, label in enumerate(together) if label in case.options}
        assert choice.label == max(allowed, key=allowed.get)
        assert choice.score == pytest.approx(allowed[choice.label], abs=1e-5)
        assert (choice.by, choice.reason) == (SPAN, "")


def test_low_probabilities_are_none(tiny_path, mixed):
    strict = SpanTypeReassigner_v1(SpanMatcher_v1(str(tiny_path), precision="float32"), none_below=1.0)
    plain = SpanTypeReassigner_v1(SpanMatcher_v1(str(tiny_path), precision="float32"))(mixed, TYPES)
    for choice, other in zip(strict(mixed, TYPES), plain, strict=True):
        assert choice.label == NONE
        assert choice.score == pytest.approx(1 - other.score)
    assert strict(mixed, NEVER_NONE) == plain


def test_descriptions_in_prompts(tiny_path, mixed):
    described = SpanTypeReassigner_v1(SpanMatcher_v1(str(tiny_path), precision="float32"), use_descriptions=True)
    named = SpanTypeReassigner_v1(SpanMatcher_v1(str(tiny_path), precision="float32"))
    assert [c.score for c in described(mixed, TYPES)] != [c.score for c in named(mixed, TYPES)]
    bare = TYPES._replace(targets={label: label for label in TYPES.targets})
    assert described(mixed, bare) == named(mixed, bare)


def test_wide_spans_and_windows(nlp, tiny_path):
    """A span as wide as its window; another one, wider than any, fails alone."""
    text = tiny.long_text(300)
    small = SpanTypeReassigner_v1(SpanMatcher_v1(str(tiny_path), precision="float32", window=64))
    rows = cases(
        nlp, (text, 0, 2, ("person", "award")), (text, 0, 200, ("person", "award")), (text, 290, 292, ("city",))
    )
    found = small(rows, NEVER_NONE)
    assert (found[1].label, found[1].reason) == (None, TOO_LONG)
    assert found[0].label in ("person", "award")
    assert found[2].label == "city"


# The generator


@pytest.mark.parametrize("kind", tiny.GENERATORS)
def test_each_candidate_is_scored_exactly(kind, mixed, tmp_path):
    path = tiny.saved_generator(kind, tmp_path / "model")
    reassigner = GeneratorReassigner_v1(Generator_v1(str(path), precision="float32"))
    prompt, model = LARPrompt(), generators.load(path)
    for case, choice in zip(mixed, reassigner(mixed, TYPES), strict=True):
        asked = prompt.render(case.doc.text, TYPES.sources, [*TYPES.targets, NONE], causal=model.causal)
        options = [*case.options, NONE]
        lines = [prompt.line("person", case.text, option) for option in options]
        (scores,) = log_likelihoods(model, [asked], [lines], 10_000)
        shares = np.exp(np.array(scores) - np.logaddexp.reduce(scores))
        assert choice.label == options[int(shares.argmax())]
        assert choice.score == pytest.approx(shares.max(), abs=2e-3)
        assert (choice.by, choice.reason) == (GENERATOR, "")


def test_alone_and_in_a_batch(t5, mixed):
    reassigner = GeneratorReassigner_v1(Generator_v1(str(t5), precision="float32"), batch_tokens=1)
    together = GeneratorReassigner_v1(Generator_v1(str(t5), precision="float32"))(mixed, TYPES)
    for case, choice in zip(mixed, together, strict=True):
        (alone,) = reassigner([case], TYPES)
        assert alone.label == choice.label
        assert alone.score == pytest.approx(choice.score, abs=1e-4)


def test_long_texts_are_shown_around_the_entity(nlp, t5, monkeypatch):
    """As many words as fit on both sides; the whole text where it does."""
    shown = []
    monkeypatch.setattr(
        "spacy_openner.lar.generator_reassigner.log_likelihoods",
        lambda generator, prompts, answers, tokens: (
            shown.extend(prompts) or log_likelihoods(generator, prompts, answers, tokens)
        ),
    )
    reassigner = GeneratorReassigner_v1(Generator_v1(str(t5), precision="float32"))
    words = [f"w{i}" for i in range(2000)]
    rows = cases(
        nlp, (" ".join(words), 1000, 1002, ("person",)), (" ".join(words), 0, 1, ("person",)), ("Hi", 0, 1, ("city",))
    )
    assert all(choice.label is not None for choice in reassigner(rows, TYPES))
    texts = [prompt.rpartition("Text: ")[2].split() for prompt in shown]
    middle, start, whole = texts
    assert "w1000" in middle
    assert "w1001" in middle
    assert abs((1000 - int(middle[0][1:])) - (int(middle[-1][1:]) - 1001)) <= 1
    assert start[0] == "w0"
    assert whole == ["Hi"]
    size = len(generators.load(t5).tokenizer(shown[0])["input_ids"])
    assert T5_LIMIT - 12 < size <= T5_LIMIT


def test_an_entity_that_does_not_fit(nlp, t5):
    reassigner = GeneratorReassigner_v1(Generator_v1(str(t5), precision="float32"))
    (choice,) = reassigner(cases(nlp, (tiny.long_text(900), 0, 880, ("person",))), TYPES)
    assert (choice.label, choice.reason) == (None, TOO_LONG)


def test_the_prompt_that_it_was_trained_on(t5, mixed):
    other = LARPrompt_v1(instruction="{targets} {sources} {text}")
    scores = [
        [c.score for c in GeneratorReassigner_v1(Generator_v1(str(t5), precision="float32"), prompt=p)(mixed, TYPES)]
        for p in (None, other)
    ]
    assert scores[0] != scores[1]


# Sharing


def test_the_pipelines_span_matcher_is_shared(make_nlp):
    nlp = make_nlp()
    pipe = nlp.add_pipe("lar_reassigner", config={"labels": tiny.LABELS})
    assert pipe.reassigner.model is nlp.get_pipe("open_ner_span").model


def test_the_pipelines_generator_is_shared(t5):
    nlp = spacy.blank("en")
    model = {"name": str(t5), "precision": "float32"}
    nlp.add_pipe("gner_generator", config={"labels": ["person"], "model": model})
    reassigner = {"@misc": "spacy-openner.GeneratorReassigner.v1"}
    pipe = nlp.add_pipe("lar_reassigner", config={"labels": tiny.LABELS, "reassigner": reassigner})
    assert pipe.reassigner.model is nlp.get_pipe("gner_generator").model


def test_the_named_component_is_shared(make_nlp, tiny_path):
    nlp = make_nlp()
    nlp.add_pipe("open_ner_span", name="second", config={"model": tiny.span_matcher(tiny_path)})
    reassigner = {"@misc": "spacy-openner.SpanTypeReassigner.v1", "component": "second"}
    pipe = nlp.add_pipe("lar_reassigner", config={"labels": ["a"], "reassigner": reassigner})
    assert pipe.reassigner.model is nlp.get_pipe("second").model
    nlp.add_pipe("lar_reassigner", name="other", config={"reassigner": {**reassigner, "component": "nowhere"}})
    with pytest.raises(SettingError, match=r"O505.*nowhere.*'open_ner_span', 'second'"):
        nlp.get_pipe("other").initialize(list)


def test_a_model_of_its_own_is_not_shared(make_nlp, tiny_path):
    nlp = make_nlp()
    pipe = nlp.add_pipe("lar_reassigner", config={"labels": ["a"], "reassigner": span_matcher(tiny_path)})
    assert pipe.reassigner.model is not nlp.get_pipe("open_ner_span").model


def test_the_default_weights_else():
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "name", "pattern": "Angela Merkel"}])
    nlp.add_pipe("lar_reassigner", config={"labels": ["person", "chemical element", "city"]})
    assert [ent.label_ for ent in nlp("Angela Merkel went to Rome.").ents] == ["person"]


@pytest.mark.parametrize(
    "make", [lambda: SpanTypeReassigner_v1(none_below=2), lambda: GeneratorReassigner_v1(batch_tokens=0)]
)
def test_settings_that_are_not_allowed(make):
    with pytest.raises(SettingError, match="O001"):
        make()


# Neighbouring spans


class Scores:
    """Stands in for a span matcher's scores: words -> label -> score; else nothing."""

    def __init__(self, monkeypatch, table):
        self.table, self.seen = table, []
        stand_in = SimpleNamespace(score=self, word_mode="spacy")
        monkeypatch.setattr("spacy_openner.lar.span_reassigner.span_model", lambda model: stand_in)

    def __call__(self, model, query, spans):
        self.seen += spans
        rows = [self.table.get(span, {}) for span in spans]
        return np.array([[row.get(label, 0.001) for label in query.types] for row in rows], dtype=np.float32)


def chosen(nlp, path, span, types=TYPES, **settings):
    reassigner = SpanTypeReassigner_v1(SpanMatcher_v1(str(path)), **settings)
    text = "the Italian Democratic Socialists 's party"
    (choice,) = reassigner(cases(nlp, (text, *span, ("person", "award", "city"))), types)
    return choice


def test_a_span_that_scores_nothing_is_judged_by_its_neighbours(nlp, tiny_path, monkeypatch):
    scores = Scores(monkeypatch, {(1, 4): {"award": 0.7, "city": 0.2}, (1, 3): {"city": 0.6}})
    choice = chosen(nlp, tiny_path, (0, 5))
    assert choice == ("award", pytest.approx(0.7), SPAN, NEIGHBOUR, (1, 4))
    assert chosen(nlp, tiny_path, (0, 5), none_below=0.71).label == NONE
    # Its start is 2 words off.
    scores.table[2, 6] = {"city": 0.9}
    assert chosen(nlp, tiny_path, (0, 5)).span == (2, 6)
    assert chosen(nlp, tiny_path, (0, 5), neighbours=1).span == (1, 4)


def test_a_span_that_scores_needs_no_neighbours(nlp, tiny_path, monkeypatch):
    Scores(monkeypatch, {(0, 5): {"person": 0.41}, (1, 4): {"award": 0.7}})
    assert chosen(nlp, tiny_path, (0, 5)) == ("person", pytest.approx(0.41), SPAN, "", None)


def test_nothing_anywhere_is_none(nlp, tiny_path, monkeypatch):
    Scores(monkeypatch, {(3, 5): {"award": 0.7}})
    choice = chosen(nlp, tiny_path, (0, 2))
    assert (choice.label, choice.reason, choice.span) == (NONE, "", None)
    assert choice.score == pytest.approx(0.999)
    assert chosen(nlp, tiny_path, (0, 2), NEVER_NONE).label == "person"
    assert chosen(nlp, tiny_path, (0, 5), neighbours=0).label == NONE


def test_neighbours_share_a_word_and_lie_in_the_text(nlp, tiny_path, monkeypatch):
    scores = Scores(monkeypatch, {})
    chosen(nlp, tiny_path, (1, 2))
    assert set(scores.seen) == {(a, b) for a in (0, 1) for b in (2, 3, 4)}
    assert scores.seen.count((1, 2)) == 1


@pytest.mark.parametrize("settings", [{"neighbours": 9}, {"neighbours": True}, {"none_below": True}])
def test_settings_of_neighbours(settings):
    with pytest.raises(SettingError, match="O001"):
        SpanTypeReassigner_v1(**settings)
