"""Dropout by bytes: the right share, the right mean, nothing in prediction, gradients through the same mask."""

import pytest
import torch
from torch import nn

from spacy_openner.nn.dropout import ByteDropout, set_dropout, use_fast_dropout


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_share_and_mean(rate):
    torch.manual_seed(0)
    layer = ByteDropout(rate).train()
    states = layer(torch.ones(300, 1001))
    assert (states == 0).float().mean().item() == pytest.approx(rate, abs=0.01)
    assert states.mean().item() == pytest.approx(1, abs=0.02)


def test_nothing_in_prediction_nor_at_rate_zero():
    states = torch.randn(3, 5)
    assert torch.equal(ByteDropout(0.5).eval()(states), states)
    assert torch.equal(ByteDropout(0.0).train()(states), states)
    assert ByteDropout(1.0).train()(states).abs().sum() == 0


@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (2, 3, 5)])
def test_any_shape(shape):
    assert ByteDropout(0.5).train()(torch.ones(shape)).shape == shape


def test_gradient_has_the_mask_of_the_output():
    states = torch.ones(1000, requires_grad=True)
    output = ByteDropout(0.5).train()(states)
    output.sum().backward()
    assert torch.equal(states.grad, output.detach())


def test_masks_differ_and_follow_the_seed():
    layer = ByteDropout(0.5).train()
    torch.manual_seed(1)
    first, second = layer(torch.ones(1000)), layer(torch.ones(1000))
    torch.manual_seed(1)
    assert torch.equal(layer(torch.ones(1000)), first)
    assert not torch.equal(first, second)


def test_half_precision_is_kept():
    assert ByteDropout(0.5).train()(torch.ones(100, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_quicken_keeps_names_and_weights():
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3), nn.Sequential(nn.Dropout(0.2)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    use_fast_dropout(network)
    assert [type(m) for m in network.modules() if isinstance(m, nn.Dropout)] == [ByteDropout, ByteDropout]
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    set_dropout(network, 0.7)
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.7, 0.7]
