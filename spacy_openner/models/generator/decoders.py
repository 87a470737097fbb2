"""Run the decoders of Hugging Face's generative models, family by family."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ...errors import error
from ...nn.backbones import T5_FAMILY
from .decoder_cache import CachedDecoder, LayerStates, PassInput, row_states
from .hf_cache import bert_cache, cache_argument, returned_states, to_dynamic_cache, to_encoder_decoder_cache


class CrossAttentionDecoder(CachedDecoder):
    """A decoder that attends to the states that an encoder made of the prompt."""

    def __init__(self, model: Any, ids: Tensor, mask: Tensor) -> None:
        super().__init__(model, ids, mask)
        self.encoded = model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        self.encoded_mask = mask
        # Prompts begin in the first column.
        self.encoded_sizes: list[int] = mask.sum(1).tolist()

    @property
    def pooled(self) -> Tensor:
        """The mean of the encoder's states over each prompt. *Shape:* (rows, width)."""
        mask = self.encoded_mask[:, :, None].to(self.encoded.dtype)
        return (self.encoded * mask).sum(1) / mask.sum(1)

    def _prompts(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return the encoder's states of some prompts and their mask, without what is padding to all of them."""
        longest = max(self.encoded_sizes[row] for row in rows)
        if list(rows) == list(range(len(self.encoded))):
            return self.encoded[:, :longest], self.encoded_mask[:, :longest]
        chosen = torch.tensor(rows, device=self.device)
        return self.encoded[chosen, :longest], self.encoded_mask[chosen, :longest]

    def _crossed(self, layers: LayerStates, i: int, row: int) -> Tensor | None:
        return row_states(layers, 2, i, 0, self.encoded_sizes[row])

    def _run(self, inputs: PassInput) -> tuple[Tensor, LayerStates]:
        states, mask = self._prompts(inputs.rows)
        network = self.model.get_decoder()
        out = network(
            input_ids=inputs.ids,
            attention_mask=inputs.mask,
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            **cache_argument(network, to_encoder_decoder_cache(inputs.past)),
            use_cache=True,
        )
        return out.last_hidden_state, returned_states(out)


class T5Decoder(CrossAttentionDecoder):
    """T5, mT5, Flan-T5: positions are relative."""

    def _scores(self, states: Tensor, columns: Tensor) -> Tensor:
        if self.model.config.tie_word_embeddings:
            states = states * self.model.model_dim**-0.5
        return super()._scores(states, columns)


class BertDecoder(CrossAttentionDecoder):
    """`EncoderDecoderModel` whose decoder is a BERT: positions are absolute, and given."""

    def __init__(self, model: Any, ids: Tensor, mask: Tensor) -> None:
        super().__init__(model, ids, mask)
        if hasattr(model, "enc_to_dec_proj"):
            self.encoded = model.enc_to_dec_proj(self.encoded)

    def _run(self, inputs: PassInput) -> tuple[Tensor, LayerStates]:
        states, mask = self._prompts(inputs.rows)
        network = self.model.decoder.base_model
        out = network(
            input_ids=inputs.ids,
            position_ids=inputs.positions,
            attention_mask=inputs.mask,
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            **cache_argument(network, bert_cache(inputs.past)),
            use_cache=True,
        )
        return out.last_hidden_state, returned_states(out)

    def _scores(self, states: Tensor, columns: Tensor) -> Tensor:
        prediction = self.model.decoder.cls.predictions
        head = prediction.decoder
        return linear(prediction.transform(states), head.weight[columns], head.bias[columns])


class AbsolutePositionDecoder(CrossAttentionDecoder):
    """BART and its kin: absolute positions that follow the cache's length, so that rows run one by one."""

    ragged = False

    def _scores(self, states: Tensor, columns: Tensor) -> Tensor:
        bias = getattr(self.model, "final_logits_bias", None)
        scores = super()._scores(states, columns)
        return scores if bias is None else scores + bias[0, columns]


class CausalDecoder(CachedDecoder):
    """Llama and its kin: the prompt is the beginning of the same sequence; its last subword starts the answer."""

    def __init__(self, model: Any, ids: Tensor, mask: Tensor) -> None:
        super().__init__(model, ids, mask)
        self.trunk = trunk(model)
        prompts = [row[kept][:-1].tolist() for row, kept in zip(ids.cpu(), mask.bool().cpu(), strict=True)]
        self.prompt_lengths = [len(prompt) for prompt in prompts]
        if any(self.prompt_lengths):
            # Together: prompts are much alike, and training needs them all.
            self._feed_together(range(len(prompts)), prompts, True)

    def _run(self, inputs: PassInput) -> tuple[Tensor, LayerStates]:
        out = self.trunk(
            input_ids=inputs.ids,
            position_ids=inputs.positions,
            attention_mask=inputs.mask,
            **cache_argument(self.trunk, to_dynamic_cache(inputs.past)),
            use_cache=True,
        )
        return out.last_hidden_state, returned_states(out)

    def _scores(self, states: Tensor, columns: Tensor) -> Tensor:
        config = self.model.config.get_text_config(decoder=True)
        scores = super()._scores(states, columns)
        # What Cohere's, Granite's and Gemma's networks do behind the output layer.
        if (factor := getattr(config, "logit_scale", None)) is not None:
            scores = scores * factor
        if (divisor := getattr(config, "logits_scaling", None)) is not None:
            scores = scores / divisor
        if (cap := getattr(config, "final_logit_softcapping", None)) is not None:
            scores = torch.tanh(scores / cap) * cap
        return scores


def trunk(model: Any) -> nn.Module:
    """Return the part of a causal model below its output layer.

    `base_model` is that part in most of them, and the model itself in some (Gemma 3, Llama 4, JetMoe).

    RAISES (CheckpointError): O113, for a model that has no such part.
    """
    getter = getattr(model, "get_decoder", None)
    for candidate in (getattr(model, "base_model", None), getter and getter(), getattr(model, "model", None)):
        if candidate is not None and candidate is not model:
            return candidate
    reason = f"{type(model).__name__} has no decoder below its output layer"
    raise error("O113", path=str(getattr(model, "name_or_path", "")) or type(model).__name__, reason=reason)


def decoder_class(model: Any) -> type[CachedDecoder]:
    """Return the class that runs a model's decoder."""
    if not model.config.is_encoder_decoder:
        return CausalDecoder
    if model.config.model_type in T5_FAMILY:
        return T5Decoder
    if model.config.model_type == "encoder-decoder" and model.config.decoder.model_type == "bert":
        return BertDecoder
    return AbsolutePositionDecoder
