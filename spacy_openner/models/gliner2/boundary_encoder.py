"""Boundaries between words, and how well each may begin or end an entity of a type (GLiNER2.5).

A text of n words has n + 1 boundaries. A span of words i to j (exclusive) is the pair of boundaries (i, j), so that
nothing limits its width.
"""

import math
from typing import NamedTuple

import torch
from torch import nn

MIN_SCORE = -1.0e4
"""Stands for "impossible": finite, so that sums of several stay finite in half precision."""


class BoundaryStates(NamedTuple):
    """Vectors of boundaries.

    vectors: *Shape:* (batch, words + 1, boundary width).
    mask: Whether a row has the boundary. *Shape:* (batch, words + 1), bool.
    """

    vectors: torch.Tensor
    mask: torch.Tensor


class BoundaryEvidence(NamedTuple):
    """Logits for each type.

    starts, ends: An entity begins, or ends, at the boundary. *Shape:* (batch, types, words + 1).
    inside: Sums of the logits that words are inside an entity, from the first word to each boundary, less `mean` for
        each word; None where they do not count. *Shape:* (batch, types, words + 1), float32.
    mean: *Shape:* (batch, types, 1), float32.
    """

    starts: torch.Tensor
    ends: torch.Tensor
    inside: torch.Tensor | None
    mean: torch.Tensor | None


class GatedBlock(nn.Module):
    """A residual feed-forward block with a SiLU gate."""

    def __init__(self, width: int, multiplier: float, dropout: float) -> None:
        super().__init__()
        inner = max(1, int(width * multiplier))
        self.norm = nn.LayerNorm(width)
        self.input_projection = nn.Linear(width, 2 * inner)
        self.output_projection = nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Refine each vector by itself."""
        value, gate = self.input_projection(self.norm(states)).chunk(2, dim=-1)
        update: torch.Tensor = self.output_projection(self.dropout(value * nn.functional.silu(gate)))
        return states + self.dropout(update)


class AttendingBlock(nn.Module):
    """Self-attention over the boundaries of a text, within `window` of each other if that is not 0."""

    def __init__(self, width: int, heads: int, window: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.norm = nn.LayerNorm(width)
        self.qkv_projection = nn.Linear(width, 3 * width)
        self.output_projection = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Let boundaries attend to one another."""
        batch, count, width = states.shape
        heads = self.qkv_projection(self.norm(states)).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        index = torch.arange(count, device=states.device)
        distance = (index[:, None] - index).abs()
        allowed = mask[:, None, None, :].expand(batch, 1, count, count)
        if self.window > 0:
            allowed = allowed & (distance <= self.window)
        # Padding attends to itself: a row of the softmax without any key would hold nothing but NaN.
        allowed = allowed | (distance == 0)
        seen = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        update = self.dropout(self.output_projection(seen.transpose(1, 2).reshape(batch, count, width)))
        return (states + update) * mask[..., None].to(states.dtype)


class BoundaryEncoder(nn.Module):
    """Makes the vector of a boundary from those of the words to its left and right.

    hidden (int): Width of the word vectors.
    width (int): Width of the boundary vectors.
    blocks, multiplier: Refining blocks, and their inner width as a multiple of `width`.
    attention_layers, heads, window: Attending blocks.
    dropout (float): In training.
    """

    def __init__(
        self,
        hidden: int,
        width: int,
        *,
        blocks: int,
        multiplier: float,
        attention_layers: int,
        heads: int,
        window: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(hidden, width), nn.Linear(hidden, width)
        self.out = nn.Linear(2 * width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.attending = nn.ModuleList(AttendingBlock(width, heads, window, dropout) for _ in range(attention_layers))
        self.refining = nn.ModuleList(GatedBlock(width, multiplier, dropout) for _ in range(blocks))
        self.before, self.after = nn.Parameter(torch.zeros(hidden)), nn.Parameter(torch.zeros(hidden))

    def forward(self, words: torch.Tensor, n_words: torch.Tensor) -> BoundaryStates:
        """Encode all boundaries.

        words (torch.Tensor): *Shape:* (batch, words, hidden).
        n_words (torch.Tensor): *Shape:* (batch,).
        """
        batch, count, hidden = words.shape
        before = self.before.to(words.dtype).expand(batch, 1, hidden)
        after = self.after.to(words.dtype).expand(batch, 1, hidden)
        index = torch.arange(count + 1, device=words.device)
        right = torch.where((index == n_words[:, None])[..., None], after, torch.cat([words, after], dim=1))
        joined = torch.cat([self.left(torch.cat([before, words], dim=1)), self.right(right)], dim=-1)
        states = self.dropout(self.norm(self.out(joined)))
        mask = index <= n_words[:, None]
        for block in self.attending:
            states = block(states, mask)
        for block in self.refining:
            states = block(states)
        return BoundaryStates(states * mask[..., None].to(states.dtype), mask)


class EvidenceHead(nn.Module):
    """Scores boundaries as starts and ends, and words as insides, for each type."""

    def __init__(self, hidden: int, width: int, dropout: float) -> None:
        super().__init__()
        self.start, self.start_type = nn.Linear(width, width), nn.Linear(hidden, width)
        self.end, self.end_type = nn.Linear(width, width), nn.Linear(hidden, width)
        self.inside, self.inside_type = nn.Linear(hidden, width), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)
        self.scale = 1.0 / math.sqrt(width)

    def forward(
        self, boundaries: BoundaryStates, words: torch.Tensor, types: torch.Tensor, mask: torch.Tensor
    ) -> BoundaryEvidence:
        """Score all boundaries and words for all types.

        types (torch.Tensor): Vectors at the type markers. *Shape:* (batch, types, hidden).
        mask (torch.Tensor): Whether a row has the type. *Shape:* (batch, types), bool.
        """
        real = boundaries.mask[:, None, :] & mask[..., None]
        starts = self._products(self.start(boundaries.vectors), self.start_type(types)).masked_fill(~real, MIN_SCORE)
        ends = self._products(self.end(boundaries.vectors), self.end_type(types)).masked_fill(~real, MIN_SCORE)
        # A word is there where its right boundary is.
        present = real[..., 1:]
        inside = self._products(self.inside(words), self.inside_type(types)).float().masked_fill(~present, 0.0)
        # Sums over long texts lose digits to a common offset: it is taken out here and put back for each span.
        mean = inside.sum(dim=-1, keepdim=True) / present.sum(dim=-1, keepdim=True).clamp(min=1)
        sums = ((inside - mean) * present).cumsum(dim=-1)
        return BoundaryEvidence(starts, ends, nn.functional.pad(sums, (1, 0)), mean)

    def _products(self, vectors: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        """Scaled dot products. *Shape:* (batch, types, vectors)."""
        return types @ self.dropout(vectors).transpose(1, 2) * self.scale
