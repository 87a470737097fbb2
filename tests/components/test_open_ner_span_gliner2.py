"""`open_ner_span` with checkpoints of the GLiNER2 family: by name alone, like any other."""

import json

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_openner.errors import CheckpointError, OpenNERWarning, SettingError
from spacy_openner.models.gliner2 import checkpoint as gliner2
from tests.support import tiny_gliner2 as tiny2
from tests.support import tiny_models as tiny

ARCHITECTURES = ("span", "boundary")


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return {name: tiny2.saved(name, tmp_path_factory.mktemp(name)) for name in ARCHITECTURES}


def build(path, model=None, **config):
    nlp = spacy.blank("en")
    model = {**tiny.span_matcher(path), "precision": "float32", **(model or {})}
    nlp.add_pipe("open_ner_span", config={"labels": tiny.LABELS, "threshold": 0.5, "model": model, **config})
    return nlp


def threshold_of(path, quantile=0.7):
    """A threshold that part of the spans pass."""
    doc = build(path, threshold=0.0, overlap="all")(tiny.SENTENCES[0])
    return float(np.quantile([score for *_, score in tiny.found(doc)], quantile))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_checkpoint_loads_by_name_and_finds_spans(architecture, paths):
    nlp = build(paths[architecture], threshold=threshold_of(paths[architecture]), overlap="all")
    spans = tiny.found(nlp(tiny.SENTENCES[0]))
    assert spans
    assert {label for _, _, label, _ in spans} <= set(tiny.LABELS)
    widths = [end - start for start, end, _, _ in spans]
    assert max(widths) <= 8 if architecture == "span" else max(widths) > 8


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_batches_change_nothing(architecture, paths):
    nlp = build(paths[architecture], threshold=threshold_of(paths[architecture]), overlap="all")
    together = list(nlp.pipe(tiny.SENTENCES))
    nlp.get_pipe("open_ner_span").batch_tokens = 1
    for doc, text in zip(together, tiny.SENTENCES, strict=True):
        tiny.same(tiny.found(doc), tiny.found(nlp(text)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_types_of_single_docs(architecture, paths):
    nlp = build(paths[architecture], threshold=0.0, overlap="all")
    docs = [nlp.make_doc(tiny.SENTENCES[0]) for _ in range(3)]
    docs[0]._.openner_labels = ["person"]
    docs[1]._.openner_labels = []
    alone = [tiny.found(nlp(nlp_doc.copy())) for nlp_doc in docs]
    for doc, expected in zip(nlp.pipe(docs), alone, strict=True):
        tiny.same(tiny.found(doc), expected)
    assert alone[1] == []
    assert {label for *_, label, _ in alone[0]} == {"person"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_descriptions_change_scores_and_labels_stay(architecture, paths):
    labels = {"person": "a human being", "city": "a populated place"}
    plain = build(paths[architecture], labels=labels, threshold=0.0, overlap="all")
    told = build(paths[architecture], labels=labels, use_descriptions=True, threshold=0.0, overlap="all")
    first, second = tiny.found(plain(tiny.SENTENCES[0])), tiny.found(told(tiny.SENTENCES[0]))
    assert {label for *_, label, _ in second} == {"person", "city"}
    assert [score for *_, score in first] != [score for *_, score in second]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_score_at_the_threshold_passes(architecture, paths):
    nlp = build(paths[architecture], threshold=0.0, overlap="all")
    spans = tiny.found(nlp(tiny.SENTENCES[0]))
    score = sorted(score for *_, score in spans)[len(spans) // 2]
    nlp.get_pipe("open_ner_span").threshold = score
    kept = [found for *_, found in tiny.found(nlp(tiny.SENTENCES[0]))]
    assert min(kept) == score


def test_a_shut_gate_lets_nothing_pass(paths, tmp_path):
    checkpoint = gliner2.load(paths["span"])
    with torch.no_grad():
        checkpoint.network.head.gate[2].bias[0] += 1000.0
    gliner2.save(checkpoint, tmp_path)
    nlp = build(tmp_path, threshold=0.0)
    doc = nlp(tiny.SENTENCES[0])
    assert tiny.found(doc) == []
    scores = nlp.get_pipe("open_ner_span").span_scores(doc, [doc[0:2]])
    assert (scores > 0).all(), "scores of given spans are scores, whatever the gate says"


def test_absent_types_are_left_out(paths, tmp_path):
    checkpoint = gliner2.load(paths["boundary"])
    with torch.no_grad():
        checkpoint.network.head.absence.bias += 1000.0
    gliner2.save(checkpoint, tmp_path)
    assert tiny.found(build(tmp_path, threshold=0.0)(tiny.SENTENCES[0])) == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_long_texts_are_read_to_their_end(architecture, paths):
    nlp = build(
        paths[architecture], {"window": 160, "overlap": 8}, threshold=threshold_of(paths[architecture]), overlap="all"
    )
    doc = nlp(tiny.long_text(400))
    starts = [start for start, *_ in tiny.found(doc)]
    assert min(starts) < 40
    assert max(starts) > len(doc) - 40


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_more_types_than_a_prompt_holds(architecture, paths):
    nlp = build(paths[architecture], labels=[f"type {i}" for i in range(120)], threshold=0.0, overlap="all")
    assert len({label for *_, label, _ in tiny.found(nlp(tiny.SENTENCES[0]))}) == 120


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_given_spans_have_the_scores_of_found_ones(architecture, paths):
    nlp = build(paths[architecture], threshold=0.0, overlap="all")
    # A text that ends a sentence: nothing is added to it.
    doc = nlp(tiny.SENTENCES[0])
    found = {(start, end, label): score for start, end, label, score in tiny.found(doc)}
    spans = [doc[start:end] for start, end in sorted({key[:2] for key in found})]
    scores = nlp.get_pipe("open_ner_span").span_scores(doc, spans)
    for span, row in zip(spans, scores, strict=True):
        for label, score in zip(tiny.LABELS, row.tolist(), strict=True):
            assert score == pytest.approx(found[span.start, span.end, label], abs=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_spans_of_any_width_can_be_scored(architecture, paths):
    nlp = build(paths[architecture])
    doc = nlp.make_doc(tiny.SENTENCES[6])
    spans = [doc[i:j] for i in range(len(doc)) for j in range(i + 1, len(doc) + 1)]
    assert len(spans) > tiny2.BOUNDARY["pool_size"], "more than one pool"
    scores = nlp.get_pipe("open_ner_span").span_scores(doc, spans)
    assert scores.shape == (len(spans), len(tiny.LABELS))
    assert ((scores >= 0) & (scores <= 1)).all()
    assert np.ptp(scores) > 0.1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_pipelines_keep_the_checkpoint(architecture, paths, tmp_path):
    nlp = build(paths[architecture], threshold=threshold_of(paths[architecture]), overlap="all")
    expected = tiny.found(nlp(tiny.SENTENCES[0]))
    nlp.to_disk(tmp_path / "nlp")
    assert expected
    assert tiny.found(spacy.load(tmp_path / "nlp")(tiny.SENTENCES[0])) == expected
    again = build(paths[architecture], threshold=nlp.get_pipe("open_ner_span").threshold, overlap="all")
    again.from_bytes(nlp.to_bytes())
    assert tiny.found(again(tiny.SENTENCES[0])) == expected


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_onnx_encoders(architecture, precision, paths):
    pytest.importorskip("onnxruntime")
    doc = build(paths[architecture], threshold=0.0, overlap="all")(tiny.SENTENCES[0])
    other = build(paths[architecture], {"backend": "onnx", "precision": precision}, threshold=0.0, overlap="all")(
        tiny.SENTENCES[0]
    )
    theirs = {span[:3]: span[3] for span in tiny.found(other)}
    gaps = [abs(theirs[span[:3]] - span[3]) for span in tiny.found(doc) if span[:3] in theirs]
    assert len(gaps) > 50
    assert max(gaps) < (1e-4 if precision == "float32" else 0.5)


def test_fine_tuning_a_span_checkpoint(tmp_path):
    texts = [("Marie Curie lived in Paris.", [(0, 2, "person")]), ("Paris met Curie.", [(2, 3, "person")])]
    nlp = build(tiny2.saved("span", tmp_path, scale=1.0), labels=["person"])
    examples = []
    for text, spans in texts:
        reference = nlp.make_doc(text)
        reference.set_ents([Span(reference, *span) for span in spans])
        examples.append(Example(nlp.make_doc(text), reference))
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.003
    losses: list[float] = []
    while len(losses) < 300 and (not losses or losses[-1] > 0.1):
        losses.append(nlp.update(examples, sgd=optimizer)["open_ner_span"])
    assert losses[-1] < losses[0] / 20
    assert nlp.evaluate(examples)["openner_f"] == 1.0
    nlp.to_disk(tmp_path / "nlp")
    assert spacy.load(tmp_path / "nlp").evaluate(examples)["openner_f"] == 1.0
    # What was trained is a checkpoint of the family, which loads by name.
    trained = next((tmp_path / "nlp").rglob("encoder_config")).parent
    assert gliner2.is_checkpoint(trained)
    assert tiny.found(build(trained, labels=["person"])(texts[0][0])) == tiny.found(nlp(texts[0][0]))


def test_boundary_checkpoints_are_not_trained(paths):
    nlp = build(paths["boundary"], labels=["person"])
    example = Example.from_dict(nlp.make_doc("Marie"), {"entities": [(0, 5, "person")]})
    optimizer = nlp.initialize(lambda: [example])
    with pytest.raises(SettingError, match="O122"):
        nlp.update([example], sgd=optimizer)
    assert isinstance(nlp("Marie"), Doc), "and it still finds"


@pytest.mark.parametrize(
    ("architecture", "changes", "found"),
    [
        ("span", {"architecture": "tree"}, "architecture 'tree'"),
        ("span", {"token_pooling": "mean"}, "token_pooling 'mean'"),
        ("span", {"counting_layer": "count_none"}, "counting_layer 'count_none'"),
        ("span", {"span_head": {"span_mode": "marker"}}, "span_mode 'marker'"),
        ("boundary", {"boundary_head": {}}, "candidate_pool 'per_query'"),
    ],
)
def test_other_kinds_are_refused_by_name(architecture, changes, found, paths, tmp_path):
    gliner2.save(gliner2.load(paths[architecture]), tmp_path)
    tiny2.edit(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=f"O121.*{found}"):
        build(tmp_path)("Marie")


def test_old_configs_without_architecture(paths, tmp_path):
    expected = tiny.found(build(paths["span"])(tiny.SENTENCES[0]))
    gliner2.save(gliner2.load(paths["span"]), tmp_path)
    tiny2.edit(tmp_path, architecture=..., span_head=..., counting_layer=..., max_width=8)
    assert tiny.found(build(tmp_path)(tiny.SENTENCES[0])) == expected


def test_files_that_are_missing_are_named(paths, tmp_path):
    gliner2.save(gliner2.load(paths["span"]), tmp_path)
    (tmp_path / "encoder_config/config.json").unlink()
    with pytest.raises(CheckpointError, match=r"O123.*encoder_config/config\.json"):
        build(tmp_path)("Marie")
    gliner2.save(gliner2.load(paths["span"]), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        build(tmp_path)("Marie")


def test_an_adaptive_threshold_is_left_out_with_a_warning(paths, tmp_path):
    gliner2.save(gliner2.load(paths["boundary"]), tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())["boundary_head"]
    tiny2.edit(tmp_path, boundary_head={**settings, "adaptive_threshold": True})
    with pytest.warns(OpenNERWarning, match="W120"):
        gliner2.load(tmp_path)


@pytest.mark.parametrize("layer", tiny2.COUNTING_LAYERS)
def test_type_networks_do_not_see_padding(layer, tmp_path):
    """A prompt of two types beside one of five scores as alone."""
    nlp = build(tiny2.saved("span", tmp_path, counting_layer=layer), threshold=0.0, overlap="all")
    docs = [nlp.make_doc(tiny.SENTENCES[0]), nlp.make_doc(tiny.SENTENCES[1])]
    docs[0]._.openner_labels = tiny.LABELS[:2]
    alone = tiny.found(nlp(docs[0].copy()))
    tiny.same(tiny.found(next(iter(nlp.pipe(docs)))), alone)
