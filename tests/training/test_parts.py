"""The parts that training is made of: losses, the sampler, the optimizer, its schedule."""

import itertools
import json
import random

import numpy as np
import pytest
import torch
from thinc.api import Adam

from spacy_openner.components.training import draw_training_text
from spacy_openner.errors import SettingError
from spacy_openner.models.words import Words
from spacy_openner.training.losses import SpanLoss_v1, gradient_of
from spacy_openner.training.optimizer import LayerwiseAdam_v1, WarmupCosine_v1
from spacy_openner.training.sampling import TypeSampler_v1
from spacy_openner.training.targets import Gold

UNIVERSE = {f"type {i}": f"description {i}" for i in range(30)}


@pytest.fixture(autouse=True)
def seed():
    random.seed(0)
    torch.manual_seed(0)


def test_plain_loss_is_binary_cross_entropy():
    logits, targets = torch.randn(50), (torch.rand(50) > 0.8).float()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
    assert torch.allclose(SpanLoss_v1()(logits, targets), expected)


def test_focal_terms_by_hand():
    p = torch.tensor([0.9, 0.2])
    logits, targets = p.logit(), torch.tensor([1.0, 0.0])
    found = SpanLoss_v1(gamma=2.0, alpha=0.75)(logits, targets)
    expected = 0.75 * 0.1**2 * -np.log(0.9) + 0.25 * 0.2**2 * -np.log(0.8)
    assert float(found) == pytest.approx(expected, rel=1e-4)
    heavier = SpanLoss_v1(positive_weight=3.0)(logits, targets)
    assert float(heavier) == pytest.approx(3 * -np.log(0.9) - np.log(0.8), rel=1e-4)


@pytest.mark.parametrize("settings", [{"positive_weight": 0}, {"gamma": -1}, {"alpha": 1.5}])
def test_losses_out_of_range_are_refused(settings):
    with pytest.raises(SettingError, match=next(iter(settings))):
        SpanLoss_v1(**settings)


def test_gradient_is_zero_where_nothing_is_known():
    logits = torch.randn(4, 5)
    logits[0, 0] = float("-inf")
    known = torch.rand(4, 5) > 0.5
    known[0, 0] = False
    targets = torch.zeros(4, 5)
    loss, gradient = gradient_of(SpanLoss_v1(), logits, targets, known, 0.5)
    assert loss == pytest.approx(float(0.5 * torch.nn.functional.softplus(logits[known]).sum()), rel=1e-5)
    assert torch.equal(gradient != 0, known)
    assert torch.allclose(gradient[known], 0.5 * logits[known].sigmoid())
    assert gradient_of(SpanLoss_v1(), logits, targets, torch.zeros(4, 5, dtype=torch.bool), 1.0)[0] == 0.0


def test_half_of_the_types_are_absent_ones():
    sample = TypeSampler_v1(positive_dropout=0.0)
    present = ["type 3", "type 4", "type 5"]
    draws = [sample(present, UNIVERSE) for _ in range(50)]
    assert all(set(present) < set(draw) and len(draw) == 6 for draw in draws)
    assert len({tuple(draw) for draw in draws}) > 40, "drawn anew, in a new order"
    assert len(sample([], UNIVERSE)) == 1, "a text without entities teaches, too"


def test_no_type_from_elsewhere_is_drawn():
    sample = TypeSampler_v1(negative_ratio=1.0)
    assert all(set(sample(["type 1", "stranger"], UNIVERSE)) <= set(UNIVERSE) for _ in range(50))


def test_all_types_at_ratio_one_and_none_at_zero():
    assert set(TypeSampler_v1(negative_ratio=1.0, positive_dropout=0.0, max_types=40)([], UNIVERSE)) == set(UNIVERSE)
    assert set(TypeSampler_v1(negative_ratio=0.0, positive_dropout=0.0)(["type 1"], UNIVERSE)) == {"type 1"}
    assert len(TypeSampler_v1(negative_ratio=1.0, max_types=25)(["type 1"], UNIVERSE)) == 25


def test_present_types_are_dropped_at_times_and_never_taken_for_absent():
    sample = TypeSampler_v1(negative_ratio=0.9, positive_dropout=1.0)
    present = [f"type {i}" for i in range(15)]
    sizes = set()
    for _ in range(50):
        drawn = sample(present, UNIVERSE)
        sizes.add(len(set(drawn) & set(present)))
    assert len(sizes) > 5


