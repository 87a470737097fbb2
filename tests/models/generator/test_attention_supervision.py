"""A decoder is taught to look at the word whose tag it chooses."""

import pytest
import torch

from spacy_openner.errors import SettingError
from spacy_openner.models.generator import checkpoint as generators
from spacy_openner.models.generator.attention_supervision import (
    HEAD,
    AttentionTarget,
    copy_targets,
    recorded_attention,
    tag_targets,
)
from spacy_openner.training.optimizer import LayerwiseAdam_v1
from tests.support import tiny_models as tiny
from tests.support.generator_case import PROMPT, examples, pipeline

LABELS = ["person", "city"]


def test_words_are_found_in_the_prompt():
    assert tag_targets(3, [9, 1, 2, 3, 9], [(1,), (2, 3)], [1, 4]) == [
        AttentionTarget(3, 1, 1, 2),
        AttentionTarget(3, 4, 2, 4),
    ]


def test_the_text_is_the_last_of_what_looks_like_it():
    assert tag_targets(0, [1, 2, 9, 1, 2, 9], [(1, 2)], [2]) == [AttentionTarget(0, 2, 3, 5)]


@pytest.mark.parametrize("words", [[(1,), (3,)], [(), (1,)], []])
def test_a_text_that_is_spelt_otherwise_is_not_looked_for(words):
    assert tag_targets(0, [9, 1, 2], words, range(len(words))) == []


def test_free_answers_look_at_what_they_copy_next_or_copied_last():
    text = [(1,), (2, 3), (4,)]
    gazes = copy_targets(0, [9, 1, 2, 3, 4], text, [2, 3, 77, 78, 4, 77])
    assert gazes == [AttentionTarget(0, place, at, at + 1) for place, at in enumerate([2, 3, 3, 3, 4, 4])]
    assert copy_targets(0, [9, 1, 2, 3, 4], text, [77, 4]) == [AttentionTarget(0, 1, 4, 5)]
    assert copy_targets(0, [9, 9], text, [2, 3]) == []


@pytest.mark.parametrize("kind", ["t5", "bert", "bart"])
def test_shares_are_those_of_the_attention(kind, tmp_path):
    generator = generators.load(tiny.saved_generator(kind, tmp_path))
    network = generator.network.eval()
    ids, mask = generator.encode_prompts(["Ann Bell lives in Oslo", "Oslo"])
    said = torch.tensor([[5, 6, 7], [8, 9, 5]])
    gazes = [AttentionTarget(0, 2, 1, 3), AttentionTarget(1, 0, 0, 1)]
    for module in network.modules():
        if hasattr(module, "config"):
            module.config._attn_implementation = "eager"
    with torch.inference_mode(), recorded_attention(network) as watch:
        out = network(input_ids=ids, attention_mask=mask, decoder_input_ids=said, output_attentions=True)
    found = watch.log_attention(gazes, mask).exp()
    for layer, attention in enumerate(out.cross_attentions):
        expected = [attention[row, HEAD, place, first:last].sum() for row, place, first, last in gazes]
        assert torch.allclose(found[layer], torch.stack(expected), atol=1e-5)
    assert len(found) == len(out.cross_attentions)


def test_nothing_is_watched_afterwards(tmp_path):
    network = generators.load(tiny.saved_generator("t5", tmp_path)).network
    with recorded_attention(network):
        assert any(module._forward_hooks for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("kind", ["t5", "bert", "bart"])
def test_guidance_is_learnt(kind, tmp_path):
    shares = {}
    for attention_weight in (0.0, 1.0):
        nlp = pipeline(
            tiny.saved_generator(kind, tmp_path / f"{attention_weight}", layers=1),
            labels=LABELS,
            attention_weight=attention_weight,
        )
        nlp.initialize(lambda nlp=nlp: examples(nlp))
        optimizer = LayerwiseAdam_v1(6e-3)
        for _ in range(20):
            nlp.update(examples(nlp), sgd=optimizer, drop=0.0)
        pipe = nlp.get_pipe("gner_generator")
        pipe.attention_weight = 1.0
        (batch,) = pipe._training_batches(pipe._training_texts(examples(nlp)))
        assert len(batch.attention_targets) == sum(len(example.x) for example in examples(nlp))
        with torch.inference_mode():
            shares[attention_weight] = float(batch.forward(pipe.model.shims[0].generator).attention.exp().mean())
    assert shares[1.0] > shares[0.0] + 0.2


@pytest.mark.parametrize("target", ["bio", "entities"])
def test_guidance_of_free_answers(target, tmp_path):
    prompt = {**PROMPT, "target": target}
    options = {"labels": LABELS, "prompt": prompt, "loss": "answer", "decoding": "free", "attention_weight": 1.0}
    nlp = pipeline(tiny.saved_generator("t5", tmp_path), **options)
    pipe = nlp.get_pipe("gner_generator")
    (batch,) = pipe._training_batches(pipe._training_texts(examples(nlp)))
    answered = {gaze.row for gaze in batch.attention_targets}
    assert len(answered) == (len(batch.fed) if target == "bio" else len(batch.fed) - 1), "of no entity no word is said"
    before = float(batch.forward(pipe.model.shims[0].generator).attention.detach().exp().mean())
    optimizer = LayerwiseAdam_v1(3e-3)
    for _ in range(30):
        nlp.update(examples(nlp), sgd=optimizer, drop=0.0)
    after = float(batch.forward(pipe.model.shims[0].generator).attention.detach().exp().mean())
    assert after > before + 0.2


def test_a_model_without_an_encoder_cannot_be_guided(tmp_path):
    nlp = pipeline(tiny.saved_generator("llama", tmp_path), labels=LABELS, attention_weight=0.1)
    with pytest.raises(SettingError, match="O018"):
        nlp.update(examples(nlp), sgd=LayerwiseAdam_v1(1e-3))


@pytest.mark.parametrize("options", [{"type_classification_weight": 0.1}, {"model": {"mixed_precision": True}}])
def test_guidance_beside_other_ways_to_train(options, tmp_path):
    path = tiny.saved_generator("t5", tmp_path)
    model = {"name": str(path), **options.pop("model", {})}
    nlp = pipeline(path, labels=LABELS, attention_weight=1.0, model=model, **options)
    optimizer = LayerwiseAdam_v1(3e-3)
    losses = [nlp.update(examples(nlp), sgd=optimizer, drop=0.0)["gner_generator"] for _ in range(20)]
    assert losses[-1] < losses[0] - 0.5


def test_guidance_beside_adapters(tmp_path):
    pytest.importorskip("peft")
    nlp = pipeline(tiny.saved_generator("t5", tmp_path), labels=LABELS, attention_weight=1.0)
    nlp.get_pipe("gner_generator").initialize(list, nlp=nlp, lora={"r": 8})
    optimizer = LayerwiseAdam_v1(1e-2)
    losses = [nlp.update(examples(nlp), sgd=optimizer, drop=0.0)["gner_generator"] for _ in range(20)]
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("attention_weight", [-0.1, 1.5])
def test_the_weight_is_checked(attention_weight, tmp_path):
    with pytest.raises(SettingError, match="O001"):
        pipeline(tiny.saved_generator("t5", tmp_path), labels=LABELS, attention_weight=attention_weight)
