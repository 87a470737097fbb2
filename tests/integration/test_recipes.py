"""The recipes in configs/, run by spaCy's own commands on the sample corpus, with tiny encoders."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
from spacy.cli.package import package
from spacy.cli.train import train

from spacy_openner.models.span_model import span_model
from spacy_openner.training.corpus import OpenNERCorpus_v1
from tests.support import tiny_models as tiny
from tests.support.scripts import run_script

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments, cwd):
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """The sample, converted as the project does it."""
    path = tmp_path_factory.mktemp("corpus")
    out = run_script("convert_sets.py", ROOT / "assets" / "sample", path)
    assert len(re.findall(r"train/\w+\.spacy: \d+ texts", out)) == 3
    return path


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory) -> Path:
    """A pipeline that `spacy train` made with the recipe for fine-tuning, from a bare encoder."""
    path = tmp_path_factory.mktemp("trained")
    encoder = tiny.backbone("bert", path / "encoder")
    overrides = {
        "paths.train": str(corpus / "train"),
        "paths.dev": str(corpus / "dev"),
        "initialize.components.open_ner_span.encoder": str(encoder),
        "training.max_steps": 6,
        "training.eval_frequency": 3,
        "training.optimizer.learn_rate.warmup_steps": 2,
        "training.batcher.size": 200,
    }
    train(ROOT / "configs" / "finetune.cfg", path / "out", overrides=overrides)
    return path / "out" / "model-last"


def test_the_trained_pipeline_knows_the_types_of_all_corpora(trained, corpus):
    nlp = spacy.load(trained)
    pipe = nlp.get_pipe("open_ner_span")
    assert {"person", "chemical element", "company", "song"} <= set(pipe.labels)
    assert "openner_f" in nlp.meta["performance"]
    # The copy holds its own weights: the encoder that it started from may be gone.
    assert "encoder" not in str(nlp.config["components"])
    pipe.threshold = 0.0
    assert len(nlp("Marie Curie lived in Paris.").spans["openner"])


def test_training_goes_on_from_a_pipeline(trained, corpus, tmp_path):
    overrides = {
        "paths.train": str(corpus / "train"),
        "paths.dev": str(corpus / "dev"),
        "training.max_steps": 3,
        "training.eval_frequency": 3,
        "training.optimizer.learn_rate.warmup_steps": 1,
    }
    text = (ROOT / "configs" / "finetune.cfg").read_text(encoding="utf8")
    start, end = text.index("[components.open_ner_span]"), text.index("[initialize]")
    sourced = f'[components.open_ner_span]\nsource = "{trained}"\n\n'
    config = tmp_path / "resume.cfg"
    config.write_text(text[:start] + sourced + text[end:], encoding="utf8")
    train(config, tmp_path / "out", overrides=overrides)
    before, after = (
        span_model(spacy.load(path).get_pipe("open_ner_span").model).checkpoint.network
        for path in (trained, tmp_path / "out" / "model-last")
    )
    change = (before.head.prompt[0].weight - after.head.prompt[0].weight).abs().max()
    assert 0 < change < 0.01, "it went on from the weights that were there"


def test_scores_by_corpus(trained, corpus, tmp_path):
    out = run_script("evaluate.py", trained, corpus / "dev", "--output", tmp_path / "scores.json")
    assert {"business", "music", "science", "mean"} <= set(re.findall(r"^(\w+) ", out, re.M))
    assert (tmp_path / "scores.json").is_file()


def test_the_packaged_pipeline_predicts_the_same(trained, corpus, tmp_path):
    package(trained, tmp_path, name="sample_model", version="1.2.3", create_sdist=False, silent=True)
    (folder,) = tmp_path.glob("en_sample_model-*")
    nlp, packaged = spacy.load(trained), spacy.load(next(folder.rglob("config.cfg")).parent)
    (example, *_) = OpenNERCorpus_v1({"dev": {"path": corpus / "dev"}}, shuffle=False)(nlp)
    for one in (nlp, packaged):
        one.get_pipe("open_ner_span").threshold = 0.1
    docs = [one(example.reference.text) for one in (nlp, packaged)]
    first, second = (doc.spans["openner"] for doc in docs)
    assert len(first)
    assert [(s.start, s.end, s.label_) for s in first] == [(s.start, s.end, s.label_) for s in second]
    assert list(first.attrs["scores"]) == list(second.attrs["scores"])


def open_recipe(name, corpus, tmp_path, encoder, **more):
    """Train three steps on one folder of corpora; limits and weights of sets that are not there are left out here."""
    text = (ROOT / "configs" / name).read_text(encoding="utf8")
    text = re.sub(r"^(limits|weights) = .*$", "", text, flags=re.M)
    folder = tmp_path / "corpus"
    for split, source in (("train", "music"), ("all", "science")):
        (folder / split).mkdir(parents=True)
        for file in (corpus / "train").glob(f"{source}.*"):
            shutil.copy(file, folder / split)
    config = tmp_path / name
    config.write_text(text, encoding="utf8")
    overrides = {
        "paths.corpus": str(folder),
        "paths.dev": str(corpus / "dev"),
        "paths.synonyms": str(ROOT / "configs" / "type_names.json"),
        "paths.encoder": str(encoder),
        "training.max_steps": 3,
        "training.eval_frequency": 2,
        "training.optimizer.learn_rate.warmup_steps": 1,
    }
    overrides |= more
    if name == "default.cfg":
        overrides["initialize.components.open_ner_span.head.width"] = 16
    train(config, tmp_path / "out", overrides=overrides)
    (component,) = spacy.load(tmp_path / "out" / "model-last").components
    assert component[1].labels == ()
    return component[1]


def test_the_recipe_of_the_default_weights(corpus, tmp_path):
    pipe = open_recipe("default.cfg", corpus, tmp_path, tiny.backbone("bert", tmp_path / "encoder"))
    assert span_model(pipe.model).checkpoint.network.head.width == 16


def test_the_recipe_of_the_default_generator(corpus, tmp_path, tiny_path):
    pipe = open_recipe("default_generator.cfg", corpus, tmp_path, tiny_path)
    assert pipe.model.shims[0].generator.network.config.decoder.num_hidden_layers == 2


@pytest.mark.parametrize("width", [8, None])
def test_the_recipe_of_a_type_filter(corpus, tmp_path, width):
    """Static vectors, and the encoder itself."""
    encoder = tiny.backbone("bert", tmp_path / "encoder")
    overrides = {"initialize.components.type_filter.static_width": width}
    pipe = open_recipe("type_filter.cfg", corpus, tmp_path, encoder, **overrides)
    assert pipe.model.shims[0].network.encoder.width == (width or 32)
    if width:
        model = tmp_path / "out" / "model-last"
        out = run_script("save_weights.py", model, tmp_path / "saved", "--component", "type_filter")
        assert "MB" in out
        assert (tmp_path / "saved" / "model.int8.safetensors").is_file()


def test_the_recipe_of_a_generator(corpus, tmp_path):
    overrides = {
        "paths.train": str(corpus / "train" / "music.spacy"),
        "paths.dev": str(corpus / "dev" / "music.spacy"),
        "initialize.components.gner_generator.encoder": str(tiny.backbone("bert", tmp_path / "encoder")),
        "initialize.components.gner_generator.layers": 1,
        "training.max_steps": 2,
        "training.eval_frequency": 2,
        "training.optimizer.learn_rate.warmup_steps": 1,
    }
    train(ROOT / "configs" / "generator.cfg", tmp_path / "out", overrides=overrides)
    nlp = spacy.load(tmp_path / "out" / "model-last")
    assert "song" in nlp.get_pipe("gner_generator").labels
    assert "openner_f" in nlp.meta["performance"]
    assert nlp("A song by nobody.").spans["openner"] is not None


def test_passages_of_several_sentences(tmp_path):
    run_script("convert_sets.py", ROOT / "assets" / "sample", tmp_path / "one", "--splits", "dev")
    five = (tmp_path / "five", "--splits", "dev", "--sentences", "5")
    run_script("convert_sets.py", ROOT / "assets" / "sample", *five)
    docs = {
        name: list(OpenNERCorpus_v1({"dev": {"path": tmp_path / name / "dev"}}, shuffle=False)(spacy.blank("en")))
        for name in ("one", "five")
    }
    assert len(docs["one"]) / 5 <= len(docs["five"]) < len(docs["one"]) / 3
    # Nothing is lost on the way.
    for count in (lambda eg: len(eg.reference), lambda eg: len(eg.reference.spans["openner"])):
        assert sum(map(count, docs["one"])) == sum(map(count, docs["five"]))


@pytest.mark.slow
def test_from_a_bare_encoder_to_a_generator_that_sees_capitals(tmp_path):
    """The workflow, step by step, on the sample."""
    project = tmp_path / "project"
    for part in ("configs", "scripts", "assets/sample"):
        shutil.copytree(ROOT / part, project / part)
    shutil.copy(ROOT / "project.yml", project)
    encoder = tiny.backbone("bert", tmp_path / "encoder")
    steps = {"matcher": 102, "cased": 42, "generator": 102}
    options = [option for name, n in steps.items() for option in (f"--vars.{name}_steps", n)]
    out = run("-m", "spacy", "project", "run", "cased-generator", ".", "--vars.encoder", encoder, *options, cwd=project)
    assert "train-cased-generator" in out
    pipe = spacy.load(project / "training" / "cased" / "generator" / "model-last").get_pipe("gner_generator")
    pieces = pipe.model.shims[0].generator.tokenizer.tokenize("Paris PARIS paris")
    assert len(set(pieces)) > len({piece.lower() for piece in pieces})
