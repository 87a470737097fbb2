import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from spacy_openner.errors import CheckpointError
from spacy_openner.models.gliner import checkpoint as gliner
from spacy_openner.models.gliner2 import checkpoint as gliner2
from spacy_openner.nn.weights import INDEX_FILE
from tests.support import tiny_gliner2 as tiny2
from tests.support import tiny_models as tiny


def split(path, names=("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")):
    """Write the weights of a directory in two files, as large models are published."""
    weights = load_file(path / "model.safetensors")
    where = {key: names[i % 2] for i, key in enumerate(sorted(weights))}
    for name in names:
        save_file({key: value for key, value in weights.items() if where[key] == name}, path / name)
    (path / "model.safetensors").unlink()
    (path / INDEX_FILE).write_text(json.dumps({"weight_map": where}))


@pytest.mark.parametrize("kind", ["gliner", "gliner2"])
def test_weights_in_several_files(kind, tmp_path):
    load = gliner.load if kind == "gliner" else gliner2.load
    path = tiny.saved("bert", tmp_path) if kind == "gliner" else tiny2.saved("span", tmp_path)
    whole = load(path).network.state_dict()
    split(path)
    parts = load(path).network.state_dict()
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "weight_map"),
        ("[]", "O105"),
        ('{"weight_map": {"a": "../model.safetensors"}}', "no file beside it"),
        ('{"weight_map": {"a": 3}}', "no file beside it"),
        ('{"weight_map": {"a": "model-00003-of-00003.safetensors"}}', "no file beside it"),
    ],
)
def test_indices_that_name_no_files_are_refused(content, message, tmp_path):
    path = tiny.saved("bert", tmp_path)
    split(path)
    (path / INDEX_FILE).write_text(content)
    with pytest.raises(CheckpointError, match=f"O105.*{message}|{message}"):
        gliner.load(path)


@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
@pytest.mark.parametrize("value", ["float16", "torch.float16", "nonsense", None])
def test_types_of_numbers_are_passed_over(name, value, tmp_path):
    path = tiny.saved("bert", tmp_path)
    file = path / "gliner_config.json"
    config = json.loads(file.read_text())
    config["encoder_config"][name] = value
    file.write_text(json.dumps(config))
    assert {parameter.dtype for parameter in gliner.load(path).network.parameters()} == {torch.float32}
