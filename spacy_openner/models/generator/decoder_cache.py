"""Keep what each row of a batch was fed in a cache of its own, and feed rows that differ in length together.

A row's cache holds the keys and values of all subwords that the row was fed. Rows that share a pass have their caches
aligned to the right: the newest subword of every row is in the last slot. Distances between slots are then distances
between subwords in all rows, which is what relative positions need; absolute ones are given by number.

A worked example: row 0 was fed `a b c`, row 1 was fed `x`, and both are fed more, `d` and `y z`. One pass sees

    slot               0    1    2    3    4
    row 0              a    b    c    d    (padding)
    row 1              -    -    x    y    z
    attention mask 0   1    1    1    1    1
    attention mask 1   0    0    1    1    1
    positions          of d: 3, of y: 1, of z: 2

The padding behind `d` is seen by nothing that counts, since attention is causal. After the pass row 0 keeps slots 0 to
3 and row 1 slots 2 to 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from ...decoding.copy_constrained import FedPosition

LayerStates = tuple[tuple[Tensor, ...], ...]
"""For each layer the keys and values of subwords, and those of the prompt where an encoder read it.

*Shape of each:* (rows, heads, slots, width of a head).
"""
# On CPUs a pass costs about as much as this many subwords, beside those that it is fed.
PASS_COST = 32


@dataclass
class RowCache:
    """The keys and values that a row keeps.

    own (Tensor): Of the subwords that it was fed. *Shape:* (layers, 2, heads, subwords, width).
    crossed (Tensor | None): Of its prompt, where an encoder read it. *Shape:* (layers, 2, heads, prompt, width).
    """

    own: Tensor
    crossed: Tensor | None


@dataclass(frozen=True)
class PassInput:
    """The input of one pass of a network.

    rows (Sequence[int]): The rows that share it.
    ids (Tensor): The new subwords, padded on the right. *Shape:* (rows, new).
    positions (Tensor): Their positions in the text of each row. *Shape:* (rows, new).
    mask (Tensor): Which slots count. *Shape:* (rows, past + new).
    past (LayerStates | None): The caches of the rows as one; None for rows that were not fed before.
    """

    rows: Sequence[int]
    ids: Tensor
    positions: Tensor
    mask: Tensor
    past: LayerStates | None


class CachedDecoder:
    """Base of the decoders of Hugging Face models; see `decoding.copy_constrained.DecoderState`.

    A subclass runs its network on new subwords (`_run`).

    model (Any): A generative model of Hugging Face.
    ids, mask (Tensor): The prompts, and which of their subwords count. *Shape:* (rows, subwords).
    """

    ragged = True
    """Tell whether rows of which each was fed something else can share a pass."""
    keep_cache = True
    """Set to False where all rows are fed once, in one pass: nothing is kept of it then."""

    def __init__(self, model: Any, ids: Tensor, mask: Tensor) -> None:
        self.model = model
        self.caches: list[RowCache | None] = [None] * len(ids)
        # How many of the subwords that a row was fed are its prompt's.
        self.prompt_lengths = [0] * len(ids)
        # Of the last feed. *Shape:* (subwords, width); and where each of its rows begins.
        self.states: Tensor | None = None
        self.offsets: list[int] = []

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return torch.device(self.model.device)

    @property
    def pooled(self) -> Tensor:
        """The mean of the encoder's states over each prompt, where there is an encoder. *Shape:* (rows, width)."""
        raise NotImplementedError

    def feed(self, rows: Sequence[int], subwords: Sequence[Sequence[int]], keep: Sequence[int]) -> None:
        """Feed more subwords to some rows; see `DecoderState.feed`."""
        self._forget(dict(zip(rows, keep, strict=True)))
        states: list[Tensor] = []
        self.offsets, n_states = [0] * len(rows), 0
        for group in self._groups([len(row) for row in subwords]):
            hidden = self._feed_together([rows[i] for i in group], [subwords[i] for i in group], self.keep_cache)
            for index, i in enumerate(group):
                self.offsets[i] = n_states + index * hidden.shape[1]
            states.append(hidden.flatten(0, 1))
            n_states += len(states[-1])
        self.states = torch.cat(states)

    def choice_log_probs(self, positions: Sequence[FedPosition], allowed: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Score the subwords that may follow; see `DecoderState.choice_log_probs`.

        Only these positions and subwords meet the output layer.
        """
        if not positions:
            return []
        columns = sorted({subword for subwords in allowed for subword in subwords})
        number = {subword: i for i, subword in enumerate(columns)}
        scores = self.logits(positions, columns).float().cpu().numpy()
        log_probs = []
        for row, subwords in zip(scores, allowed, strict=True):
            values = row[[number[subword] for subword in subwords]]
            log_probs.append(values - np.logaddexp.reduce(values))
        return log_probs

    def logits(self, positions: Sequence[FedPosition], columns: Sequence[int]) -> Tensor:
        """Score subwords at positions of the last feed. *Shape:* (positions, columns)."""
        assert self.states is not None
        index = torch.tensor([self.offsets[row] + offset for row, offset in positions], device=self.device)
        return self._scores(self.states[index], torch.tensor(columns, device=self.device))

    def _forget(self, keep: dict[int, int]) -> None:
        """Forget the rows that are not named, and of the others what is beyond the length to keep."""
        for row, cache in enumerate(self.caches):
            if row not in keep:
                self.caches[row] = None
            elif cache is not None:
                cache.own = cache.own[..., : self.prompt_lengths[row] + keep[row], :]

    def _groups(self, sizes: Sequence[int]) -> list[list[int]]:
        """Choose which rows share a pass: on a GPU all, on a CPU those of like size, so that little is padding."""
        if not self.keep_cache or (self.ragged and self.device.type != "cpu"):
            return [list(range(len(sizes)))]
        return group_by_length(sizes, PASS_COST) if self.ragged else [[i] for i in range(len(sizes))]

    def _feed_together(self, rows: Sequence[int], subwords: Sequence[Sequence[int]], keep_cache: bool) -> Tensor:
        """Feed some rows in one pass, all of them for the first time or none. *Shape:* (rows, longest, width)."""
        caches = [self.caches[row] for row in rows]
        lengths = [0 if cache is None else cache.own.shape[-2] for cache in caches]
        past = max(lengths)
        hidden, layers = self._run(self._pass_input(rows, subwords, [c for c in caches if c is not None], lengths))
        for i, row in enumerate(rows if keep_cache else ()):
            cache = caches[i]
            self.caches[row] = RowCache(
                row_states(layers, 0, i, past - lengths[i], past + len(subwords[i])),
                self._crossed(layers, i, row) if cache is None else cache.crossed,
            )
        return hidden

    def _pass_input(
        self,
        rows: Sequence[int],
        subwords: Sequence[Sequence[int]],
        caches: Sequence[RowCache],
        lengths: Sequence[int],
    ) -> PassInput:
        past, longest = max(lengths), max(map(len, subwords))
        padded = [[*row, *[0] * (longest - len(row))] for row in subwords]
        before = torch.tensor(lengths, device=self.device)[:, None]
        slots = torch.arange(past + longest, device=self.device)
        return PassInput(
            rows,
            torch.tensor(padded, device=self.device),
            before + torch.arange(longest, device=self.device),
            (slots >= past - before).long(),
            _stack_rows(caches) if caches else None,
        )

    def _crossed(self, layers: LayerStates, i: int, row: int) -> Tensor | None:
        """Return what a first pass made of the prompt of a row, which is the pass's i-th; see `RowCache`."""
        return None

    def _run(self, inputs: PassInput) -> tuple[Tensor, LayerStates]:
        """Run the network.

        RETURNS (tuple[Tensor, LayerStates]): Last hidden states, *Shape:* (rows, new, width), and the cache.
        """
        raise NotImplementedError

    def _scores(self, states: Tensor, columns: Tensor) -> Tensor:
        """Return the logits of some subwords. *Shape:* (positions, columns)."""
        head = self.model.get_output_embeddings()
        return linear(states, head.weight[columns], None if head.bias is None else head.bias[columns])


def group_by_length(sizes: Sequence[int], cost: int) -> list[list[int]]:
    """Group rows so that their passes cost least: a pass costs as much as its padded subwords, and `cost` more.

    sizes (Sequence[int]): The subwords of each row.
    cost (int): The cost of a pass beside its subwords, in subwords.
    RETURNS (list[list[int]]): The rows of each pass. Optimal, by dynamic programming over the rows sorted by size.

    Two long rows and three short ones take two passes, of 2 * 50 + 32 and 3 * 4 + 32, not one of 5 * 50 + 32:

        >>> group_by_length([50, 3, 4, 48, 2], cost=32)
        [[0, 3], [2, 1, 4]]
    """
    order = sorted(range(len(sizes)), key=lambda i: -sizes[i])
    # The least cost of the rows from each on, the largest first, and where the pass ends that begins with it.
    least, ends = [0] * (len(order) + 1), [0] * len(order)
    for start in reversed(range(len(order))):
        size = sizes[order[start]]
        costs = {end: cost + size * (end - start) + least[end] for end in range(start + 1, len(order) + 1)}
        ends[start] = min(costs, key=costs.__getitem__)
        least[start] = costs[ends[start]]
    groups, start = [], 0
    while start < len(order):
        groups.append(order[start : ends[start]])
        start = ends[start]
    return groups


def row_states(layers: LayerStates, part: int, i: int, first: int, last: int) -> Tensor:
    """Return some slots of a row. *Shape:* (layers, 2, heads, slots, width).

    part (int): 0 for keys and values of subwords, 2 for those of the prompt.
    """
    states = torch.stack([state[i, :, first:last] for layer in layers for state in layer[part : part + 2]])
    return states.view(len(layers), 2, *states.shape[1:])


def _stack_rows(caches: Sequence[RowCache]) -> LayerStates:
    """Put the caches of rows into one: subwords aligned to the right, prompts to the left."""
    past = max(cache.own.shape[-2] for cache in caches)
    parts = [torch.stack([pad(c.own, (0, 0, past - c.own.shape[-2], 0)) for c in caches], 2)]
    prompts = [cache.crossed for cache in caches if cache.crossed is not None]
    if prompts:
        longest = max(states.shape[-2] for states in prompts)
        parts.append(torch.stack([pad(states, (0, 0, 0, longest - states.shape[-2])) for states in prompts], 2))
    return tuple(tuple(part[layer, i] for part in parts for i in range(2)) for layer in range(len(parts[0])))
