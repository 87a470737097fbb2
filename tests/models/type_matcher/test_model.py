"""Vectors of texts and types, windows, cosines, and files."""

import json
import shutil

import numpy as np
import pytest
import spacy
import torch
from safetensors.torch import load_file, save_file
from spacy.tokens import Doc
from spacy.vocab import Vocab
from torch.nn.functional import cosine_similarity

from spacy_openner.errors import CheckpointError, OpenNERWarning, SettingError
from spacy_openner.models.architectures import TypeMatcher_v1
from spacy_openner.models.type_matcher import text_encoders
from spacy_openner.models.type_matcher.model import TypeQuery, type_model
from spacy_openner.models.type_matcher.network import TypeNetwork
from spacy_openner.models.words import Sentences, doc_sentences
from spacy_openner.nn import hub as sources
from spacy_openner.nn import int8 as int8_rows
from tests.support import tiny_models as tiny

TYPES = ["person: person", "city: Names of cities.", "music (音乐), a"]


@pytest.fixture(scope="module", params=["static", "transformer"])
def path(request, tmp_path_factory):
    return tiny.saved_types(tmp_path_factory.mktemp("types"), request.param)


@pytest.fixture(scope="module")
def static_path(tmp_path_factory):
    return tiny.saved_types(tmp_path_factory.mktemp("static"))


def score(model, queries, batch_tokens):
    return type_model(model).score(model, queries, batch_tokens)


def query(*texts, types=TYPES):
    return TypeQuery(Sentences(list(texts), []), types, Doc(Vocab()))


def mean_vector(encoder, text):
    """One text alone, by the definition."""
    (windows,) = encoder.windows_of([text])
    (window,) = windows
    if isinstance(encoder, text_encoders.StaticEncoder):
        return encoder.tokens[window].mean(0)
    tokenizer = encoder.whole_tokenizer
    states = encoder.backbone.eval()(**tokenizer([text], return_tensors="pt"))[0]
    return states[0].mean(0)


@torch.no_grad()
def test_scores_are_cosines_of_means(path):
    encoder = text_encoders.load(path)
    texts = ["Hi", "Marie Curie won", "a b"]
    model = TypeMatcher_v1(str(path))
    found = score(model, [query(text, types=TYPES[:1]) for text in texts], 2048)
    for text, scores in zip(texts, found, strict=True):
        expected = cosine_similarity(mean_vector(encoder, text), mean_vector(encoder, TYPES[0]), dim=0)
        np.testing.assert_allclose(scores, [expected], atol=1e-5)


def test_the_best_sentence_counts(path):
    model = TypeMatcher_v1(str(path))
    sentences = tiny.SENTENCES[:4]
    (together,) = score(model, [query(*sentences)], 2048)
    alone = score(model, [query(sentence) for sentence in sentences], 2048)
    np.testing.assert_allclose(together, np.max(alone, axis=0), atol=1e-5)


@torch.no_grad()
def test_the_best_piece_counts(path, monkeypatch):
    encoder = text_encoders.load(path)
    names = ["a b", "Hi"]
    types = torch.stack([mean_vector(encoder, text) for text in names])
    texts = ["Marie Curie won the Nobel Prize .", "a b"]
    states = [torch.cat(encoder.states(windows, 2048)) for windows in encoder.windows_of(texts)]
    expected = [cosine_similarity(each[:, None], types[None], dim=2).amax(0) for each in states]
    model = TypeMatcher_v1(str(path), pooling="max")
    for at_once in (8192, 3):
        monkeypatch.setattr("spacy_openner.models.type_matcher.network.AT_ONCE", at_once)
        found = score(model, [query(text, types=names) for text in texts], 2048)
        np.testing.assert_allclose(found, torch.stack(expected), atol=1e-5)


