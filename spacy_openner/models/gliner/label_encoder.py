"""Type texts to vectors by a frozen encoder, each text once a process."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import layer_norm

from ...errors import error, warn
from ...files import as_local_path
from ...nn import hub
from ...nn.backbones import hidden_size, subword_limit
from ...nn.vector_cache import VectorCache
from . import checkpoint as checkpoints
from .config import CONFIG_FILE
from .pretrained import pretrained


class LabelEncoder:
    """Encodes type texts; its weights are never trained. May be used from several threads.

    A vector is the mean over the text's subwords, brought to mean 0 and variance 1 so that the scale of the encoder
    does not matter.

    tokenizer (Any): The encoder's fast tokenizer.
    encoder (nn.Module): A Hugging Face encoder. Its weights are rounded to float16, in which they are saved, so
        that a saved copy computes what this one does; the arithmetic is in float32.
    """

    def __init__(self, tokenizer: Any, encoder: nn.Module) -> None:
        self.tokenizer = tokenizer
        self.encoder: Any = encoder.eval().requires_grad_(False)
        self._stored_as = _round(self.encoder)
        self._vectors = VectorCache()

    def reset(self) -> None:
        """Forget the vectors, and make the lock anew."""
        self._vectors.reset()

    @property
    def width(self) -> int:
        """The width of the vectors."""
        return hidden_size(self.encoder)

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """Look vectors up, encoding what was not met before.

        texts (Sequence[str]): Any texts.
        RETURNS (torch.Tensor): On the encoder's device, without gradient. *Shape:* (texts, width).
        RAISES (SettingError): For a text that is longer than the encoder reads.
        """
        if not texts:
            return torch.zeros(0, self.width, device=self.encoder.device)
        return self._vectors(texts, self._encode)

    def _encode(self, texts: list[str]) -> torch.Tensor:
        encoded = self.tokenizer(texts, return_tensors="pt", padding=True).to(self.encoder.device)
        mask = encoded["attention_mask"]
        limit = subword_limit(self.encoder.config)
        for text, length in zip(texts, mask.sum(1).tolist(), strict=True):
            if length > limit:
                raise error("O006", label=text, size=length, budget=limit)
        vectors = self.encoder(input_ids=encoded["input_ids"], attention_mask=mask)[0].float()
        weights = mask[..., None].float()
        mean = (vectors * weights).sum(1) / weights.sum(1).clamp(min=1.0)
        return layer_norm(mean, mean.shape[-1:])

    def to(self, device: torch.device) -> "LabelEncoder":
        """Move it."""
        if self.encoder.device != device:
            self.encoder.to(device)
            self.reset()
        return self

    def save(self, path: Path) -> None:
        """Write the encoder and its tokenizer as Hugging Face does."""
        copy.deepcopy(self.encoder).to(self._stored_as).save_pretrained(path, safe_serialization=True)
        self.tokenizer.save_pretrained(path)


def load(name: str | Path, revision: str | None = None) -> LabelEncoder:
    """Load an encoder of type texts.

    name (str | Path): Directory or hub name of a Hugging Face encoder; a directory with a checkpoint of the GLiNER
        family, whose encoder (of a bi-encoder, the one of types) is taken; or "" for that of the package's SpanMatcher.
    revision (str | None): Commit or tag of a hub name.
    RAISES (CheckpointError): When it cannot be loaded.
    """
    directory = hub.default_directory() if not name else as_local_path(name, "name")
    if (directory / CONFIG_FILE).is_file():
        checkpoint = checkpoints.load(directory)
        if checkpoint.is_bi_encoder:
            return LabelEncoder(checkpoint.labels_tokenizer, checkpoint.network.label_encoder)
        return LabelEncoder(checkpoint.tokenizer, checkpoint.network.encoder)
    if not directory.is_dir() and revision is None:
        warn("W002", repo=str(name))
    try:
        tokenizer, encoder = pretrained(directory if directory.is_dir() else name, revision)
    except ValueError as problem:
        raise error("O110", path=str(name), reason=str(problem)) from problem
    if not tokenizer.is_fast:
        raise error("O107", path=str(name), kind=type(tokenizer).__name__)
    return LabelEncoder(tokenizer, encoder)


def _round(encoder: nn.Module) -> torch.dtype:
    """Round weights to float16, if all of them fit.

    RETURNS (torch.dtype): In which they can be stored without loss.
    """
    halves = [value.half() for value in encoder.parameters()]
    if not all(bool(half.isfinite().all()) for half in halves):
        return torch.float32
    with torch.no_grad():
        for value, half in zip(encoder.parameters(), halves, strict=True):
            value.copy_(half)
    return torch.float16
