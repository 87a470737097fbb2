"""open_ner_span on the token vectors of another part of the pipeline, with types encoded apart."""

import multiprocessing
import threading
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from spacy.cli.train import train as spacy_train
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import registry
from spacy.vocab import Vocab

from spacy_openner.data.convert import convert
from spacy_openner.errors import CheckpointError, OpenNERWarning, SettingError
from spacy_openner.models.gliner import bi_encoder_model as bi_matcher
from spacy_openner.models.gliner import label_encoder
from spacy_openner.models.queries import SpanQuery
from spacy_openner.models.span_model import span_model
from spacy_openner.training.optimizer import LayerwiseAdam_v1, WarmupCosine_v1
from tests.components.test_training import TEXTS, TYPES, example, found
from tests.support import tiny_models as tiny

CNN = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "pretrained_vectors": None,
    "width": 32,
    "depth": 1,
    "embed_size": 200,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
}
LISTENER = {"@architectures": "spacy.Tok2VecListener.v1", "width": 32, "upstream": "*"}
TRANSFORMER_LISTENER = {
    "@architectures": "spacy-transformers.TransformerListener.v1",
    "grad_factor": 1.0,
    "pooling": {"@layers": "reduce_mean.v1"},
    "upstream": "*",
}
SCORER = {"@scorers": "spacy-openner.entity_scorer.v1", "spans_key": "openner"}
SAMPLER = {"@misc": "spacy-openner.TypeSampler.v1", "negative_ratio": 1.0, "positive_dropout": 0.0}
EXPECTED = [set(spans) for _, spans in TEXTS]


@pytest.fixture(scope="module")
def encoder_path(tmp_path_factory):
    return tiny.backbone("bert", tmp_path_factory.mktemp("types"), seed=3)


@pytest.fixture
def add(encoder_path):
    """Add the component to a pipeline."""

    def add(nlp, tok2vec, labels=TYPES, model=None, **config):
        settings = {"label_encoder": str(encoder_path), "width": 64, **(model or {})}
        model = {"@architectures": "spacy-openner.BiEncoderSpanMatcher.v1", "tok2vec": tok2vec, **settings}
        config = {"overlap": "nested", "annotate_ents": False, "scorer": SCORER, "sampler": SAMPLER, **config}
        return nlp.add_pipe("open_ner_span", config={"labels": labels, "model": model, **config})

    return add


def needs_spacy_transformers():
    pytest.importorskip("spacy_transformers", reason="needs the extra `trf`, which needs an older transformers")


def examples(nlp):
    """Nested gold spans for us, flat ones for `ner`."""
    made = []
    for text, spans in TEXTS:
        eg = example(nlp, text, spans)
        eg.reference.ents = [Span(eg.reference, *span) for span in spans if span != (0, 2, "company")]
        made.append(eg)
    return made


def blank(*, ner=True, shared=None):
    """A pipeline with a shared layer, and `ner` on it."""
    nlp = spacy.blank("en")
    if shared == "tok2vec":
        nlp.add_pipe("tok2vec", config={"model": CNN})
        tok2vec = LISTENER
    elif shared is not None:
        needs_spacy_transformers()
        spans = {"@span_getters": "spacy-transformers.strided_spans.v1", "window": 64, "stride": 48}
        model = {"@architectures": "spacy-transformers.TransformerModel.v3", "name": str(shared), "get_spans": spans}
        nlp.add_pipe("transformer", config={"model": model})
        tok2vec = TRANSFORMER_LISTENER
    else:
        return nlp, CNN
    if ner:
        parser = {"@architectures": "spacy.TransitionBasedParser.v2", "state_type": "ner", "tok2vec": tok2vec}
        parser |= {"extra_state_tokens": False, "hidden_width": 16, "maxout_pieces": 2, "use_upper": True}
        nlp.add_pipe("ner", config={"model": parser})
    return nlp, tok2vec


def train(nlp, data, steps):
    """Update at a rate that falls, and is smaller for what is pretrained."""
    rate = WarmupCosine_v1(6e-3, 5, max(steps, 6))
    sgd = LayerwiseAdam_v1(rate, scales={"encoder.": 0.2, "embeddings.": 0.2}, L2=0.0)
    losses = []
    for _ in range(steps):
        losses.append(nlp.update(data, sgd=sgd))
        sgd.step_schedules()
    return losses