def test_other_names_and_descriptions(tmp_path):
    names = {"type 1": ["kind one", "sort one"], "type 2": ["kind one"]}
    file = tmp_path / "names.json"
    file.write_text(json.dumps(names), encoding="utf8")
    sample = TypeSampler_v1(
        positive_dropout=0.0, negative_ratio=0.0, description_ratio=0.3, synonym_ratio=0.5, synonyms=file
    )
    draws = [sample(["type 1", "type 2", "type 9"], UNIVERSE) for _ in range(300)]
    assert {draw["type 1"] for draw in draws} == {"type 1", "kind one", "sort one", "description 1"}
    assert {draw["type 9"] for draw in draws} == {"type 9", "description 9"}
    assert all(len(set(draw.values())) == 3 for draw in draws), "no two types of a prompt share a text"


@pytest.mark.parametrize(
    "settings", [{"negative_ratio": 1.5}, {"positive_dropout": -0.1}, {"max_types": 0}, {"synonym_ratio": 2}]
)
def test_samplers_out_of_range_are_refused(settings):
    with pytest.raises(SettingError, match=next(iter(settings))):
        TypeSampler_v1(**settings)


def test_the_fused_kernel_is_adam():
    settings = {"L2": 0.01, "grad_clip": 1.0}
    ours = LayerwiseAdam_v1(1e-2, scales={}, **settings)
    reference = Adam(1e-2, L2=0.01, L2_is_weight_decay=True, grad_clip=1.0, use_averages=False)
    rng = np.random.default_rng(0)
    a = rng.normal(size=(7, 5)).astype("f")
    b = a.copy()
    for _ in range(20):
        gradient = rng.normal(size=(7, 5)).astype("f")
        a, _ = ours((1, "W"), a, gradient.copy())
        b, _ = reference((1, "W"), b, gradient.copy())
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_rates_by_the_longest_start_of_a_name():
    sgd = LayerwiseAdam_v1(1.0, scales={"encoder.": 0.2, "encoder.embeddings": 0.0}, L2=0.0)
    steps = {}
    for name in ("encoder.layer.0", "encoder.embeddings.word", "head.out", "encoders"):
        weights, _ = sgd((1, name), np.zeros(4, dtype="f"), np.ones(4, dtype="f"))
        steps[name] = -float(weights[0])
    assert steps == pytest.approx(
        {"encoder.layer.0": 0.2, "encoder.embeddings.word": 0.0, "head.out": 1.0, "encoders": 1.0}, abs=1e-3
    )
    with pytest.raises(SettingError, match=r"scales\.encoder.*-1"):
        LayerwiseAdam_v1(1.0, scales={"encoder": -1})


def test_rise_and_fall_of_the_rate():
    rates = list(itertools.islice(WarmupCosine_v1(1.0, 4, 14, final_rate=0.1), 20))
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[9] == pytest.approx(0.55)
    assert rates[14:] == pytest.approx([0.1] * 6)
    assert all(a > b for a, b in itertools.pairwise(rates[4:15]))
    sgd = LayerwiseAdam_v1(WarmupCosine_v1(1.0, 4, 14))
    seen = []
    for _ in range(3):
        seen.append(sgd.learn_rate)
        sgd.step_schedules()
    assert seen[1] > seen[0]
    assert seen[2] > seen[1]
    with pytest.raises(SettingError, match="warmup_steps"):
        WarmupCosine_v1(1.0, 10, 10)


def test_of_several_types_of_a_span_the_first_asked_counts():
    words = Words(["Ann", "Bo"], np.arange(2), np.arange(1, 3), np.zeros(2, dtype=bool))
    spans = [(0, 1, "chemist"), (0, 1, "scientist"), (0, 1, "person"), (1, 2, "person")]
    gold, annotated_types = Gold(words, spans), {label: label for label in ("chemist", "scientist", "person", "city")}

    def taught(asked, finest):
        sample = TypeSampler_v1(positive_dropout=0.0, negative_ratio=0.0, finest_only_ratio=finest)
        text = draw_training_text(gold, {label: annotated_types[label] for label in asked}, sample, None)
        return {(first, text.types[label]) for first, _, label in text.spans}

    everything = ["chemist", "scientist", "person", "city"]
    assert taught(everything, 0.0) == {(0, "chemist"), (0, "scientist"), (0, "person"), (1, "person")}
    assert taught(everything, 1.0) == {(0, "chemist"), (1, "person")}
    assert taught(["person", "scientist"], 1.0) == {(0, "scientist"), (1, "person")}
    assert taught(["person"], 1.0) == {(0, "person"), (1, "person")}
