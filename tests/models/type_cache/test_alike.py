"""Which of types alike texts see."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_openner.models.span_model import span_model
from spacy_openner.models.type_cache import alike
from spacy_openner.models.type_cache.alike import apart
from tests.support.tiny_models import LABELS, SENTENCES, found
from tests.support.type_cache import pipeline, saved_type_cache

TEXTS = [text for text in SENTENCES if len(text) > 2]


def by_hand(vectors, most):
    """The rule itself, one vector after the other."""
    kept = []
    for i, vector in enumerate(vectors):
        if all(float(torch.cosine_similarity(vector, vectors[j], dim=0)) <= most for j in kept):
            kept.append(i)
    return kept


def test_the_first_of_those_alike_is_kept():
    right, almost, up, left = [1.0, 0.0], [10.0, 1.0], [0.0, 2.0], [-1.0, 0.0]
    assert apart(torch.tensor([right, almost, up, left]), 0.8) == [0, 2, 3]
    assert apart(torch.tensor([almost, up, right]), 0.8) == [0, 1]
    assert apart(torch.tensor([right, almost]), 0.999) == [0, 1]
    assert apart(torch.tensor([right, right]), 0.999) == [0]


def test_what_is_alike_to_one_left_out_may_be_kept():
    """Alike is not passed on: the third is alike to the second, which nobody sees, and not to the first."""
    degrees = torch.tensor([0.0, 30.0, 60.0]).deg2rad()
    assert apart(torch.stack([degrees.cos(), degrees.sin()], dim=1), 0.8) == [0, 2]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(0, 1000), st.sampled_from([0.0, 0.3, 0.7, 0.9]), st.sampled_from([1, 3, 7, 256]))
def test_blocks_do_not_matter(n, seed, most, block):
    vectors = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alike, "BLOCK", block)
        assert apart(vectors, most) == by_hand(vectors, most)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return saved_type_cache("bert", tmp_path_factory.mktemp("alike"), markers_only=True, alike=0.5)


def states_of(nlp, labels=LABELS):
    model = span_model(nlp.get_pipe("open_ner_span").model)
    return model._encode(model.checkpoint.network, sorted(labels))


def test_all_types_are_scored_and_some_seen(path):
    nlp = pipeline(path, LABELS, overlap="all")
    states = states_of(nlp)
    assert 1 <= len(states.seen) < len(LABELS)
    assert {span[2] for doc in nlp.pipe(TEXTS) for span in found(doc)} == set(LABELS)


def test_a_type_that_is_not_seen_changes_no_other(path):
    nlp = pipeline(path)
    states, names = states_of(nlp), sorted(LABELS)
    hidden = next(name for i, name in enumerate(names) if i not in states.seen)
    rest = [name for name in names if name != hidden]
    doc = nlp.make_doc(TEXTS[0])
    spans = [doc[i : i + 1] for i in range(len(doc))]
    scores = nlp.get_pipe("open_ner_span").span_scores
    with_it = scores(doc, spans, [*rest, hidden])[:, : len(rest)]
    assert np.allclose(with_it, scores(doc, spans, rest), rtol=0, atol=1e-6)
    assert np.abs(with_it - scores(doc, spans, rest[:1])[:, :1]).max() > 1e-4


def test_docs_with_lists_of_their_own_are_as_if_alone(path):
    """What one doc sees depends on its own list, not on those of the docs beside it."""
    lists = [LABELS, LABELS[:2], LABELS[2:], LABELS[::-1], LABELS[:1]]

    def docs(nlp):
        made = [nlp.make_doc(text) for text in (TEXTS * 2)[: len(lists)]]
        for doc, labels in zip(made, lists, strict=True):
            doc._.openner_labels = labels
        return made

    nlp = pipeline(path, overlap="all")
    together, alone = list(nlp.pipe(docs(nlp))), [nlp(doc) for doc in docs(pipeline(path, overlap="all"))]
    for one, other in zip(together, alone, strict=True):
        assert [span[:3] for span in found(one)] == [span[:3] for span in found(other)]
        assert np.allclose([span[3] for span in found(one)], [span[3] for span in found(other)], rtol=0, atol=1e-5)


def test_it_is_saved(path, tmp_path):
    nlp = pipeline(path, LABELS)
    nlp.to_disk(tmp_path / "saved")
    again = pipeline(path, LABELS).from_disk(tmp_path / "saved")
    assert span_model(again.get_pipe("open_ner_span").model).checkpoint.config.alike == 0.5
    assert states_of(again).seen == states_of(nlp).seen
