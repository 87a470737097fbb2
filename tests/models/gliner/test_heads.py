"""The factorised heads against plain ones that follow the paper word for word."""

import pytest
import torch

from spacy_openner.models.gliner import span_head
from spacy_openner.models.gliner.span_head import MarkerHead, MarkerV0Head, MarkerV1Head
from spacy_openner.models.gliner.token_head import TokenHead

WIDTH, MAX_WIDTH = 16, 5


def plain_span_scores(head, words, types):
    """One vector a span, one product a span and type (paper, equations 1 and 2)."""
    start, end, q = head.start(words), head.end(words), head.prompt(types)
    scores = torch.full((*words.shape[:2], MAX_WIDTH, types.shape[1]), float("-inf"))
    for i in range(words.shape[1]):
        for k in range(min(MAX_WIDTH, words.shape[1] - i)):
            vector = head.out(torch.cat([start[:, i], end[:, i + k]], dim=-1).relu())
            scores[:, i, k] = torch.einsum("bh,bth->bt", vector, q)
    return scores


@pytest.mark.parametrize("kind", [MarkerV0Head, MarkerHead])
@pytest.mark.parametrize(("n_words", "n_types"), [(1, 1), (3, 2), (9, 4), (9, 40)])
def test_factorised_equals_plain(kind, n_words, n_types):
    torch.manual_seed(n_words * n_types)
    head = kind(WIDTH, MAX_WIDTH, 0.4).eval()
    words, types = torch.randn(2, n_words, WIDTH), torch.randn(2, n_types, WIDTH)
    torch.testing.assert_close(head(words, types), plain_span_scores(head, words, types), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [MarkerV0Head, MarkerHead])
def test_gradients_equal_plain(kind):
    torch.manual_seed(0)
    head = kind(WIDTH, MAX_WIDTH, 0.0)
    words, types = torch.randn(1, 6, WIDTH, requires_grad=True), torch.randn(1, 3, WIDTH, requires_grad=True)
    gradients = []
    for scores in (head(words, types), plain_span_scores(head, words, types)):
        head.zero_grad()
        torch.where(scores.isfinite(), scores, 0.0).square().sum().backward()
        gradients.append([p.grad.clone() for p in (*head.parameters(), words, types)])
        words.grad, types.grad = None, None
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "make", [lambda: MarkerV0Head(WIDTH, MAX_WIDTH, 0.4), lambda: MarkerHead(WIDTH, MAX_WIDTH, 0.4)]
)
def test_given_spans_equal_all_spans(make):
    torch.manual_seed(1)
    head = make().eval()
    words, types = torch.randn(1, 8, WIDTH), torch.randn(1, 3, WIDTH)
    everything = head(words, types).sigmoid()
    starts, ends = torch.tensor([0, 2, 7, 0]), torch.tensor([0, 5, 7, 7])
    given = head.score_spans(words, types, starts, ends)
    assert given.shape == (4, 3)
    for row, i, j in zip(given[:3], starts, ends, strict=False):
        torch.testing.assert_close(row, everything[0, i, j - i])


@pytest.mark.parametrize("kind", [MarkerV0Head, MarkerHead])
def test_selection_ignores_padding_and_is_strict(kind):
    head = kind(WIDTH, MAX_WIDTH, 0.4)
    logits = torch.full((2, 4, MAX_WIDTH, 2), 3.0)
    logits[0, 0, 0, 0] = 0.0  # probability 0.5, not greater than 0.5
    found = head.select(logits, torch.tensor([3, 1]), torch.tensor([[0.5, 0.5], [0.5, float("inf")]]))
    spans = list(zip(*(column.tolist() for column in found[:4]), strict=True))
    assert (0, 0, 1, 0) not in spans
    assert (0, 0, 1, 1) in spans
    assert max(end for row, _, end, _ in spans if row == 0) == 3
    assert [s for s in spans if s[0] == 1] == [(1, 0, 1, 0)]


