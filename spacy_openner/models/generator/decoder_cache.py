"""Decoders of Hugging Face models, fed many pieces at a time, each row at its own pace.

Each row has a cache of its own. Rows that share a pass have theirs aligned to the right: the newest piece of every row
is in the last slot. Distances between slots are then distances between pieces in all rows, which is what relative
positions need; absolute ones are given by number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ...decoding.copy_constrained import FedPosition
from ...nn.backbones import T5_FAMILY

Layers = tuple[tuple[Tensor, ...], ...]
# On CPUs a pass costs about as much as so many pieces, beside the pieces that it is fed.
PASS = 32


@dataclass
class Cache:
    """What a row keeps of the pieces that it was fed, and of its prompt.

    own: Keys and values of pieces. *Shape:* (layers, 2, heads, pieces, width).
    crossed: Those of the prompt, where an encoder reads it. *Shape:* (layers, 2, heads, prompt, width).
    """

    own: Tensor
    crossed: Tensor | None


class HFDecoder:
    """Base of the decoders: caches and scores. A subclass runs the network on new pieces: `_run`.

    See `decoding.constrained.Decoder`.

    model: A generative model of Hugging Face.
    ids, mask (Tensor): The prompts, and which pieces of them count. *Shape:* (rows, pieces).
    """

    # Whether rows that were fed differently can share a pass.
    ragged = True
    # Set by who feeds all rows once, in one pass: nothing is kept of it.
    once = False

    def __init__(self, model: Any, ids: Tensor, mask: Tensor) -> None:
        self.model = model
        self.caches: list[Cache | None] = [None] * len(ids)
        # Pieces of the prompt among those that a row was fed.
        self.prompt = [0] * len(ids)
        # Of the pass just made. *Shape:* (pieces, width); and where each of its rows begins.
        self.states: Tensor | None = None
        self.starts: list[int] = []

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return torch.device(self.model.device)

    @property
    def pooled(self) -> Tensor:
        """The mean of the encoder's states over each prompt, where there is an encoder. *Shape:* (rows, width)."""
        raise NotImplementedError

    def feed(self, rows: Sequence[int], pieces: Sequence[Sequence[int]], keep: Sequence[int]) -> None:
        """See `Decoder.feed`."""
        self._keep(dict(zip(rows, keep, strict=True)))
        found, self.starts, size = [], [0] * len(rows), 0
        for group in self._groups([len(each) for each in pieces]):
            hidden = self._pass([rows[i] for i in group], [pieces[i] for i in group], keep=not self.once)
            for place, i in enumerate(group):
                self.starts[i] = size + place * hidden.shape[1]
            found.append(hidden.flatten(0, 1))
            size += len(found[-1])
        self.states = torch.cat(found)

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
        """Score pieces at places of the pass just made. *Shape:* (places, columns)."""
        assert self.states is not None
        index = torch.tensor([self.starts[row] + place for row, place in positions], device=self.device)
        return self._scores(self.states[index], torch.tensor(columns, device=self.device))

    def _keep(self, lengths: dict[int, int]) -> None:
        """Forget other rows, and what is beyond each row's length."""
        for row, cache in enumerate(self.caches):
            if row not in lengths:
                self.caches[row] = None
            elif cache is not None:
                cache.own = cache.own[..., : self.prompt[row] + lengths[row], :]

    def _groups(self, sizes: Sequence[int]) -> list[list[int]]:
        """Which rows share a pass: on a GPU all, on a CPU those of like size, so that little of it is padding."""
        if self.once or (self.ragged and self.device.type != "cpu"):
            return [list(range(len(sizes)))]
        return alike(sizes, PASS) if self.ragged else [[i] for i in range(len(sizes))]

    def _pass(self, rows: Sequence[int], pieces: Sequence[Sequence[int]], keep: bool) -> Tensor:
        """Feed some rows together, all of them for the first time or none. *Shape:* (rows, longest, width)."""
        caches = [self.caches[row] for row in rows]
        known = [cache for cache in caches if cache is not None]
        lengths = [0 if cache is None else cache.own.shape[-2] for cache in caches]
        past, longest = max(lengths), max(map(len, pieces))
        ids = torch.tensor([[*each, *[0] * (longest - len(each))] for each in pieces], device=self.device)
        steps = torch.arange(past + longest, device=self.device)
        before = torch.tensor(lengths, device=self.device)[:, None]
        mask = (steps >= past - before).long()
        positions = before + torch.arange(longest, device=self.device)
        hidden, layers = self._run(rows, ids, positions, mask, steps[past:], _together(known) if known else None)
        for i, row in enumerate(rows if keep else ()):
            own = _stacked(layers, 0, i, past - lengths[i], past + len(pieces[i]))
            cache = caches[i]
            self.caches[row] = Cache(own, self._crossed(layers, i, row) if cache is None else cache.crossed)
        return hidden

    def _crossed(self, layers: Layers, i: int, row: int) -> Tensor | None:
        """What a first pass made of the prompt of a row, whose number in it is i; see `Cache`."""
        return None

    def _run(
        self, rows: Sequence[int], ids: Tensor, positions: Tensor, mask: Tensor, steps: Tensor, past: Layers | None
    ) -> tuple[Tensor, Layers]:
        """Run the network on new pieces.

        ids, positions (Tensor): *Shape:* (rows, new).
        mask (Tensor): Which slots of the cache and of the new pieces count. *Shape:* (rows, past + new).
        steps (Tensor): The slots of the new pieces. *Shape:* (new,).
        past (Layers | None): The cache.
        RETURNS (tuple): Last hidden states, *Shape:* (rows, new, width), and the cache.
        """
        raise NotImplementedError

    def _scores(self, states: Tensor, columns: Tensor) -> Tensor:
        """Logits of some pieces. *Shape:* (places, pieces)."""
        head = self.model.get_output_embeddings()
        bias = None if head.bias is None else head.bias[columns]
        return torch.nn.functional.linear(states, head.weight[columns], bias)