def test_files_know_their_pooling(path, tmp_path):
    model = TypeMatcher_v1(str(path), pooling="max")
    type_model(model).save(model, tmp_path)
    (expected,) = score(model, [query("Marie Curie won")], 2048)
    for other in (TypeMatcher_v1(str(tmp_path)), TypeMatcher_v1(str(path))):
        if other.shims[0].name == str(path):
            type_model(other).load(other, tmp_path)
        (found,) = score(other, [query("Marie Curie won")], 2048)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    (mean,) = score(TypeMatcher_v1(str(path)), [query("Marie Curie won")], 2048)
    assert abs(expected - mean).max() > 1e-3


def test_there_are_two_poolings():
    with pytest.raises(SettingError, match="O001"):
        TypeMatcher_v1(pooling="sum")


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_batch_says_what_each_text_alone_says(path, pooling):
    model = TypeMatcher_v1(str(path), pooling=pooling)
    questions = [query(text, types=TYPES[: 1 + i % 3]) for i, text in enumerate([*tiny.SENTENCES, tiny.long_text(700)])]
    for budget in (1, 64, 4096):
        for one, found in zip(questions, score(model, questions, budget), strict=True):
            assert found.shape == (len(one.type_texts),)
            np.testing.assert_allclose(found, score(model, [one], 2048)[0], atol=1e-5)


def test_nothing_is_cut(path):
    """Every piece of a long text is in some window, in order, and words are whole where they fit."""
    encoder = text_encoders.load(path)
    for text in [*tiny.SENTENCES, tiny.long_text(1500), "a" * 5000, "state-of-the-art " * 300]:
        (encoding,) = encoder.tokenizer.encode_batch([text], add_special_tokens=False)
        (windows,) = encoder.windows_of([text])
        assert all(len(window) <= encoder.window for window in windows)
        places = encoder._cut(list(range(len(encoding.ids))), encoding.word_ids)
        assert [[encoding.ids[i] for i in each] for each in places] == windows
        assert [each[0] for each in places] == sorted({each[0] for each in places})
        assert {i for each in places for i in each} == set(range(len(encoding.ids)))


def test_the_end_of_a_long_text_is_read(static_path):
    model = TypeMatcher_v1(str(static_path))
    filler = "and a b c d " * 2000
    without, within = score(
        model, [query(text, types=["polonium polonium"]) for text in (filler, filler + "polonium polonium")], 2048
    )
    assert within > without + 0.2


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_texts_and_types_without_pieces(path, pooling):
    model = TypeMatcher_v1(str(path), pooling=pooling)
    empty, odd, no_types = score(model, [query(), query("\u200b\u0300"), query("Hi", types=[])], 2048)
    assert (empty == -1).all()
    assert np.isfinite(odd).all()
    assert no_types.shape == (0,)


def test_a_thousand_types_are_encoded_once(path, monkeypatch):
    model = TypeMatcher_v1(str(path))
    types = [f"type {i}, (kind {i % 7})" for i in range(1000)]
    encoder = model.shims[0].network.encoder
    read = []
    windows_of = encoder.windows_of
    monkeypatch.setattr(encoder, "windows_of", lambda texts: read.extend(texts) or windows_of(texts))
    for _ in range(2):
        (scores,) = score(model, [query("Marie Curie", types=types)], 2048)
    assert scores.shape == (1000,)
    assert [text for text in read if text != "Marie Curie"] == types


def test_sentences_of_docs():
    nlp = spacy.blank("en")
    doc = nlp("One is here. \n\n Two is there.")
    assert doc_sentences(doc).runs == [(0, len(doc))]
    nlp.add_pipe("sentencizer")
    doc = nlp("One is here. \n\n Two is there.")
    assert [text.strip() for text in doc_sentences(doc).texts] == ["One is here.", "Two is there."]
    for text in ("", " \n "):
        assert doc_sentences(nlp(text)).texts == []
    assert doc_sentences(Doc(nlp.vocab)).texts == []


