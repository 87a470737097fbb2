"""Checkpoints with vectors of a fixed set of types."""

import json

import pytest
import spacy
import torch
from safetensors.torch import load_file, save_file

from spacy_openner.errors import CheckpointError, SettingError
from spacy_openner.models.gliner import checkpoint as checkpoints
from tests.support import tiny_models as tiny

TYPES = ["person", "award", "city"]


@pytest.fixture
def path(tmp_path):
    directory = tiny.saved("bert", tmp_path)
    edit(directory, precomputed_prompts_mode=True, id_to_classes={str(i + 1): t for i, t in enumerate(TYPES)})
    put(directory, torch.randn(3, 24, generator=torch.Generator().manual_seed(0)))
    return directory


def edit(directory, **values):
    file = directory / "gliner_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def put(directory, vectors):
    weights = {**load_file(directory / "model.safetensors"), "precomputed_prompts": vectors}
    save_file(weights, directory / "model.safetensors")


def pipeline(directory, labels, **settings):
    nlp = spacy.blank("en")
    model = tiny.span_matcher(directory, precision="float32")
    nlp.add_pipe(
        "open_ner_span", config={"labels": labels, "threshold": 0.0, "overlap": "all", "model": model, **settings}
    )
    return nlp


def test_texts_are_read_without_types_in_front_of_them(path):
    prompts = checkpoints.load(path).planner(512, 8, None).tokenizer.prompts(TYPES)
    assert [list(prompt.types) for prompt in prompts] == [[0, 1, 2]]
    assert len(prompts[0].ids) == 2, "the prefix and a separator"


def test_order_number_and_descriptions_of_types_change_no_score(path):
    text = tiny.SENTENCES[0]
    whole = {span[:3]: span[3] for span in tiny.found(pipeline(path, TYPES)(text))}
    described = {"city": "a populated place", "person": "a human"}
    part = tiny.found(pipeline(path, described, use_descriptions=True)(text))
    assert len(part) > 10
    assert all(abs(whole[span[:3]] - span[3]) < 1e-6 for span in part)


def test_other_types_are_refused_with_those_that_there_are(path):
    with pytest.raises(SettingError, match=r"O126.*\['planet'\].*person, award, city"):
        pipeline(path, ["person", "planet"])("Kim lives in Oslo.")


def test_a_pipeline_keeps_them(path, tmp_path):
    nlp = pipeline(path, TYPES)
    before = tiny.found(nlp(tiny.SENTENCES[0]))
    nlp.to_disk(tmp_path / "saved")
    tiny.same(before, tiny.found(spacy.load(tmp_path / "saved")(tiny.SENTENCES[0])))


def test_training_leaves_them_as_they_are(path):
    nlp = pipeline(path, TYPES)
    doc = nlp.make_doc("Kim lives in Oslo.")
    reference = doc.copy()
    reference.ents = [spacy.tokens.Span(reference, 0, 1, label="person")]
    nlp.update([spacy.training.Example(doc, reference)], sgd=nlp.resume_training())
    network = nlp.get_pipe("open_ner_span").model.shims[0].checkpoint.network
    assert torch.equal(network.fixed_types, load_file(path / "model.safetensors")["precomputed_prompts"])


def test_vectors_that_are_turned_off_are_kept_for_later(path, tmp_path):
    edit(path, precomputed_prompts_mode=False)
    made = checkpoints.load(path)
    assert made.fixed_types == ()
    checkpoints.save(made, tmp_path / "again")
    assert "precomputed_prompts" in load_file(tmp_path / "again" / "model.safetensors")


@pytest.mark.parametrize(
    "classes", [{"1": "person", "3": "city"}, {"1": "person"}, {}, {"a": "person"}, {"1": 2, "2": 3, "3": 4}]
)
def test_types_that_do_not_fit_their_vectors_are_refused(classes, path):
    edit(path, id_to_classes=classes)
    with pytest.raises(CheckpointError, match="O105"):
        checkpoints.load(path)
