"""The fused product says what two passes say."""

import pytest
import torch
from torch import nn
from torch.nn.functional import gelu

from spacy_openner.nn import fused
from spacy_openner.nn.fused import linear_gelu


@pytest.mark.parametrize("shape", [(5, 24), (3, 7, 24), (1, 1, 24), (2, 0, 24)])
@pytest.mark.parametrize(("dtype", "noise"), [(torch.float32, 1e-6), (torch.bfloat16, 0.05)])
def test_one_pass_equals_two(shape, dtype, noise):
    torch.manual_seed(0)
    layer, inputs = nn.Linear(24, 40).to(dtype), torch.randn(shape).to(dtype)
    with torch.inference_mode():
        torch.testing.assert_close(linear_gelu(layer, inputs), gelu(layer(inputs)), atol=noise, rtol=noise)


def test_gradients_flow():
    layer, inputs = nn.Linear(8, 8), torch.randn(2, 8, requires_grad=True)
    linear_gelu(layer, inputs).sum().backward()
    assert layer.weight.grad is not None
    assert inputs.grad is not None


def test_without_the_fused_product(monkeypatch):
    monkeypatch.setattr(fused, "_supports", lambda dtype: False)
    layer, inputs = nn.Linear(8, 8), torch.randn(2, 8)
    with torch.inference_mode():
        assert torch.equal(linear_gelu(layer, inputs), gelu(layer(inputs)))
