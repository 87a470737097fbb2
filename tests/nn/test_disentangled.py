import pytest
import torch
from transformers import AutoConfig, AutoModel

from spacy_openner.nn.disentangled import DisentangledEncoder, supports
from spacy_openner.nn.last_layer import at
from tests.support import tiny_models as tiny

PUBLISHED = {
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 256,
    "max_relative_positions": -1,
    "max_position_embeddings": 512,
    "position_biased_input": False,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "type_vocab_size": 0,
}


def deberta(**changes):
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    model = AutoModel.from_config(
        AutoConfig.for_model("deberta-v2", vocab_size=100, **sizes, **{**PUBLISHED, **changes})
    )
    tiny.spread(model)
    return model.eval()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"position_buckets": 32},
        {"position_buckets": -1},
        {"share_att_key": False},
        {"pos_att_type": ["c2p"]},
        {"pos_att_type": ["p2c"]},
        {"norm_rel_ebd": "none", "position_biased_input": True, "type_vocab_size": 2},
    ],
)
def test_vectors_equal_those_of_transformers(changes):
    model = deberta(**changes)
    # Past half of the buckets, distances share vectors; past 512 subwords, all of the rest do.
    for lengths in ([1], [40, 33, 1], [300, 500], [512 if changes.get("position_biased_input") else 700]):
        ids = torch.randint(100, (len(lengths), max(lengths)))
        mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
        read = torch.stack([torch.randint(min(lengths), (5,)) for _ in lengths])
        with torch.inference_mode():
            expected = at(model(input_ids=ids, attention_mask=mask)[0], read)
            torch.testing.assert_close(DisentangledEncoder(model)(ids, mask, read), expected, rtol=0, atol=2e-5)


def test_every_length_has_the_distances_of_transformers():
    """Where a bucket ends is decided by the last digits of a logarithm."""
    from transformers.models.deberta_v2.modeling_deberta_v2 import build_relative_position

    from spacy_openner.nn.disentangled import bucket

    distance = torch.arange(-1023, 1024)
    for buckets, longest in ((256, 512), (256, 1024), (32, 512), (64, 200)):
        row = torch.zeros(1, 1024, 1)
        theirs = build_relative_position(row, row, bucket_size=buckets, max_position=longest)[0]
        assert torch.equal(
            bucket(distance, buckets, longest)[distance + 1023], torch.cat([theirs[0].flip(0), theirs[1:, 0]])
        )


@pytest.mark.parametrize("changes", [{"conv_kernel_size": 3}, {"relative_attention": False}, {"pos_att_type": []}])
def test_other_layouts_are_left_to_transformers(changes):
    assert supports(deberta())
    assert not supports(deberta(**changes))


def test_other_encoders_are_left_alone(tmp_path):
    assert not supports(AutoModel.from_pretrained(tiny.backbone("bert", tmp_path)))


def test_scores_in_half_precision_stay_close():
    model = deberta()
    ids, mask = torch.randint(100, (2, 30)), torch.ones(2, 30, dtype=torch.long)
    read = torch.arange(30).expand(2, -1)
    with torch.inference_mode():
        exact = DisentangledEncoder(model)(ids, mask, read)
        coarse = DisentangledEncoder(model.to(torch.bfloat16))(ids, mask, read).float()
    assert (exact - coarse).abs().max() < 0.1 * exact.abs().max()
