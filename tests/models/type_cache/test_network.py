"""The two halves of the network against one masked run by `transformers` itself."""

import pytest
import torch

from spacy_openner.models.gliner.pretrained import pretrained
from spacy_openner.models.gliner.span_head import MarkerV0Head
from spacy_openner.models.type_cache import attention
from spacy_openner.models.type_cache.encoders.kinds import from_transformers
from spacy_openner.models.type_cache.network import TypeCacheNetwork
from spacy_openner.models.type_cache.requests import EncodedTypes
from spacy_openner.models.type_cache.states import TextBatch
from tests.support.masked_types import run_masked
from tests.support.tiny_models import backbone

KINDS = ("bert", "roberta", "mpnet", "modernbert")


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def network_of(kind, path, **options):
    return with_reference(kind, path, **options)[0]


def with_reference(kind, path, **options):
    """A network, and the encoder of `transformers` that it was made of."""
    torch.manual_seed(0)
    _, encoder = pretrained(backbone(kind, path))
    return TypeCacheNetwork(from_transformers(encoder), MarkerV0Head(24, 4, 0.0), **options).eval(), encoder


def drawn(n_types=5, n_words=9, seed=0):
    rng = torch.Generator().manual_seed(seed)
    types = [
        torch.randint(5, 60, (int(torch.randint(1, 6, (1,), generator=rng)),), generator=rng) for _ in range(n_types)
    ]
    return types, torch.randint(5, 60, (n_words,), generator=rng)


def batch_of(*texts):
    longest = max(map(len, texts))
    ids = torch.stack([torch.cat([t, torch.zeros(longest - len(t), dtype=torch.long)]) for t in texts])
    mask = torch.stack([(torch.arange(longest) < len(t)).long() for t in texts])
    places = torch.where(mask.bool(), torch.arange(longest)[None], -1)
    return TextBatch(ids, mask, places)


@pytest.mark.parametrize("options", [{}, {"markers_only": True}, {"blind_layers": 1}], ids=str)
@pytest.mark.parametrize("n_words", [1, 9, 80])
def test_equals_one_masked_sequence(kind, tmp_path, options, n_words):
    if kind == "modernbert" and options.get("blind_layers"):
        pytest.skip("its second and last layer has a window, and would see no types anyway")
    network, encoder = with_reference(kind, tmp_path, **options)
    types, text = drawn(n_words=n_words)
    with torch.inference_mode():
        states = network.encode_types(types)
        vectors = network.encode_texts(batch_of(text), states.shared())[0]
        expected_types, expected_text = run_masked(network, encoder, types, text)
    assert torch.allclose(states.vectors, expected_types, rtol=0, atol=1e-5)
    assert torch.allclose(vectors, expected_text, rtol=0, atol=1e-5)
    assert vectors.std() > 0.1


def test_training_and_the_cache_see_the_same_of_types_alike(kind, tmp_path):
    """A masked sequence without the types that are alike to others equals what the cache shows of the whole list."""
    network, encoder = with_reference(kind, tmp_path, alike=0.5, markers_only=True)
    types, text = drawn(12)
    with torch.inference_mode():
        states = network.encode_types(types)
        asked = EncodedTypes(list(map(str, range(12))), states).lay_out([list(map(str, range(12)))])
        vectors = network.encode_texts(batch_of(text), asked)[0]
        _, expected = run_masked(network, encoder, [types[i] for i in states.seen], text)
    assert 1 <= len(states.seen) < 12
    assert asked.vectors.shape[1] == 12
    assert torch.allclose(vectors, expected, rtol=0, atol=1e-5)


def test_types_change_what_a_text_reads(kind, tmp_path):
    """The mask would be met by a text that sees nothing, too."""
    network = network_of(kind, tmp_path)
    types, text = drawn()
    with torch.inference_mode():
        some = network.encode_texts(batch_of(text), network.encode_types(types).shared())
        fewer = network.encode_texts(batch_of(text), network.encode_types(types[:2]).shared())
    assert (some - fewer).abs().max() > 1e-3


def test_gradients_equal_those_of_one_masked_sequence(kind, tmp_path):
    network, encoder = with_reference(kind, tmp_path)
    types, text = drawn()
    names = [name for name, _ in network.encoder.named_parameters() if "relative" not in name]

    def gradients(module, vectors, of_types):
        (vectors.sin().sum() + of_types.cos().sum()).backward()
        return {name: module.get_parameter(name).grad for name in names}

    states = network.encode_types(types)
    ours = gradients(
        network.encoder, network.encode_texts(batch_of(text), states.for_rows([range(5)]))[0], states.vectors
    )
    of_types, vectors = run_masked(network, encoder, types, text)
    theirs = gradients(encoder, vectors, of_types)
    for name, grad in theirs.items():
        # The keys' bias of an attention moves all scores of a query alike: its gradient is noise around nothing.
        assert torch.allclose(ours[name], grad, rtol=1e-3, atol=2e-4), name
    assert sum(float(grad.abs().sum()) for grad in theirs.values()) > 1


def test_rows_of_their_own_types_equal_texts_alone(kind, tmp_path):
    network = network_of(kind, tmp_path)
    types, text = drawn(6)
    _, other = drawn(n_words=4, seed=1)
    asked = [[0, 3, 4], [5, 1]]
    with torch.inference_mode():
        states = network.encode_types(types)
        together = network(batch_of(text, other), states.for_rows(asked))
        for row, (alone, own) in enumerate(zip((text, other), asked, strict=True)):
            single = network(batch_of(alone), network.encode_types([types[i] for i in own]).shared())[0]
            part = together[row, : single.shape[0], :, : len(own)]
            finite = single.isfinite()
            assert torch.allclose(part[finite], single[finite], rtol=0, atol=1e-4)


@pytest.mark.parametrize("n_types", [1, 7])
def test_merged_attention_equals_copied_keys(kind, tmp_path, monkeypatch, n_types):
    network = network_of(kind, tmp_path)
    types, text = drawn(n_types)
    _, other = drawn(n_words=3, seed=1)
    results = []
    for least in (0, 10**6):
        monkeypatch.setattr(attention, "WORTHWHILE", least)
        with torch.inference_mode():
            results.append(network.encode_texts(batch_of(text, other), network.encode_types(types).shared()))
    assert torch.allclose(results[0][0], results[1][0], rtol=0, atol=1e-5)
    assert torch.allclose(results[0][1, :3], results[1][1, :3], rtol=0, atol=1e-5)


def test_types_do_not_see_one_another(kind, tmp_path):
    network = network_of(kind, tmp_path)
    types, _ = drawn(6)
    with torch.inference_mode():
        together, alone = network.encode_types(types), network.encode_types(types[4:5])
    assert torch.allclose(together.vectors[4], alone.vectors[0], rtol=0, atol=1e-5)