def predictions(nlp, texts=None):
    docs = [Doc(nlp.vocab, text.split()) for text in texts or [text for text, _ in TEXTS]]
    return [tiny.found(nlp(doc)) for doc in docs]


def ready(add, shared=None, **options):
    """A pipeline that scores without having learnt."""
    nlp, tok2vec = blank(shared=shared, ner=False)
    add(nlp, tok2vec, **options)
    nlp.initialize()
    tiny.spread(nlp.get_pipe("open_ner_span").model.shims[0].network, 2.0)
    return nlp


@pytest.mark.parametrize("shared", [None, "tok2vec", "transformer"])
def test_overfitting_IO(shared, add, tmp_path):
    """Train together with `ner`, assert, save, reload, assert again, score."""
    spacy.util.fix_random_seed(0)
    source = tiny.backbone("bert", tmp_path / "backbone") if shared == "transformer" else shared
    nlp, tok2vec = blank(shared=source)
    add(nlp, tok2vec)
    data = examples(nlp)
    nlp.initialize(lambda: data)
    if shared == "transformer":
        without_dropout(nlp)
    weights = upstream_weights(nlp, shared)
    before = [value.copy() for value in weights()]
    losses = train(nlp, data, 150)
    for _ in range(10):  # how many steps random weights need is a matter of luck
        if [found(nlp(eg.predicted.copy())) for eg in data] == EXPECTED:
            break
        losses += train(nlp, data, 100)
    assert losses[-1]["open_ner_span"] < losses[0]["open_ner_span"] / 10
    assert any(not np.allclose(a, b) for a, b in zip(before, weights(), strict=True)), "the shared layer learns"
    assert [found(nlp(eg.predicted.copy())) for eg in data] == EXPECTED
    if shared:
        assert losses[-1]["ner"] < losses[0]["ner"] / 10
        assert [{(e.start, e.end, e.label_) for e in nlp(eg.predicted.copy()).ents} for eg in data] == [
            spans - {(0, 2, "company")} for spans in EXPECTED
        ]
    assert nlp.evaluate(data)["openner_f"] == 1.0
    expected = predictions(nlp)
    nlp.to_disk(tmp_path / "saved")
    assert {p.name for p in (tmp_path / "saved/open_ner_span/model").iterdir()} == {
        "head.safetensors",
        "label_encoder",
        "tok2vec",
    }
    again = spacy.load(tmp_path / "saved")
    assert predictions(again) == expected
    again.to_disk(tmp_path / "twice")
    assert predictions(spacy.load(tmp_path / "twice")) == expected
    copy = spacy.util.load_model_from_config(nlp.config)
    assert predictions(copy.from_bytes(nlp.to_bytes())) == expected


def without_dropout(nlp):
    """Dropout is most of the noise in a tiny encoder."""
    for module in nlp.get_pipe("transformer").model.transformer.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = 0.0


def upstream_weights(nlp, shared):
    """The weights below the head, as arrays."""
    model = nlp.get_pipe("open_ner_span" if shared is None else shared).model
    if shared == "transformer":
        return lambda: [value.numpy() for value in model.transformer.state_dict().values()]
    layer = model.get_ref("tok2vec") if shared is None else model
    return lambda: [node.get_param(name) for node in layer.walk() for name in node.param_names]


@pytest.mark.parametrize("shared", ["tok2vec", "transformer"])
def test_replace_listeners(shared, add, tmp_path):
    source = shared if shared == "tok2vec" else tiny.backbone("bert", tmp_path / "backbone")
    nlp = ready(add, shared=source, threshold=0.0, overlap="all")
    expected = predictions(nlp, tiny.SENTENCES)
    assert any(expected)
    nlp.replace_listeners(shared, "open_ner_span", ["model.tok2vec"])
    nlp.remove_pipe(shared)
    for left, right in zip(predictions(nlp, tiny.SENTENCES), expected, strict=True):
        tiny.same(left, right)
    nlp.to_disk(tmp_path / "saved")
    for left, right in zip(predictions(spacy.load(tmp_path / "saved"), tiny.SENTENCES), expected, strict=True):
        tiny.same(left, right)
    train(nlp, examples(nlp), 2)


