"""Exact likelihoods of answers: equal to the network's own, whatever stands beside them in a batch."""

import pytest
import torch

from spacy_openner.models.generator.checkpoint import load
from spacy_openner.models.generator.likelihood import log_likelihoods
from tests.support import tiny_models as tiny

# Arguments of transformers that go out of use are not used.
pytestmark = pytest.mark.filterwarnings("error::FutureWarning")

PROMPTS = ["Marie Curie won the Nobel Prize", "Hi", tiny.SENTENCES[3]]
ANSWERS = [["person : Curie -> person", "a"], [], ["a -> person", "a -> award or city", "city"]]


def directly(generator, prompt, answer):
    ids, mask = generator.encode_prompts([prompt])
    pieces = generator.encode_answer(answer, prompt)
    with torch.no_grad():
        if generator.causal:
            whole = torch.cat([ids, torch.tensor([pieces])], 1)
            logits = generator.network(input_ids=whole).logits[0, ids.shape[1] - 1 : -1]
        else:
            fed = torch.tensor([[*generator.start_subwords(ids), *pieces[:-1]]])
            logits = generator.network(input_ids=ids, attention_mask=mask, decoder_input_ids=fed).logits[0]
    return float(logits.log_softmax(-1).gather(1, torch.tensor(pieces)[:, None]).sum())


@pytest.mark.parametrize("kind", tiny.GENERATORS)
@pytest.mark.parametrize("batch_tokens", [1, 10_000])
def test_equals_the_network(kind, batch_tokens, tmp_path):
    generator = load(tiny.saved_generator(kind, tmp_path / "model"))
    found = log_likelihoods(generator, PROMPTS, ANSWERS, batch_tokens)
    expected = [[directly(generator, p, a) for a in some] for p, some in zip(PROMPTS, ANSWERS, strict=True)]
    assert [len(some) for some in found] == [2, 0, 3]
    for some, right in zip(found, expected, strict=True):
        assert some == pytest.approx(right, abs=1e-3)


def test_nothing_to_score(t5):
    assert log_likelihoods(load(t5), [], [], 100) == []
    assert log_likelihoods(load(t5), ["a"], [[]], 100) == [[]]
