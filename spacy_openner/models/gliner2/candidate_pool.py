"""The spans of a text that may be entities: few enough to look at each beside all others (GLiNER2.5).

The best starts and the best ends over all types are paired. Each type keeps its best few pairs, and the best of the
others fill the pool.
"""

import math
from typing import NamedTuple

import torch
from torch import nn

from .boundary_encoder import MIN_SCORE, BoundaryEvidence, BoundaryStates

RESERVED = -MIN_SCORE / 2
"""Rank of the pairs that a type keeps: above all scores."""


class Pool(NamedTuple):
    """Candidate spans.

    starts, ends: Boundaries. *Shape of each:* (batch, candidates), int64.
    mask: Whether there is a candidate. *Shape:* (batch, candidates), bool.
    match: How well the two ends go together, whatever the type. *Shape:* (batch, candidates).
    """

    starts: torch.Tensor
    ends: torch.Tensor
    mask: torch.Tensor
    match: torch.Tensor


class CandidatePool(nn.Module):
    """Chooses candidates.

    width (int): Of boundary vectors.
    boundaries (int): Starts, and ends, that are paired.
    size (int): Candidates.
    reserved (int): Pairs that each type keeps.
    """

    def __init__(self, width: int, boundaries: int, size: int, reserved: int) -> None:
        super().__init__()
        self.boundaries, self.size, self.reserved = boundaries, size, reserved
        self.start, self.end = nn.Linear(width, width), nn.Linear(width, width)
        self.scale = 1.0 / math.sqrt(width)

    def forward(self, states: BoundaryStates, evidence: BoundaryEvidence, types: torch.Tensor) -> Pool:
        """Choose the candidates of each row.

        types (torch.Tensor): Whether a row has the type. *Shape:* (batch, types), bool.
        """
        # Ranks need more digits than half precision has.
        best_starts, best_ends = evidence.starts.amax(dim=1).float(), evidence.ends.amax(dim=1).float()
        usable = states.mask & types.any(dim=1, keepdim=True)
        starts, ends = self._best(best_starts, usable), self._best(best_ends, usable)
        vectors = _rows(self.start(states.vectors), starts), _rows(self.end(states.vectors), ends)
        match = (vectors[0] @ vectors[1].transpose(1, 2) * self.scale).float()
        real = usable.gather(1, starts)[:, :, None] & usable.gather(1, ends)[:, None, :]
        real = (real & (ends[:, None, :] > starts[:, :, None])).flatten(1)
        score = match + best_starts.gather(1, starts)[:, :, None] + best_ends.gather(1, ends)[:, None, :]
        rank = self._reserve(score.flatten(1), match, real, evidence, starts, ends, types)
        # Starts and ends are in text order, and so are pairs of equal rank.
        rank, chosen = rank.masked_fill(~real, -math.inf).sort(dim=1, descending=True, stable=True)
        chosen = chosen[:, : self.size]
        mask = torch.isfinite(rank[:, : self.size])
        return Pool(
            starts.gather(1, chosen // ends.shape[1]) * mask,
            ends.gather(1, chosen % ends.shape[1]) * mask,
            mask,
            match.flatten(1).gather(1, chosen) * mask,
        )

    def with_spans(self, pool: Pool, states: BoundaryStates, starts: torch.Tensor, ends: torch.Tensor) -> Pool:
        """Put given spans in front of the pool of one text, and leave out as many of the others as are too many.

        starts, ends (torch.Tensor): Boundaries, no pair twice. *Shape of each:* (spans,).
        """
        given = torch.stack([starts, ends], dim=1)
        others = torch.stack([pool.starts[0], pool.ends[0]], dim=1)
        is_other = pool.mask[0] & ~(others[:, None] == given).all(dim=-1).any(dim=1)
        kept = is_other.nonzero().flatten()[: max(self.size - len(starts), 0)]
        joined = torch.cat([given, others[kept]])
        left, right = self.start(states.vectors[0, joined[:, 0]]), self.end(states.vectors[0, joined[:, 1]])
        match = ((left * right).sum(dim=-1) * self.scale).float()
        return Pool(joined[None, :, 0], joined[None, :, 1], torch.ones_like(match[None], dtype=torch.bool), match[None])

    def _best(self, scores: torch.Tensor, usable: torch.Tensor) -> torch.Tensor:
        """Choose the best boundaries of each row, in text order; those that a row lacks come last.

        RETURNS (torch.Tensor): *Shape:* (batch, chosen).
        """
        count = scores.shape[1]
        order = scores.masked_fill(~usable, -math.inf).argsort(dim=1, descending=True, stable=True)
        chosen = order[:, : min(self.boundaries, count)]
        missing = ~usable.gather(1, chosen)
        return (chosen + missing * count).sort(dim=1)[0] % count

    def _reserve(
        self,
        score: torch.Tensor,
        match: torch.Tensor,
        real: torch.Tensor,
        evidence: BoundaryEvidence,
        starts: torch.Tensor,
        ends: torch.Tensor,
        types: torch.Tensor,
    ) -> torch.Tensor:
        """Raise the rank of each type's best pairs, the best ones of all types first.

        RETURNS (torch.Tensor): *Shape:* (batch, pairs).
        """
        kept = min(self.reserved, score.shape[1])
        if not kept:
            return score
        n_types = types.shape[1]
        typed = evidence.starts.gather(2, starts[:, None].expand(-1, n_types, -1))[..., None] + match[:, None]
        typed = (typed + evidence.ends.gather(2, ends[:, None].expand(-1, n_types, -1))[:, :, None]).flatten(2)
        typed = typed.masked_fill(~(real[:, None] & types[..., None]), -math.inf)
        values, pairs = typed.topk(kept, dim=2)
        bonus = RESERVED + torch.arange(kept, 0, -1, device=score.device, dtype=score.dtype)
        bonus = torch.where(torch.isfinite(values), bonus, -math.inf)
        return score.scatter_reduce(1, pairs.flatten(1), bonus.flatten(1), "amax")


def _rows(vectors: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Take some vectors of each row. *Shape:* (batch, taken, width)."""
    return vectors.gather(1, index[..., None].expand(-1, -1, vectors.shape[-1]))
