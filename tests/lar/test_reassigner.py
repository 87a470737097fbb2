"""Models that a reassigner shares: which one it is, and where its weights are saved."""

import copy
import pickle

import pytest
import spacy
from spacy.tokens import Span

from spacy_openner.errors import SettingError
from tests.support import tiny_models as tiny
from tests.support.reassignment_case import span_matcher

LABELS = tiny.LABELS


@pytest.fixture
def nlp(make_nlp):
    """A span matcher that finds nothing, and a reassigner that shares its weights."""
    nlp = make_nlp(labels=LABELS, threshold=1.0, annotate_ents=False, spans_key="own")
    nlp.add_pipe("lar_reassigner", config={"labels": LABELS, "on_none": "never"})
    return nlp


def types(nlp):
    """The types that the reassigner gives to some entities, with their scores."""
    docs = [nlp.make_doc(text) for text in tiny.SENTENCES[:2]]
    for doc in docs:
        doc.ents = [Span(doc, 0, 2, label="name")]
    docs = [nlp.get_pipe("lar_reassigner")(doc) for doc in docs]
    groups = [doc.spans["openner"] for doc in docs]
    return [(s.label_, round(float(p), 4)) for g in groups for s, p in zip(g, g.attrs["scores"], strict=True)]


def reassigner(nlp):
    return nlp.get_pipe("lar_reassigner").reassigner


def saved(nlp, path, **exclude):
    nlp.to_disk(path)
    return spacy.load(path, **exclude)


def weights(path):
    return sorted(file.parent.parent.name for file in path.rglob("*.safetensors"))


def test_shared_weights_are_saved_once(nlp, tmp_path):
    loaded = saved(nlp, tmp_path)
    assert weights(tmp_path) == ["open_ner_span"]
    assert reassigner(loaded).model is loaded.get_pipe("open_ner_span").model
    assert types(loaded) == types(nlp)


@pytest.mark.parametrize("used", [False, True])
def test_the_component_is_removed(nlp, tmp_path, used):
    expected = types(nlp)
    copy_ = pickle.loads(pickle.dumps(nlp)) if not used else nlp
    if used:
        types(copy_)
    copy_.remove_pipe("open_ner_span")
    assert types(copy_) == expected
    loaded = saved(copy_, tmp_path)
    assert weights(tmp_path) == ["lar_reassigner"]
    assert types(loaded) == expected
    again = spacy.blank("en").from_config(copy_.config).from_bytes(copy_.to_bytes())
    assert types(again) == expected
    # What was loaded is its own from now on, and can be saved and loaded again.
    assert types(saved(loaded, tmp_path / "again")) == expected


@pytest.fixture
def other_path(tmp_path):
    """Other weights."""
    return tiny.saved("bert", tmp_path / "checkpoint", width=32)


@pytest.mark.parametrize("with_another", [False, True])
def test_another_pipeline_takes_it_over(nlp, tmp_path, make_nlp, other_path, with_another):
    """Even into a pipeline that has a component of the same name, with other weights."""
    expected = types(nlp)
    other = make_nlp({"name": str(other_path)}) if with_another else spacy.blank("en")
    other.add_pipe("lar_reassigner", source=nlp)
    assert types(other) == expected
    loaded = saved(other, tmp_path / "other")
    assert types(loaded) == expected
    # The first pipeline still saves them once.
    nlp.to_disk(tmp_path / "first")
    assert weights(tmp_path / "first") == ["open_ner_span"]
    assert types(spacy.load(tmp_path / "first")) == expected


def test_the_component_is_not_loaded(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    with pytest.raises(SettingError, match=r"O513.*'lar_reassigner'.*'open_ner_span'"):
        spacy.load(tmp_path, exclude=["open_ner_span"])
    disabled = spacy.load(tmp_path, disable=["open_ner_span"])
    assert types(disabled) == types(nlp)


@pytest.mark.parametrize("before", [None, "lar_reassigner"])
def test_the_component_comes_later(nlp, tiny_path, tmp_path, before):
    late = spacy.blank("en")
    late.add_pipe("lar_reassigner", config={"labels": LABELS, "on_none": "never"})
    model = tiny.span_matcher(tiny_path, precision="float32")
    late.add_pipe("open_ner_span", before=before, config={"model": model, "threshold": 1.0, "spans_key": "own"})
    assert types(late) == types(nlp)
    assert types(saved(late, tmp_path)) == types(nlp)


def test_the_component_is_replaced(nlp, tmp_path, other_path):
    before = types(nlp)
    config = nlp.get_pipe_config("open_ner_span")
    config["model"]["name"] = str(other_path)
    config.pop("factory")
    nlp.replace_pipe("open_ner_span", "open_ner_span", config=config)
    assert reassigner(nlp).model is nlp.get_pipe("open_ner_span").model
    assert types(nlp) != before
    assert types(saved(nlp, tmp_path / "saved")) == types(nlp)


def test_a_model_of_its_own(nlp, tiny_path, tmp_path):
    own = spacy.blank("en")
    own.add_pipe("lar_reassigner", config={"labels": LABELS, "on_none": "never", "reassigner": span_matcher(tiny_path)})
    assert types(own) == types(nlp)
    assert reassigner(own).owner is None
    assert types(saved(own, tmp_path)) == types(nlp)


def test_pickles_and_copies_keep_the_model(nlp):
    expected = types(nlp)
    for other in (pickle.loads(pickle.dumps(nlp)), copy.deepcopy(nlp)):
        assert types(other) == expected
        assert reassigner(other).model is other.get_pipe("open_ner_span").model


def test_a_shared_layer_cannot_be_saved_alone(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    tok2vec = {"@architectures": "spacy.Tok2VecListener.v1", "width": "${components.tok2vec.model.encode.width}"}
    model = {"@architectures": "spacy-openner.BiEncoderSpanMatcher.v1", "tok2vec": {**tok2vec, "width": 96}}
    nlp.add_pipe("open_ner_span", config={"model": model, "labels": LABELS})
    nlp.add_pipe("lar_reassigner", config={"labels": LABELS})
    assert reassigner(nlp).owner == "open_ner_span"
    nlp.remove_pipe("open_ner_span")
    with pytest.raises(SettingError, match="O512"):
        nlp.get_pipe("lar_reassigner").to_disk(tmp_path)
