"""Files of generators: what is saved and loaded, whole, in a byte a number, missing or damaged."""

import shutil

import pytest
import spacy
import torch
from safetensors.torch import load_file, save_file

from spacy_openner.errors import CheckpointError
from spacy_openner.models.generator import checkpoint as generators
from spacy_openner.models.generator.new_decoder import warm_started
from spacy_openner.nn import hub as sources
from spacy_openner.nn import int8 as int8_rows
from tests.support import tiny_models as tiny
from tests.support.generator_case import pipeline


def test_missing_and_damaged_models_are_named(tmp_path, t5, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(sources, "PACKAGE", tmp_path)
        with pytest.raises(CheckpointError, match=r"O114.*name one"):
            pipeline("")("Hi")
    with pytest.raises(CheckpointError, match="O113"):
        pipeline(tmp_path / "nowhere")("Hi")
    with pytest.raises(CheckpointError, match=r"O113.*config\.json"):
        pipeline(tmp_path)("Hi")
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in t5.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(CheckpointError, match="O113"):
        pipeline(broken)("Hi")


@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_saved_and_loaded_it_says_the_same(kind, tmp_path):
    nlp = pipeline(tiny.saved_generator(kind, tmp_path / "model"))
    nlp.get_pipe("gner_generator").threshold = 0.001
    expected = [tiny.found(nlp(text)) for text in tiny.SENTENCES]
    nlp.to_disk(tmp_path / "saved")
    assert list((tmp_path / "saved" / "gner_generator" / "model").glob("*.safetensors"))
    assert not list((tmp_path / "saved" / "gner_generator").rglob("*.bin"))
    loaded = spacy.load(tmp_path / "saved")
    assert loaded.get_pipe("gner_generator").threshold == 0.001
    assert [tiny.found(loaded(text)) for text in tiny.SENTENCES] == expected
    again = pipeline(tmp_path)
    again.get_pipe("gner_generator").from_bytes(nlp.get_pipe("gner_generator").to_bytes())
    assert [tiny.found(again(text)) for text in tiny.SENTENCES] == expected


def test_a_generator_on_an_encoder_is_stored_whole_both_ways(tmp_path, tiny_path, caplog):
    made = warm_started(tiny_path, layers=1)
    generators.save(made, tmp_path / "float")
    generators.save_int8(made, tmp_path / "int8")
    for place in ("float", "int8"):
        loaded = generators.load(tmp_path / place).network
        assert loaded.state_dict().keys() == made.network.state_dict().keys()
        assert loaded.decoder.bert.embeddings.word_embeddings.weight is loaded.encoder.embeddings.word_embeddings.weight
    exact = generators.load(tmp_path / "float").network.state_dict()
    assert all(torch.equal(value, exact[name]) for name, value in made.network.state_dict().items())
    # What nothing reads is not there to be missed.
    assert "pooler" not in caplog.text
    (tmp_path / "float" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"O113.*missing"):
        generators.load(tmp_path / "float")


@pytest.mark.parametrize("kind", tiny.GENERATORS)
def test_weights_in_a_byte_each(kind, tmp_path):
    given = generators.load(tiny.saved_generator(kind, tmp_path / "model"))
    generators.save_int8(given, tmp_path / "small")
    sizes = [(tmp_path / place).stat().st_size for place in ("model/model.safetensors", f"small/{int8_rows.FILE}")]
    assert sizes[1] < 0.5 * sizes[0]  # tiny rows make much of their scales
    small = generators.load(tmp_path / "small")
    for (name, old), new in zip(given.network.state_dict().items(), small.network.state_dict().values(), strict=True):
        step = old.abs().amax(-1, keepdim=True) / 127 if old.ndim == 2 else torch.tensor(0.0)
        assert ((old - new).abs() <= 0.51 * step).all(), name
    generators.save_int8(small, tmp_path / "again")
    again = generators.load(tmp_path / "again").network.state_dict()
    assert all(torch.allclose(value, again[name], atol=1e-6) for name, value in small.network.state_dict().items())


def test_weights_in_a_byte_each_that_do_not_fit(t5, tmp_path):
    generators.save_int8(generators.load(t5), tmp_path)
    state = int8_rows.load(tmp_path)
    state["lm_head.extra"] = state.pop("encoder.final_layer_norm.weight")
    int8_rows.save(state, tmp_path)
    with pytest.raises(CheckpointError, match=r"missing \['encoder.final_layer_norm.weight'\].*lm_head.extra"):
        generators.load(tmp_path)
    (tmp_path / int8_rows.FILE).write_bytes(b"cut short")
    with pytest.raises(CheckpointError, match="O113"):
        generators.load(tmp_path)


def changed_weights(path, change):
    """Change the tensors of a saved model, and save them again."""
    state = load_file(path / "model.safetensors")
    change(state)
    save_file(state, path / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("kind", tiny.GENERATORS)
def test_missing_weights_are_named_and_never_made_up(kind, tmp_path):
    path = tiny.saved_generator(kind, tmp_path / "model")
    assert generators.load(path)
    name = next(
        name
        for name in load_file(path / "model.safetensors")
        if name.endswith("1.weight") or "layers.1" in name or "h.1" in name or "layer.1" in name or "block.1" in name
    )
    changed_weights(path, lambda state: state.pop(name))
    with pytest.raises(CheckpointError, match=f"O113.*{name}"):
        generators.load(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("as_int8", [False, True])
def test_weights_that_are_no_numbers_are_refused(value, as_int8, t5, tmp_path):
    path = tmp_path / "model"
    shutil.copytree(t5, path)
    if as_int8:
        generators.save_int8(generators.load(path), tmp_path / "int8")
        path = tmp_path / "int8"
        state = load_file(path / int8_rows.FILE)
        next(v for k, v in state.items() if k.endswith("row_scale"))[0] = value
        save_file(state, path / int8_rows.FILE)
    else:
        changed_weights(path, lambda state: state["encoder.final_layer_norm.weight"].fill_(value))
    with pytest.raises(CheckpointError, match=r"O113.*no finite numbers"):
        generators.load(path)


def test_what_is_saved_over_a_rounded_model_is_what_is_loaded(t5, tmp_path):
    generator = generators.load(t5)
    generators.save_int8(generator, tmp_path)
    generators.save(generator, tmp_path)
    exact = generators.load(tmp_path).network.state_dict()
    assert all(torch.equal(value, exact[name]) for name, value in generator.network.state_dict().items())
    generators.save_int8(generator, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
