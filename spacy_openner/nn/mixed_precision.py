"""Training with bfloat16 products.

PyTorch's autocast does it on a GPU. On a CPU it makes much slower what it does beside products: the gradient of fused
attention takes six times as long in bfloat16 as in float32, and what lies across memory is cast slowly. So there the
products of linear layers alone, which are most of the work, are computed in bfloat16.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode


class _Product(torch.autograd.Function):
    """A linear layer and its gradients from operands in bfloat16; results are float32."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """inputs: *Shape:* (..., width). RETURNS: *Shape:* (..., width of the output)."""
        narrow, narrow_weight = inputs.bfloat16(), weight.bfloat16()
        ctx.save_for_backward(narrow, narrow_weight)
        product = linear(narrow, narrow_weight).float()
        return product if bias is None else product.add_(bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """gradient: Of the loss by the output. RETURNS: Of the loss by inputs, weight and bias."""
        inputs, weight = ctx.saved_tensors
        rows = gradient.reshape(-1, gradient.shape[-1])
        narrow = rows.bfloat16()
        of_inputs, of_weight, of_bias = ctx.needs_input_grad
        return (
            (narrow @ weight).float().view(inputs.shape) if of_inputs else None,
            (narrow.t() @ inputs.reshape(-1, inputs.shape[-1])).float() if of_weight else None,
            rows.sum(0) if of_bias else None,
        )


class _Bfloat16Products(TorchFunctionMode):
    """Linear layers of float32 are computed as `_Product`."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func is linear:
            operands = _operands(*args, **(kwargs or {}))
            if all(operand is None or operand.dtype is torch.float32 for operand in operands):
                return _Product.apply(*operands)
        return func(*args, **(kwargs or {}))


def _operands(
    input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return the operands of `linear`, given by position or by name."""
    return input, weight, bias


def mixed_precision(device: torch.device, enabled: bool) -> AbstractContextManager[Any]:
    """Return the context to train a network in with bfloat16 products; its weights stay float32."""
    if not enabled:
        return nullcontext()
    return _Bfloat16Products() if device.type == "cpu" else torch.autocast(device.type, torch.bfloat16)
