"""Low-rank adapters of span models: trained, saved merged or apart, exchanged at run time."""

import json
import shutil

import numpy as np
import pytest
import spacy
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from spacy.tokens import Doc
from spacy.training import Example

from spacy_openner.errors import CheckpointError, SettingError
from tests.support import tiny_gliner2
from tests.support import tiny_models as tiny

pytest.importorskip("peft", reason="peft (the extra `lora`) is not installed here")

WORDS = ["Ada", "Lovelace", "wrote", "to", "London"]
OPTIONS = {"r": 2, "lora_alpha": 8}


def build(path, precision="float32", **model):
    nlp = spacy.blank("en")
    config = {"labels": ["person", "city"], "threshold": 0.0, "overlap": "all"}
    return nlp, nlp.add_pipe(
        "open_ner_span", config={**config, "model": tiny.span_matcher(path, precision=precision, **model)}
    )


def scores(pipe):
    doc = Doc(pipe.vocab, words=WORDS)
    return pipe.span_scores(doc, [doc[i : i + 2] for i in range(4)], ["person", "city"])


def trained(path, updates=3, options=OPTIONS, **model):
    nlp, pipe = build(path, **model)
    gold = Doc(nlp.vocab, words=WORDS, ents=["B-person", "I-person", "O", "O", "B-city"])
    examples = [Example(Doc(nlp.vocab, words=WORDS), gold)]
    optimizer = nlp.initialize(lambda: examples)
    pipe.initialize(lambda: examples, lora=options)
    optimizer.learn_rate = 0.02
    for _ in range(updates):
        nlp.update(examples, sgd=optimizer)
    return nlp, pipe


@pytest.fixture(scope="module", params=["markerV0", "gliner2"])
def path(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp(request.param)
    if request.param == "markerV0":
        return tiny.saved("bert", directory)
    tiny_gliner2.checkpoint("span", directory).save(directory)
    return directory


def test_only_adapters_and_the_head_are_trained(path):
    nlp, pipe = trained(path, updates=0)
    network = pipe.model.shims[0].checkpoint.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    gold = Doc(nlp.vocab, words=WORDS, ents=["B-person", "I-person", "O", "O", "B-city"])
    sgd = nlp.resume_training()
    for _ in range(2):
        nlp.update([Example(Doc(nlp.vocab, words=WORDS), gold)], sgd=sgd)
    changed = {name for name, value in network.state_dict().items() if not value.equal(before[name])}
    assert {name.split(".")[0] for name in changed} >= {"encoder", "head"}
    assert all("lora_" in name for name in changed if name.startswith("encoder."))


def test_pipelines_are_saved_with_the_adapters_added(path, tmp_path):
    nlp, pipe = trained(path)
    expected = scores(pipe)
    assert np.abs(expected - scores(build(path)[1])).max() > 1e-3
    nlp.to_disk(tmp_path / "pipeline")
    assert np.abs(scores(spacy.load(tmp_path / "pipeline").get_pipe("open_ner_span")) - expected).max() < 1e-5
    copied = spacy.blank("en")
    copied.add_pipe("open_ner_span", config={"model": tiny.span_matcher("", precision="float32")}).from_bytes(
        pipe.to_bytes()
    )
    assert np.abs(scores(copied.get_pipe("open_ner_span")) - expected).max() < 1e-5
    assert not any("lora" in file.name for file in (tmp_path / "pipeline").rglob("*"))


def test_adapters_take_turns_on_one_model(path, tmp_path):
    alone = scores(build(path)[1])
    expected = {}
    for name, updates in (("first", 2), ("second", 5)):
        _, pipe = trained(path, updates)
        expected[name] = scores(pipe)
        pipe.save_adapters(tmp_path / name)
    config = json.loads((tmp_path / "first" / "adapter_config.json").read_text(encoding="utf8"))
    assert config["r"] == 2
    assert str(path) not in json.dumps(config)
    _, pipe = build(path)
    for name in expected:
        pipe.load_adapters(name, tmp_path / name)
        assert np.abs(scores(pipe) - expected[name]).max() < 1e-5
    for name in ("first", None, "second", "first"):
        pipe.use_adapters(name)
        assert np.abs(scores(pipe) - (alone if name is None else expected[name])).max() < 1e-5


def test_precisions_see_adapters(path, tmp_path):
    _, pipe = trained(path, updates=5)
    pipe.save_adapters(tmp_path / "adapters")
    _, rounded = build(path, precision="bfloat16")
    rounded.load_adapters("default", tmp_path / "adapters")
    assert np.abs(scores(rounded) - scores(pipe)).max() < 0.05 < np.abs(scores(pipe) - scores(build(path)[1])).max()


def test_what_is_no_adapter_is_refused(path, tmp_path):
    _, pipe = trained(path)
    pipe.save_adapters(tmp_path / "right")
    with pytest.raises(SettingError, match=r"O001.*'other'"):
        pipe.use_adapters("other")
    with pytest.raises(SettingError, match=r"O001.*'default'"):
        pipe.load_adapters("default", tmp_path / "right")
    for name in ("adapter_model.safetensors", "head.safetensors", "adapter_config.json"):
        broken = shutil.copytree(tmp_path / "right", tmp_path / f"no {name}")
        (broken / name).write_bytes((broken / name).read_bytes()[:40])
        _, fresh = build(path)
        before = scores(fresh)
        with pytest.raises(CheckpointError, match="O125"):
            fresh.load_adapters("x", broken)
        assert np.array_equal(scores(fresh), before)
    with pytest.raises(SettingError, match=r"O001.*lora"):
        trained(path, options={"rank_of_all_things": 4})
    _, unchanged = build(path)
    with pytest.raises(SettingError, match="O001"):
        unchanged.save_adapters(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_adapters_of_another_size_are_refused(path, tmp_path):
    _, pipe = trained(path)
    pipe.save_adapters(tmp_path / "right")
    wrong = shutil.copytree(tmp_path / "right", tmp_path / "wrong")
    config = json.loads((wrong / "adapter_config.json").read_text(encoding="utf8"))
    (wrong / "adapter_config.json").write_text(json.dumps({**config, "r": 3}), encoding="utf8")
    _, other = build(path)
    before = scores(other)
    with pytest.raises(CheckpointError, match=r"O125.*size mismatch"):
        other.load_adapters("x", wrong)
    assert np.array_equal(scores(other), before)
    other.load_adapters("x", tmp_path / "right")
    assert np.abs(scores(other) - scores(pipe)).max() < 1e-5


def edit_config(**changes):
    def edit(path):
        file = path / "adapter_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf8")), **changes}), encoding="utf8")

    return edit


