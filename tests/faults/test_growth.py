"""Time that grows with the length of what is read, not with its square."""

import time

import pytest
import spacy
from spacy.tokens import Doc, Span

from spacy_openner.components.annotate import annotate
from spacy_openner.components.score_copies import ScoreCopier
from spacy_openner.decoding.mention_placement import SpellingIndex, place_mentions
from spacy_openner.decoding.text_boundaries import text_boundaries
from spacy_openner.span_groups import all_scores, get_score
from spacy_openner.types import DEFAULT_BOUNDARIES, Candidate
from tests.support.every_model import MODELS, pipeline

NLP = spacy.blank("en")
N = 8_000
SECONDS = 5.0
"""Of processor time: ten times what is needed, and a tenth of what the square would take."""


def annotated(n):
    """A doc of so many words, every other one an entity of ours, and the others of somebody else's."""
    doc = Doc(NLP.vocab, words=["Ada"] * n)
    doc.ents = [Span(doc, i, i + 1, label="mine") for i in range(1, n, 2)]
    found = [Candidate(i, i + 1, "person", i / n) for i in range(0, n, 2)]
    annotate(doc, found, name="x", spans_key="openner", annotate_ents=True, overwrite_ents=False)
    return doc


def copy_scores():
    doc = ScoreCopier()(annotated(N))
    assert [round(doc.ents[i]._.score, 4) for i in (0, 1, 2)] == [0.0, 0.0, round(2 / N, 4)]


def score_entities_of_others():
    """Twice as many as elsewhere, half of them by another component, which the group of ours does not hold."""
    doc = annotated(2 * N)
    scores = [ent._.openner_score for ent in doc.ents]
    assert scores[1::2] == [None] * N
    assert None not in scores[::2]
    group = doc.spans["openner"]
    group.attrs["scores"] = list(group.attrs["scores"])
    foreign = [Span(doc, i, i + 1, label="mine") for i in range(2 * N)]
    assert [span._.openner_score for span in foreign] == [None] * 2 * N


def place_equal_mentions():
    """A list of one word, as often as an answer may name it, in a text of this word alone."""
    index = SpellingIndex("a " * N, range(0, 2 * N, 2), range(1, 2 * N, 2))
    places = place_mentions(index, [("a", f"type {i % 4}") for i in range(4 * N)])
    assert places[:4] == [(i, i + 1) for i in range(4)]
    assert None not in places


def place_nested_mentions():
    index = SpellingIndex("a " * 2_000, range(0, 4_000, 2), range(1, 4_000, 2))
    places = place_mentions(index, [("a" * (1 + i % 50), "x") for i in range(4_000)])
    assert len({place for place in places if place}) == sum(place is not None for place in places) > 3_000


@pytest.mark.parametrize(
    "work",
    [
        copy_scores,
        score_entities_of_others,
        place_equal_mentions,
        place_nested_mentions,
        lambda: text_boundaries("a" + " " * 500_000 + "b\nc", DEFAULT_BOUNDARIES),
        lambda: text_boundaries("| a" + " " * 500_000 + "b |\nc", DEFAULT_BOUNDARIES),
        lambda: text_boundaries("a" + "\t " * 200_000 + "b\nc", DEFAULT_BOUNDARIES),
        lambda: text_boundaries("a · " * 100_000 + "\n" + "> " * 100_000 + "b", DEFAULT_BOUNDARIES),
    ],
    ids=[
        "copied scores",
        "entities of others",
        "equal mentions",
        "nested mentions",
        "blanks",
        "blanks in a table",
        "tabs",
        "signs",
    ],
)
def test_linear(work):
    begun = time.process_time()
    work()
    assert time.process_time() - begun < SECONDS


@pytest.mark.parametrize("kind", ["type-cache", "types-static"])
def test_labels_that_are_looked_for_stay_out_of_the_vocabulary(kind, tmp_path):
    """Only what is found needs its name there: a service that takes its users' labels would grow for ever."""
    nlp = pipeline(kind, MODELS[kind](tmp_path))
    ((_, pipe),) = nlp.components
    pipe.threshold = 1.0
    nlp("Ada wrote.")
    before = len(nlp.vocab.strings)
    for i in range(50):
        pipe.labels = {f"label {i} {j}": f"description {i} {j}" for j in range(5)}
        nlp("Ada wrote.")
    assert len(nlp.vocab.strings) - before < 3


def test_all_scores_are_those_of_each_span():
    doc = annotated(40)
    known = all_scores(doc)
    for span in [*doc.ents, *doc.spans["openner"], doc[3:5]]:
        assert known.get((span.start_char, span.end_char, span.label)) == get_score(span)
