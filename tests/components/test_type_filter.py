"""The component: what it writes to docs, what the next ones make of it, how it learns, is saved and scored."""

import multiprocessing
import pickle
from functools import partial

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.training import Example

from spacy_openner.components.type_filter import TypeFilter
from spacy_openner.errors import CheckpointError, OpenNERWarning, SettingError
from spacy_openner.training.losses import TypeLoss_v1
from spacy_openner.training.optimizer import LayerwiseAdam_v1
from tests.components import test_training
from tests.support import tiny_models as tiny

TYPES = ["person", "city", "company"]
TEXTS = [
    ("Marie Curie lived in Paris", [(0, 2, "person"), (4, 5, "city")]),
    ("Paris is where Pfizer hired Zhang", [(0, 1, "city"), (3, 4, "company"), (5, 6, "person")]),
    ("Nothing is named here", []),
    ("Pfizer cut deaths", [(0, 1, "company")]),
]
LOSS = {"@misc": "spacy-openner.TypeLoss.v1", "classification_weight": 1.0}
EVERY = {"@misc": "spacy-openner.TypeSampler.v1", "negative_ratio": 1.0, "positive_dropout": 0.0}
TOK2VEC = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 32,
    "depth": 1,
    "embed_size": 200,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
    "pretrained_vectors": None,
}
LISTENER = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96, "upstream": "tok2vec"}


@pytest.fixture(scope="module")
def static_path(tmp_path_factory):
    return tiny.saved_types(tmp_path_factory.mktemp("static"))


@pytest.fixture
def make(static_path):
    """Build a pipeline with one type_filter; random vectors put scores on both sides of 0."""

    def build(model=None, nlp=None, name="type_filter", **config):
        nlp = nlp or spacy.blank("en")
        model = {"name": str(static_path), **(model or {})}
        nlp.add_pipe("type_filter", name=name, config={"labels": TYPES, "threshold": 0.0, "model": model, **config})
        return nlp

    return build


example = partial(test_training.example, types=TYPES)


def kept(doc):
    return doc._.openner_labels


# What it writes


def test_kept_types_and_all_scores(make):
    nlp = make()
    for doc in nlp.pipe(tiny.SENTENCES):
        scores = doc._.openner_type_scores
        assert list(scores) == TYPES
        assert kept(doc) == [label for label in TYPES if scores[label] > 0]
    pipe = nlp.get_pipe("type_filter")
    assert [doc._.openner_type_scores for doc in nlp.pipe(tiny.SENTENCES)] == [
        dict(zip(TYPES, each.scores.tolist(), strict=True))
        for each in pipe.predict([nlp.make_doc(t) for t in tiny.SENTENCES])
    ]


def test_scores_survive_a_docbin(make):
    nlp = make()
    doc = nlp(tiny.SENTENCES[0])
    (copy,) = DocBin(docs=[doc], store_user_data=True).get_docs(nlp.vocab)
    assert (list(kept(copy)), copy._.openner_type_scores) == (kept(doc), doc._.openner_type_scores)


def test_settings(make):
    text = tiny.SENTENCES[0]
    nlp = make(threshold=-1.0)
    pipe = nlp.get_pipe("type_filter")
    assert kept(nlp(text)) == TYPES
    pipe.top_k = 1
    scores = nlp(text)._.openner_type_scores
    assert kept(nlp(text)) == [max(TYPES, key=scores.get)]
    pipe.top_k, pipe.threshold = None, 1.0
    assert kept(nlp(text)) == []
    pipe.keep_labels = ["city"]
    assert kept(nlp(text)) == ["city"]
    pipe.min_types = 3
    assert kept(nlp(text)) == TYPES
    pipe.min_types, pipe.keep_labels, pipe.label_thresholds = 0, [], {"person": -1.0}
    assert kept(nlp(text)) == ["person"]


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        ("threshold", -1.1, "O001"),
        ("threshold", True, "O001"),
        ("label_thresholds", {"person": 2}, "O005"),
        ("top_k", -1, "O001"),
        ("top_k", 1.5, "O001"),
        ("min_types", None, "O001"),
        ("keep_labels", "person", "O002"),
        ("labels", "person", "O002"),
        ("batch_tokens", 0, "O001"),
    ],
)
def test_what_is_not_allowed(make, setting, value, code):
    with pytest.raises(SettingError, match=code):
        setattr(make().get_pipe("type_filter"), setting, value)


