"""Token-level head of GLiNER: three scores for each word and type (begins, ends, lies inside an entity)."""

import torch
from torch import nn

from ..queries import GoldTargets
from .span_head import SelectedSpans, feed_forward, linear_of


class TokenHead(nn.Module):
    """Scores words against types; a span's score is the least of its start, its end and all its insides."""

    max_width = 0
    """No limit."""

    def __init__(self, width: int, dropout: float, *, has_type_network: bool = False) -> None:
        super().__init__()
        self.width = width
        # Checkpoints that find relations too have the span heads' type network before the scorer.
        self.prompt = feed_forward(width, width, dropout) if has_type_network else None
        self.token = nn.Linear(width, 2 * width)
        self.label = nn.Linear(width, 2 * width)
        # The published order differs from the other blocks': Linear, Dropout, ReLU, Linear.
        self.out = nn.Sequential(
            nn.Linear(3 * width, 4 * width), nn.Dropout(dropout), nn.ReLU(), nn.Linear(4 * width, 3)
        )

    def forward(self, words: torch.Tensor, types: torch.Tensor, n_words: torch.Tensor | None = None) -> torch.Tensor:
        """Score all words.

        The first layer sees [word; type; word * type]. Its first two parts are computed once for each word
        and once for each type instead of for each pair.

        words (torch.Tensor): *Shape:* (batch, words, width).
        types (torch.Tensor): *Shape:* (batch, types, width).
        RETURNS (torch.Tensor): Logits of start, end, inside. *Shape:* (batch, words, types, 3), float32.
        """
        word, word_factor = self.token(words).chunk(2, dim=-1)
        types = types if self.prompt is None else self.prompt(types)
        label, label_factor = self.label(types).chunk(2, dim=-1)
        inner = linear_of(self.out, 0)
        by_word, by_label, by_product = inner.weight.chunk(3, dim=1)
        linear = nn.functional.linear
        product = linear(word_factor[:, :, None] * label_factor[:, None], by_product)
        hidden = linear(word, by_word, inner.bias)[:, :, None] + linear(label, by_label)[:, None] + product
        return self.out[3](self.out[2](self.out[1](hidden))).float()

    def score_spans(
        self, words: torch.Tensor, types: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor
    ) -> torch.Tensor:
        """Score given spans of one text; as `SpanHead.score_spans`."""
        start, end, inside = self(words, types)[0].sigmoid().unbind(-1)
        rows = [
            torch.minimum(torch.minimum(start[i], end[j]), inside[i : j + 1].amin(dim=0))
            for i, j in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
        return torch.stack(rows)

    def targets(self, logits: torch.Tensor, gold: GoldTargets) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the scores should be, and which of them may be taught; as `SpanHead.targets`."""
        targets = torch.zeros(logits.shape)
        for row, first, last, label in gold.spans:
            targets[row, first, label, 0] = 1.0
            targets[row, last - 1, label, 1] = 1.0
            targets[row, first:last, label, 2] = 1.0
        known = torch.arange(logits.shape[1]) < gold.n_words[:, None]
        for row, first, last in gold.unknown:
            known[row, first:last] = False
        is_type = torch.arange(logits.shape[2]) < gold.n_types[:, None]
        every = known[:, :, None, None] & is_type[:, None, :, None]
        return targets.to(logits.device), every.expand(logits.shape).to(logits.device)

    def select(self, logits: torch.Tensor, n_words: torch.Tensor, thresholds: torch.Tensor) -> SelectedSpans:
        """Pair starts and ends over the threshold whose insides all reach it; as `SpanHead.select`."""
        width = logits.shape[1]
        probabilities = logits.sigmoid()
        real = torch.arange(width, device=logits.device)[None, :, None] < n_words[:, None, None]
        limit = thresholds[:, None, :]
        start, end, inside = probabilities.unbind(-1)
        is_start = ((start > limit) & real).cpu()
        is_end = ((end > limit) & real).cpu()
        is_inside = ((inside >= limit) & real).cpu()
        start, end, inside = start.cpu(), end.cpu(), inside.cpu()
        spans: list[tuple[int, int, int, int, float]] = []
        for row, first, label in is_start.nonzero().tolist():
            least = float(start[row, first, label])
            for last in range(first, width):
                if not is_inside[row, last, label]:
                    break
                least = min(least, float(inside[row, last, label]))
                if is_end[row, last, label]:
                    spans.append((row, first, last + 1, label, min(least, float(end[row, last, label]))))
        columns = torch.tensor(spans, dtype=torch.float64).reshape(-1, 5).T
        return SelectedSpans(*(columns[i].long() for i in range(4)), columns[4].float())  # type: ignore[call-arg]
