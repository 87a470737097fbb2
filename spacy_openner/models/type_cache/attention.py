"""Attention of texts to types and to themselves."""

from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

# From so many cached keys on, one product of all texts' queries with the shared keys is faster than a copy of the
# keys for each text (12 heads of 32, 48 texts: 1.2 times at 75 keys, 4 times at 3,000).
WORTHWHILE = 64


def attend(
    queries: Tensor, own: tuple[Tensor, Tensor], types: tuple[Tensor, Tensor] | None, mask: Tensor, n_types: int
) -> Tensor:
    """Let texts attend to types and to themselves; exact in all ways of computing it.

    queries (Tensor): *Shape:* (rows, heads, wanted, size).
    own (tuple): The texts' keys and values. *Shape:* (rows, heads, subwords, size).
    types (tuple | None): The types' keys and values; None in a layer that does not see types.
        *Shape:* (1 or rows, heads, subwords of types, size); 1 where all rows see the same types.
    mask (Tensor): What is added to scores, -inf for what is not seen.
        *Shape:* (rows, 1 or heads, 1 or wanted, subwords of types + subwords).
    n_types (int): How many of the mask's columns are those of types.
    RETURNS (Tensor): *Shape:* (rows, heads, wanted, size).
    """
    if types is None:
        return scaled_dot_product_attention(queries, *own, attn_mask=mask[..., n_types:])
    if len(types[0]) == 1 and _can_merge(queries, n_types):
        return _merged(queries, own, types, mask, n_types)
    rows = len(queries)
    keys, values = (torch.cat([t.expand(rows, -1, -1, -1), o], dim=2) for t, o in zip(types, own, strict=True))
    return scaled_dot_product_attention(queries, keys, values, attn_mask=mask)


def _can_merge(queries: Tensor, n_types: int) -> bool:
    return n_types >= WORTHWHILE and queries.device.type == "cpu" and not queries.requires_grad


def _merged(
    queries: Tensor, own: tuple[Tensor, Tensor], types: tuple[Tensor, Tensor], mask: Tensor, n_types: int
) -> Tensor:
    """Attend to types and to the text apart, then weigh both by their sums of exponentials.

    With a the types and b the text, softmax over both is (e^A softmax(a) + e^B softmax(b)) / (e^A + e^B), where A and B
    are the logarithms of the sums of exponentials, which fused attention computes in passing.
    """
    rows, heads, wanted, size = queries.shape
    together = queries.transpose(0, 1).reshape(1, heads, rows * wanted, size)
    of_types, types_sum = _with_sums(together, *types, None)
    of_text, text_sum = _with_sums(queries, *own, mask[..., n_types:])
    of_types = of_types.view(heads, rows, wanted, size).transpose(0, 1)
    # The bias of types is one number a head: it moves the sum, and nothing else.
    types_sum = types_sum.view(heads, rows, wanted).transpose(0, 1) + mask[:, :, :1, 0]
    share = torch.sigmoid(types_sum - text_sum)[..., None].to(queries.dtype)
    return torch.lerp(of_text, of_types, share)


def _with_sums(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Fused attention, and of each query the logarithm of its sum of exponentials. *Shape:* (rows, heads, queries)."""
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return cast(tuple[Tensor, Tensor], fused(queries, keys, values, attn_mask=mask))