def test_names_that_a_config_cannot_hold(make):
    with pytest.raises(SettingError, match="O009"):
        make(labels={"a: b": "described"})


def test_types_that_are_not_asked_for(make):
    with pytest.warns(OpenNERWarning, match=r"W005.*keep_labels.*award"):
        make(keep_labels=["award"])


def test_descriptions(make):
    """The doc's own, then the component's, then the table's, then the name; what is written is as it was given."""
    nlp = make(labels={"person": "Members of the board.", "zorp": "zorp"})
    pipe = nlp.get_pipe("type_filter")
    pipe.propose_descriptions = True
    doc = nlp.make_doc(tiny.SENTENCES[0])

    def described(own=None):
        doc._.openner_labels = own
        (labels,) = pipe._labels_per_doc([doc])
        return pipe._described(labels)

    assert described() == {"person": "Members of the board.", "zorp": "zorp"}
    found = described({"person": "Anybody.", "city": "city"})
    assert (found["person"], found["city"][:5]) == ("Anybody.", "Names")
    assert described(["person", "city"])["person"] == "Members of the board."
    pipe.propose_descriptions = False
    assert described(["city"]) == {"city": "city"}
    pipe.threshold = -1.0
    doc._.openner_labels = None
    assert kept(pipe(doc)) == {"person": "Members of the board.", "zorp": "zorp"}
    doc._.openner_labels = ["city"]
    assert kept(pipe(doc)) == ["city"]


# Nothing to do


@pytest.mark.parametrize("text", ["", " \n "])
def test_docs_without_words(make, text):
    doc = make()(text)
    assert kept(doc) == []
    assert set(doc._.openner_type_scores.values()) == {-1.0}
    assert kept(make(keep_labels=["city"])(text)) == ["city"]


def test_without_labels_docs_are_left_alone(make):
    nlp = make(labels=[])
    with pytest.warns(OpenNERWarning, match="W012"):
        doc = nlp(tiny.SENTENCES[0])
    assert kept(doc) is None
    assert doc._.openner_type_scores is None
    doc = nlp.make_doc(tiny.SENTENCES[0])
    doc._.openner_labels = ["city", "person"]
    assert list(nlp.get_pipe("type_filter")(doc)._.openner_type_scores) == ["city", "person"]
    doc._.openner_labels = []
    assert kept(nlp.get_pipe("type_filter")(doc)) == []


def test_a_mixed_batch(make):
    nlp = make(threshold=-1.0)
    docs = [nlp.make_doc(text) for text in ("", "Hi", *tiny.SENTENCES)]
    docs[1]._.openner_labels = []
    docs[2]._.openner_labels = ["a (b), c", "音乐"]
    docs = list(nlp.pipe(docs))
    assert [kept(doc) for doc in docs[:4]] == [[], [], ["a (b), c", "音乐"], TYPES]


# With others


def test_nothing_is_asked_where_all_types_are_filtered_out(make, make_nlp, monkeypatch):
    nlp = make(nlp=make_nlp(threshold=0.0), threshold=1.0)
    doc = nlp(tiny.SENTENCES[0])
    assert len(doc.spans["openner"]), "the filter stands behind"
    nlp.remove_pipe("type_filter")
    nlp.add_pipe(
        "type_filter",
        first=True,
        config={"labels": tiny.LABELS, "threshold": 1.0, "model": {"name": str(model_of(make))}},
    )
    monkeypatch.setattr(nlp.get_pipe("open_ner_span").model.shims[0], "predict", None)
    doc = nlp(tiny.SENTENCES[0])
    assert kept(doc) == []
    assert (list(doc.spans["openner"]), list(doc.ents)) == ([], [])


