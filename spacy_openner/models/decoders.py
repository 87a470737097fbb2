"""Decoders of Hugging Face models, fed many pieces at a time, each row at its own pace.

Caches are kept right-aligned: the newest piece of every row is in the last slot. Distances between slots are then
distances between pieces in all rows, which is what relative positions need; absolute ones are given by number.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .backbones import T5_FAMILY

Layers = tuple[tuple[Tensor, ...], ...]


class HFDecoder:
    """Base of the decoders: caches and scores. A subclass runs the network on new pieces: `_run`.

    See `decoding.constrained.Decoder`.

    model: A generative model of Hugging Face.
    ids, mask (Tensor): The prompts, and which pieces of them count. *Shape:* (rows, pieces).
    """

    # Whether rows of different lengths can share a pass.
    ragged = True

    def __init__(self, model: Any, ids: Tensor, mask: Tensor) -> None:
        n_rows = len(ids)
        self.model = model
        self.rows = list(range(n_rows))
        self.lengths = [0] * n_rows
        self.layers: Layers | None = None
        self.hidden: Tensor | None = None
        self.prompt = [0] * n_rows

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
        self._keep(rows, [self.prompt[row] + n for row, n in zip(rows, keep, strict=True)])
        longest = max(len(each) for each in pieces)
        ids = torch.tensor([[*each, *[0] * (longest - len(each))] for each in pieces], device=self.device)
        past = max(self.lengths)
        steps = torch.arange(past + longest, device=self.device)
        lengths = torch.tensor(self.lengths, device=self.device)
        mask = (steps >= past - lengths[:, None]).long()
        positions = lengths[:, None] + torch.arange(longest, device=self.device)
        self.hidden, self.layers = self._run(ids, positions, mask, steps[past:])
        self.lengths = [length + longest for length in self.lengths]

    def choices(self, places: Sequence[tuple[int, int]], allowed: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """See `Decoder.choices`. Only the places and pieces asked for meet the output layer."""
        if not places:
            return []
        columns = sorted({piece for pieces in allowed for piece in pieces})
        number = {piece: i for i, piece in enumerate(columns)}
        scores = self.logits(places, columns).float().cpu().numpy()
        found = []
        for row, pieces in zip(scores, allowed, strict=True):
            values = row[[number[piece] for piece in pieces]]
            found.append(values - np.logaddexp.reduce(values))
        return found

    def logits(self, places: Sequence[tuple[int, int]], columns: Sequence[int]) -> Tensor:
        """Score pieces at places of the pass just made. *Shape:* (places, columns)."""
        assert self.hidden is not None
        index = torch.tensor(places, device=self.device)
        states = self.hidden[index[:, 0], index[:, 1]]
        return self._scores(states, torch.tensor(columns, device=self.device))

    def _keep(self, rows: Sequence[int], lengths: Sequence[int]) -> None:
        """Forget other rows and what is beyond each row's length, and align the rest to the right."""
        index = [self.rows.index(row) for row in rows]
        if self.layers is not None:
            past, longest = max(self.lengths), max(lengths)
            first = [past - self.lengths[i] for i in index]
            start = torch.tensor([f + n - longest for f, n in zip(first, lengths, strict=True)], device=self.device)
            slots = (start[:, None] + torch.arange(longest, device=self.device)).clamp(min=0)
            chosen = torch.tensor(index, device=self.device)
            self.layers = tuple(self._kept(layer, chosen, slots, index) for layer in self.layers)
        if len(index) < len(self.rows):
            self._forget(torch.tensor(index, device=self.device))
        self.rows, self.lengths = list(rows), list(lengths)

    def _kept(
        self, layer: tuple[Tensor, ...], chosen: Tensor, slots: Tensor, index: Sequence[int]
    ) -> tuple[Tensor, ...]:
        own = tuple(state[chosen[:, None], :, slots].transpose(1, 2) for state in layer[:2])
        crossed = tuple(state if len(index) == len(self.rows) else state[chosen] for state in layer[2:])
        return own + crossed

    def _forget(self, chosen: Tensor) -> None:
        """Drop what else is kept of other rows."""

    def _run(self, ids: Tensor, positions: Tensor, mask: Tensor, steps: Tensor) -> tuple[Tensor, Layers]:
        """Run the network on new pieces.

        ids, positions (Tensor): *Shape:* (rows, new).
        mask (Tensor): Which slots of the cache and of the new pieces count. *Shape:* (rows, past + new).
        steps (Tensor): The slots of the new pieces. *Shape:* (new,).
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

    @property
    def pooled(self) -> Tensor:
        """See `HFDecoder.pooled`."""
        mask = self.seen_mask[:, :, None].to(self.seen.dtype)
        return (self.seen * mask).sum(1) / mask.sum(1)

    def _forget(self, chosen: Tensor) -> None:
        self.seen, self.seen_mask = self.seen[chosen], self.seen_mask[chosen]

    def _run(self, ids: Tensor, positions: Tensor, mask: Tensor, steps: Tensor) -> tuple[Tensor, Layers]:
        from transformers import EncoderDecoderCache

        out = self.model.get_decoder()(
            input_ids=ids,
            attention_mask=mask,
            encoder_hidden_states=self.seen,
            encoder_attention_mask=self.seen_mask,
            past_key_values=EncoderDecoderCache.from_legacy_cache(self.layers),
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

    def _run(self, ids: Tensor, positions: Tensor, mask: Tensor, steps: Tensor) -> tuple[Tensor, Layers]:
        out = self.model.decoder.base_model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            encoder_hidden_states=self.seen,
            encoder_attention_mask=self.seen_mask,
            past_key_values=self.layers,
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
        # The prompts without their last pieces, each aligned to the right.
        self.prompt = [int(n) - 1 for n in mask.sum(1)]
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, :-1]
        steps = torch.arange(ids.shape[1] - 1, device=self.device)
        if len(steps):
            _, self.layers = self._run(ids[:, :-1], positions, mask[:, :-1], steps)
        self.lengths = list(self.prompt)

    def _run(self, ids: Tensor, positions: Tensor, mask: Tensor, steps: Tensor) -> tuple[Tensor, Layers]:
        from transformers import DynamicCache

        out = self.model.base_model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=DynamicCache.from_legacy_cache(self.layers),
            cache_position=steps,
            use_cache=True,
        )
        return out.last_hidden_state, _legacy(out.past_key_values)


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
