"""Files that would have `transformers` run code, or write elsewhere, are refused by every loader."""

import json

import pytest
import spacy

from spacy_openner.errors import CheckpointError
from spacy_openner.models.generator import checkpoint as generators
from spacy_openner.models.gliner import checkpoint as gliner
from spacy_openner.models.gliner.pretrained import pretrained
from spacy_openner.models.gliner2 import checkpoint as gliner2
from spacy_openner.nn.trust import check_trust
from tests.support import tiny_gliner2 as tiny2
from tests.support import tiny_models as tiny

CODE = [
    {"_attn_implementation_internal": "someone/kernels"},
    {"attn_implementation": "someone/kernels"},
    {"_attn_implementation": {"text_config": "someone/kernels:layer"}},
    {"_experts_implementation_internal": "someone/kernels"},
    {"trust_remote_code": True},
    {"keypoint_detector_config": {"trust_remote_code": True}},
]
TEMPLATES = [
    [{"name": "default", "template": ""}, {"name": "../../evil", "template": ""}],
    [{"name": "/tmp/evil", "template": ""}],
    [{"template": ""}],
    {"..": ""},
]
HARMLESS = [
    {"_attn_implementation_internal": None, "_attn_implementation": "sdpa", "_attn_implementation_autoset": True},
    {"auto_map": {"AutoModel": "a/b--modeling.Model"}, "trust_remote_code": False},
    {"chat_template": "{{ 'a/b' }}"},
    {"chat_template": [{"name": "default", "template": "a/b"}, {"name": "tool_use", "template": ""}]},
    ["a/b"],
    None,
]


@pytest.mark.parametrize("values", [*CODE, *({"chat_template": each} for each in TEMPLATES)])
def test_what_runs_code_or_writes_elsewhere_is_refused(values):
    with pytest.raises(ValueError, match=r"no code is run|names become those of files"):
        check_trust({"layers": [values]})


@pytest.mark.parametrize("values", HARMLESS)
def test_the_rest_passes(values):
    check_trust(values)


def edit(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize("values", CODE[:1] + CODE[-2:])
def test_span_checkpoints(values, tmp_path):
    path = tiny.saved("bert", tmp_path)
    config = json.loads((path / "gliner_config.json").read_text())["encoder_config"]
    edit(path / "gliner_config.json", encoder_config={**config, **values})
    with pytest.raises(CheckpointError, match=r"O105.*no code is run"):
        gliner.load(path)
    path = tiny2.saved("span", tmp_path / "2")
    edit(path / "encoder_config" / "config.json", **values)
    with pytest.raises(CheckpointError, match=r"O105.*no code is run"):
        gliner2.load(path)


def test_generators(tmp_path):
    path = tiny.saved_generator("gpt2", tmp_path)
    edit(path / "config.json", **CODE[0])
    with pytest.raises(CheckpointError, match=r"O113.*no code is run"):
        generators.load(path)


def test_encoders_that_get_a_new_head(tmp_path):
    path = tiny.backbone("bert", tmp_path)
    edit(path / "config.json", **CODE[0])
    with pytest.raises(ValueError, match="no code is run"):
        pretrained(path, None)


@pytest.mark.parametrize("template", TEMPLATES[:1])
def test_tokenizers(template, tmp_path):
    path = tiny.saved("bert", tmp_path)
    edit(path / "tokenizer_config.json", chat_template=template)
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span", config={"labels": ["person"], "model": tiny.span_matcher(path)})
    with pytest.raises(CheckpointError, match=r"O120.*names become those of files"):
        nlp("Kim left.")
    with pytest.raises(ValueError, match="names become those of files"):
        pretrained(tiny_backbone_with(template, tmp_path / "backbone"), None)


def tiny_backbone_with(template, path):
    tiny.backbone("bert", path)
    edit(path / "tokenizer_config.json", chat_template=template)
    return path