def model_of(make):
    return make().get_pipe("type_filter").model.shims[0].name


def test_open_ner_span_looks_for_what_is_kept(make, make_nlp):
    nlp = make_nlp(threshold=0.0, overlap="all")
    config = {"labels": tiny.LABELS, "threshold": 1.0, "keep_labels": ["award"], "model": {"name": model_of(make)}}
    nlp.add_pipe("type_filter", first=True, config=config)
    doc = nlp(tiny.SENTENCES[0])
    assert {span.label_ for span in doc.spans["openner"]} == {"award"}


def test_gner_generator_is_not_asked_either(make, t5, monkeypatch):
    nlp = make(threshold=1.0)
    nlp.add_pipe("gner_generator", config={"labels": TYPES, "model": {"name": str(t5), "precision": "float32"}})
    doc = nlp(tiny.SENTENCES[0])
    assert list(doc.spans["openner"]) == []
    assert nlp.get_pipe("gner_generator").model.shims[0].is_loaded is False
    nlp.get_pipe("type_filter").keep_labels = ["city"]
    doc = nlp(tiny.SENTENCES[0])
    assert {span.label_ for span in doc.spans["openner"]} <= {"city"}
    assert nlp.get_pipe("gner_generator").model.shims[0].is_loaded


def test_two_filters_in_one_pipeline(make):
    nlp = make(labels=["a", "b", "c", "d"], threshold=-1.0, top_k=3, name="first")
    make(nlp=nlp, labels=["never asked"], threshold=-1.0, top_k=2, name="second")
    for doc in nlp.pipe(tiny.SENTENCES):
        scores = doc._.openner_type_scores
        assert list(scores) == ["a", "b", "c", "d"], "those of the first filter stay"
        assert set(kept(doc)) == set(sorted(scores, key=scores.get)[-2:])


def test_sentences_are_scored_apart(make):
    text = " ".join(tiny.SENTENCES[:3])
    nlp = make()
    nlp.add_pipe("sentencizer", first=True)
    doc = nlp(text)
    alone = [make()(sent.text)._.openner_type_scores for sent in doc.sents]
    assert len(alone) > 2
    for label in TYPES:
        assert doc._.openner_type_scores[label] == pytest.approx(max(each[label] for each in alone), abs=1e-5)


def test_a_thousand_types(make):
    types = [f"kind {i} (of {i % 13}), say" for i in range(1000)]
    nlp = make(labels=types, threshold=-1.0, top_k=25)
    for doc in nlp.pipe(tiny.SENTENCES):
        assert len(kept(doc)) == 25
        assert len(doc._.openner_type_scores) == 1000


# Learning


@pytest.mark.parametrize(
    ("variant", "pooling"),
    [(variant, "mean") for variant in ("static", "transformer", "bfloat16", "tok2vec", "listener")]
    # A static vector of a single letter, which is a piece here, tells nothing.
    + [(variant, "max") for variant in ("transformer", "tok2vec")],
)
def test_overfitting_IO(make, variant, pooling, tmp_path):
    """Train, assert, save, reload, assert again, score."""
    path = tiny.saved_types(tmp_path, "transformer" if variant in ("transformer", "bfloat16") else "static", width=32)
    model = {"name": str(path), "pooling": pooling, "mixed_precision": variant == "bfloat16"}
    nlp = spacy.blank("en")
    if variant == "listener":
        nlp.add_pipe("tok2vec")
    if variant in ("tok2vec", "listener"):
        model["tok2vec"] = TOK2VEC if variant == "tok2vec" else LISTENER
    config = {"threshold": 0.3, "loss": LOSS, "sampler": EVERY}
    make(model, nlp, **config)
    data = [example(nlp, *each) for each in TEXTS]
    sgd = nlp.initialize(lambda: data)
    sgd.learn_rate = 0.01 if variant == "static" else 0.003
    expected = [[label for label in TYPES if label in {span[2] for span in spans}] for _, spans in TEXTS]

    def found(nlp):
        return [kept(nlp(Doc(nlp.vocab, text.split()))) for text, _ in TEXTS]

    for _ in range(20):
        for _ in range(20):
            losses = nlp.update(data, sgd=sgd)
        if found(nlp) == expected:
            break
    assert found(nlp) == expected, losses
    scores = nlp.evaluate(data)
    assert (scores["types_r"], scores["types_p"], scores["types_auc"]) == (1.0, 1.0, 1.0)
    assert scores["types_kept"] == pytest.approx(6 / 12)
    nlp.to_disk(tmp_path / "saved")
    assert found(spacy.load(tmp_path / "saved")) == expected
    copy = spacy.blank("en")
    if variant == "listener":
        copy.add_pipe("tok2vec")
    make(model, copy, **config).from_bytes(nlp.to_bytes())
    assert found(copy) == expected


