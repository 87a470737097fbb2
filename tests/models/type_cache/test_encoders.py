"""Encoders against those of `transformers`, whose names and numbers they have, and configs that no encoder has."""

import pytest
import torch
from transformers import AutoConfig, AutoModel

from spacy_openner.errors import CheckpointError, SettingError
from spacy_openner.models.gliner.pretrained import pretrained
from spacy_openner.models.type_cache import checkpoint as checkpoints
from spacy_openner.models.type_cache.encoders.kinds import KINDS, build_encoder, from_transformers, read_encoder
from spacy_openner.models.type_cache.encoders.mpnet import bucket_of
from spacy_openner.models.type_cache.new_network import from_encoder
from spacy_openner.nn import hub
from spacy_openner.nn.weights import OPTIONAL_PARTS
from tests.support.tiny_models import backbone, spread

# The size of the smallest backbones.
TINY = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_hidden_layers": 4, "vocab_size": 300}
SPECIAL = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
POSITIONS = 200


def run(encoder, ids):
    """One text as `transformers` reads it: positions from 0, all subwords see all, or their window."""
    positions = torch.arange(ids.shape[1])[None].expand_as(ids)
    hidden = encoder.embed(ids, positions)
    for layer in encoder.stack:
        mask = torch.zeros(1, 1, ids.shape[1], ids.shape[1]) if (bias := encoder.bias(ids.shape[1])) is None else bias
        if layer.reach is not None:
            steps = torch.arange(ids.shape[1])
            mask = mask.masked_fill((steps[:, None] - steps).abs() > layer.reach, float("-inf"))
        own = layer.keys_values(hidden, positions)
        context = torch.nn.functional.scaled_dot_product_attention(
            layer.queries(hidden, positions), own.keys, own.values, attn_mask=mask
        )
        hidden = layer.finish(context, hidden)
    return encoder.finalize(hidden)


def reference(kind, **options):
    torch.manual_seed(1)
    config = AutoConfig.for_model(kind, **{**TINY, **SPECIAL, "max_position_embeddings": POSITIONS, **options})
    model = AutoModel.from_config(config, attn_implementation="eager").eval()
    spread(model)
    # Norms and biases start as ones and zeros, which would hide one in the place of another.
    with torch.no_grad():
        for value in model.parameters():
            if value.dim() == 1:
                value.add_(torch.randn_like(value) / 4)
    return model


def names(module):
    return {
        name: tuple(v.shape) for name, v in module.state_dict().items() if not any(p in name for p in OPTIONAL_PARTS)
    }


OPTIONS = [
    *((kind, {}) for kind in KINDS),
    ("bert", {"hidden_act": "gelu_new", "type_vocab_size": 3, "layer_norm_eps": 1e-5}),
    ("roberta", {"hidden_act": "relu"}),
    ("mpnet", {"hidden_act": "silu"}),
    ("modernbert", {"local_attention": 16, "hidden_activation": "gelu_pytorch_tanh"}),
    ("modernbert", {"norm_bias": True, "attention_bias": True, "mlp_bias": True, "norm_eps": 1e-3}),
]