def test_a_frozen_transformer_that_annotates(add, tmp_path):
    """As `spacy train` does with `frozen_components` and `annotating_components`."""
    nlp, tok2vec = blank(shared=tiny.backbone("bert", tmp_path / "backbone"), ner=False)
    nlp.initialize()
    add(nlp, tok2vec)
    data = examples(nlp)
    with nlp.select_pipes(disable="transformer"):
        nlp.initialize(lambda: data)
    weights = upstream_weights(nlp, "transformer")
    before = [value.copy() for value in weights()]
    sgd = LayerwiseAdam_v1(3e-3, scales={}, L2=0.0)
    losses = [
        nlp.update(data, sgd=sgd, exclude=["transformer"], annotates=["transformer"])["open_ner_span"]
        for _ in range(100)
    ]
    assert losses[-1] < losses[0] / 5
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(), strict=True))


def test_every_listener_gets_its_turn_where_nothing_is_taught(add):
    """The last listener makes the shared layer learn; if it kept silent, the others' gradients would be lost."""
    nlp, tok2vec = blank(shared="tok2vec")
    add(nlp, tok2vec)
    data = examples(nlp)
    nlp.initialize(lambda: data)
    for eg in data:
        eg.reference._.openner_labels = []
    nlp.get_pipe("open_ner_span").labels = []
    for eg in data:
        eg.reference.spans["openner"] = []
    weights = upstream_weights(nlp, "tok2vec")
    before = [value.copy() for value in weights()]
    # `ner` starts from zeros, so that its first update has no gradient for what is below, and spaCy applies the
    # shared layer's gradient in the next update.
    for losses in train(nlp, data, 3):
        assert losses["open_ner_span"] == 0
    assert any(not np.array_equal(a, b) for a, b in zip(before, weights(), strict=True))


@pytest.mark.parametrize("shared", [None, "tok2vec", "transformer"])
def test_docs_of_all_kinds(shared, add, tmp_path):
    source = tiny.backbone("bert", tmp_path / "backbone") if shared == "transformer" else shared
    nlp = ready(add, shared=source, labels=tiny.LABELS, threshold=0.3, overlap="all")
    texts = [*tiny.SENTENCES, "", " ", " \n \t ", "Hi", "  Marie   Curie ", tiny.long_text(60)]
    alone = [tiny.found(nlp(text)) for text in texts]
    assert sum(map(len, alone)) > 20
    for size in (1, 3, 100):
        for doc, expected in zip(nlp.pipe(texts, batch_size=size), alone, strict=True):
            tiny.same(tiny.found(doc), expected)
    for start, end, _, _ in alone[texts.index("  Marie   Curie ")]:
        doc = nlp.make_doc("  Marie   Curie ")
        assert not doc[start].is_space
        assert not doc[end - 1].is_space
    mixed = [Example(nlp.make_doc(text), nlp.make_doc(text)) for text in texts]
    assert np.isfinite(nlp.update(mixed, sgd=LayerwiseAdam_v1(1e-3))["open_ner_span"])
    nothing = [Example(nlp.make_doc(""), nlp.make_doc(""))]
    assert nlp.update(nothing, sgd=LayerwiseAdam_v1(1e-3))["open_ner_span"] == 0
    assert nlp.get_pipe("open_ner_span").update([]) == {"open_ner_span": 0.0}


def test_windows_and_chunks_change_nothing(add, monkeypatch):
    nlp = ready(add, labels=[f"type {i}" for i in range(20)], threshold=0.5, overlap="all")
    pipe = nlp.get_pipe("open_ner_span")
    doc = nlp.make_doc(tiny.long_text(50))
    (whole,) = pipe.predict([doc])
    assert len(whole) > 10
    monkeypatch.setattr(bi_matcher, "WINDOW_WORDS", 17)
    monkeypatch.setattr(bi_matcher, "WINDOW_TYPES", 7)
    for pipe.batch_tokens in (1, 50, 4096):
        (cut,) = pipe.predict([doc])
        tiny.same(whole, cut)