def test_what_is_not_annotated_is_not_taught(make):
    nlp = make(sampler=EVERY, propose_descriptions=False)
    pipe = nlp.get_pipe("type_filter")

    def lesson(eg):
        (made,) = pipe._training_texts([eg])
        return dict(zip([text.split(":")[0] for text in made.query.type_texts], made.present, strict=True))

    text, spans = TEXTS[0]
    assert lesson(example(nlp, text, spans)) == {"person": True, "city": True, "company": False}
    listed = lesson(example(nlp, text, spans, types=["person", "award"]))
    assert listed == {"person": True, "award": False}, "the text's own list, whatever the component's labels are"
    assert lesson(example(nlp, text, spans, types=None)) == {"person": True, "city": True, "company": False}
    eg = example(nlp, text, spans, key=None)
    assert lesson(eg) == {"person": True, "city": True, "company": False}
    eg.reference.set_ents([eg.reference.ents[0]], missing=[eg.reference[3:5]], default="outside")
    assert lesson(eg) == {"person": True}, "what is in the gap may be any other type"
    assert lesson(Example(nlp.make_doc(text), nlp.make_doc(text))) == {}


def test_nothing_to_learn(make):
    nlp = make()
    sgd = nlp.initialize()
    docs = [nlp.make_doc(text) for text in ("", "Hi")]
    assert nlp.update([Example(doc, doc.copy()) for doc in docs], sgd=sgd) == {"type_filter": 0.0}


def test_initialize_takes_types_and_an_encoder(tmp_path):
    encoder = tiny.backbone("bert", tmp_path / "encoder")
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("type_filter")
    data = [example(nlp, *each, types=None) for each in TEXTS]
    pipe.initialize(lambda: data, encoder=encoder, static_width=8)
    assert pipe.labels == ("city", "company", "person")
    tokens = pipe.model.shims[0].network.encoder.tokens
    assert tokens.shape[1] == 8
    pipe.initialize(lambda: data, encoder=encoder, static_width=4)
    assert pipe.model.shims[0].network.encoder.tokens is tokens, "weights that are there are left alone"


def test_update_changes_what_is_remembered_of_types(make):
    nlp = make()
    data = [example(nlp, *each) for each in TEXTS]
    before = nlp(TEXTS[0][0])._.openner_type_scores
    nlp.update(data, sgd=LayerwiseAdam_v1(0.01, scales={}))
    assert nlp(TEXTS[0][0])._.openner_type_scores != before


# The loss


