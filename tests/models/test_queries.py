"""A bound on the spans that a call of a model finds."""

import threading

import numpy as np
import pytest
import spacy
import torch

from spacy_openner.errors import TextError
from spacy_openner.models.gliner.span_head import MarkerV0Head, SelectedSpans
from spacy_openner.models.gliner.text_windows import BestSpans
from spacy_openner.models.queries import SpanQuery, at_most_spans, check_span_count
from spacy_openner.models.words import doc_words


def test_the_bound_holds_in_its_block_and_thread():
    outcomes = []
    with at_most_spans(2):
        thread = threading.Thread(target=lambda: outcomes.append(check_span_count(3)))
        thread.start()
        thread.join()
        check_span_count(2)
        with pytest.raises(TextError, match="O206"):
            check_span_count(3)
        with at_most_spans(4):
            check_span_count(3)
    check_span_count(10**9)
    assert outcomes == [None]


def test_a_head_stops_at_the_bound():
    torch.manual_seed(0)
    head = MarkerV0Head(8, 3, 0.0).eval()
    words, types, n_words, thresholds = (
        torch.randn(2, 5, 8),
        torch.randn(2, 4, 8),
        torch.tensor([5, 5]),
        torch.zeros(2, 4),
    )
    with torch.inference_mode():
        n = len(head.find(words, types, n_words, thresholds).row)
        assert n == 2 * 4 * (5 + 4 + 3)
        with at_most_spans(n):
            head.find(words, types, n_words, thresholds)
        with at_most_spans(n - 1), pytest.raises(TextError, match="O206"):
            head.find(words, types, n_words, thresholds)


def test_windows_add_up_to_the_bound():
    """Whatever head selects their spans."""
    doc = spacy.blank("en")("Marie Curie")
    query = SpanQuery(doc_words(doc, "spacy", ()), ["person"], np.zeros(1, dtype=np.float32), doc)

    class Window:
        text, first, last, types = 0, 0, 2, range(1)

    one = SelectedSpans(*(torch.tensor([x]) for x in (0, 0, 1, 0)), torch.tensor([0.5]))
    best = BestSpans(1)
    with at_most_spans(1):
        best.add_selected(one, [Window()], [query])
        with pytest.raises(TextError, match="O206"):
            best.add_selected(one, [Window()], [query])