@pytest.mark.parametrize(("n", "width"), [(0, 3), (1, 3), (2, 3), (9, 3), (10, 3), (11, 3), (57, 9), (30, 1), (25, 10)])
def test_every_span_is_whole_in_a_window(n, width, monkeypatch):
    monkeypatch.setattr(bi_matcher, "WINDOW_WORDS", 10)
    text = SpanQuery(range(n), ["a", "b"], np.zeros(2), Doc(Vocab()))
    windows = list(bi_matcher.plan_windows([text], [0], width))
    shown = {
        (a, b) for w in windows for a in range(w.first, w.last) for b in range(a + 1, w.last + 1) if b - a <= width
    }
    assert shown == {(a, b) for a in range(n) for b in range(a + 1, min(a + width, n) + 1)}


def test_long_texts_are_taught_whole(add, monkeypatch):
    """Windows share one gradient of the layer below, which is the gradient of the whole."""
    gradients = []
    for size in (384, 20):
        monkeypatch.setattr(bi_matcher, "WINDOW_WORDS", size)
        spacy.util.fix_random_seed(0)
        nlp = ready(add, model={"max_width": 4})
        words = ["Marie", *["went"] * 40, "Paris"]
        data = [example(nlp, " ".join(words), [(0, 1, "person"), (41, 42, "city")]), example(nlp, "Hi Marie", [])]
        pipe = nlp.get_pipe("open_ner_span")
        pipe.batch_tokens = 25
        pipe.loss = lambda logits, targets: ((logits - targets) * targets).sum()
        (n,) = {
            round(1 / batch.share)
            for batch in span_model(pipe.model).training_batches(pipe.model, pipe._training_texts(data), 25)
        }
        assert n == (2 if size == 384 else 4)
        pipe.update(data)
        layer = pipe.model.get_ref("tok2vec")
        gradients.append([node.get_grad(p) * n for node in layer.walk() for p in node.param_names if node.has_grad(p)])
    assert gradients[0]
    for left, right in zip(*gradients, strict=True):
        assert np.allclose(left, right, atol=1e-4)
        assert np.abs(left).max() > 0


def test_many_docs_with_types_of_their_own(add):
    nlp = ready(add, threshold=0.3, overlap="all")
    own = [["person", "a, b (c) [d]"], [], ["音乐", "人物"], ["x" * 30], {"org": "a firm, or a band"}, None]
    docs = [nlp.make_doc(text) for text in tiny.SENTENCES[:6]]
    alone = []
    for doc, labels in zip(docs, own, strict=True):
        copy = nlp.make_doc(doc.text)
        copy._.openner_labels = doc._.openner_labels = labels
        alone.append(tiny.found(nlp(copy)))
    for doc, expected, labels in zip(nlp.pipe(docs), alone, own, strict=True):
        tiny.same(tiny.found(doc), expected)
        assert {label for *_, label, _ in expected} <= set(TYPES if labels is None else labels)
    assert sum(map(len, alone)) > 5


def test_given_spans_of_any_width(add):
    nlp = ready(add, threshold=0.0, overlap="all", model={"max_width": 3})
    pipe = nlp.get_pipe("open_ner_span")
    doc = nlp(tiny.long_text(420))
    scores = {found[:3]: found[3] for found in tiny.found(doc)}
    spans = [doc[i : i + k] for i in range(0, 420, 7) for k in (1, 2, 3) if i + k <= len(doc)]
    given = pipe.span_scores(doc, spans)
    for span, row in zip(spans, given, strict=True):
        for label, score in zip(TYPES, row, strict=True):
            assert scores[span.start, span.end, label] == pytest.approx(float(score), abs=1e-5)
    assert (pipe.span_scores(doc, [doc[0:400]]) > 0).all()
    assert pipe.span_scores(doc, [doc[0:2]], labels=[]).shape == (1, 0)
    assert (pipe.span_scores(nlp.make_doc("  "), [nlp.make_doc("  ")[0:1]][:0])).shape == (0, 3)


