"""The head of GLiNER2's span architecture: GLiNER's factorised span scores behind a gate."""

import torch

from ..gliner.span_head import MarkerV0Head, SelectedSpans
from .type_networks import TYPE_NETWORKS, first_feed_forward

COUNTS = 20
"""Classes of the gate: how many instances of the task a text holds, 0 for none."""


class GatedSpanHead(MarkerV0Head):
    """Scores of all spans, for texts in which a gate expects entities at all.

    width (int): Width of the encoder's vectors.
    max_width (int): Words of the widest span.
    counting_layer (str): The type network; a key of `TYPE_NETWORKS`.
    dropout (float): In training.
    """

    def __init__(self, width: int, max_width: int, counting_layer: str, dropout: float) -> None:
        super().__init__(width, max_width, dropout, prompt=TYPE_NETWORKS[counting_layer](width))
        self.gate = first_feed_forward(width, COUNTS)

    def forward(
        self,
        words: torch.Tensor,
        types: torch.Tensor,
        n_words: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Score all spans.

        words (torch.Tensor): Word vectors. *Shape:* (batch, words, width).
        types (torch.Tensor): Vectors at the task's marker and at the types'. *Shape:* (batch, 1 + types, width).
        n_words (torch.Tensor | None): Not needed: spans past the end of a row are left out by `select`.
        mask (torch.Tensor | None): Whether a row has that much of a schema; all have all of it if None. *Shape:*
            (batch, 1 + types), bool.
        RETURNS (torch.Tensor): Logits, as `MarkerV0Head` returns them. A row whose gate is shut holds -inf, but in
            training, where spans are taught behind an open gate. *Shape:* (batch, words, max_width, types), float32.
        """
        logits = self.score_all(words, self._queries(types, mask))
        if self.training:
            return logits
        return logits.masked_fill(self.is_shut(types)[:, None, None, None], float("-inf"))

    def is_shut(self, types: torch.Tensor) -> torch.Tensor:
        """Tell which rows hold no entity at all. *Shape:* (batch,), bool."""
        counts: torch.Tensor = self.gate(types[:, 0])
        return counts.argmax(dim=-1) == 0

    def score_spans(
        self, words: torch.Tensor, types: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor
    ) -> torch.Tensor:
        """Score given spans of one text, whatever its gate says; see `SpanHead.score_spans`."""
        return self.score_pairs(words, self._queries(types, None), starts, ends)

    def select(self, logits: torch.Tensor, n_words: torch.Tensor, thresholds: torch.Tensor) -> SelectedSpans:
        """Keep what reaches its type's threshold; see `SpanHead.select`. The family compares by `>=`."""
        return super().select(logits, n_words, reach(thresholds))

    def _queries(self, types: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        mask = has_all(types) if mask is None else mask
        queries: torch.Tensor = self.prompt(types[:, 1:], mask[:, 1:])
        return queries


def has_all(types: torch.Tensor) -> torch.Tensor:
    """Make the mask of a batch whose rows have all types. *Shape:* (batch, 1 + types), bool."""
    return torch.ones(types.shape[:2], dtype=torch.bool, device=types.device)


def reach(thresholds: torch.Tensor) -> torch.Tensor:
    """Turn thresholds to reach into thresholds to pass: the next smaller numbers. What scores 0 passes none."""
    return torch.nextafter(thresholds, torch.zeros_like(thresholds))
