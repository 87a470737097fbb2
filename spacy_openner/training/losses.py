"""Losses over span x type scores."""

from typing import NamedTuple, Protocol

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from ..errors import error


class Loss(Protocol):
    """What training minimises."""

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Sum the loss over scores whose target is known.

        logits (torch.Tensor): *Shape:* (scores,).
        targets (torch.Tensor): 0 or 1. *Shape:* (scores,).
        RETURNS (torch.Tensor): A scalar.
        """
        ...


class SpanLoss(NamedTuple):
    """Binary cross-entropy, with optional focal terms; see `SpanLoss_v1`."""

    positive_weight: float
    gamma: float
    alpha: float | None

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Sum the loss over scores; see `Loss`."""
        weights = 1 + (self.positive_weight - 1) * targets
        if self.alpha is not None:
            weights = weights * (self.alpha * targets + (1 - self.alpha) * (1 - targets))
        if self.gamma:
            p = logits.sigmoid()
            weights = weights * (p + targets - 2 * p * targets).pow(self.gamma)
        return (binary_cross_entropy_with_logits(logits, targets, reduction="none") * weights).sum()


def SpanLoss_v1(positive_weight: float = 1.0, gamma: float = 0.0, alpha: float | None = None) -> SpanLoss:
    """Binary cross-entropy over span x type (GLiNER, section 2.2, equation 3), as "spacy-openner.SpanLoss.v1".

    positive_weight (float): Weight of a span that has the type. Above 1, recall is favoured: spans of types
        that training never showed score lower than those of types that it did.
    gamma (float): Focal exponent: the loss of a score that is right by p is weighted (1 - p) ** gamma.
    alpha (float | None): Focal balance: weight of positives, and 1 - alpha of negatives.
    RETURNS (Loss): For the component's `loss`.
    RAISES (SettingError): For a value out of range.
    """
    if not positive_weight > 0:
        raise error("O001", name="positive_weight", value=positive_weight, allowed="a number above 0")
    if gamma < 0:
        raise error("O001", name="gamma", value=gamma, allowed="a number from 0")
    if alpha is not None and not 0 <= alpha <= 1:
        raise error("O001", name="alpha", value=alpha, allowed="a number from 0 to 1, or null")
    return SpanLoss(positive_weight, gamma, alpha)


def gradient_of(
    loss: Loss, logits: torch.Tensor, targets: torch.Tensor, known: torch.Tensor, share: float
) -> tuple[float, torch.Tensor]:
    """Compute a loss and its gradient by the logits; where nothing is known, the gradient is 0.

    logits (torch.Tensor): Scores. Those that are not known may be infinite.
    targets, known (torch.Tensor): 0 or 1, and whether that counts. *Shape:* as `logits`.
    share (float): Factor of both.
    RETURNS (tuple): The loss, and the gradient in the shape of `logits`.
    """
    leaf = logits.detach()[known].requires_grad_()
    value = loss(leaf, targets[known]) * share
    gradient = torch.zeros_like(logits)
    if leaf.numel():
        gradient[known] = torch.autograd.grad(value, leaf)[0]
    return float(value.detach()), gradient