@pytest.mark.parametrize("make", [MarkerV0Head, MarkerV1Head, MarkerHead])
@pytest.mark.parametrize("n_types", [1, 3, WIDTH + 2])
@pytest.mark.parametrize("shared", [False, True])
def test_finding_is_scoring_and_selecting(monkeypatch, make, n_types, shared):
    """In blocks of a row and in one, with types of each row and with types that all rows share."""
    torch.manual_seed(5)
    head = make(WIDTH, MAX_WIDTH, 0.4).eval()
    n_words = torch.tensor([9, 2, 1, 7, 9])
    words, types = torch.randn(5, 9, WIDTH), torch.randn(1 if shared else 5, n_types, WIDTH)
    words[torch.arange(9) >= n_words[:, None]] = 0.0
    thresholds = torch.full((5, n_types), 0.45)
    thresholds[1:4, 0] = torch.tensor([0.0, 1.0, float("inf")])
    with torch.inference_mode():
        expected = head.select(head(words, types, n_words), n_words, thresholds)
        whole = head(words, types.expand(5, -1, -1), n_words)
        torch.testing.assert_close(head(words, types, n_words), whole, atol=1e-5, rtol=1e-5)
        for block in (1, span_head.BLOCK):
            monkeypatch.setattr(span_head, "BLOCK", block)
            found = head.find(words, types, n_words, thresholds)
            assert [column.tolist() for column in found[:4]] == [column.tolist() for column in expected[:4]]
            torch.testing.assert_close(found.score, expected.score, atol=1e-5, rtol=1e-5)
    assert len(found.row) > 5
    assert not (found.row == 3)[found.label == 0].any()


@pytest.mark.parametrize("threshold", [0.0, 1e-30, 0.3, 0.99, 0.999999, 1.0, 1.5])
def test_selection_is_by_probability(threshold):
    """However few probabilities there are between a threshold and 1."""
    logits = torch.linspace(-80, 20, 4001)[:, None, None, None]
    thresholds = torch.full((4001, 1), threshold)
    found = MarkerV0Head(WIDTH, MAX_WIDTH, 0.4).select(logits, torch.ones(4001, dtype=torch.int64), thresholds)
    assert found.row.tolist() == (logits.flatten().sigmoid() > threshold).nonzero().flatten().tolist()


def plain_token_scores(head, words, types):
    token, label = head.token(words), head.label(types)
    n_words, n_types = words.shape[1], types.shape[1]
    out = torch.empty(1, n_words, n_types, 3)
    for w in range(n_words):
        for t in range(n_types):
            a, b = token[0, w].chunk(2), label[0, t].chunk(2)
            out[0, w, t] = head.out(torch.cat([a[0], b[0], a[1] * b[1]]))
    return out


def test_token_head_equals_plain():
    torch.manual_seed(2)
    head = TokenHead(WIDTH, 0.1).eval()
    words, types = torch.randn(1, 7, WIDTH), torch.randn(1, 3, WIDTH)
    torch.testing.assert_close(head(words, types), plain_token_scores(head, words, types), atol=1e-5, rtol=1e-5)


def test_token_selection_equals_brute_force():
    torch.manual_seed(3)
    head = TokenHead(WIDTH, 0.1).eval()
    logits, n_words = torch.randn(3, 9, 2, 3) + 1, torch.tensor([9, 4, 1])
    thresholds = torch.tensor([[0.5, 0.6], [0.4, 0.5], [0.5, float("inf")]])
    start, end, inside = logits.sigmoid().unbind(-1)
    expected = {}
    for row in range(3):
        for label in range(2):
            limit = thresholds[row, label]
            for i in range(n_words[row]):
                for j in range(i, n_words[row]):
                    parts = [start[row, i, label], end[row, j, label], inside[row, i : j + 1, label].min()]
                    if parts[0] > limit and parts[1] > limit and parts[2] >= limit:
                        expected[row, i, j + 1, label] = min(map(float, parts))
    found = head.select(logits, n_words, thresholds)
    ours = {tuple(key): score for *key, score in zip(*(column.tolist() for column in found), strict=True)}
    assert len(expected) > 5
    assert ours == pytest.approx(expected)


def test_token_spans_given():
    torch.manual_seed(4)
    head = TokenHead(WIDTH, 0.1).eval()
    words, types = torch.randn(1, 5, WIDTH), torch.randn(1, 2, WIDTH)
    start, end, inside = head(words, types)[0].sigmoid().unbind(-1)
    given = head.score_spans(words, types, torch.tensor([1]), torch.tensor([3]))
    expected = torch.stack([start[1], end[3], *inside[1:4]]).amin(0)
    torch.testing.assert_close(given[0], expected)