class CrossDecoder(HFDecoder):
    """A decoder that looks at what an encoder made of the prompt."""

    def __init__(self, model: Any, ids: Tensor, mask: Tensor) -> None:
        super().__init__(model, ids, mask)
        self.seen = model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        self.seen_mask = mask
        # Prompts begin in the first column.
        self.seen_sizes: list[int] = mask.sum(1).tolist()

    @property
    def pooled(self) -> Tensor:
        """See `HFDecoder.pooled`."""
        mask = self.seen_mask[:, :, None].to(self.seen.dtype)
        return (self.seen * mask).sum(1) / mask.sum(1)

    def _prompts(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What the encoder made of the prompts of some rows, and which pieces count, without what is padding to all."""
        longest = max(self.seen_sizes[row] for row in rows)
        if list(rows) == list(range(len(self.seen))):
            return self.seen[:, :longest], self.seen_mask[:, :longest]
        chosen = torch.tensor(rows, device=self.device)
        return self.seen[chosen, :longest], self.seen_mask[chosen, :longest]

    def _crossed(self, layers: Layers, i: int, row: int) -> Tensor | None:
        return _stacked(layers, 2, i, 0, self.seen_sizes[row])

    def _run(
        self, rows: Sequence[int], ids: Tensor, positions: Tensor, mask: Tensor, steps: Tensor, past: Layers | None
    ) -> tuple[Tensor, Layers]:
        from transformers import EncoderDecoderCache

        seen, seen_mask = self._prompts(rows)
        out = self.model.get_decoder()(
            input_ids=ids,
            attention_mask=mask,
            encoder_hidden_states=seen,
            encoder_attention_mask=seen_mask,
            past_key_values=EncoderDecoderCache.from_legacy_cache(past),
            cache_position=steps,
            use_cache=True,
        )
        return out.last_hidden_state, _legacy(out.past_key_values)


class T5Decoder(CrossDecoder):
    """T5, mT5, Flan-T5: positions are relative."""

    def _scores(self, states: Tensor, columns: Tensor) -> Tensor:
        if self.model.config.tie_word_embeddings:
            states = states * self.model.model_dim**-0.5
        return super()._scores(states, columns)


class BertDecoder(CrossDecoder):
    """`EncoderDecoderModel` whose decoder is a BERT: positions are absolute, and given."""

    def __init__(self, model: Any, ids: Tensor, mask: Tensor) -> None:
        super().__init__(model, ids, mask)
        if hasattr(model, "enc_to_dec_proj"):
            self.seen = model.enc_to_dec_proj(self.seen)

    def _run(
        self, rows: Sequence[int], ids: Tensor, positions: Tensor, mask: Tensor, steps: Tensor, past: Layers | None
    ) -> tuple[Tensor, Layers]:
        seen, seen_mask = self._prompts(rows)
        out = self.model.decoder.base_model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            encoder_hidden_states=seen,
            encoder_attention_mask=seen_mask,
            past_key_values=past,
            use_cache=True,
        )
        return out.last_hidden_state, _legacy(out.past_key_values)

    def _scores(self, states: Tensor, columns: Tensor) -> Tensor:
        prediction = self.model.decoder.cls.predictions
        head = prediction.decoder
        return torch.nn.functional.linear(prediction.transform(states), head.weight[columns], head.bias[columns])


class LearnedDecoder(CrossDecoder):
    """BART and its kin: absolute positions that follow the cache's length, so that rows run one by one."""

    ragged = False

    def _scores(self, states: Tensor, columns: Tensor) -> Tensor:
        bias = getattr(self.model, "final_logits_bias", None)
        scores = super()._scores(states, columns)
        return scores if bias is None else scores + bias[0, columns]


class CausalDecoder(HFDecoder):
    """LLaMA and its kin: the prompt is the beginning of the same sequence; its last piece starts the answer."""

    def __init__(self, model: Any, ids: Tensor, mask: Tensor) -> None:
        super().__init__(model, ids, mask)
        prompts = [row[kept][:-1].tolist() for row, kept in zip(ids.cpu(), mask.bool().cpu(), strict=True)]
        self.prompt = [len(each) for each in prompts]
        if any(self.prompt):
            # Together: prompts are much alike, and learning needs them all.
            self._pass(range(len(prompts)), prompts, keep=True)

    def _run(
        self, rows: Sequence[int], ids: Tensor, positions: Tensor, mask: Tensor, steps: Tensor, past: Layers | None
    ) -> tuple[Tensor, Layers]:
        from transformers import DynamicCache

        out = self.model.base_model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=DynamicCache.from_legacy_cache(past),
            cache_position=steps,
            use_cache=True,
        )
        return out.last_hidden_state, _legacy(out.past_key_values)


