"""Scores of candidate spans for types: candidates see one another first, and types see the candidates (GLiNER2.5)."""

import math

import torch
from torch import nn

from .boundary_encoder import MIN_SCORE, BoundaryEvidence, BoundaryStates
from .candidate_pool import Pool

RELATIONS = 8
"""How two spans may lie to each other; see `relations`."""
SAME, INSIDE, AROUND, CROSSING, SAME_START, SAME_END, BEFORE, AFTER = range(RELATIONS)
FILM_WIDTH = 64


def relations(starts: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """Tell how each span of a row lies to each other one.

    starts, ends (torch.Tensor): *Shape of each:* (batch, spans).
    RETURNS (torch.Tensor): [b, i, j] is the relation of span i to span j. *Shape:* (batch, spans, spans), int64.
    """
    # By the signs of the differences of starts (rows) and of ends (columns): -1, 0, 1.
    table = torch.tensor(
        [[CROSSING, SAME_END, AROUND], [SAME_START, SAME, SAME_START], [INSIDE, SAME_END, CROSSING]],
        device=starts.device,
    )
    by_start = (starts[:, :, None] - starts[:, None, :]).sign() + 1
    by_end = (ends[:, :, None] - ends[:, None, :]).sign() + 1
    relations = table[by_start, by_end]
    before = ends[:, :, None] <= starts[:, None, :]
    relations = relations.masked_fill(before, BEFORE)
    return relations.masked_fill(before.transpose(1, 2), AFTER)


class CandidateAttention(nn.Module):
    """Self-attention over candidates, biased by how they lie to one another."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.relative_bias = nn.Parameter(torch.zeros(RELATIONS, heads))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ffn = _gelu_block(width, 4 * width, width, dropout)

    def forward(self, states: torch.Tensor, relation: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Refine candidates.

        states (torch.Tensor): *Shape:* (batch, candidates, width).
        relation (torch.Tensor): See `relations`.
        mask (torch.Tensor): *Shape:* (batch, candidates), bool.
        """
        batch, count, width = states.shape
        heads = self.qkv(self.norm1(states)).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        bias = self.relative_bias.to(states.dtype)[relation].permute(0, 3, 1, 2)
        bias = bias.masked_fill(~mask[:, None, None, :], MIN_SCORE)
        seen = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        states = states + self.output(seen.transpose(1, 2).reshape(batch, count, width))
        states = states + self.ffn(self.norm2(states))
        return states * mask[..., None].to(states.dtype)


class TypeAttention(nn.Module):
    """Self-attention over types, each with what the candidates say about it."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.query_in, self.evidence_in = nn.Linear(width, width), nn.Linear(width, width)
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ffn = _gelu_block(width, 4 * width, width, dropout)

    def forward(
        self, types: torch.Tensor, candidates: torch.Tensor, pool_mask: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Refine types. *Shapes:* (batch, types, width), (batch, candidates, width), (batch, candidates),
        (batch, types)."""
        weights = (types @ candidates.transpose(1, 2)).masked_fill(~pool_mask[:, None, :], MIN_SCORE).softmax(dim=-1)
        states = self.query_in(types) + self.evidence_in(weights @ candidates)
        normed = self.norm1(states)
        # A row without types attends to its padding: nothing reads it.
        hidden = ~(mask | ~mask.any(dim=1, keepdim=True))
        states = states + self.attention(normed, normed, normed, key_padding_mask=hidden, need_weights=False)[0]
        states = states + self.ffn(self.norm2(states))
        return states * mask[..., None].to(states.dtype)


class ContentPool(nn.Module):
    """Averages of the words inside spans, and smooth maxima of them if these are wanted too, from running sums."""

    def __init__(self, hidden: int, width: int, smooth_maximum: bool) -> None:
        super().__init__()
        self.smooth_maximum = smooth_maximum
        self.value = nn.Linear(hidden, width)
        self.norm = nn.LayerNorm(width * (2 if smooth_maximum else 1))

    def forward(self, words: torch.Tensor, n_words: torch.Tensor, pool: Pool) -> torch.Tensor:
        """Pool the words of each candidate. *Shape:* (batch, candidates, one or two widths)."""
        values = self.value(words).float()
        present = (torch.arange(words.shape[1], device=words.device) < n_words[:, None])[..., None]
        sums = nn.functional.pad((values * present).cumsum(dim=1), (0, 0, 1, 0))
        length = (pool.ends - pool.starts).clamp(min=1)[..., None]
        pooled = (_at(sums, pool.ends) - _at(sums, pool.starts)) / length
        if self.smooth_maximum:
            floor = torch.finfo(torch.float32).min / 4
            running = values.masked_fill(~present, floor).logcumsumexp(dim=1)
            running = nn.functional.pad(running, (0, 0, 1, 0), value=floor)
            until, before = _at(running, pool.ends), _at(running, pool.starts)
            # log(exp(until) - exp(before)); a span that adds next to nothing to what is before it keeps a finite one.
            inside = until + torch.log1p(-torch.exp((before - until).clamp(max=-1e-6)))
            pooled = torch.cat([pooled, torch.nan_to_num(inside, neginf=0.0, posinf=0.0)], dim=-1)
        normed: torch.Tensor = self.norm(pooled.to(words.dtype))
        return normed


class CandidateScorer(nn.Module):
    """Scores each candidate of a pool for each type.

    hidden (int): Width of word and type vectors.
    boundary_width, width (int): Of boundary vectors, and of candidates.
    heads, candidate_layers, type_layers: Of the attention over candidates and over types.
    content_width (int): Of the words' part of a candidate; 0 for none.
    smooth_maximum (bool): See `ContentPool`.
    dropout (float): In training.
    """

    def __init__(
        self,
        hidden: int,
        boundary_width: int,
        width: int,
        *,
        heads: int,
        candidate_layers: int,
        type_layers: int,
        content_width: int,
        smooth_maximum: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.start, self.end = nn.Linear(boundary_width, width), nn.Linear(boundary_width, width)
        self.length, self.match = nn.Linear(3, width), nn.Linear(1, width)
        self.content = ContentPool(hidden, content_width, smooth_maximum) if content_width else None
        self.content_out = None
        if self.content is not None:
            self.content_out = nn.Linear(content_width * (2 if smooth_maximum else 1), width)
        self.norm = nn.LayerNorm(width)
        self.candidate_layers = nn.ModuleList(
            CandidateAttention(width, heads, dropout) for _ in range(candidate_layers)
        )
        self.query = nn.Linear(hidden, width)
        self.query_layers = nn.ModuleList(TypeAttention(width, heads, dropout) for _ in range(type_layers))
        self.film = nn.Linear(width, 2 * width)
        self.film_out = _gelu_block(width, FILM_WIDTH, 1, dropout)
        self.scale = 1.0 / math.sqrt(width)

    def forward(
        self,
        words: torch.Tensor,
        n_words: torch.Tensor,
        types: torch.Tensor,
        type_mask: torch.Tensor,
        states: BoundaryStates,
        evidence: BoundaryEvidence,
        pool: Pool,
    ) -> torch.Tensor:
        """Score all candidates for all types.

        words, n_words: *Shapes:* (batch, words, hidden), (batch,).
        types, type_mask: *Shapes:* (batch, types, hidden), (batch, types).
        RETURNS (torch.Tensor): Logits; `LEAST` and less where there is no candidate. *Shape:*
            (batch, candidates, types), float32.
        """
        candidates = self._represent(words, n_words, states, pool)
        relation = relations(pool.starts, pool.ends)
        for layer in self.candidate_layers:
            candidates = layer(candidates, relation, pool.mask)
        queries = self.query(types)
        for layer in self.query_layers:
            queries = layer(queries, candidates, pool.mask, type_mask)
        scores = candidates @ queries.transpose(1, 2) * self.scale + self._modulated(candidates, queries)
        scores = scores.float() + boundary_scores(evidence, pool)
        return scores.masked_fill(~(pool.mask[..., None] & type_mask[:, None, :]), MIN_SCORE)

    def _represent(
        self, words: torch.Tensor, n_words: torch.Tensor, states: BoundaryStates, pool: Pool
    ) -> torch.Tensor:
        """Make the vectors of candidates from their ends, length and words. *Shape:* (batch, candidates, width)."""
        dtype = states.vectors.dtype
        length = (pool.ends - pool.starts).clamp(min=1).to(dtype)
        share = length / n_words[:, None].clamp(min=1).to(dtype)
        measures = torch.stack([torch.log1p(length), share, torch.rsqrt(length)], dim=-1)
        ends = _at(self.start(states.vectors), pool.starts) + _at(self.end(states.vectors), pool.ends)
        vectors = ends + self.length(measures) + self.match(pool.match[..., None].to(dtype))
        if self.content is not None and self.content_out is not None:
            vectors = vectors + self.content_out(self.content(words, n_words, pool))
        vectors = self.norm(vectors)
        return vectors * pool.mask[..., None].to(dtype)

    def _modulated(self, candidates: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        """Apply a small network to candidates that each type has scaled and shifted.

        Scaling and shifting go into the network's first layer, once for each type, so that no vector is made for each
        pair of a candidate and a type. *Shape:* (batch, candidates, types).
        """
        first = self.film_out[0]
        scale, shift = self.film(queries).chunk(2, dim=-1)
        weight = first.weight * (1.0 + scale)[:, :, None, :]
        bias = first.bias + shift @ first.weight.T
        hidden = candidates[:, None] @ weight.transpose(2, 3) + bias[:, :, None, :]
        rest: torch.Tensor = self.film_out[3](self.film_out[2](self.film_out[1](hidden)))
        return rest.squeeze(-1).transpose(1, 2)


def boundary_scores(evidence: BoundaryEvidence, pool: Pool) -> torch.Tensor:
    """Add up what boundaries and inner words say of candidates. *Shape:* (batch, candidates, types), float32."""
    n_types = evidence.starts.shape[1]
    starts = pool.starts[:, None].expand(-1, n_types, -1)
    ends = pool.ends[:, None].expand(-1, n_types, -1)
    length = ends - starts
    total = evidence.starts.gather(2, starts).float() + evidence.ends.gather(2, ends).float()
    if evidence.inside is not None and evidence.mean is not None:
        inside = evidence.inside.gather(2, ends) - evidence.inside.gather(2, starts) + evidence.mean * length
        total = total + inside / length.clamp(min=1).float().sqrt()
    return total.transpose(1, 2)


def _at(vectors: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Take some vectors of each row. *Shape:* (batch, taken, width)."""
    return vectors.gather(1, index[..., None].expand(-1, -1, vectors.shape[-1]))


def _gelu_block(width: int, inner: int, out: int, dropout: float) -> nn.Sequential:
    """Linear, GELU, Dropout, Linear; its weights are named "0" and "3"."""
    return nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Dropout(dropout), nn.Linear(inner, out))