def test_equation_4():
    """Against the formula, text by text."""
    torch = pytest.importorskip("torch")
    scores = torch.tensor([[0.5, 0.1, 0.3], [0.2, 0.9, 0.0]])
    present = torch.tensor([[True, False, True], [False, True, False]])
    known = torch.tensor([[True, True, True], [True, True, False]])
    expected = 0.0
    for row, here, counted in zip(scores.tolist(), present.tolist(), known.tolist(), strict=True):
        below = sum(np.exp(s / 0.05) for s, k in zip(row, counted, strict=True) if k)
        expected -= sum(np.log(np.exp(s / 0.05) / below) for s, p in zip(row, here, strict=True) if p)
    assert float(TypeLoss_v1()(scores, present, known)) == pytest.approx(expected, rel=1e-4)
    level = float(TypeLoss_v1(classification_weight=1.0, margin=0.3)(scores, present, known)) - expected
    z = (scores - 0.3).numpy() / 0.05
    terms = np.log(1 + np.exp(z[0, 1])) + np.log(1 + np.exp(-z[0, 0]) + np.exp(-z[0, 2]))
    terms += np.log(1 + np.exp(z[1, 0])) + np.log(1 + np.exp(-z[1, 1]))
    assert level == pytest.approx(terms, rel=1e-4)


@pytest.mark.parametrize("values", [{"temperature": 0}, {"classification_weight": -1}, {"margin": 2}])
def test_settings_of_the_loss(values):
    with pytest.raises(SettingError, match="O001"):
        TypeLoss_v1(**values)


# Saving, copies, processes


def test_changed_settings_are_saved(make, tmp_path):
    nlp = make()
    pipe = nlp.get_pipe("type_filter")
    pipe.labels = {"key: value": "a, b", "city": "city"}
    pipe.top_k, pipe.keep_labels, pipe.threshold = 4, ["city"], -0.25
    nlp.to_disk(tmp_path)
    copy = spacy.load(tmp_path).get_pipe("type_filter")
    assert (copy.descriptions, copy.top_k, copy.keep_labels, copy.threshold) == (pipe.descriptions, 4, ("city",), -0.25)
    wins = spacy.load(tmp_path, config={"components.type_filter.top_k": 2}).get_pipe("type_filter")
    assert wins.top_k == 2


def test_the_copy_needs_nothing_else(make, tmp_path, monkeypatch):
    nlp = make()
    expected = [doc._.openner_type_scores for doc in nlp.pipe(tiny.SENTENCES)]
    nlp.to_disk(tmp_path)
    monkeypatch.setattr("spacy_openner.nn.hub.find", None)
    assert [doc._.openner_type_scores for doc in spacy.load(tmp_path).pipe(tiny.SENTENCES)] == expected


def test_pickle(make):
    pipe = make().get_pipe("type_filter")
    docs = [pipe_doc(text) for text in tiny.SENTENCES]
    expected = pipe.predict(docs)
    for each, other in zip(pickle.loads(pickle.dumps(pipe)).predict(docs), expected, strict=True):
        np.testing.assert_allclose(each.scores, other.scores, atol=1e-6)


def pipe_doc(text):
    return spacy.blank("en").make_doc(text)


@pytest.mark.timeout(120)
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
def test_two_processes(make, monkeypatch):
    nlp = make()
    expected = [(kept(doc), doc._.openner_type_scores) for doc in nlp.pipe(tiny.SENTENCES)]
    monkeypatch.setattr("spacy.language.mp", multiprocessing.get_context("fork"))
    docs = list(nlp.pipe(tiny.SENTENCES, n_process=2, batch_size=3))
    assert [kept(doc) for doc in docs] == [labels for labels, _ in expected]
    for doc, (_, scores) in zip(docs, expected, strict=True):
        assert doc._.openner_type_scores == pytest.approx(scores, abs=1e-5)


def test_without_weights_it_says_so(make):
    nlp = make({"tok2vec": TOK2VEC})
    with pytest.raises(CheckpointError, match="O111"):
        nlp.get_pipe("type_filter").predict([nlp.make_doc(tiny.SENTENCES[0])])


def test_it_finds_no_entities(make):
    """So calibration of spans does not take it for a component that does."""
    pipe = make().get_pipe("type_filter")
    assert isinstance(pipe, TypeFilter)
    assert not hasattr(pipe, "overlap")
