"""DeBERTa encoders (versions 2 and 3) with the products of their attention that a batch needs, and no others.

DeBERTa adds to each attention score what the query says of the distance, and what the key says of it (He et al.,
*DeBERTa: Decoding-enhanced BERT with Disentangled Attention*, equation 4). `transformers` computes both for every
distance that the model knows (512 in published ones) and then picks, one by one, those that two positions have. A row
of n subwords has 2n - 1 distances. With only those, the greatest first for queries and last for keys, the scores of
query i and key j are

    by_query[i, j - i + n - 1]   and   by_key[j, i - j + n - 1]

so that both are views of the products with other strides, and nothing is picked. The last layer is run only where its
output is read, as in `last_layer`. Exact but for float noise.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import nn

from .last_layer import at

POSITION_SCORES = {"c2p", "p2c"}


def supports(encoder: nn.Module) -> bool:
    """Tell whether an encoder is a DeBERTa of the published layout (a convolution behind the first layer is not)."""
    config: Any = getattr(encoder, "config", None)
    if getattr(config, "model_type", None) != "deberta-v2" or not getattr(config, "relative_attention", False):
        return False
    stack: Any = encoder.get_submodule("encoder")
    scores = set(getattr(config, "pos_att_type", None) or ())
    return bool(scores) and scores <= POSITION_SCORES and stack.conv is None and len(stack.layer) > 0


class Padding(NamedTuple):
    """The columns of a batch that some row has no subword in.

    start: The first of them.
    mask: Where rows have none. *Shape:* (batch, 1, 1, columns), bool.
    """

    start: int
    mask: torch.Tensor

    @classmethod
    def of(cls, attention_mask: torch.Tensor) -> "Padding":
        """Find the padding at the ends of rows."""
        start = int(attention_mask.sum(dim=1).min())
        return cls(start, ~attention_mask[:, None, None, start:].bool())


class DisentangledEncoder:
    """A `TextEncoder` that runs a DeBERTa for prediction.

    encoder (nn.Module): A Hugging Face encoder that `supports` accepts; its modules are shared, not copied.
    """

    def __init__(self, encoder: nn.Module) -> None:
        self.encoder: Any = encoder

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Encode a batch; see `TextEncoder`."""
        stack = self.encoder.encoder
        hidden = self.encoder.embeddings(input_ids=input_ids, mask=attention_mask)
        distances = self._distances(hidden)
        padding = Padding.of(attention_mask)
        for layer in stack.layer[:-1]:
            hidden = _run(layer, hidden, distances, padding, None)
        return _run(stack.layer[-1], hidden, distances, padding, positions)

    def _distances(self, hidden: torch.Tensor) -> torch.Tensor:
        """Look up the vectors of all distances of a batch, the greatest first. *Shape:* (2 * subwords - 1, width)."""
        stack = self.encoder.encoder
        vectors = stack.get_rel_embedding()
        span = len(vectors) // 2
        reach = hidden.shape[1] - 1
        distance = torch.arange(reach, -reach - 1, -1, device=hidden.device)
        if stack.position_buckets > 0:
            distance = bucket(distance, stack.position_buckets, stack.max_relative_positions)
        looked_up: torch.Tensor = vectors[(distance + span).clamp(0, 2 * span - 1)]
        return looked_up


def bucket(distance: torch.Tensor, buckets: int, longest: int) -> torch.Tensor:
    """Number distances as the model knows them: one by one up to half of the buckets, then by their logarithm."""
    middle = buckets // 2
    far = distance.abs().clamp(min=middle)
    # In the same steps as the reference: the last distance of a bucket is where digits decide.
    share = torch.log(far / middle) / torch.log(torch.tensor((longest - 1) / middle))
    numbers = (torch.ceil(share * (middle - 1)) + middle).long() * distance.sign()
    return torch.where(distance.abs() <= middle, distance, numbers)


def _run(
    layer: Any, hidden: torch.Tensor, distances: torch.Tensor, padding: Padding, read: torch.Tensor | None
) -> torch.Tensor:
    """Run one layer at some positions, at all if None. *Shape:* (batch, read, width)."""
    attention = layer.attention.self
    query, key, value = attention.query_proj(hidden), attention.key_proj(hidden), attention.value_proj(hidden)
    bias, scale = _position_scores(attention, query, key, distances)
    bias[..., padding.start :].masked_fill_(padding.mask, torch.finfo(bias.dtype).min)
    query, key, value = (_heads(projected, attention.num_attention_heads) for projected in (query, key, value))
    here = hidden
    if read is not None:
        rows = torch.arange(len(read), device=read.device)[:, None]
        here, query = at(hidden, read), query[rows, :, read].transpose(1, 2)
        bias = bias[rows, :, read].transpose(1, 2)
    context = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
    attended = layer.attention.output(context.transpose(1, 2).flatten(2), here)
    output: torch.Tensor = layer.output(layer.intermediate(attended), attended)
    return output


def _position_scores(
    attention: Any, query: torch.Tensor, key: torch.Tensor, distances: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """Score pairs of positions by their distance.

    query, key (torch.Tensor): *Shape of each:* (batch, subwords, width).
    RETURNS (tuple): Scores, scaled, *shape* (batch, heads, subwords, subwords); and the scale of all scores.
    """
    kinds, heads = attention.pos_att_type, attention.num_attention_heads
    shared = attention.share_att_key
    scale = 1 / math.sqrt(query.shape[-1] // heads * (1 + len(set(kinds))))
    parts = []
    if "c2p" in kinds:
        project = attention.key_proj if shared else attention.pos_key_proj
        parts.append(_by_distance(query, project(distances) * scale, heads))
    if "p2c" in kinds:
        project = attention.query_proj if shared else attention.pos_query_proj
        parts.append(_by_distance(key, project(distances).flip(0) * scale, heads).transpose(-1, -2))
    return (parts[0] + parts[1] if len(parts) > 1 else parts[0].clone()), scale


def _by_distance(vectors: torch.Tensor, distances: torch.Tensor, heads: int) -> torch.Tensor:
    """Multiply the vectors of positions and distances; [i, j] is column j - i + n - 1 of the product of row i.

    vectors (torch.Tensor): *Shape:* (batch, n, width).
    distances (torch.Tensor): *Shape:* (2 * n - 1, width).
    RETURNS (torch.Tensor): A view of the product. *Shape:* (batch, heads, n, n).
    """
    batch, n, width = vectors.shape
    rows = vectors.reshape(batch * n, heads, width // heads).transpose(0, 1)
    columns = distances.unflatten(-1, (heads, -1)).permute(1, 2, 0)
    # One product for each head, of all rows of the batch.
    product = torch.bmm(rows, columns)
    count = product.shape[-1]
    strides = (n * count, batch * n * count, count - 1, 1)
    return product.as_strided((batch, heads, n, n), strides, product.storage_offset() + n - 1)


def _heads(vectors: torch.Tensor, heads: int) -> torch.Tensor:
    """Give each head its part of the vectors. *Shape:* (batch, heads, subwords, part)."""
    return vectors.unflatten(-1, (heads, -1)).transpose(-2, -3)