def alike(sizes: Sequence[int], cost: int) -> list[list[int]]:
    """Group rows so that passes cost least: one costs as much as its padded pieces, and so many more.

    sizes (Sequence[int]): The pieces of each row.
    cost (int): What a pass costs beside its pieces, in pieces.
    RETURNS (list[list[int]]): The rows of each pass.
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


def _stacked(layers: Layers, part: int, i: int, first: int, last: int) -> Tensor:
    """Some slots of a row. *Shape:* (layers, 2, heads, slots, width).

    part (int): 0 for keys and values of pieces, 2 for those of the prompt.
    """
    states = torch.stack([state[i, :, first:last] for layer in layers for state in layer[part : part + 2]])
    return states.view(len(layers), 2, *states.shape[1:])


def _together(caches: Sequence[Cache]) -> Layers:
    """The caches of rows as one: pieces aligned to the right, prompts to the left."""
    past = max(cache.own.shape[-2] for cache in caches)
    parts = [torch.stack([pad(c.own, (0, 0, past - c.own.shape[-2], 0)) for c in caches], 2)]
    prompts = [cache.crossed for cache in caches if cache.crossed is not None]
    if prompts:
        longest = max(each.shape[-2] for each in prompts)
        parts.append(torch.stack([pad(each, (0, 0, 0, longest - each.shape[-2])) for each in prompts], 2))
    return tuple(tuple(part[layer, i] for part in parts for i in range(2)) for layer in range(len(parts[0])))


def _legacy(cache: Any) -> Layers:
    return cache if isinstance(cache, tuple) else cache.to_legacy_cache()


def decoder_class(model: Any) -> type[HFDecoder]:
    """The way to run a model's decoder."""
    if not model.config.is_encoder_decoder:
        return CausalDecoder
    if model.config.model_type in T5_FAMILY:
        return T5Decoder
    if model.config.model_type == "encoder-decoder" and model.config.decoder.model_type == "bert":
        return BertDecoder
    return LearnedDecoder
