"""Train a decoder to attend to the word whose tag it chooses (guided alignment: Chen et al., 2016).

Translators have to find out which words belong together; here it is known. So one head of each layer that attends to
the encoder is trained on it, which new decoders learn slowly from answers alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from rapidfuzz.distance import LCSseq
from torch import Tensor, nn

from ...decoding.tag_trie import Subwords

HEAD = 0
# Ends of the names of modules that attend to the encoder, with those of what makes their queries and keys.
CROSS_ATTENTION: dict[str, tuple[str, str]] = {
    "crossattention.self": ("query", "key"),
    "EncDecAttention": ("q", "k"),
    "encoder_attn": ("q_proj", "k_proj"),
}


class AttentionTarget(NamedTuple):
    """The part of the prompt that a head should attend to, as a subword is fed.

    row, position (int): Of the subword that is fed.
    first, last (int): The subwords of the prompt, `last` exclusive.
    """

    row: int
    position: int
    first: int
    last: int


def tag_targets(
    row: int, ids: Sequence[int], words: Sequence[Subwords], positions: Sequence[int]
) -> list[AttentionTarget]:
    """Return where to attend as tags are chosen: to their words.

    ids (Sequence[int]): The prompt.
    words (Sequence[Subwords]): The subwords of each word of the text.
    positions (Sequence[int]): Where the tag of each is chosen.
    RETURNS (list[AttentionTarget]): None, if the prompt spells the text otherwise than the answer does.
    """
    start = _find_text(ids, words)
    if start is None:
        return []
    ends = accumulate(map(len, words), initial=start)
    return [AttentionTarget(row, position, *run) for position, run in zip(positions, pairwise(ends), strict=True)]


def copy_targets(
    row: int, ids: Sequence[int], words: Sequence[Subwords], answer: Sequence[int]
) -> list[AttentionTarget]:
    """Return where to attend as a free answer is written: to the subword that is copied next, else to the last copied.

    ids, words: See `tag_targets`.
    answer (Sequence[int]): Its subwords, in the order of the text.
    RETURNS (list[AttentionTarget]): None, if the prompt spells the text otherwise than the answer does.
    """
    start = _find_text(ids, words)
    if start is None:
        return []
    text = [subword for word in words for subword in word]
    copied = {
        position: start + run.src_start + position - run.dest_start
        for run in LCSseq.opcodes(text, answer)
        if run.tag == "equal"
        for position in range(run.dest_start, run.dest_end)
    }
    targets, last = [], None
    for position in range(len(answer)):
        last = copied.get(position, last)
        if last is not None:
            targets.append(AttentionTarget(row, position, last, last + 1))
    return targets


def _find_text(ids: Sequence[int], words: Sequence[Subwords]) -> int | None:
    """Return where a prompt's text begins; of several positions that look like it, the last."""
    text = [subword for word in words for subword in word]
    if not all(words):
        return None
    starts = range(len(ids) - len(text), -1, -1)
    return next((i for i in starts if list(ids[i : i + len(text)]) == text), None)


class AttentionRecorder:
    """Records the queries and keys of all layers that attend to the encoder, in the last pass.

    modules (Sequence[nn.Module]): Those layers' attention.
    """

    def __init__(self, modules: Sequence[Any]) -> None:
        self.modules = modules
        self.queries: dict[int, Tensor] = {}
        self.keys: dict[int, Tensor] = {}

    def log_attention(self, targets: Sequence[AttentionTarget], mask: Tensor) -> Tensor:
        """Return how much of each layer's head attends to the targets.

        mask (Tensor): Which subwords of the prompts count. *Shape:* (rows, subwords).
        RETURNS (Tensor): Logarithms. *Shape:* (layers, targets).
        """
        rows, positions, firsts, lasts = torch.tensor(targets, device=mask.device).unbind(1)
        columns = torch.arange(mask.shape[1], device=mask.device)
        inside = (columns >= firsts[:, None]) & (columns < lasts[:, None])
        per_layer = []
        for i, module in enumerate(self.modules):
            query, key = (_head(states[i], module) for states in (self.queries, self.keys))
            scores = torch.einsum("td,tsd->ts", query[rows, positions], key[rows]).float() * _scale(module, query)
            shares = scores.masked_fill(mask[rows] == 0, -torch.inf).log_softmax(1)
            per_layer.append(shares.masked_fill(~inside, -torch.inf).logsumexp(1))
        return torch.stack(per_layer)


@contextmanager
def recorded_attention(network: nn.Module) -> Iterator[AttentionRecorder]:
    """Record a network's attention to its encoder, however it is computed."""
    named = [(name, module) for name, module in network.named_modules() if name.endswith(tuple(CROSS_ATTENTION))]
    recorder = AttentionRecorder([module for _, module in named])
    hooks = []
    for i, (name, module) in enumerate(named):
        parts = next(parts for end, parts in CROSS_ATTENTION.items() if name.endswith(end))
        for part, store in zip(parts, (recorder.queries, recorder.keys), strict=True):
            hooks.append(getattr(module, part).register_forward_hook(_storing(store, i)))
    try:
        yield recorder
    finally:
        for hook in hooks:
            hook.remove()


def supports_attention_supervision(network: nn.Module) -> bool:
    """Return whether a network has attention to an encoder of a kind that is known."""
    return any(name.endswith(tuple(CROSS_ATTENTION)) for name, _ in network.named_modules())


def _storing(store: dict[int, Tensor], i: int) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
        store[i] = output

    return hook


def _n_heads(module: Any) -> int:
    names = ("num_attention_heads", "n_heads", "num_heads")
    return next(int(getattr(module, name)) for name in names if hasattr(module, name))


def _head(states: Tensor, module: Any) -> Tensor:
    """Return the part of one head. *Shape:* (rows, subwords, width) to (rows, subwords, width of a head)."""
    rows, subwords, width = states.shape
    return states.view(rows, subwords, _n_heads(module), width // _n_heads(module))[:, :, HEAD]


def _scale(module: Any, query: Tensor) -> float:
    """T5 does not scale; its initial weights do."""
    return 1.0 if hasattr(module, "n_heads") else float(query.shape[-1]) ** -0.5
