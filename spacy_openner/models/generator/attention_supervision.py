"""Teach a decoder where to look: at the word whose tag it chooses.

Translators have to find out which words belong together; here it is known. So one head of each layer that attends to
the encoder is taught it (guided alignment: Chen et al., 2016), which new decoders learn slowly from answers alone.
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
CROSSING: dict[str, tuple[str, str]] = {
    "crossattention.self": ("query", "key"),
    "EncDecAttention": ("q", "k"),
    "encoder_attn": ("q_proj", "k_proj"),
}


class Gaze(NamedTuple):
    """Where a head should look: from a piece fed to the pieces of a word in the prompt.

    row, place: Of the piece fed.
    first, last: The word's pieces, `last` exclusive.
    """

    row: int
    place: int
    first: int
    last: int


def gazes_of(row: int, ids: Sequence[int], words: Sequence[Subwords], places: Sequence[int]) -> list[Gaze]:
    """Where to look as tags are chosen: at their words.

    ids (Sequence[int]): The prompt.
    words (Sequence[Subwords]): The pieces of each word of the text.
    places (Sequence[int]): Where the tag of each is chosen.
    RETURNS (list[Gaze]): None, if the prompt spells the text otherwise than the answer does.
    """
    begun = _begin(ids, words)
    if begun is None:
        return []
    ends = accumulate(map(len, words), initial=begun)
    return [Gaze(row, place, *run) for place, run in zip(places, pairwise(ends), strict=True)]


def copies_of(row: int, ids: Sequence[int], words: Sequence[Subwords], answer: Sequence[int]) -> list[Gaze]:
    """Where to look as a free answer is written: at the piece that is copied next, else at the one copied last.

    ids, words: See `gazes_of`.
    answer (Sequence[int]): Its pieces, in the order of the text.
    RETURNS (list[Gaze]): None, if the prompt spells the text otherwise than the answer does.
    """
    begun = _begin(ids, words)
    if begun is None:
        return []
    text = [piece for word in words for piece in word]
    copied = {
        place: begun + run.src_start + place - run.dest_start
        for run in LCSseq.opcodes(text, answer)
        if run.tag == "equal"
        for place in range(run.dest_start, run.dest_end)
    }
    found, last = [], None
    for place in range(len(answer)):
        last = copied.get(place, last)
        if last is not None:
            found.append(Gaze(row, place, last, last + 1))
    return found


def _begin(ids: Sequence[int], words: Sequence[Subwords]) -> int | None:
    """Where a prompt's text begins; of several places that look like it, the last."""
    text = [piece for word in words for piece in word]
    if not all(words):
        return None
    starts = range(len(ids) - len(text), -1, -1)
    return next((i for i in starts if list(ids[i : i + len(text)]) == text), None)


class Watch:
    """What a head of each layer asks of the encoder's states, in the pass that was watched last.

    modules (Sequence[nn.Module]): Those that attend to the encoder.
    """

    def __init__(self, modules: Sequence[Any]) -> None:
        self.modules = modules
        self.queries: dict[int, Tensor] = {}
        self.keys: dict[int, Tensor] = {}

    def log_shares(self, gazes: Sequence[Gaze], mask: Tensor) -> Tensor:
        """How much of each head's attention goes where it should.

        mask (Tensor): Which pieces of the prompts count. *Shape:* (rows, pieces).
        RETURNS (Tensor): Logarithms. *Shape:* (layers, gazes).
        """
        rows, places, firsts, lasts = torch.tensor(gazes, device=mask.device).unbind(1)
        steps = torch.arange(mask.shape[1], device=mask.device)
        inside = (steps >= firsts[:, None]) & (steps < lasts[:, None])
        found = []
        for i, module in enumerate(self.modules):
            query, key = (_head(states[i], module) for states in (self.queries, self.keys))
            scores = torch.einsum("gd,gpd->gp", query[rows, places], key[rows]).float() * _scale(module, query)
            shares = scores.masked_fill(mask[rows] == 0, -torch.inf).log_softmax(1)
            found.append(shares.masked_fill(~inside, -torch.inf).logsumexp(1))
        return torch.stack(found)


@contextmanager
def watched(network: nn.Module) -> Iterator[Watch]:
    """Watch a network's attention to its encoder, whatever computes it."""
    named = [(name, module) for name, module in network.named_modules() if name.endswith(tuple(CROSSING))]
    watch = Watch([module for _, module in named])
    hooks = []
    for i, (name, module) in enumerate(named):
        parts = next(parts for end, parts in CROSSING.items() if name.endswith(end))
        for part, kept in zip(parts, (watch.queries, watch.keys), strict=True):
            hooks.append(getattr(module, part).register_forward_hook(_keeper(kept, i)))
    try:
        yield watch
    finally:
        for hook in hooks:
            hook.remove()


def can_be_guided(network: nn.Module) -> bool:
    """Whether a network has attention to an encoder of a kind that is known."""
    return any(name.endswith(tuple(CROSSING)) for name, _ in network.named_modules())


def _keeper(kept: dict[int, Tensor], i: int) -> Any:
    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        kept[i] = output

    return keep


def _heads(module: Any) -> int:
    names = ("num_attention_heads", "n_heads", "num_heads")
    return next(int(getattr(module, name)) for name in names if hasattr(module, name))


def _head(states: Tensor, module: Any) -> Tensor:
    """The part of one head. *Shape:* (rows, pieces, width) to (rows, pieces, width of a head)."""
    rows, pieces, width = states.shape
    return states.view(rows, pieces, _heads(module), width // _heads(module))[:, :, HEAD]


def _scale(module: Any, query: Tensor) -> float:
    """T5 does not scale; its initial weights do."""
    return 1.0 if hasattr(module, "n_heads") else float(query.shape[-1]) ** -0.5
