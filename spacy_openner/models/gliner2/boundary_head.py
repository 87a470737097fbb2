"""The head of GLiNER2.5: spans of any width, scored as pairs of boundaries."""

from typing import Any, NamedTuple

import torch
from torch import nn

from ...errors import error
from ..gliner.span_head import SelectedSpans
from .boundary_encoder import BoundaryEncoder, BoundaryEvidence, BoundaryStates, EvidenceHead
from .candidate_pool import CandidatePool, Pool
from .candidate_scorer import CandidateScorer
from .span_head import has_all, reach

DEFAULTS: dict[str, Any] = {
    "boundary_dim": 128,
    "pair_dim": 128,
    "boundary_refinement_layers": 1,
    "boundary_ffn_multiplier": 2.0,
    "boundary_attention_layers": 0,
    "boundary_attention_heads": 4,
    "boundary_attention_window": 0,
    "use_inside_evidence": True,
    "enable_span_content": False,
    "content_dim": 64,
    "content_soft_max_pool": False,
    "pool_boundary_top_k": 64,
    "pool_size": 384,
    "min_pool_per_query": 8,
    "candidate_attention_layers": 2,
    "candidate_attention_heads": 4,
    "query_attention_layers": 1,
    "enable_abstention": True,
    "abstention_threshold": 0.5,
    "pair_temperature": 1.0,
    "dropout": 0.1,
}
"""Published settings (`boundary_head`) that scores depend on, and what they are where a config lacks them."""


class CandidateScores(NamedTuple):
    """Logits of candidate spans.

    pool: The candidates of each row.
    logits: *Shape:* (batch, candidates, types), float32.
    absent: Types of which a row holds no entity. *Shape:* (batch, types), bool.
    """

    pool: Pool
    logits: torch.Tensor
    absent: torch.Tensor

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.logits.device


class BoundaryHead(nn.Module):
    """Scores of candidate spans, for types of which a gate expects entities.

    width (int): Width of the encoder's vectors.
    settings (Mapping): As the checkpoint's config has them; see `DEFAULTS`.
    """

    max_width = 0

    def __init__(self, width: int, settings: dict[str, Any]) -> None:
        super().__init__()
        own = {**DEFAULTS, **settings}
        boundary_width, dropout = own["boundary_dim"], own["dropout"]
        self.width = width
        self.temperature, self.abstention_threshold = own["pair_temperature"], own["abstention_threshold"]
        self.use_inside = own["use_inside_evidence"]
        self.encoder = BoundaryEncoder(
            width,
            boundary_width,
            blocks=own["boundary_refinement_layers"],
            multiplier=own["boundary_ffn_multiplier"],
            attention_layers=own["boundary_attention_layers"],
            heads=own["boundary_attention_heads"],
            window=own["boundary_attention_window"],
            dropout=dropout,
        )
        self.evidence = EvidenceHead(width, boundary_width, dropout)
        self.pool = CandidatePool(
            boundary_width, own["pool_boundary_top_k"], own["pool_size"], own["min_pool_per_query"]
        )
        self.scorer = CandidateScorer(
            width,
            boundary_width,
            own["pair_dim"],
            heads=own["candidate_attention_heads"],
            candidate_layers=own["candidate_attention_layers"],
            type_layers=own["query_attention_layers"],
            content_width=own["content_dim"] if own["enable_span_content"] else 0,
            smooth_maximum=own["content_soft_max_pool"],
            dropout=dropout,
        )
        self.absence = None
        if own["enable_abstention"]:
            self.absence = nn.Linear(width, 1)
            nn.init.zeros_(self.absence.weight)
            nn.init.zeros_(self.absence.bias)

    def forward(
        self,
        words: torch.Tensor,
        types: torch.Tensor,
        n_words: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> CandidateScores:
        """Choose and score candidates; see `GatedSpanHead.forward` for the arguments.

        RAISES (SettingError): In training, which this head does not know.
        """
        if self.training:
            raise error("O122")
        types, type_mask = types[:, 1:], (has_all(types) if mask is None else mask)[:, 1:]
        n_words = _all_words(words) if n_words is None else n_words
        states, evidence = self._boundaries(words, n_words, types, type_mask)
        pool = self.pool(states, evidence, type_mask)
        logits = self.scorer(words, n_words, types, type_mask, states, evidence, pool)
        return CandidateScores(pool, logits / self.temperature, self._absent(types))

    def score_spans(
        self, words: torch.Tensor, types: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor
    ) -> torch.Tensor:
        """Score given spans of one text, whatever the gate says; see `SpanHead.score_spans`.

        Candidates see one another: the spans are scored among the usual ones, as many at a time as fill the pool.
        """
        types = types[:, 1:]
        mask, n_words = has_all(types), _all_words(words)
        states, evidence = self._boundaries(words, n_words, types, mask)
        usual = self.pool(states, evidence, mask)
        distinct, inverse = torch.stack([starts, ends + 1], dim=1).to(words.device).unique(dim=0, return_inverse=True)
        scores = []
        for part in distinct.split(self.pool.size):
            pool = self.pool.with_spans(usual, states, part[:, 0], part[:, 1])
            logits = self.scorer(words, n_words, types, mask, states, evidence, pool)
            scores.append(logits[0, : len(part)] / self.temperature)
        return torch.cat(scores)[inverse].sigmoid()

    def select(self, logits: CandidateScores, n_words: torch.Tensor, thresholds: torch.Tensor) -> SelectedSpans:
        """Keep what reaches its type's threshold; see `SpanHead.select`."""
        probabilities = logits.logits.sigmoid()
        keep = probabilities > reach(thresholds)[:, None, :]
        pool = logits.pool
        keep &= (pool.mask & (pool.ends <= n_words[:, None]))[..., None] & ~logits.absent[:, None, :]
        row, candidate, label = keep.nonzero(as_tuple=True)
        starts, ends = pool.starts[row, candidate], pool.ends[row, candidate]
        return SelectedSpans(row, starts, ends, label, probabilities[row, candidate, label])

    def targets(self, logits: CandidateScores, gold: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Refuse: the head is not trained here.

        RAISES (SettingError): Always.
        """
        raise error("O122")

    def _boundaries(
        self, words: torch.Tensor, n_words: torch.Tensor, types: torch.Tensor, mask: torch.Tensor
    ) -> tuple[BoundaryStates, BoundaryEvidence]:
        states = self.encoder(words, n_words)
        evidence: BoundaryEvidence = self.evidence(states, words, types, mask)
        return states, evidence if self.use_inside else evidence._replace(inside=None, mean=None)

    def _absent(self, types: torch.Tensor) -> torch.Tensor:
        """Tell of which types a row holds no entity. *Shape:* (batch, types), bool."""
        if self.absence is None:
            return torch.zeros(types.shape[:2], dtype=torch.bool, device=types.device)
        probabilities: torch.Tensor = self.absence(types).squeeze(-1).float().sigmoid()
        return probabilities > self.abstention_threshold


def _all_words(words: torch.Tensor) -> torch.Tensor:
    """Count the words of rows that have no padding. *Shape:* (batch,)."""
    return torch.full((words.shape[0],), words.shape[1], device=words.device)
