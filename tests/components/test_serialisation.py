"""Saving, loading, copying and sending to other processes: the copy works alone, and says the same."""

import gc
import multiprocessing
import os
import pickle
import shutil
import time

import pytest
import spacy
import torch

from spacy_openner.errors import CheckpointError, SettingError
from tests.support import tiny_models as tiny
from tests.support.tiny_models import found, same

TEXTS = [*tiny.SENTENCES, tiny.long_text(40)]


@pytest.fixture(params=["tiny_path", "bi_encoder_path", "token_path"])
def nlp(request, make_nlp):
    return make_nlp({"name": str(request.getfixturevalue(request.param))}, overlap="all", threshold=0.3)


def predictions(nlp):
    return [found(doc) for doc in nlp.pipe(TEXTS)]


def test_to_disk_needs_nothing_else(nlp, tmp_path, monkeypatch):
    expected = predictions(nlp)
    nlp.to_disk(tmp_path / "first")
    shutil.move(tmp_path / "first", tmp_path / "moved")
    monkeypatch.setattr("spacy_openner.nn.hub.find", None)
    copy = spacy.load(tmp_path / "moved")
    for left, right in zip(predictions(copy), expected, strict=True):
        same(left, right)
    copy.to_disk(tmp_path / "second")
    again = spacy.load(tmp_path / "second")
    assert predictions(again) == predictions(copy)


@pytest.mark.skipif(os.name == "nt", reason="file modes are those of POSIX")
def test_who_may_read_a_pipeline_may_read_its_weights(nlp, t5, tmp_path):
    nlp.add_pipe("type_filter", first=True)
    nlp.add_pipe("gner_generator", config={"model": {"name": str(t5)}})
    for mask in (0o022, 0o077, 0o002):
        before = os.umask(mask)
        try:
            nlp.to_disk(tmp_path / f"{mask}")
        finally:
            os.umask(before)
        modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / f"{mask}").rglob("*") if file.is_file()}
        assert "model.safetensors" in modes
        assert set(modes.values()) == {0o666 & ~mask}


def test_bytes(nlp, make_nlp):
    copy = make_nlp(overlap="all", threshold=0.3).from_bytes(nlp.to_bytes())
    for left, right in zip(predictions(copy), predictions(nlp), strict=True):
        same(left, right)


def test_saving_before_first_use(make_nlp, tmp_path):
    make_nlp().to_disk(tmp_path)
    assert (tmp_path / "open_ner_span/model/model.safetensors").is_file()
    assert not list(tmp_path.rglob("*.pkl"))


def test_exclude(make_nlp, tmp_path):
    make_nlp().to_disk(tmp_path)
    assert not (tmp_path / "open_ner_span/vocab").exists()
    pipe = make_nlp().get_pipe("open_ner_span")
    pipe.to_disk(tmp_path / "part", exclude=["model", "vocab"])
    assert [p.name for p in (tmp_path / "part").iterdir()] == ["cfg"]


def test_changed_settings_are_saved(make_nlp, tmp_path):
    nlp = make_nlp()
    pipe = nlp.get_pipe("open_ner_span")
    pipe.labels, pipe.threshold = {"award": "a prize"}, 0.25
    nlp.to_disk(tmp_path)
    copy = spacy.load(tmp_path).get_pipe("open_ner_span")
    assert (copy.labels, copy.descriptions, copy.threshold) == (("award",), {"award": "a prize"}, 0.25)
    again = make_nlp().from_bytes(nlp.to_bytes()).get_pipe("open_ner_span")
    assert again.threshold == 0.25


def test_config_given_at_load_wins(make_nlp, tmp_path):
    nlp = make_nlp(threshold=0.6)
    nlp.get_pipe("open_ner_span").threshold = 0.7
    nlp.to_disk(tmp_path)
    changes = {"components.open_ner_span.threshold": 0.1, "components.open_ner_span.labels": ["x"]}
    pipe = spacy.load(tmp_path, config=changes).get_pipe("open_ner_span")
    assert (pipe.threshold, pipe.labels) == (0.1, ("x",))
    assert spacy.load(tmp_path).get_pipe("open_ner_span").threshold == 0.7