def test_distilled_vectors_keep_what_is_alike(path):
    encoder = text_encoders.load(path)
    static = text_encoders.distil(encoder, 8)
    assert static.tokens.shape == (encoder.tokenizer.get_vocab_size(), 8)
    whole = text_encoders.distil(encoder, encoder.width)
    with torch.inference_mode():
        alone = encoder.eval()([[i] for i in range(len(whole.tokens))], 2048)
    centred = alone - alone.mean(0)
    # All components together only turn the vectors.
    left, right = torch.corrcoef(centred @ centred.T), torch.corrcoef(whole.tokens @ whole.tokens.T)
    torch.testing.assert_close(left, right, atol=1e-2, rtol=1e-2)
    trained = encoder.tokenizer.encode("Paris", add_special_tokens=False).ids
    assert static.windows_of(["Paris"]) == [[trained]]


def test_files_of_both_kinds(path, tmp_path):
    encoder = text_encoders.load(path)
    encoder.save(tmp_path / "copy")
    again = text_encoders.load(tmp_path / "copy")
    assert (type(again), again.window) == (type(encoder), encoder.window)
    windows = [window for each in encoder.windows_of(tiny.SENTENCES) for window in each]
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(windows, 512), encoder.eval()(windows, 512))


def test_int8_rows_say_nearly_the_same(static_path, tmp_path):
    encoder = text_encoders.load(static_path)
    encoder.save_int8(tmp_path)
    assert (tmp_path / int8_rows.FILE).is_file()
    assert not (tmp_path / "model.safetensors").exists()
    again = text_encoders.load(tmp_path)
    torch.testing.assert_close(again.tokens, encoder.tokens, atol=0.02, rtol=0)
    again.save(tmp_path)
    assert not (tmp_path / int8_rows.FILE).exists()


def test_any_encoder_will_do(tmp_path, tiny_path, bi_encoder_path):
    for kind in tiny.KINDS:
        model = TypeMatcher_v1(str(tiny.backbone(kind, tmp_path / kind)))
        (scores,) = score(model, [query(tiny.long_text(600))], 2048)
        assert np.isfinite(scores).all()
    (scores,) = score(TypeMatcher_v1(str(tiny_path)), [query("Hi")], 2048)
    assert scores.shape == (3,)


def break_config(path):
    (path / "type_matcher.json").write_text("{", encoding="utf8")


def break_weights(path):
    (path / "model.safetensors").write_bytes(b"no weights")


def drop_tokenizer(path):
    for file in path.glob("token*"):
        file.unlink()


@pytest.mark.parametrize("damage", [break_config, break_weights, drop_tokenizer])
def test_broken_directories(path, damage, tmp_path):
    shutil.copytree(path, tmp_path / "broken")
    damage(tmp_path / "broken")
    with pytest.raises(CheckpointError, match=r"O115.*broken"):
        score(TypeMatcher_v1(str(tmp_path / "broken")), [query("Hi")], 2048)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_tokenizer_without_special_pieces(pooling, tmp_path):
    """A text without pieces leaves nothing to read then."""
    encoder = text_encoders.load(tiny.saved_types(tmp_path, "transformer"))
    encoder.before, encoder.after, encoder.pooling = [], [], pooling
    model = TypeMatcher_v1()
    model.shims[0].use(TypeNetwork(encoder))
    for texts in (["\u200b"], ["\u200b", "Marie Curie"]):
        scores = score(model, [query(text) for text in texts], 2048)
        assert np.isfinite(scores).all()
        assert (scores[0] == (0 if pooling == "mean" else -1)).all()


def test_a_pooling_that_files_invent(path, tmp_path):
    shutil.copytree(path, tmp_path, dirs_exist_ok=True)
    file = tmp_path / text_encoders.SETTINGS_FILE
    settings = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**settings, "pooling": "sum"}))
    with pytest.raises(CheckpointError, match=r"O115.*'sum'.*mean, max"):
        text_encoders.load(tmp_path)


