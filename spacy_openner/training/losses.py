"""Losses over span x type scores, and over text x type scores."""

from typing import NamedTuple, Protocol

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from ..errors import error


class Loss(Protocol):
    """A function that training minimises."""

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


class TypeLoss(NamedTuple):
    """Implement `TypeLoss_v1`."""

    temperature: float
    classification_weight: float
    margin: float

    def __call__(self, scores: torch.Tensor, present: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Sum the loss over texts.

        scores (torch.Tensor): Cosines. *Shape:* (texts, types).
        present, known (torch.Tensor): Which types are there, and which of them count. *Shape:* as `scores`.
        RETURNS (torch.Tensor): A scalar.
        """
        logits = scores / self.temperature
        every = logits.masked_fill(~known, -torch.inf).logsumexp(1, keepdim=True)
        loss = ((every - logits) * (present & known)).sum()
        if self.classification_weight:
            shifted = (scores - self.margin) / self.temperature
            term = type_classification(shifted, known & present, known & ~present)
            loss = loss + self.classification_weight * term
        return loss


def type_classification(scores: torch.Tensor, present: torch.Tensor, absent: torch.Tensor) -> torch.Tensor:
    """Sum the loss of telling types apart over texts (ToNER, equation 5, with the signs of the authors' code).

    Of the types that a text holds the lowest scores cost most, of the others the highest ones.

    scores (torch.Tensor): *Shape:* (texts, types).
    present, absent (torch.Tensor): Which types are there, and which are known not to be. *Shape:* as `scores`.
    RETURNS (torch.Tensor): A scalar.
    """
    return (_one_beside(scores, absent) + _one_beside(-scores, present)).sum()


def _one_beside(logits: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """log(1 + the sum of e^logit over what is chosen). *Shape:* (texts, types) to (texts,)."""
    zeros = torch.zeros_like(logits[:, :1])
    return torch.cat([zeros, logits.masked_fill(~chosen, -torch.inf)], dim=1).logsumexp(1)


def TypeLoss_v1(temperature: float = 0.05, classification_weight: float = 0.0, margin: float = 0.3) -> TypeLoss:
    """Contrastive loss over the types of a text (ToNER, section 3.2, equation 4), as "spacy-openner.TypeLoss.v1".

    It compares the types of one text with one another only, so that scores of different texts need not be on one level.

    temperature (float): What cosines are divided by.
    classification_weight (float): Weight of a second term, which puts scores of present types over `margin`, and those
        of absent ones under it, so that one threshold fits all texts: equation 5 as the paper's code computes it, on
        these scores. Texts without any of their types teach by this term alone.
    margin (float): The cosine between absent and present.
    RETURNS (TypeLoss): For the component's `loss`.
    RAISES (SettingError): For a value out of range.
    """
    if not temperature > 0:
        raise error("O001", name="temperature", value=temperature, allowed="a number above 0")
    if not classification_weight >= 0:
        value = classification_weight
        raise error("O001", name="classification_weight", value=value, allowed="a number from 0")
    if not -1 <= margin <= 1:
        raise error("O001", name="margin", value=margin, allowed="a number from -1 to 1")
    return TypeLoss(temperature, classification_weight, margin)


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
