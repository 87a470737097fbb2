"""A generative model with its tokenizer: how it reads prompts, and what it may answer."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from ...errors import warn
from ...nn.backbones import T5_FAMILY
from ...nn.dropout import use_fast_dropout
from ...prompts.base import CAUSAL, PromptDefaults
from .chat_templates import TemplateError, text_around
from .decoder_cache import CachedDecoder
from .decoders import decoder_class
from .tag_chunks import ChunkEncoder

# Positions of T5 are relative, so that no limit is built in; this is how it was trained (GNER, appendix B).
T5_LIMIT = 640
CAUSAL_LIMIT = 1280


@dataclass(frozen=True)
class Generator:
    """A generative model with its tokenizer."""

    network: Any
    tokenizer: Any
    chunks: ChunkEncoder

    @property
    def causal(self) -> bool:
        """Tell whether it continues its prompt, instead of answering from a decoder of its own."""
        return not self.network.config.is_encoder_decoder

    @property
    def prompt_defaults(self) -> PromptDefaults:
        """Facts about its prompts that the model's files hold."""
        instruction = getattr(self.network.config, "openner_instruction", None)
        return PromptDefaults(instruction, lambda: self.chat_template)

    @cached_property
    def chat_template(self) -> str | None:
        """The text around "{prompt}" that the tokenizer's chat template makes; None without one, or, with a warning,
        with one that does not work."""
        if not self.causal or not getattr(self.tokenizer, "chat_template", None):
            return None
        try:
            return text_around(self.tokenizer)
        except TemplateError as problem:
            warn("W124", reason=problem, used=CAUSAL)
            return None

    @property
    def end(self) -> int:
        """The subword that ends an answer."""
        config = self.network.generation_config
        ids = config.eos_token_id if config.eos_token_id is not None else self.tokenizer.eos_token_id
        return int(ids[0] if isinstance(ids, list) else ids)

    @property
    def vocabulary(self) -> range:
        """All subwords that may be generated."""
        return range(int(self.network.get_output_embeddings().weight.shape[0]))

    @property
    def limit(self) -> int:
        """The most subwords of a prompt, and of an answer; of both together for a causal model."""
        config = self.network.config
        if config.model_type in T5_FAMILY:
            return T5_LIMIT
        parts = [config.get_text_config(decoder=True)] if self.causal else [config]
        parts = [getattr(config, name) for name in ("encoder", "decoder") if hasattr(config, name)] or parts
        limits = [getattr(part, "max_position_embeddings", None) for part in parts]
        own = min([n for n in limits if n], default=CAUSAL_LIMIT)
        return min(own, CAUSAL_LIMIT) if self.causal else own

    def encode_prompts(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode prompts, padded on the side that generation needs.

        RETURNS (tuple[torch.Tensor, torch.Tensor]): Ids and mask. *Shape of each:* (prompts, subwords).
        """
        encoded = [self._encode_prompt(prompt) for prompt in prompts]
        longest = max(map(len, encoded))
        ids = torch.zeros(len(encoded), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, subwords in enumerate(encoded):
            columns = slice(longest - len(subwords), None) if self.causal else slice(0, len(subwords))
            ids[row, columns] = torch.tensor(subwords)
            mask[row, columns] = 1
        pad = self.tokenizer.pad_token_id
        return ids.masked_fill(mask == 0, pad if pad is not None else 0), mask

    def _encode_prompt(self, prompt: str) -> list[int]:
        ids: list[int] = self.tokenizer(prompt)["input_ids"]
        if self.causal:
            # An end that the tokenizer appends would end the conversation.
            ids = ids[:-1] if ids[-1] in (self.end, self.tokenizer.eos_token_id) else ids
            # Chat templates begin with what the tokenizer prepends, too.
            start = self.tokenizer.bos_token_id
            if start is not None and ids[:2] == [start, start]:
                ids = ids[1:]
        return ids

    def answers_after_space(self, prompt: str) -> bool:
        """Return whether the first word of the answer to a prompt follows a space."""
        return self.causal and not prompt[-1:].isspace()

    def encode_answer(self, answer: str, prompt: str) -> list[int]:
        """Encode a whole answer to a prompt, its end included."""
        # Byte-level tokenizers read the answer's first word with the space before it.
        lead = " " if self.chunks.spaced and self.answers_after_space(prompt) else ""
        return [*self.tokenizer(lead + answer, add_special_tokens=False)["input_ids"], self.end]

    def start_decoder(self, ids: torch.Tensor, mask: torch.Tensor) -> CachedDecoder:
        """Let the network read prompts, and return what decodes the answers."""
        kind = decoder_class(self.network)
        device = self.network.device
        return kind(self.network, ids.to(device), mask.to(device))

    def start_subwords(self, ids: torch.Tensor) -> list[int]:
        """Return the subword that starts each answer."""
        if self.causal:
            return [int(subword) for subword in ids[:, -1]]
        config = self.network.generation_config
        start = config.decoder_start_token_id
        return [int(self.network.config.decoder_start_token_id if start is None else start)] * len(ids)


def make_generator(network: Any, tokenizer: Any) -> Generator:
    """Put a network and its tokenizer together."""
    # Set once: changing them at call time is what makes fast tokenizers unsafe between threads.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    use_fast_dropout(network)
    return Generator(network.eval(), tokenizer, ChunkEncoder(tokenizer))