def edit_tensors(name, change):
    def edit(path):
        with safe_open(path / name, framework="pt") as source:
            tensors, notes = {key: source.get_tensor(key) for key in source.keys()}, source.metadata()  # noqa: SIM118
        save_file(change(tensors), path / name, metadata=notes)

    return edit


def without_notes(path):
    """As an earlier release, or peft, wrote them."""
    file = path / "head.safetensors"
    save_file(load_file(file), file)


def with_nan(tensors):
    first, *_ = tensors
    return {**tensors, first: tensors[first] * float("nan")}


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (edit_config(r=10**9), "size mismatch"),
        (edit_config(r=0), "size mismatch"),
        (edit_config(rank_pattern={"query": 10**9}), "size mismatch"),
        (edit_config(lora_alpha=1e300), "no network"),
        (edit_config(peft_type="IA3"), "no low-rank adapters"),
        (edit_config(init_lora_weights="pissa"), "pissa"),
        (edit_tensors("head.safetensors", with_nan), "no finite numbers"),
        (edit_tensors("adapter_model.safetensors", with_nan), "not the one that"),
        (lambda path: (without_notes(path), edit_tensors("adapter_model.safetensors", with_nan)(path)), "no finite"),
        (lambda path: (path / "adapter_config.json").write_text("[" * 100_000), "nested"),
        (lambda path: (path / "adapter_config.json").write_text("{}"), "no low-rank adapters"),
    ],
)
def test_odd_files_of_adapters(edit, reason, path, tmp_path):
    _, pipe = trained(path)
    pipe.save_adapters(tmp_path)
    edit(tmp_path)
    _, other = build(path)
    before = scores(other)
    if reason:
        with pytest.raises(CheckpointError, match=rf"O125.*{reason}"):
            other.load_adapters("x", tmp_path)
        assert np.array_equal(scores(other), before)
    other.use_adapters(None)


def test_adapters_of_other_weights_are_refused(path, tmp_path):
    """A base that was trained on, or is another one of the same size, makes nonsense of them."""
    _, pipe = trained(path)
    pipe.save_adapters(tmp_path / "first")
    _, further = trained(path, updates=5)
    further.save_adapters(tmp_path / "second")
    further.model.shims[0].write(make(tmp_path / "other"))
    _, other = build(tmp_path / "other")
    before = scores(other)
    with pytest.raises(CheckpointError, match=r"O125.*other weights"):
        other.load_adapters("x", tmp_path / "first")
    assert np.array_equal(scores(other), before)
    without_notes(tmp_path / "first")
    other.load_adapters("x", tmp_path / "first")
    shutil.copy(tmp_path / "second" / "adapter_model.safetensors", tmp_path / "second.safetensors")
    pipe.save_adapters(tmp_path / "third")
    shutil.copy(tmp_path / "second.safetensors", tmp_path / "third" / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=r"O125.*not the one that head"):
        build(path)[1].load_adapters("x", tmp_path / "third")


def make(path):
    path.mkdir()
    return path


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "head.safetensors", "adapter_config.json"])
def test_files_of_adapters_that_are_cut_anywhere(name, path, tmp_path):
    _, pipe = trained(path, updates=1)
    pipe.save_adapters(tmp_path)
    data = (tmp_path / name).read_bytes()
    _, other = build(path)
    for i in range(20):
        (tmp_path / name).write_bytes(data[: len(data) * i // 20])
        with pytest.raises(CheckpointError, match="O125"):
            other.load_adapters("x", tmp_path)
    (tmp_path / name).write_bytes(data)
    other.load_adapters("x", tmp_path)
    assert np.abs(scores(other) - scores(pipe)).max() < 1e-5


def test_other_architectures_refuse_adapters(path, tmp_path):
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy-openner.TypeCacheSpanMatcher.v1"}
    pipe = nlp.add_pipe("open_ner_span", config={"labels": ["city"], "model": model})
    for use in (
        lambda: pipe.use_adapters("x"),
        lambda: pipe.load_adapters("x", path),
        lambda: pipe.save_adapters(tmp_path / "adapters"),
    ):
        with pytest.raises(SettingError, match=r"O001.*SpanMatcher"):
            use()
