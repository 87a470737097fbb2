"""Whatever options a generator was initialised with, what is saved loads, and answers the same."""

import pytest
import spacy

from spacy_openner.training.optimizer import LayerwiseAdam_v1
from tests.support import tiny_models as tiny
from tests.support.generator_case import examples, pipeline

T5 = {
    "model_type": "t5",
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}
SETTINGS = {"plain": {}, "classifier": {"type_classification_weight": 0.1}, "attention": {"attention_weight": 0.1}}
OPTIONS = ("name", "encoder", "config", "lora")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return tiny.backbone("bert", tmp_path_factory.mktemp("backbone"))


def initialised(option, settings, t5, backbone):
    """A pipeline that was initialised in one of the ways that there are, and trained a little."""
    more = {
        "encoder": {"encoder": backbone, "layers": 1},
        "config": {"config": T5, "tokenizer": t5},
        "lora": {"lora": {"r": 2}},
    }
    nlp = pipeline(t5, labels=["person", "city"], **settings)
    pipe = nlp.get_pipe("gner_generator")
    pipe.initialize(lambda: examples(nlp), nlp=nlp, **more.get(option, {}))
    nlp.update(examples(nlp), sgd=LayerwiseAdam_v1(1e-3))
    pipe.threshold = 0.001
    return nlp


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("option", OPTIONS)
def test_what_is_saved_loads(option, settings, t5, backbone, tmp_path):
    nlp = initialised(option, SETTINGS[settings], t5, backbone)
    expected = [tiny.found(nlp(text)) for text in tiny.SENTENCES]
    nlp.to_disk(tmp_path)
    from_bytes = pipeline(t5, labels=["person", "city"], **SETTINGS[settings]).from_bytes(nlp.to_bytes())
    for loaded in (spacy.load(tmp_path), from_bytes):
        for text, spans in zip(tiny.SENTENCES, expected, strict=True):
            tiny.same(tiny.found(loaded(text)), spans)
        # Training goes on with what helped it.
        assert loaded.update(examples(loaded), sgd=LayerwiseAdam_v1(1e-3))["gner_generator"] > 0
        classifier = loaded.get_pipe("gner_generator").model.shims[0].classifier
        assert (classifier is not None) == (settings == "classifier")
