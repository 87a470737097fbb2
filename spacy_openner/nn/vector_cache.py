"""Vectors of texts that come again and again, each computed once a process."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch

# 16,384 vectors of 384 numbers take 25 MB.
KEPT = 16_384
CHUNK = 64


class VectorCache:
    """May be used from several threads. Copies, those of other processes included, start empty."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the vectors, and make the lock anew."""
        self._lock = threading.Lock()
        self._vectors: dict[str, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self._vectors)

    def __call__(self, texts: Sequence[str], encode: Callable[[list[str]], torch.Tensor]) -> torch.Tensor:
        """Look vectors up, encoding what was not met before.

        texts (Sequence[str]): Any texts, at least one.
        encode (Callable[[list[str]], torch.Tensor]): Makes vectors of at most `CHUNK` texts. One thread at a time calls
            it, which matters: padding in a fast tokenizer is not safe between threads.
        RETURNS (torch.Tensor): Without gradient. *Shape:* (texts, width).
        """
        with self._lock:
            vectors = self._vectors
            if len(vectors.keys() | set(texts)) > KEPT:
                vectors = self._vectors = {}
            missing = [text for text in dict.fromkeys(texts) if text not in vectors]
            # Vectors made in inference mode could not take part in training later.
            with torch.inference_mode(False), torch.no_grad():
                for chunk in (missing[i : i + CHUNK] for i in range(0, len(missing), CHUNK)):
                    vectors.update(zip(chunk, encode(chunk).unbind(), strict=True))
                found = torch.stack([vectors[text] for text in texts])
            if len(vectors) > KEPT:
                self._vectors = {}
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.reset()
