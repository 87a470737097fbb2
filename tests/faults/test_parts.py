"""Files of a saved component beside its weights, cut at each twentieth, or something else: a coded error that names them."""

import pytest
import spacy
import torch
from safetensors.torch import save_file
from spacy.training import Example

from spacy_openner.errors import CheckpointError
from tests.support import tiny_models as tiny
from tests.support.every_model import MODELS, pipeline

TOK2VEC = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 32,
    "depth": 1,
    "embed_size": 50,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
    "pretrained_vectors": None,
}


def with_classifier(path):
    path.mkdir()
    nlp = pipeline("generator-t5", MODELS["generator-t5"](path))
    shim = nlp.get_pipe("gner_generator").model.shims[0]
    shim.add_type_classifier(3)
    assert shim.classifier is not None
    return nlp


def with_token_vectors(path):
    path.mkdir()
    nlp = spacy.blank("en")
    model = {"name": str(tiny.saved_types(path)), "tok2vec": TOK2VEC}
    nlp.add_pipe("type_filter", config={"labels": ["person", "city"], "model": model})
    doc = nlp.make_doc("Ada wrote")
    gold = nlp.make_doc("Ada wrote")
    gold.spans["openner"] = [gold.char_span(0, 3, label="person")]
    nlp.initialize(lambda: [Example(doc, gold)])
    return nlp


PARTS = {
    "type_classifier.safetensors": ("gner_generator", with_classifier),
    "tok2vec": ("type_filter", with_token_vectors),
    "projection.safetensors": ("type_filter", with_token_vectors),
}


@pytest.mark.parametrize("part", PARTS)
def test_parts_that_are_cut_or_others(part, tmp_path, monkeypatch):
    name, build = PARTS[part]
    nlp = build(tmp_path / "source")
    pipe = nlp.get_pipe(name)
    pipe.to_disk(tmp_path / "component")
    if name == "gner_generator":
        # What is beside it takes most of the time.
        generator = pipe.model.shims[0].generator
        monkeypatch.setattr("spacy_openner.models.generator.shim.load", lambda path: generator)
    file = tmp_path / "component" / "model" / part
    data = file.read_bytes()
    odd = [data[: len(data) * i // 20] for i in range(20)]
    odd += [b"\0" * len(data), data[:-1], b"{}"]
    if part.endswith("safetensors"):
        for tensors in (
            {},
            {"weight": torch.ones(3)},
            {"bias": torch.ones(3)},
            {"weight": torch.full((3, 32), float("nan")), "bias": torch.ones(3)},
            {"weight": torch.ones(3, 32), "bias": torch.ones(4)},
        ):
            save_file(tensors, file)
            odd.append(file.read_bytes())
    for each in odd:
        file.write_bytes(each)
        with pytest.raises(CheckpointError, match="O105"):
            pipe.from_disk(tmp_path / "component")
    file.write_bytes(data)
    pipe.from_disk(tmp_path / "component")
