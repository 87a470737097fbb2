"""The T5s that speed is measured on compute what the small one does that was trained."""

import torch
from transformers import T5Config, T5ForConditionalGeneration

from tests.support.widened_t5 import widened


def test_a_wider_t5_computes_the_same():
    torch.manual_seed(0)
    small = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    ids = {"vocab_size": 50, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    network = T5ForConditionalGeneration(T5Config(**small, **ids)).eval()
    wide = widened(network, {"d_model": 48, "d_kv": 8, "d_ff": 80, "num_layers": 4, "num_heads": 6, "vocab_size": 60})
    assert len(wide.decoder.block) == len(wide.encoder.block) == 4
    assert sum(p.numel() for p in wide.parameters()) > 4 * sum(p.numel() for p in network.parameters())
    asked, said = torch.randint(2, 50, (3, 20)), torch.randint(2, 50, (3, 12))
    with torch.inference_mode():
        expected, found = (each(input_ids=asked, labels=said).logits for each in (network, wide))
    assert expected.std() > 0.1
    assert torch.allclose(expected, found[..., :50], atol=1e-3)
    assert torch.equal(found[..., 50:], found[..., 2:3].expand(-1, -1, 10))
