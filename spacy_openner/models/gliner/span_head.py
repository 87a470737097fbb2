"""Span heads of GLiNER: score every span of up to `max_width` words against every type.

The published head builds one vector for each span with a two-layer network and multiplies it with each
type's vector (paper, section 2.1, equations 1 and 2). `MarkerV0Head` computes the same numbers without any
product per span. Let the output network be W2·relu(W1·x + c) + d, where x = [a_i; b_j] joins a start and an
end:

    W1·x + c = (Ws·a_i + c) + We·b_j = u_i + v_j                      once for each word
    score    = (W2·relu(u_i + v_j) + d)·q = relu(u_i + v_j)·(W2ᵀ·q) + d·q   W2ᵀ·q once for each type

so that a span costs one addition, one relu and one dot product for each type.
"""

from typing import NamedTuple, cast

import numpy as np
import torch
from torch import nn

from ..queries import GoldTargets, check_span_count

# `SpanHead.find` holds the inner vectors of so many numbers at once (1 MB), which then stay in the processor's cache.
BLOCK = 2**18
# Logits sort out what is no match, probabilities decide: so far below its threshold is no logit of a match. Close to 1,
# logits far apart round to one probability, so that no higher threshold is taken for the logits.
MARGIN, HIGHEST = 1e-3, 0.99


class SelectedSpans(NamedTuple):
    """Spans over the thresholds, one position of each tensor for one span. *Shape of each:* (spans,)."""

    row: torch.Tensor
    start: torch.Tensor
    end: torch.Tensor  # exclusive
    label: torch.Tensor
    score: torch.Tensor


def feed_forward(width: int, out: int, dropout: float, *, inner: int | None = None) -> nn.Sequential:
    """Linear, ReLU, Dropout, Linear: the block that published checkpoints use everywhere.

    width (int): Input width.
    out (int): Output width.
    dropout (float): Probability, in training.
    inner (int | None): Width between the two; four times `out` if None.
    RETURNS (nn.Sequential): The block; its weights are named "0" and "3".
    """
    inner = inner or 4 * out
    return nn.Sequential(nn.Linear(width, inner), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(inner, out))


def linear_of(block: nn.Sequential, index: int) -> nn.Linear:
    """Return a linear layer of a block."""
    return cast(nn.Linear, block[index])