@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=str)
def test_numbers_and_names_are_those_of_transformers(kind, options):
    theirs = reference(kind, **options)
    ours = from_transformers(theirs)
    assert names(ours) == names(theirs)
    ids = torch.randint(5, TINY["vocab_size"], (3, 90))
    with torch.inference_mode():
        expected = theirs(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
        found = run(ours, ids)
    assert (found - expected).abs().max() <= 1e-6 * max(1.0, float(expected.abs().max()))
    assert expected.std() > 0.1


def test_the_default_weights_have_the_numbers_of_transformers():
    path = hub.default_directory(hub.TYPE_CACHE)
    tokenizer, theirs = pretrained(path)
    loaded = checkpoints.load(path)
    text = "Marie Curie, née Skłodowska, discovered polonium and <<ENT>> radium in Paris [SEP] 1898."
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    assert loaded.tokenizer.backend_tokenizer.encode(text).ids == ids[0].tolist()
    with torch.inference_mode():
        assert (run(loaded.network.encoder, ids) - theirs(input_ids=ids)[0]).abs().max() <= 1e-5
    own = loaded.network.encoder.state_dict()
    assert all(torch.equal(own[name], value) for name, value in theirs.state_dict().items() if name in own)
    assert (loaded.tokenizer.pad_token_id, loaded.tokenizer.unk_token_id) == (
        tokenizer.pad_token_id,
        tokenizer.unk_token_id,
    )
    assert loaded.tokenizer.decode(ids[0].tolist()) == tokenizer.decode(ids[0])


@pytest.mark.parametrize("rows", [32, 64, 511])
def test_buckets_of_distances(rows):
    """As many are told apart as `transformers` does, however many the table of a checkpoint has."""
    config = {**TINY, "relative_attention_num_buckets": rows}
    stack = AutoModel.from_config(AutoConfig.for_model("mpnet", **config)).encoder
    distances = torch.tensor([*range(-300, 301), -(2**20), 2**20])
    assert torch.equal(bucket_of(distances), stack.relative_position_bucket(distances))
    encoder = build_encoder(read_encoder({**config, "model_type": "mpnet"}, 300))
    table = encoder.encoder["relative_attention_bias"]
    assert len(table.weight) == rows
    table.load_state_dict(stack.relative_attention_bias.state_dict())
    expected = stack.compute_position_bias(torch.zeros(1, 40, TINY["hidden_size"]))
    assert torch.equal(encoder.bias(40), expected)


@pytest.mark.parametrize("kind", ["bert", "roberta", "mpnet", "modernbert"])
def test_what_is_saved_is_read_by_transformers(kind, tmp_path):
    """The encoder of a type cache may become another model's."""
    made = from_encoder(backbone(kind, tmp_path / "backbone"))
    checkpoints.save(made, tmp_path / "saved")
    tokenizer, encoder = pretrained(tmp_path / "saved")
    theirs = encoder.state_dict()
    assert all(torch.equal(theirs[name], value) for name, value in made.network.encoder.state_dict().items())
    ids = tokenizer(["Marie", "Curie"], is_split_into_words=True)["input_ids"]
    assert made.tokenizer.backend_tokenizer.encode(["Marie", "Curie"], is_pretokenized=True).ids == ids


def test_dropout_is_that_of_the_config():
    config = {
        **TINY,
        "hidden_dropout_prob": 0.3,
        "embedding_dropout": 0.3,
        "mlp_dropout": 0.3,
        "attention_dropout": 0.3,
    }
    for kind in KINDS:
        encoder = build_encoder(read_encoder({**config, "model_type": kind}, 300))
        assert {module.p for module in encoder.modules() if isinstance(module, torch.nn.Dropout)} == {0.3}


@pytest.mark.parametrize(
    ("kind", "values", "problem"),
    [
        ("bert", {"hidden_size": 33}, "33, which 4 heads"),
        ("bert", {"hidden_size": "32"}, "hidden_size is '32', not a whole number"),
        ("bert", {"hidden_size": True}, "hidden_size is True"),
        ("bert", {"num_hidden_layers": 257}, "num_hidden_layers"),
        ("bert", {"hidden_act": "quick_gelu"}, "quick_gelu.*gelu_new"),
        ("bert", {"hidden_act": None}, "hidden_act is None"),
        ("bert", {"position_embedding_type": "relative_key"}, "relative_key.*absolute"),
        ("bert", {"hidden_dropout_prob": 1.5}, "hidden_dropout_prob is 1.5, not a number from 0 to 1"),
        ("bert", {"pad_token_id": 300}, "pad_token_id is 300"),
        ("roberta", {"pad_token_id": 299, "max_position_embeddings": 200}, "positions begin behind"),
        ("mpnet", {"relative_attention_num_buckets": 31}, "buckets is 31"),
        ("mpnet", {"max_position_embeddings": 1}, "1 positions"),
        ("modernbert", {"norm_bias": 1}, "norm_bias is 1, not a truth value"),
        ("modernbert", {"layer_types": ["full_attention"]}, "for each of 4 layers"),
        ("modernbert", {"layer_types": ["full_attention"] * 3 + [["x"]]}, "for each of 4 layers"),
        ("modernbert", {"rope_parameters": 3}, "rope_parameters is 3"),
        ("modernbert", {"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "yarn.*default"),
        ("modernbert", {"num_attention_heads": 32}, "odd size"),
    ],
    ids=str,
)
def test_configs_that_no_encoder_has(kind, values, problem):
    with pytest.raises(ValueError, match=problem):
        build_encoder(read_encoder({**TINY, "model_type": kind, **values}, 300))


def test_positions_of_modernbert_in_either_words():
    """Of release 4, and of release 5."""
    plain = {**TINY, "model_type": "modernbert"}
    old = {"global_rope_theta": 5000.0, "local_rope_theta": 700.0, "global_attn_every_n_layers": 2}
    kinds = ["full_attention", "sliding_attention"]
    thetas = {kind: {"rope_theta": theta} for kind, theta in zip(kinds, (5000.0, 700.0), strict=True)}
    new = {"rope_parameters": thetas, "layer_types": kinds * 2}
    assert read_encoder({**plain, **old}, 300) == read_encoder({**plain, **new}, 300)
    alone = read_encoder({**plain, "global_rope_theta": 5000.0, "local_rope_theta": None}, 300)
    assert set(alone.thetas.values()) == {5000.0}


def test_encoders_that_cannot_be_taken_over(tmp_path):
    with pytest.raises(SettingError, match=r"O001.*deberta-v2"):
        from_transformers(reference("deberta-v2"))
    path = backbone("bert", tmp_path)
    model = AutoModel.from_config(AutoConfig.for_model("bert", **{**TINY, "hidden_act": "quick_gelu"}))
    model.save_pretrained(path)
    with pytest.raises(CheckpointError, match=r"O124.*quick_gelu"):
        from_encoder(path)