def test_a_table_that_is_too_small(static_path, tmp_path):
    encoder = text_encoders.load(static_path)
    encoder.tokens = torch.nn.Parameter(encoder.tokens[:3].detach())
    encoder.save(tmp_path)
    with pytest.raises(CheckpointError, match=r"O115.*subwords"):
        text_encoders.load(tmp_path)


@pytest.mark.parametrize("window", [0, -1, "8", 2.5, True, [8]])
def test_windows_that_cannot_be(path, tmp_path, window):
    shutil.copytree(path, tmp_path, dirs_exist_ok=True)
    (tmp_path / text_encoders.SETTINGS_FILE).write_text(json.dumps({"encoder": "static", "window": window}))
    with pytest.raises(CheckpointError, match=r"O115.*window"):
        text_encoders.load(tmp_path)


def test_a_table_of_no_width(static_path, tmp_path):
    encoder = text_encoders.load(static_path)
    encoder.tokens = torch.nn.Parameter(encoder.tokens[:, :0].detach())
    encoder.save(tmp_path)
    with pytest.raises(CheckpointError, match=r"O115.*shape"):
        text_encoders.load(tmp_path)


@pytest.mark.parametrize("rounded", [True, False])
def test_vectors_that_are_no_numbers(static_path, tmp_path, rounded):
    encoder = text_encoders.load(static_path)
    with torch.no_grad():
        encoder.tokens[1, 1] = float("nan")
    (encoder.save_int8 if rounded else encoder.save)(tmp_path)
    with pytest.raises(CheckpointError, match=r"O115.*finite"):
        text_encoders.load(tmp_path)


def test_a_transformer_that_lacks_weights(tmp_path):
    path = tiny.saved_types(tmp_path / "saved", "transformer")
    weights = load_file(path / "model.safetensors")
    key = next(key for key in weights if "layer.1" in key and "query.weight" in key)
    del weights[key]
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"O115.*lack"):
        text_encoders.load(path)


def test_two_files_of_weights_are_refused(static_path, tmp_path):
    """There is no telling which are newer."""
    encoder = text_encoders.load(static_path)
    encoder.save(tmp_path)
    shutil.copy(tmp_path / "model.safetensors", tmp_path / "kept")
    encoder.save_int8(tmp_path)
    text_encoders.load(tmp_path)
    shutil.copy(tmp_path / "kept", tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"O115.*model\.int8\.safetensors and model\.safetensors"):
        text_encoders.load(tmp_path)


def test_saving_a_transformer_over_rounded_vectors(static_path, tmp_path):
    text_encoders.load(static_path).save_int8(tmp_path / "saved")
    text_encoders.load(tiny.saved_types(tmp_path / "other", "transformer")).save(tmp_path / "saved")
    assert isinstance(text_encoders.load(tmp_path / "saved"), text_encoders.TransformerEncoder)


def test_no_such_place(tmp_path):
    for name in ("no-such/dir/ectory", str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(CheckpointError, match="O115"):
            score(TypeMatcher_v1(name), [query("Hi")], 2048)
    with pytest.warns(OpenNERWarning, match="W002"), pytest.raises(CheckpointError, match="O115"):
        score(TypeMatcher_v1("no-such/encoder"), [query("Hi")], 2048)


def test_an_installation_without_the_default(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "PACKAGE", tmp_path / "package")
    with pytest.raises(CheckpointError, match="O116"):
        score(TypeMatcher_v1(), [query("Hi")], 2048)


def test_the_default_is_small_and_works_offline():
    directory = sources.default_directory(sources.TYPE_MATCHER)
    assert sum(file.stat().st_size for file in directory.iterdir()) < 6_000_000
    assert json.loads((directory / "type_matcher.json").read_text())["encoder"] == "static"
    texts = ["She plays the cello in an orchestra.", "The enzyme binds to DNA in liver cells."]
    types = ["musical instrument: musical instrument", "protein: protein", "election: election"]
    music, biology = score(TypeMatcher_v1(), [query(text, types=types) for text in texts], 2048)
    assert music.argmax() == 0
    assert biology.argmax() == 1
