"""Dropout that costs little on a CPU.

PyTorch draws a double from a serial generator for every element there, which takes a fifth of a training step of a
small encoder. One byte an element does, and eight come with each draw.
"""

import torch
from torch import Tensor, nn

LEVELS = 256


class ByteDropout(nn.Dropout):
    """`torch.nn.Dropout` with masks drawn as bytes: the rate is rounded to 1/256, and outputs are scaled by the
    rounded one, so that their mean is exact."""

    def forward(self, states: Tensor) -> Tensor:
        """Zero elements at random, in training. *Shape:* any, kept."""
        dropped = round(self.p * LEVELS)
        if not self.training or not dropped or states.device.type != "cpu" or dropped == LEVELS:
            return super().forward(states)
        size = states.numel()
        draws = torch.empty(-(-size // 8), dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)
        kept = (draws[:size].view(states.shape) >= dropped).to(states.dtype)
        return states * kept.mul_(LEVELS / (LEVELS - dropped))


# By these names attention layers keep the rate for their weights, and other layers without nn.Dropout theirs.
RATES = ("dropout", "dropout_prob", "attention_dropout")


def use_fast_dropout(network: nn.Module) -> None:
    """Let all dropout layers of a network draw bytes, and leave attention weights alone.

    PyTorch's fused attention knows no dropout on a CPU; with it, attention runs in single steps, at twice the cost
    of the rest of the dropout. Names, weights and configs stay as they are.
    """
    for module in network.modules():
        if type(module) is nn.Dropout:
            module.__class__ = ByteDropout
        if _is_attention(module):
            _set_rates(module, 0.0)


def set_dropout(network: nn.Module, rate: float) -> None:
    """Set the rate of all dropout, that of attention weights aside."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
        elif not _is_attention(module):
            _set_rates(module, rate)


def _is_attention(module: nn.Module) -> bool:
    return "Attention" in type(module).__name__


def _set_rates(module: nn.Module, rate: float) -> None:
    for name in RATES:
        if isinstance(module.__dict__.get(name), float):
            setattr(module, name, rate)
