"""What the layers hand to each other."""

from typing import NamedTuple, Protocol

import torch

# What the attrs of a span group say of its spans, in step with them: probabilities, and why they are what they are.
SCORES, EXPLANATIONS = "scores", "explanations"


class Candidate(NamedTuple):
    """A possible entity. Offsets are spaCy tokens of the doc, `end` exclusive; score is a probability. Of a model that
    explains itself, why it is one."""

    start: int
    end: int
    label: str
    score: float
    explanation: str = ""


class TextEncoder(Protocol):
    """Turns pieces into vectors. PyTorch and ONNX Runtime stand behind it; its callers cannot tell."""

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Encode a padded batch.

        input_ids (torch.Tensor): Piece ids. *Shape:* (batch, pieces), int64.
        attention_mask (torch.Tensor): 1 for pieces, 0 for padding. *Shape:* (batch, pieces), int64.
        positions (torch.Tensor): The pieces whose vectors are wanted. *Shape:* (batch, wanted), int64.
        RETURNS (torch.Tensor): *Shape:* (batch, wanted, width).
        """
        ...
