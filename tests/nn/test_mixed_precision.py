"""Training with bfloat16 products."""

import pytest
import spacy
import torch
from torch import nn
from torch.nn.functional import linear, scaled_dot_product_attention

from spacy_openner.nn.mixed_precision import mixed_precision
from tests.components.test_training import TYPES, examples, train
from tests.support import tiny_models as tiny

CPU = torch.device("cpu")


def rounded(tensor):
    return tensor.detach().bfloat16().double()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7,), (2, 3)])
def test_products_and_gradients_are_those_of_rounded_operands(shape, bias):
    torch.manual_seed(0)
    layer = nn.Linear(32, 16, bias=bias)
    inputs = torch.randn(*shape, 32, requires_grad=True)
    with mixed_precision(CPU, True):
        outputs = layer(inputs)
    gradient = torch.randn_like(outputs)
    outputs.backward(gradient)
    assert {outputs.dtype, inputs.grad.dtype, layer.weight.grad.dtype} == {torch.float32}

    exact = linear(rounded(inputs), rounded(layer.weight)) + (layer.bias.double() if bias else 0)
    loose = {"rtol": 0.01, "atol": 0.02}
    torch.testing.assert_close(outputs.double(), exact, **loose)
    torch.testing.assert_close(inputs.grad.double(), rounded(gradient) @ rounded(layer.weight), **loose)
    rows, grown = rounded(inputs).reshape(-1, 32), rounded(gradient).reshape(-1, 16)
    torch.testing.assert_close(layer.weight.grad.double(), grown.T @ rows, **loose)
    if bias:
        torch.testing.assert_close(layer.bias.grad, gradient.reshape(-1, 16).sum(0))
    # Rounding is to be seen: else nothing was done in bfloat16.
    assert not torch.equal(outputs, layer(inputs))


def test_only_linear_layers_of_float32_change():
    query = torch.randn(1, 2, 5, 8)
    with mixed_precision(CPU, True):
        attended = scaled_dot_product_attention(query, query, query)
        double = linear(torch.ones(2, 3).double(), torch.ones(4, 3).double(), bias=torch.ones(4).double())
        keywords = linear(input=torch.ones(2, 3), weight=torch.ones(4, 3), bias=torch.ones(4))
    assert torch.equal(attended, scaled_dot_product_attention(query, query, query))
    assert double.dtype is torch.float64
    assert keywords.tolist() == [[4.0] * 4] * 2


def test_frozen_weights_get_no_gradient():
    layer = nn.Linear(4, 4)
    layer.weight.requires_grad_(False)
    with mixed_precision(CPU, True):
        layer(torch.ones(2, 4)).sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad.tolist() == [2.0] * 4


def test_off_is_off():
    layer, inputs = nn.Linear(32, 16), torch.randn(3, 32)
    with mixed_precision(CPU, False):
        found = layer(inputs)
    assert torch.equal(found, layer(inputs))


def test_span_matchers_train(tiny_path):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe(
        "open_ner_span", config={"labels": TYPES, "model": tiny.span_matcher(tiny_path, mixed_precision=True)}
    )
    data = examples(nlp)
    nlp.initialize(lambda: data)
    losses = train(nlp, data, 60)
    assert losses[-1] < losses[0] / 2
    assert {p.dtype for p in pipe.model.shims[0].checkpoint.network.parameters()} == {torch.float32}