def test_incomplete_copy(make_nlp, tmp_path):
    make_nlp().to_disk(tmp_path)
    (tmp_path / "open_ner_span/model/model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"O105.*no model\.safetensors"):
        spacy.load(tmp_path)


def test_initialize_keeps_weights_and_needs_no_examples(make_nlp):
    nlp = make_nlp()
    before = predictions(nlp)
    nlp.config["initialize"]["components"]["open_ner_span"] = {"labels": ["award"]}
    nlp.initialize()
    assert nlp.get_pipe("open_ner_span").labels == ("award",)
    nlp.get_pipe("open_ner_span").labels = tiny.LABELS
    assert predictions(nlp) == before


def test_pickle_and_copy(nlp):
    pipe = nlp.get_pipe("open_ner_span")
    doc = nlp.make_doc(TEXTS[0])
    expected = pipe.predict([doc])[0]
    same(pickle.loads(pickle.dumps(pipe)).predict([doc])[0], expected)
    shim = pipe.model.shims[0].copy()
    assert shim.checkpoint.network is not pipe.model.shims[0].checkpoint.network


@pytest.mark.timeout(120)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_two_processes(make_nlp, backend, monkeypatch):
    """Also after the parent has predicted with several threads, whose pools a fork leaves behind dead."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    nlp = make_nlp({"backend": backend}, overlap="all")
    expected = predictions(nlp)
    monkeypatch.setattr("spacy.language.mp", multiprocessing.get_context("fork"))
    docs = list(nlp.pipe(TEXTS * 2, n_process=2, batch_size=4))
    torch.set_num_threads(threads)
    for doc, alone in zip(docs, expected * 2, strict=True):
        same(found(doc), alone)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_may_collect_what_is_left_of_its_parent(make_nlp, monkeypatch):
    """A session of ONNX Runtime that nobody uses any more is garbage of the child too, without its threads."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    gc.collect()
    gc.disable()
    try:
        left = [make_nlp({"backend": "onnx"})]
        predictions(left[0])
        left.append(left)
        del left
        # Its threads look for work for a while before they wait.
        time.sleep(1)
        process = multiprocessing.get_context("fork").Process(target=gc.collect)
        process.start()
        process.join(60)
        assert process.exitcode == 0
    finally:
        process.kill()
        gc.enable()


ODD_NAMES = ["x = y", "key: v", "[x]", "#hash", "; semi", "@at", " lead", "new\nline"]
GOOD_NAMES = ["U.S. state", "UPPER", "Ünï", "a, b (c)", 'quo"te', "100%", "*star", "null", "1"]


# spaCy itself refuses "@at", which it takes for a registered function, before the component is asked.
@pytest.mark.parametrize("name", [name for name in ODD_NAMES if name != "@at"])
def test_names_that_a_config_cannot_hold_are_refused_there(make_nlp, name):
    """spaCy's format would drop or change them without a word."""
    with pytest.raises(SettingError, match="O009"):
        make_nlp(labels={name: "described"})
    with pytest.raises(SettingError, match="O009"):
        make_nlp(labels=[name], label_thresholds={name: 0.5})


def test_all_names_are_saved_somehow(make_nlp, tmp_path):
    described = {name: f"about {name}" for name in ODD_NAMES + GOOD_NAMES}
    nlp = make_nlp(labels={name: f"about {name}" for name in GOOD_NAMES})
    nlp.to_disk(tmp_path / "good")
    assert set(spacy.load(tmp_path / "good").get_pipe("open_ner_span").descriptions) == set(GOOD_NAMES)
    pipe = nlp.get_pipe("open_ner_span")
    pipe.labels, pipe.label_thresholds = described, dict.fromkeys(described, 0.3)
    nlp.to_disk(tmp_path / "all")
    copy = spacy.load(tmp_path / "all").get_pipe("open_ner_span")
    assert copy.descriptions == described
    assert copy.label_thresholds == dict.fromkeys(described, 0.3)
