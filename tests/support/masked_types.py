"""The definition of the type cache, run by `transformers` itself: types and text in one sequence under a mask.

A type sees itself, the text sees all types and itself. Slow and plain: what the cache computes is held against it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spacy_openner.models.type_cache.network import TypeCacheNetwork


def run_masked(network: TypeCacheNetwork, encoder: Any, types: Sequence[Tensor], text: Tensor) -> tuple[Tensor, Tensor]:
    """Encode types and one text together.

    network (TypeCacheNetwork): Says which layers see types, and positions. encoder (Any): That of `transformers` with
    the same weights.
    types (Sequence[Tensor]): Subword ids of each type. text (Tensor): Those of the text.
    RETURNS (tuple): The vectors of the types' markers, and of the text's subwords.
    """
    ids = torch.cat([*types, text])
    owner = torch.tensor([i for i, t in enumerate(types) for _ in t] + [-1] * len(text))
    allowed = (owner[:, None] == owner) | (owner[:, None] < 0)
    if network.markers_only:
        marker = torch.tensor([k == 0 for t in types for k in range(len(t))] + [True] * len(text))
        allowed &= (owner[:, None] == owner) | marker
    positions = torch.cat(
        [*(network.encoder.type_positions(len(t)) for t in types), network.encoder.text_positions(len(text))]
    )
    kind = encoder.config.model_type
    own = owner[:, None] == owner
    masks = [own if i < network.blind_layers else allowed for i in range(len(network.encoder.stack))]
    hidden = {"mpnet": _mpnet, "modernbert": _modernbert}.get(kind, _bert)(encoder, ids, masks, positions, owner)
    starts = torch.tensor([0, *(len(t) for t in types)]).cumsum(0)[:-1]
    return hidden[starts], hidden[len(ids) - len(text) :]


def _added(allowed: Tensor) -> Tensor:
    return torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)[None, None]


def _bert(encoder: Any, ids: Tensor, masks: list[Tensor], positions: Tensor, owner: Tensor) -> Tensor:
    first = 0 if encoder.config.model_type == "bert" else encoder.config.pad_token_id + 1
    hidden = encoder.embeddings(input_ids=ids[None], position_ids=positions[None] + first)
    for layer, allowed in zip(encoder.encoder.layer, masks, strict=True):
        hidden = _hidden(layer(hidden, _added(allowed)))
    return hidden[0]


def _hidden(output) -> Tensor:
    """Older releases of transformers put a layer's output into a tuple."""
    return output if torch.is_tensor(output) else output[0]


def _mpnet(encoder: Any, ids: Tensor, masks: list[Tensor], positions: Tensor, owner: Tensor) -> Tensor:
    """The distance of a text to a type is as far as the table goes; within a sequence steps are counted."""
    steps = torch.cat([torch.arange(int((owner == o).sum())) for o in owner.unique_consecutive()])
    distance = steps - steps[:, None]
    distance[(owner[:, None] < 0) & (owner >= 0)] = -(10**6)
    stack = encoder.encoder
    bias = stack.relative_attention_bias(stack.relative_position_bucket(distance)).permute(2, 0, 1)[None]
    hidden = encoder.embeddings(input_ids=ids[None], position_ids=positions[None] + 2)
    for layer, allowed in zip(stack.layer, masks, strict=True):
        hidden = _hidden(layer(hidden, _added(allowed), position_bias=bias))
    return hidden[0]


def _modernbert(encoder: Any, ids: Tensor, masks: list[Tensor], positions: Tensor, owner: Tensor) -> Tensor:
    """Layers with a window show a text no types, and only its neighbours."""
    near = (torch.arange(len(ids))[:, None] - torch.arange(len(ids))).abs() <= encoder.config.local_attention // 2
    windows = _added((owner[:, None] == owner) & near)
    hidden = encoder.embeddings(input_ids=ids[None])
    for i, layer in enumerate(encoder.layers):
        kinds = getattr(encoder.config, "layer_types", None)
        is_global = kinds[i] == "full_attention" if kinds else i % encoder.config.global_attn_every_n_layers == 0
        allowed = _added(masks[i])
        if hasattr(encoder, "rotary_emb"):
            kind = "full_attention" if is_global else "sliding_attention"
            turns = encoder.rotary_emb(hidden, positions[None], kind)
            hidden = layer(hidden, attention_mask=allowed if is_global else windows, position_embeddings=turns)
        else:
            settings = {"attention_mask": allowed, "sliding_window_mask": windows}
            hidden = layer(hidden, **settings, position_ids=positions[None])[0]
    return encoder.final_norm(hidden)[0]
