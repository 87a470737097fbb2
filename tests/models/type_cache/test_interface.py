"""The type cache behind `open_ner_span`: what the component promises, and what this architecture adds."""

import os
import pickle
import random
import threading
from dataclasses import replace

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc
from spacy.training import Example

from spacy_openner.errors import SettingError
from spacy_openner.labels import set_labels
from spacy_openner.models.span_model import span_model
from spacy_openner.models.type_cache import interface
from spacy_openner.models.type_cache.requests import MetTypes
from tests.support.tiny_models import LABELS, SENTENCES, backbone, found, long_text, same
from tests.support.type_cache import KINDS, pipeline, saved_type_cache

TEXTS = [text for text in SENTENCES if len(text) > 2]


@pytest.fixture(scope="module", params=KINDS)
def path(request, tmp_path_factory):
    return saved_type_cache(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return saved_type_cache("bert", tmp_path_factory.mktemp("one"))


def shim_of(nlp):
    return span_model(nlp.get_pipe("open_ner_span").model)


def all_scores(nlp, text, labels=LABELS):
    """Every span of up to four words against every type."""
    doc = nlp.make_doc(text)
    spans = [doc[i:j] for i in range(len(doc)) for j in range(i + 1, min(i + 4, len(doc)) + 1)]
    return nlp.get_pipe("open_ner_span").span_scores(doc, spans, labels)


def test_predictions_are_those_of_span_scores(path):
    """Two ways to the same numbers: one window and given spans, or batches of windows and all spans."""
    nlp = pipeline(path, LABELS, overlap="all")
    for doc in nlp.pipe(TEXTS):
        spans = found(doc)
        scores = nlp.get_pipe("open_ner_span").span_scores(doc, [doc[s:e] for s, e, *_ in spans])
        assert len(spans) > len(doc)
        for (_, _, label, score), row in zip(spans, scores, strict=True):
            assert row[LABELS.index(label)] == pytest.approx(score, abs=2e-5)


def test_order_and_number_of_mentions_change_nothing(path):
    nlp = pipeline(path)
    expected = all_scores(nlp, TEXTS[0])
    assert expected.std() > 0.01
    for order in ([4, 2, 0, 1, 3], [1, 0, 3, 2, 4]):
        assert np.array_equal(all_scores(nlp, TEXTS[0], [LABELS[i] for i in order]), expected[:, order])
    other = pipeline(path)
    assert np.array_equal(all_scores(other, TEXTS[0], list(reversed(LABELS)))[:, ::-1], expected)


def test_a_description_that_two_labels_share_counts_once(bert):
    """Labels are each once, but what is read for them need not be."""
    nlp = pipeline(bert, use_descriptions=True)
    one = all_scores(nlp, TEXTS[0], {"a": "person", "b": "award"})
    two = all_scores(nlp, TEXTS[0], {"a": "person", "b": "award", "c": "person"})
    assert np.array_equal(two[:, :2], one)
    assert np.array_equal(two[:, 2], one[:, 0])


def test_other_types_beside_it_do_change_a_score(bert):
    nlp = pipeline(bert)
    assert np.abs(all_scores(nlp, TEXTS[0])[:, 0] - all_scores(nlp, TEXTS[0], LABELS[:1])[:, 0]).max() > 1e-4


def test_batch_mates_and_padding_change_nothing(path):
    nlp = pipeline(path, LABELS, overlap="all")
    together = list(nlp.pipe(TEXTS))
    for text, doc in zip(TEXTS, together, strict=True):
        same(found(doc), found(nlp(text)))


def test_lengths_in_steps_change_nothing(path):
    """Windows of full length included, which cannot be rounded up."""
    nlp = pipeline(path, LABELS[:2], overlap="all", threshold=0.3)
    texts = [*TEXTS, long_text(900)]
    expected = [found(doc) for doc in nlp.pipe(texts)]
    shim = shim_of(nlp)
    shim._runtime = replace(shim.runtime, step=8)
    shapes = []
    encode = type(shim.runtime.network).encode_texts
    shim.runtime.network.encode_texts = lambda batch, types: (
        shapes.append(batch.input_ids.shape[1]) or encode(shim.runtime.network, batch, types)
    )
    for doc, spans in zip(nlp.pipe(texts), expected, strict=True):
        same(found(doc), spans)
    longest = max(shapes)
    assert all(length % 8 == 0 or length == longest for length in shapes)


@pytest.mark.parametrize("least", [0, 64])
def test_texts_of_a_batch_may_ask_for_types_of_their_own(path, monkeypatch, least):
    monkeypatch.setattr(interface, "LONG_LIST", least)
    nlp = pipeline(path, overlap="all")
    lists = [LABELS[:2], LABELS[3:], [], LABELS[1:4], LABELS[:2], ["award"], LABELS]
    docs = [nlp.make_doc(text) for text in TEXTS]
    for doc, labels in zip(docs, lists, strict=True):
        set_labels(doc, labels)
    for doc, labels, text in zip(nlp.pipe(docs), lists, TEXTS, strict=True):
        alone = pipeline(path, labels, overlap="all")(text) if labels else None
        same(found(doc), found(alone) if alone is not None else [])


def test_long_texts_are_read_in_windows(path):
    text = long_text(900)
    nlp = pipeline(path, LABELS[:2], {"window": 64, "overlap": 8}, overlap="all", threshold=0.3)
    doc = nlp(text)
    spans = found(doc)
    assert max(e for _, e, *_ in spans) > 850
    assert all(score > 0.3 for *_, score in spans)
    whole = pipeline(path, LABELS[:2], overlap="all", threshold=0.3)(text[:200])
    assert len(whole.spans["openner"]) > 0


def test_thresholds_of_labels_hold(bert):
    everything = found(pipeline(bert, LABELS, overlap="all")(TEXTS[0]))
    some = pipeline(bert, LABELS, overlap="all", label_thresholds={"person": 0.6, "award": 1.0})(TEXTS[0])
    kept = [x for x in everything if x[3] > {"person": 0.6, "award": 1.0}.get(x[2], 0.0)]
    same(found(some), kept)
    assert len(kept) < len(everything)


def test_flat_nested_and_all(bert):
    sizes = {
        mode: len(pipeline(bert, LABELS, overlap=mode)(TEXTS[0]).spans["openner"]) for mode in ("flat", "nested", "all")
    }
    assert sizes["flat"] < sizes["nested"] < sizes["all"]


def test_types_in_parts(bert):
    """With `max_types`, types of one part do not see those of another."""
    nlp = pipeline(bert, model={"max_types": 2})
    whole = all_scores(nlp, TEXTS[0])
    parts = pipeline(bert)
    ordered = sorted(LABELS)
    for part in (ordered[:1], ordered[1:3], ordered[3:]):
        columns = [LABELS.index(label) for label in part]
        assert np.allclose(whole[:, columns], all_scores(parts, TEXTS[0], part), atol=1e-5)


def test_a_type_is_encoded_once(bert):
    nlp = pipeline(bert)
    shim, asked = shim_of(nlp), []
    network = shim.runtime.network
    encode = network.encode_types
    network.encode_types = lambda ids: asked.append(len(ids)) or encode(ids)
    for labels in (LABELS[:3], LABELS[:3], LABELS, list(reversed(LABELS))):
        all_scores(nlp, TEXTS[0], labels)
    assert asked == [3, 2]


def test_the_cache_is_bounded(bert):
    nlp = pipeline(bert, model={"cache_mb": 0})
    expected = all_scores(pipeline(bert), TEXTS[0])
    assert np.allclose(all_scores(nlp, TEXTS[0]), expected, atol=1e-6)
    assert len(shim_of(nlp).cache) == 0


def test_text_cannot_pose_as_a_type(bert):
    nlp = pipeline(bert)
    ids = shim_of(nlp).tokenizer.split_words([["<<ENT>>", "person"]])[0].ids
    assert shim_of(nlp).checkpoint.marker_id not in ids


def test_a_type_that_is_too_long(bert):
    nlp = pipeline(bert, ["a " * 600])
    with pytest.raises(SettingError, match="O006"):
        nlp(TEXTS[0])


def test_saved_and_loaded(path, tmp_path):
    nlp = pipeline(path, LABELS, overlap="all")
    expected = found(nlp(TEXTS[0]))
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    assert found(loaded(TEXTS[0])) == expected
    files = {file.name for file in (tmp_path / "pipeline" / "open_ner_span" / "model").iterdir()}
    assert {"type_cache.json", "model.safetensors", "tokenizer.json"} <= files
    again = pipeline(path, LABELS, overlap="all").from_bytes(nlp.to_bytes())
    assert found(again(TEXTS[0])) == expected


def test_pickled_with_an_empty_cache(bert):
    nlp = pipeline(bert, LABELS, overlap="all")
    expected = found(nlp(TEXTS[0]))
    copy = pickle.loads(pickle.dumps(nlp))
    assert len(shim_of(copy).cache) == 0
    assert found(copy(TEXTS[0])) == expected


def test_threads(bert):
    nlp = pipeline(bert, LABELS, overlap="all")
    expected = {text: found(nlp(text)) for text in TEXTS}
    fresh, results = pipeline(bert, LABELS, overlap="all"), []

    def run(texts):
        results.extend((text, found(fresh(text))) for text in texts)

    threads = [threading.Thread(target=run, args=(TEXTS[i:] + TEXTS[:i],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 * len(TEXTS)
    for text, spans in results:
        same(spans, expected[text])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_processes(bert):
    nlp = pipeline(bert, LABELS, overlap="all")
    expected = [found(nlp(text)) for text in TEXTS]
    for doc, spans in zip(nlp.pipe(TEXTS, n_process=2), expected, strict=True):
        same(found(doc), spans)


def test_bfloat16(bert):
    exact = all_scores(pipeline(bert), TEXTS[0])
    rough = all_scores(pipeline(bert, model={"precision": "bfloat16"}), TEXTS[0])
    assert np.abs(rough - exact).max() < 0.2
    assert np.corrcoef(rough.ravel(), exact.ravel())[0, 1] > 0.98


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("words", "tokens"),
        ("precision", "int8"),
        ("window", 3),
        ("cache_mb", -1),
        ("company", 2.0),
        ("company_types", -1),
        ("max_types", 0),
    ],
)
def test_settings_are_checked(setting, value):
    with pytest.raises(SettingError, match="O001"):
        pipeline("somewhere", model={setting: value})


# Training


def examples(nlp, count=12):
    """Names and cities, each behind a word of its own."""
    names, cities = ["marie", "curie", "zhang", "wei"], ["paris", "beijing", "zurich", "dublin"]
    made = []
    for i in range(count):
        words = ["mrs", names[i % 4], "lives", "in", cities[i // 3 % 4], "now"]
        gold = Doc(nlp.vocab, words=words)
        gold.spans["openner"] = [
            spacy.tokens.Span(gold, 1, 2, label="person"),
            spacy.tokens.Span(gold, 4, 5, label="city"),
        ]
        set_labels(gold, ["person", "city", "award"])
        made.append(Example(Doc(nlp.vocab, words=words), gold))
    return made


def trained(nlp, rounds, **options):
    gold = examples(nlp)
    nlp.initialize(lambda: gold)
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 3e-3
    losses = []
    for _ in range(rounds):
        losses.append(nlp.update(gold, sgd=optimizer, **options)["open_ner_span"])
    return losses


def test_overfits(path):
    torch.manual_seed(0)
    nlp = pipeline(path, ["person", "city", "award"], threshold=0.5)
    losses = trained(nlp, 40)
    assert min(losses[-5:]) < losses[0] / 20
    for gold in examples(nlp):
        doc = nlp(Doc(nlp.vocab, words=[token.text for token in gold.reference]))
        assert [(s.start, s.end, s.label_) for s in doc.ents] == [(1, 2, "person"), (4, 5, "city")]


def test_the_cache_follows_the_weights(bert):
    nlp = pipeline(bert, ["person", "city"])
    before = all_scores(nlp, TEXTS[0])
    trained(nlp, 3)
    after = all_scores(nlp, TEXTS[0])
    assert np.abs(after - before).max() > 1e-3
    copy = pipeline(bert, ["person", "city"]).from_bytes(nlp.to_bytes())
    assert np.allclose(all_scores(copy, TEXTS[0]), after, atol=1e-6)


@pytest.mark.parametrize("batch_tokens", [16, 4096])
def test_gradients_do_not_depend_on_batches(path, batch_tokens):
    """Types are encoded once for several batches, whose gradients are added up."""
    gradients = []
    for tokens in (batch_tokens, 40):
        torch.manual_seed(0)
        nlp = pipeline(path, ["person", "city", "award"], batch_tokens=tokens)
        pipe = nlp.get_pipe("open_ner_span")
        pipe.sampler = lambda present, annotated_types: {label: label for label in annotated_types}
        network = shim_of(nlp).checkpoint.network
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        gold = examples(nlp, 5)
        nlp.update(gold, sgd=None, losses={})
        gradients.append({n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None})
    first, second = gradients
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.allclose(value, second[name], rtol=1e-3, atol=1e-5), name


def test_company_shows_all_types_and_teaches_the_same(bert):
    nlp = pipeline(bert, ["person"], {"company": 1.0})
    shim, requests = shim_of(nlp), []
    begin = shim.begin_update
    shim.begin_update = lambda request: requests.append(request) or begin(request)
    assert np.isfinite(trained(nlp, 2)).all()
    assert all(request.seen is not None and set(request.seen) >= set(request.types[0]) for request in requests)


def test_types_of_earlier_updates_are_seen_and_get_no_gradients(bert):
    nlp = pipeline(bert, ["person"], {"company": 1.0, "company_types": 40})
    shim, seen = shim_of(nlp), []
    begin = shim.begin_update
    shim.begin_update = lambda request: seen.append(set(request.seen) - set(request.types[0])) or begin(request)
    random.seed(0)
    for i in range(30):
        gold = examples(nlp, 2)
        for eg in gold:
            set_labels(eg.reference, ["person", "city", f"kind {i}"])
        losses = nlp.update(gold, losses={})
        assert np.isfinite(losses["open_ner_span"])
    assert seen[0] == set()
    assert max(map(len, seen)) > 5
    assert set().union(*seen) <= {"person", "city", *(f"kind {i}" for i in range(29))}
    grown = [len(others) for others in seen]
    assert len(set(grown)) > 5, "how many is drawn anew"


def test_types_met_are_bounded():
    met = MetTypes()
    for i in range(50):
        met.beside([f"{i} {k}" for k in range(100)], 0)
    random.seed(1)
    drawn = {text for _ in range(50) for text in met.beside(["49 0"], 5000)}
    assert len(drawn) == MetTypes.LIMIT - 1
    assert "0 0" not in drawn


def test_mixed_precision_trains(bert):
    nlp = pipeline(bert, ["person", "city"], {"mixed_precision": True})
    losses = trained(nlp, 25)
    assert losses[-1] < losses[0] / 2
    assert next(shim_of(nlp).checkpoint.network.parameters()).dtype is torch.float32


# New networks


def test_a_new_network_of_an_encoder(tmp_path):
    nlp = pipeline("", ["person"])
    gold = examples(nlp)
    head = {"width": 16, "layers": 1, "max_width": 3, "markers_only": True}
    nlp.get_pipe("open_ner_span").initialize(lambda: gold, nlp=nlp, encoder=backbone("bert", tmp_path), head=head)
    network = shim_of(nlp).checkpoint.network
    assert len(network.encoder.stack) == 1
    assert (network.head.width, network.head.max_width, network.markers_only) == (16, 3, True)
    copy = pipeline("", ["person"]).from_bytes(nlp.to_bytes())
    assert found(copy(TEXTS[0])) == found(nlp(TEXTS[0]))


def test_unknown_settings_of_a_head(bert):
    nlp = pipeline("", ["person"])
    with pytest.raises(SettingError, match="O001"):
        nlp.get_pipe("open_ner_span").initialize(lambda: examples(nlp), nlp=nlp, encoder=bert, head={"deep": 1})