def test_types_are_encoded_once(add, monkeypatch):
    nlp = ready(add, labels=[])
    labels = nlp.get_pipe("open_ner_span").model.shims[0].labels
    seen = []
    encode = labels._encode
    monkeypatch.setattr(labels, "_encode", lambda texts: seen.extend(texts) or encode(texts))
    pipe = nlp.get_pipe("open_ner_span")
    pipe.labels = ["person", "city"]
    list(nlp.pipe(tiny.SENTENCES))
    pipe.labels = ["city", "award"]
    list(nlp.pipe(tiny.SENTENCES))
    assert seen == ["person", "city", "award"]
    labels._vectors.capacity = 4
    for i in range(20):
        pipe.labels = [f"type {i}", "city"]
        nlp("Hi there")
        assert len(labels._vectors) <= 4
    pipe.labels = [f"type {i}" for i in range(1000)]
    nlp("Hi there")
    assert len(labels._vectors) <= 4


def test_the_order_of_types_does_not_matter(add):
    nlp = ready(add, threshold=0.0, overlap="all")
    pipe = nlp.get_pipe("open_ner_span")
    first = tiny.found(nlp(tiny.SENTENCES[0]))
    pipe.labels = ["音乐", *reversed(TYPES)]
    second = [each for each in tiny.found(nlp(tiny.SENTENCES[0])) if each[2] != "音乐"]
    tiny.same(first, second)


def test_types_that_are_too_long_are_refused(add):
    nlp = ready(add, labels=["x " * 600])
    with pytest.raises(SettingError, match="O006"):
        nlp("Hi there")


def test_threads_share_a_component(add):
    nlp = ready(add, labels=tiny.LABELS, threshold=0.3, overlap="all")
    pipe = nlp.get_pipe("open_ner_span")
    docs = [nlp.make_doc(text) for text in tiny.SENTENCES]
    expected = pipe.predict(docs)
    results, labels = [], pipe.model.shims[0].labels

    def work(i):
        for _ in range(5):
            labels.reset()
            own = docs[i:] + docs[:i]
            results.append((i, pipe.predict(own)))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 20
    for i, answer in results:
        for left, right in zip(answer, expected[i:] + expected[:i], strict=True):
            tiny.same(left, right)


@pytest.mark.timeout(120)
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
def test_two_processes(add, monkeypatch):
    nlp = ready(add, labels=tiny.LABELS, threshold=0.3, overlap="all")
    texts = [*tiny.SENTENCES, "", tiny.long_text(50)]
    expected = [tiny.found(doc) for doc in nlp.pipe(texts)]
    monkeypatch.setattr("spacy.language.mp", multiprocessing.get_context("fork"))
    for doc, alone in zip(nlp.pipe(texts, n_process=2, batch_size=3), expected, strict=True):
        tiny.same(tiny.found(doc), alone)


def test_initialize_keeps_weights(add, tmp_path):
    nlp = ready(add)
    expected = predictions(nlp)
    nlp.initialize(lambda: examples(nlp))
    assert predictions(nlp) == expected
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    loaded.get_pipe("open_ner_span").initialize(list)
    assert predictions(loaded) == expected


def test_labels_come_from_examples(add):
    nlp, tok2vec = blank()
    pipe = add(nlp, tok2vec, labels=[])
    nlp.initialize(lambda: examples(nlp))
    assert set(pipe.labels) == set(TYPES)


def test_without_weights(add, tmp_path):
    nlp, tok2vec = blank()
    pipe = add(nlp, tok2vec)
    with pytest.raises(CheckpointError, match=r"O111.*initialize"):
        pipe.predict([Doc(nlp.vocab, ["Hi"])])
    nlp.to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    nlp.initialize()
    assert nlp("Hi there").spans["openner"] is not None


def test_what_belongs_to_the_other_architecture_is_refused(add):
    nlp, tok2vec = blank()
    pipe = add(nlp, tok2vec)
    for setting in ({"encoder": "x"}, {"head": {"width": 3}}):
        with pytest.raises(SettingError, match=r"O012.*spacy-openner\.SpanMatcher\.v1"):
            pipe.initialize(list, **setting)