class SpanHead(nn.Module):
    """Base of both span heads: the type network, the walk over widths, and the choice by threshold.

    A subclass says how a start and an end combine (`endpoints`, `pair_scores`).
    """

    def __init__(self, width: int, max_width: int, dropout: float, prompt: nn.Module | None = None) -> None:
        super().__init__()
        self.width = width
        self.max_width = max_width
        self.prompt = feed_forward(width, width, dropout) if prompt is None else prompt

    def endpoints(
        self, words: torch.Tensor, types: torch.Tensor, context: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Compute what is needed once for each word and type, before any span is looked at."""
        raise NotImplementedError

    def pair_scores(self, prepared: tuple[torch.Tensor, ...], starts: slice, ends: slice) -> torch.Tensor:
        """Score pairs of starts and ends that are sliced alike. *Shape:* (batch, pairs, types)."""
        raise NotImplementedError

    def forward(self, words: torch.Tensor, types: torch.Tensor, n_words: torch.Tensor | None = None) -> torch.Tensor:
        """Score all spans.

        words (torch.Tensor): Word vectors, zero where a row has no word. *Shape:* (batch, words, width).
        types (torch.Tensor): Type vectors, before the type network; one row where all rows of the batch have the same.
            *Shape:* (1 or batch, types, width).
        n_words (torch.Tensor | None): All words if None. *Shape:* (batch,).
        RETURNS (torch.Tensor): Logits; [b, i, k, t] is the span of words i to i + k, both included. Spans
            that pass the last word hold -inf. *Shape:* (batch, words, max_width, types), float32.
        """
        return self.score_all(words, self.prompt(types), n_words)

    def score_all(
        self, words: torch.Tensor, queries: torch.Tensor, n_words: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Score all spans with what the type network makes of the types (`queries`); see `forward`."""
        prepared = self.endpoints(words, queries, self.context(words, n_words))
        return self._score_by_width(prepared, words.shape[1])

    def context(self, words: torch.Tensor, n_words: torch.Tensor | None) -> torch.Tensor | None:
        """Compute what all spans of a row share; None for nothing. *Shape:* (batch, 1, width)."""
        return None

    def _score_by_width(self, prepared: tuple[torch.Tensor, ...], n_words: int) -> torch.Tensor:
        columns = []
        for k in range(self.max_width):
            reach = max(n_words - k, 0)
            scores = self.pair_scores(prepared, slice(0, reach), slice(k, k + reach)).float()
            columns.append(nn.functional.pad(scores, (0, 0, 0, n_words - reach), value=float("-inf")))
        return torch.stack(columns, dim=2)

    def score_spans(
        self, words: torch.Tensor, types: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor
    ) -> torch.Tensor:
        """Score given spans of one text, of any width.

        words (torch.Tensor): *Shape:* (1, words, width).
        types (torch.Tensor): *Shape:* (1, types, width).
        starts (torch.Tensor): First words. *Shape:* (spans,).
        ends (torch.Tensor): Last words, included. *Shape:* (spans,).
        RETURNS (torch.Tensor): Probabilities. *Shape:* (spans, types), float32.
        """
        return self.score_pairs(words, self.prompt(types), starts, ends)

    def score_pairs(
        self, words: torch.Tensor, queries: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor
    ) -> torch.Tensor:
        """Score given spans with what the type network makes of the types (`queries`); see `score_spans`."""
        whole = slice(0, len(starts))
        context = self.context(words, None)
        first = self.endpoints(words[:, starts], queries, context)
        last = self.endpoints(words[:, ends], queries, context)
        prepared = (first[0], last[1], *first[2:])
        return self.pair_scores(prepared, whole, whole)[0].float().sigmoid()

    def targets(self, logits: torch.Tensor, gold: GoldTargets) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the scores should be, and which of them may be taught.

        logits (torch.Tensor): As `forward` returns them.
        gold (GoldTargets): The gold annotation of the rows; spans over `max_width` words cannot be taught.
        RETURNS (tuple): 0 or 1, float32; and whether that is known. *Shape of both:* as `logits`.
        """
        targets = torch.zeros(logits.shape)
        for row, first, last, label in gold.spans:
            if last - first <= self.max_width:
                targets[row, first, last - first - 1, label] = 1.0
        starts = torch.arange(logits.shape[1])[:, None]
        ends = starts + torch.arange(self.max_width)
        known = ends < gold.n_words[:, None, None]
        for row, first, last in gold.unknown:
            known[row] &= ~((starts < last) & (ends >= first))
        queried = torch.arange(logits.shape[3]) < gold.n_types[:, None]
        return targets.to(logits.device), (known[..., None] & queried[:, None, None, :]).to(logits.device)

    def select(self, logits: torch.Tensor, n_words: torch.Tensor, thresholds: torch.Tensor) -> SelectedSpans:
        """Keep what is strictly over its type's threshold (paper, section 2.3).

        logits (torch.Tensor): As `forward` returns them.
        n_words (torch.Tensor): *Shape:* (batch,).
        thresholds (torch.Tensor): Infinite where a row has fewer types. *Shape:* (batch, types).
        RETURNS (SelectedSpans): In order of row, start, width and type.
        """
        starts = torch.arange(logits.shape[1], device=logits.device)[:, None].expand(-1, logits.shape[2])
        ends = starts + torch.arange(1, logits.shape[2] + 1, device=logits.device)
        return _over(logits.flatten(1, 2), starts.flatten(), ends.flatten(), n_words, thresholds)

    def find(
        self, words: torch.Tensor, types: torch.Tensor, n_words: torch.Tensor, thresholds: torch.Tensor
    ) -> SelectedSpans:
        """Score all spans and keep what is over its type's threshold: `select` after `forward`, in less memory.

        words, types, n_words: As in `forward`.
        thresholds (torch.Tensor): As in `select`.
        """
        if words.device.type != "cpu":  # waits for the device would cost more than memory does
            return self.select(self(words, types, n_words), n_words, thresholds)
        prepared = self.endpoints(words, self.prompt(types), self.context(words, n_words))
        rows, longest = words.shape[:2]
        widths = range(min(self.max_width, longest))
        starts = torch.arange(longest).repeat(len(widths))
        ends = torch.cat([torch.arange(k + 1, k + 1 + longest) for k in widths])
        # Ends past the last word, which no row has, give all widths one shape: oneDNN compiles a kernel for each.
        prepared = (prepared[0], nn.functional.pad(prepared[1], (0, 0, 0, len(widths) - 1)), *prepared[2:])
        step = max(1, BLOCK // (longest * prepared[0].shape[2]))
        blocks_selected = []
        for block in (slice(i, i + step) for i in range(0, rows, step)):
            part = tuple(tensor if len(tensor) == 1 else tensor[block] for tensor in prepared)
            scores = [self.pair_scores(part, slice(0, longest), slice(k, k + longest)) for k in widths]
            own = _over(torch.cat(scores, dim=1), starts, ends, n_words[block], thresholds[block])
            blocks_selected.append(own._replace(row=own.row + block.start))
            check_span_count(sum(len(spans.row) for spans in blocks_selected))
        return _in_order([torch.cat(column) for column in zip(*blocks_selected, strict=True)])


class MarkerV0Head(SpanHead):
    """The head of most published checkpoints (`span_mode` "markerV0"), factorised."""

    def __init__(self, width: int, max_width: int, dropout: float, prompt: nn.Module | None = None) -> None:
        super().__init__(width, max_width, dropout, prompt)
        self.start = feed_forward(width, width, dropout)
        self.end = feed_forward(width, width, dropout)
        self.out = feed_forward(2 * width, width, dropout)

    def endpoints(
        self, words: torch.Tensor, types: torch.Tensor, context: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """RETURNS: u, v (batch, words, 4 * width), W2ᵀ·q (1 or batch, types, 4 * width), d·q (1 or batch, 1, types);
        with more types than the factorised order saves, q (1 or batch, types, width) and zero instead of the last two.
        """
        inner, outer = linear_of(self.out, 0), linear_of(self.out, 3)
        start_weight, end_weight, *context_weight = inner.weight.split(self.width, dim=1)
        u = nn.functional.linear(self.start(words).relu_(), start_weight, inner.bias)
        if context is not None:
            u = u + nn.functional.linear(context.relu(), *context_weight)
        v = nn.functional.linear(self.end(words).relu_(), end_weight)
        if types.shape[1] > self.width:
            return u, v, types, types.new_zeros(len(types), 1, 1)
        # Types before channels: the product over channels then runs along memory, which is twice as fast.
        return u, v, types @ outer.weight, (types @ outer.bias)[:, None, :]

    def pair_scores(self, prepared: tuple[torch.Tensor, ...], starts: slice, ends: slice) -> torch.Tensor:
        """The plain order is cheaper once there are more types than the factorised one saves."""
        u, v, folded, shift = prepared
        hidden = torch.relu_(u[:, starts] + v[:, ends])
        hidden = self.out[2](hidden)
        if folded.shape[1] > self.width:
            hidden = self.out[3](hidden)
        if len(folded) == 1:
            return nn.functional.linear(hidden, folded[0], shift[0, 0].expand(folded.shape[1]))
        return torch.baddbmm(shift, hidden, folded.transpose(1, 2))


class MarkerV1Head(MarkerV0Head):
    """The head of `span_mode` "markerV1": a third term, the average of all words, joins start and end.

    The published network for that term (`project_first`) is kept, and not applied: the reference does not, either.
    """

    def __init__(self, width: int, max_width: int, dropout: float) -> None:
        super().__init__(width, max_width, dropout)
        self.first = feed_forward(width, width, dropout)
        self.out = feed_forward(3 * width, width, dropout)

    def context(self, words: torch.Tensor, n_words: torch.Tensor | None) -> torch.Tensor:
        """Average the words of each row, whatever stands beside it in the batch."""
        if n_words is None:
            return words.mean(dim=1, keepdim=True)
        return words.sum(dim=1, keepdim=True) / n_words.clamp(min=1)[:, None, None].to(words.dtype)


class MarkerHead(SpanHead):
    """The older head (`span_mode` "marker"): one linear output layer, so that a span's score is a sum."""

    def __init__(self, width: int, max_width: int, dropout: float) -> None:
        super().__init__(width, max_width, dropout)
        self.start = feed_forward(width, width, dropout, inner=2 * width)
        self.end = feed_forward(width, width, dropout, inner=2 * width)
        self.out = nn.Linear(2 * width, width)

    def endpoints(
        self, words: torch.Tensor, types: torch.Tensor, context: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """RETURNS: the parts of the score that the start and the end give. *Shape:* (batch, words, types)."""
        start_weight, end_weight = self.out.weight.chunk(2, dim=1)
        q = types.transpose(1, 2)
        start = nn.functional.linear(self.start(words).relu_(), start_weight, self.out.bias) @ q
        end = nn.functional.linear(self.end(words).relu_(), end_weight) @ q
        return start, end

    def pair_scores(self, prepared: tuple[torch.Tensor, ...], starts: slice, ends: slice) -> torch.Tensor:
        """Add the two parts."""
        return prepared[0][:, starts] + prepared[1][:, ends]


def _over(
    logits: torch.Tensor,
    starts: torch.Tensor,
    ends: torch.Tensor,
    n_words: torch.Tensor,
    thresholds: torch.Tensor,
) -> SelectedSpans:
    """Keep spans over their types' thresholds; see `SpanHead.select`.

    logits (torch.Tensor): *Shape:* (rows, spans, types).
    starts, ends (torch.Tensor): Words of each span, `ends` exclusive. *Shape:* (spans,).
    """
    least = thresholds.double().clamp(0, HIGHEST).logit().float() - MARGIN
    row, span, label = (logits > least[:, None]).nonzero(as_tuple=True)
    score = logits[row, span, label].float().sigmoid()
    keep = (score > thresholds[row, label]) & (ends[span] <= n_words[row])
    row, span, label, score = row[keep], span[keep], label[keep], score[keep]
    return SelectedSpans(row, starts[span], ends[span], label, score)


def _in_order(columns: list[torch.Tensor]) -> SelectedSpans:
    """Sort spans by row, start, width and type."""
    order = torch.from_numpy(np.lexsort([column.numpy() for column in columns[3::-1]]))
    return SelectedSpans(*(column[order] for column in columns))
