"""scripts/cased.py: capitals for an uncased span matcher."""

import runpy

import numpy as np
import pytest
import spacy
from typer.testing import CliRunner

from spacy_openner.models.gliner import checkpoint as gliner_checkpoint
from spacy_openner.nn import hub as sources
from tests.integration.test_open_types import ROOT
from tests.support import tiny_models as tiny

script = runpy.run_path(str(ROOT / "scripts" / "cased.py"))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("cased")
    script["main"](sources.default_directory(), path)
    return path


def scores(path, *words):
    """Without rounding to bfloat16, where a machine has it."""
    nlp = spacy.blank("en")
    model = tiny.span_matcher(path, precision="float32")
    pipe = nlp.add_pipe("open_ner_span", config={"labels": ["person", "city"], "model": model})
    doc = spacy.tokens.Doc(nlp.vocab, words)
    return pipe.span_scores(doc, [doc[i : i + 1] for i in range(len(doc))])


def test_forms():
    assert script["forms"]("paris") == {"PARIS": 1, "Paris": 0}
    assert script["forms"]("##ler") == {"##LER": 1}
    assert script["forms"]("a") == {"A": 0}
    assert not any(map(script["forms"], ("[CLS]", "1990s", ".", "##", "é", "##é", "Paris")))


def test_capitals_are_seen_and_the_rest_is_as_it_was(path):
    small, large = ("she", "met", "paris"), ("She", "met", "PARIS")
    default = sources.default_directory()
    np.testing.assert_allclose(scores(path, *small), scores(default, *small), atol=1e-5)
    np.testing.assert_allclose(scores(default, *large), scores(default, *small), atol=1e-5)
    assert np.abs(scores(path, *large) - scores(default, *large)).max() > 1e-3


def test_words_are_cut_as_before(path):
    old = gliner_checkpoint.load(sources.default_directory()).tokenizer
    new = gliner_checkpoint.load(path)
    assert new.tokenizer.tokenize("Fischler met BRUSSELS in São McDonald") == (
        ["Fis", "##ch", "##ler", "met", "BRUSSELS", "in", "Sao", "Mc", "##D", "##onal", "##d"]
    )
    text = "all of these words, whatever they are; <<ENT>> 1,000 été 北京"
    assert new.tokenizer.tokenize(text) == old.tokenize(text)
    assert new.entity_id == new.tokenizer.convert_tokens_to_ids("<<ENT>>")
    assert len(new.tokenizer) == new.network.encoder.get_input_embeddings().num_embeddings


def test_the_gliner_package_reads_it(path):
    gliner = pytest.importorskip("gliner")
    model = gliner.GLiNER.from_pretrained(str(path), local_files_only=True)
    found = model.predict_entities("Barack Obama met Angela Merkel in Berlin.", ["person"], threshold=0.3)
    assert {each["label"] for each in found} <= {"person"}
    assert model.data_processor.transformer_tokenizer.tokenize("Berlin") == ["Berlin"]


@pytest.mark.parametrize("kind", ["again", "deberta"])
def test_others_are_refused(kind, path, tmp_path):
    source = path if kind == "again" else tiny.saved(kind, tmp_path)
    app = script["typer"].Typer()
    app.command()(script["main"])
    result = CliRunner().invoke(app, [str(source), str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "uncased WordPiece" in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()