@pytest.mark.parametrize("setting", [{"width": 0}, {"max_width": 0}, {"max_width": 129}])
def test_settings_out_of_range(setting, add):
    with pytest.raises(SettingError, match="O001"):
        add(spacy.blank("en"), CNN, model=setting)


def test_a_transformer_listener_without_its_component(add):
    needs_spacy_transformers()
    pipe = add(spacy.blank("en"), TRANSFORMER_LISTENER)
    with pytest.raises(CheckpointError, match="O112"):
        pipe.initialize(list)


def test_a_listener_without_its_component(add):
    nlp = ready(add, shared="tok2vec")
    with nlp.select_pipes(disable="tok2vec"), pytest.warns(OpenNERWarning, match="W009"):
        nlp("Hi there")


def test_label_encoders(encoder_path, bi_encoder_path, tiny_path, tmp_path):
    default = label_encoder.load("")
    assert default.width == default(["person"]).shape[1]
    for path in (encoder_path, bi_encoder_path, tiny_path):
        assert label_encoder.load(path)(["person", "city"]).shape == (2, 32)
    assert label_encoder.load(encoder_path)([]).shape == (0, 32)
    with pytest.raises(CheckpointError, match="O110"):
        label_encoder.load(tmp_path)
    with pytest.raises(CheckpointError, match="O110"), pytest.warns(OpenNERWarning, match="W002"):
        label_encoder.load("no-such/encoder")


@pytest.mark.parametrize("kind", ["bert", "t5", "roberta", "deberta-v2", "modernbert"])
def test_label_encoders_are_saved_exactly(kind, tmp_path):
    first = label_encoder.load(tiny.backbone(kind, tmp_path / "encoder"))
    first.save(tmp_path / "saved")
    second = label_encoder.load(tmp_path / "saved")
    assert torch.equal(first(tiny.LABELS), second(tiny.LABELS))
    assert str(tmp_path) not in (tmp_path / "saved" / "config.json").read_text()


def test_damaged_copies_are_refused(add, tmp_path):
    nlp = ready(add)
    nlp.to_disk(tmp_path)
    folder = tmp_path / "open_ner_span" / "model"
    content = (folder / "head.safetensors").read_bytes()
    (folder / "head.safetensors").write_bytes(content[:50])
    with pytest.raises(CheckpointError, match="O105"):
        spacy.load(tmp_path)
    (folder / "head.safetensors").unlink()
    with pytest.raises(CheckpointError, match="O105"):
        spacy.load(tmp_path)
    (folder / "head.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="O104"):
        spacy.load(tmp_path, config={"components.open_ner_span.model.width": 30})


def test_the_architecture_is_registered():
    assert registry.architectures.get("spacy-openner.BiEncoderSpanMatcher.v1")


@pytest.mark.parametrize("recipe", ["tok2vec", "shared_transformer"])
def test_recipes(recipe, encoder_path, tmp_path):
    """As `spacy train` runs them."""
    root = Path(__file__).resolve().parents[3]
    for split in ("train", "dev"):
        convert(root / "assets" / "sample" / "music" / f"{split}.jsonl", tmp_path / f"{split}.spacy")
    overrides = {
        "paths.train": str(tmp_path / "train.spacy"),
        "paths.dev": str(tmp_path / "dev.spacy"),
        "paths.label_encoder": str(encoder_path),
        "training.max_steps": 2,
        "training.eval_frequency": 2,
        "training.optimizer.learn_rate.warmup_steps": 1,
        "training.batcher.size": 100,
    }
    if recipe == "shared_transformer":
        needs_spacy_transformers()
        overrides["paths.encoder"] = str(tiny.backbone("bert", tmp_path / "encoder"))
    spacy_train(root / "configs" / f"{recipe}.cfg", tmp_path / "out", overrides=overrides)
    nlp = spacy.load(tmp_path / "out" / "model-last")
    assert "song" in nlp.get_pipe("open_ner_span").labels
    assert "openner_f" in nlp.meta["performance"]
    assert nlp("Hi there.").spans["openner"] is not None
