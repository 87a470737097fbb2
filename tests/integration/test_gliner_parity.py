"""The `gliner` package and this one give the same numbers for the same files, and read each other's."""

from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from safetensors.torch import load_file
from spacy.language import Language

from spacy_openner.errors import OpenNERWarning
from spacy_openner.models.gliner import checkpoint as gliner_checkpoint
from spacy_openner.models.queries import SpanQuery
from spacy_openner.models.span_model import span_model
from spacy_openner.models.words import doc_words
from tests.support import tiny_models as tiny

gliner = pytest.importorskip("gliner")

VARIANTS = {
    "markerV0": {},
    "markerV0-lstm": {"lstm_layers": 1},
    "markerV0-own-width": {"width": None},
    "marker": {"span_mode": "marker"},
    "token": {"span_mode": "token_level"},
    "token-lstm": {"span_mode": "token_level", "lstm_layers": 1},
    "bi-encoder": {"labels_encoder": "bert"},
    "bi-encoder-token": {"labels_encoder": "bert", "span_mode": "token_level"},
    "width-1": {"max_width": 1},
}
CASES = [("bert", name) for name in VARIANTS] + [
    (kind, name) for kind in tiny.KINDS if kind != "bert" for name in ("markerV0", "token-lstm")
]


def build(kind: str, variant: str, path: Path) -> Path:
    options = dict(VARIANTS[variant])
    if "labels_encoder" in options:
        options["labels_encoder"] = tiny.backbone("bert", path / "labels", seed=1)
    return tiny.saved(kind, path, **options)


def reference_scores(model, text: str, labels: list[str]) -> np.ndarray:
    """Probabilities that the reference computes. *Shape:* (words, widths, labels) or (words, labels, 3)."""
    words = [word for word, _, _ in model.data_processor.words_splitter(text)]
    batch = model.create_collator()([{"tokenized_text": words, "ner": None}], entity_types=labels)
    batch = {key: value for key, value in batch.items() if isinstance(value, torch.Tensor)}
    with torch.no_grad():
        return model.model(**batch)[0].sigmoid()[0].numpy()


def pipeline(path: Path, **config) -> Language:
    """This package's component with the same checkpoint."""
    nlp = spacy.blank("en")
    model = tiny.span_matcher(path, words="gliner", precision="float32")
    nlp.add_pipe("open_ner_span", config={"labels": tiny.LABELS, "model": model, **config})
    return nlp


def own_scores(nlp: Language, text: str, labels: list[str]) -> np.ndarray:
    """The same from this package's network, by its own windows."""
    pipe = nlp.get_pipe("open_ner_span")
    doc = nlp.make_doc(text)
    words = doc_words(doc, "gliner")
    shim = span_model(pipe.model)
    (window,) = shim.planner.plan([words], [labels])
    query = SpanQuery(words, labels, np.zeros(len(labels)), doc)
    logits = pipe.model.predict(shim.request([window], [query]))
    return logits.sigmoid()[0].numpy()


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request, tmp_path_factory):
    """A checkpoint, the reference's model of it, and its variant."""
    path = build(*request.param, tmp_path_factory.mktemp("case"))
    return path, gliner.GLiNER.from_pretrained(str(path)), request.param[1]


def test_every_probability_equals_the_reference(case):
    path, model, _ = case
    nlp, spread = pipeline(path), []
    for text in tiny.SENTENCES:
        ours, theirs = own_scores(nlp, text, tiny.LABELS), reference_scores(model, text, tiny.LABELS)
        assert ours.shape == theirs.shape
        if ours.shape[-1] == len(tiny.LABELS):  # spans past the end hold nothing
            inside = np.add.outer(np.arange(ours.shape[0]), np.arange(ours.shape[1])) < ours.shape[0]
            ours, theirs = ours[inside], theirs[inside]
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
        spread.append(np.ptp(theirs))
    assert max(spread) > 0.05, "scores that do not differ would show nothing"


def test_entities_equal_the_reference(case):
    path, model, variant = case
    # At 0.5 random weights find nothing or everything; a middle score finds some.
    scores = np.concatenate([reference_scores(model, text, tiny.LABELS).ravel() for text in tiny.SENTENCES])
    threshold = widest_gap(scores, 0.3 if "token" in variant else 0.9)
    nlp = pipeline(path, threshold=threshold)
    pipe, found = nlp.get_pipe("open_ner_span"), 0
    for overlap, options in {
        "flat": {"flat_ner": True},
        "nested": {"flat_ner": False},
        "all": {"flat_ner": False, "multi_label": True},
    }.items():
        if overlap == "all" or VARIANTS[variant].get("max_width") == 1:
            continue  # the reference has no mode without any constraint, and does not join words
        pipe.overlap = overlap
        for text in tiny.SENTENCES:
            doc = nlp(text)
            if any(doc.char_span(m.start(), m.end()) is None for m in gliner_words(text)):
                continue  # expansion to spaCy tokens may make two spans one
            theirs = {
                (e["start"], e["end"], e["label"]): e["score"]
                for e in model.predict_entities(text, tiny.LABELS, threshold=threshold, **options)
            }
            group = doc.spans["openner"]
            ours = {
                (s.start_char, s.end_char, s.label_): float(p)
                for s, p in zip(group, group.attrs["scores"], strict=True)
            }
            assert ours.keys() == theirs.keys()
            assert all(abs(ours[key] - theirs[key]) < 1e-4 for key in ours)
            found += len(ours)
    assert found or VARIANTS[variant].get("max_width") == 1


def widest_gap(scores: np.ndarray, quantile: float) -> float:
    """A threshold near a quantile that no score is close to: rounding must not decide a test."""
    # Spans past the end of a text share one score: a gap is looked for among different scores.
    ranked = np.unique(scores.round(5))
    middle = int(quantile * len(ranked))
    near = ranked[max(middle - 40, 0) : middle + 40]
    at = int(np.argmax(np.diff(near)))
    assert near[at + 1] - near[at] > 1e-5
    return float((near[at] + near[at + 1]) / 2)


def gliner_words(text: str):
    from spacy_openner.models.words import GLINER_WORD

    return GLINER_WORD.finditer(text)


def test_round_trip_through_the_reference(case, tmp_path):
    path, model, _ = case
    model.save_pretrained(str(tmp_path / "theirs"), safe_serialization=True)
    model.save_pretrained(str(tmp_path / "pickled"))
    first = gliner_checkpoint.load(path).network.state_dict()
    for copy in ("theirs", "pickled"):
        second = gliner_checkpoint.load(tmp_path / copy).network.state_dict()
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


THEIRS = {
    "markerV0": {"span_mode": "markerV0"},
    "markerV0, no lstm": {"span_mode": "markerV0", "num_rnn_layers": 0},
    "marker": {"span_mode": "marker"},
    "token": {"span_mode": "token_level"},
    "after the marker": {"span_mode": "markerV0", "embed_ent_token": False},
    "bi-encoder": {"span_mode": "markerV0", "labels_encoder": True},
    "markerV1": {"span_mode": "markerV1"},
    "markerV1, no lstm": {"span_mode": "markerV1", "num_rnn_layers": 0},
    "mean": {"span_mode": "markerV0", "subtoken_pooling": "mean"},
    "max": {"span_mode": "markerV0", "subtoken_pooling": "max", "num_rnn_layers": 0},
    "last": {"span_mode": "markerV0", "subtoken_pooling": "last"},
    "token, mean": {"span_mode": "token_level", "subtoken_pooling": "mean"},
    "bi-encoder, max": {"span_mode": "markerV0", "labels_encoder": True, "subtoken_pooling": "max"},
    "relations": {"span_mode": "markerV0", "relations_layer": "gcn"},
    "relations without parameters": {"span_mode": "markerV0", "relations_layer": "dot", "triples_layer": "DistMult"},
    "relations, none": {"span_mode": "markerV0", "relations_layer": "none"},
    "relations, token": {"span_mode": "token_level", "relations_layer": "dot"},
    "decoder": {"span_mode": "markerV0", "labels_decoder": True},
}
OTHER_TASKS = ("relations", "decoder")
"""Variants whose names start so have more tasks than entities."""


@pytest.mark.filterwarnings("ignore:.*W121")
@pytest.mark.parametrize("variant", THEIRS)
def test_models_that_the_reference_made(variant, tmp_path):
    """Built and saved by `gliner` alone, loaded here: the same probabilities."""
    options = dict(THEIRS[variant])
    if "labels_encoder" in options:
        options["labels_encoder"] = str(tiny.backbone("bert", tmp_path / "labels", seed=1))
    if "labels_decoder" in options:
        options["labels_decoder"] = str(tiny.saved_generator("gpt2", tmp_path / "decoder"))
    config = gliner.GLiNERConfig(
        model_name=str(tiny.backbone("bert", tmp_path / "backbone")), hidden_size=24, max_width=6, **options
    )
    made = gliner.GLiNER.from_config(config)
    tiny.spread(made.model, 12.0)
    for name, value in made.model.named_parameters():
        if value.dim() == 2 and not name.startswith("token_rep_layer"):
            value.data.mul_(2.0)
    made.save_pretrained(str(tmp_path / "saved"), safe_serialization=True)
    reference = gliner.GLiNER.from_pretrained(str(tmp_path / "saved"))
    first = load_file(tmp_path / "saved/model.safetensors")
    gliner_checkpoint.save(gliner_checkpoint.load(tmp_path / "saved"), tmp_path / "again")
    second = load_file(tmp_path / "again/model.safetensors")
    assert all(torch.equal(first[key], second[key]) for key in first), "what is saved again lacks nothing"
    nlp, spread = pipeline(tmp_path / "saved"), []
    if variant.startswith(OTHER_TASKS):
        with pytest.warns(OpenNERWarning, match="W121"):
            own_scores(nlp, tiny.SENTENCES[0], tiny.LABELS)
    for text in tiny.SENTENCES[:4]:
        ours = own_scores(nlp, text, tiny.LABELS)
        theirs = reference_scores(reference, text, tiny.LABELS)
        if ours.shape[-1] == len(tiny.LABELS):
            inside = np.add.outer(np.arange(ours.shape[0]), np.arange(ours.shape[1])) < ours.shape[0]
            ours, theirs = ours[inside], theirs[inside]
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
        spread.append(np.ptp(theirs))
    assert max(spread) > 0.01


FIXED = ["person", "award", "city"]


@pytest.fixture(params=["markerV0", "token_level"])
def fixed_types(request, tmp_path):
    """A model of `gliner` with vectors of three types instead of prompts, and its directory."""
    backbone = tiny.backbone("bert", tmp_path / "backbone")
    config = gliner.GLiNERConfig(model_name=str(backbone), hidden_size=24, max_width=6, span_mode=request.param)
    made = gliner.GLiNER.from_config(config).eval()
    tiny.spread(made.model, 12.0)
    with torch.no_grad():
        for name, value in made.model.named_parameters():
            if value.dim() == 2 and not name.startswith("token_rep_layer"):
                value.mul_(2.0)
    made.compress_prompt_embeddings(tiny.SENTENCES[:4], FIXED)
    made.save_pretrained(str(tmp_path / "fixed"), safe_serialization=True)
    return made, tmp_path / "fixed"


def test_types_with_vectors_of_their_own_equal_the_reference(fixed_types):
    made, path = fixed_types
    nlp, spread = pipeline(path), []
    for text in tiny.SENTENCES[:4]:
        ours, theirs = own_scores(nlp, text, FIXED), reference_scores(made, text, FIXED)
        if ours.shape[-1] == len(FIXED) and made.config.span_mode == "markerV0":
            inside = np.add.outer(np.arange(ours.shape[0]), np.arange(ours.shape[1])) < ours.shape[0]
            ours, theirs = ours[inside], theirs[inside]
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
        spread.append(np.ptp(theirs))
        # Types are chosen among the fixed ones, in any order.
        some = own_scores(nlp, text, [FIXED[2], FIXED[0]])
        chosen = some[:, :, ::-1] if made.config.span_mode == "markerV0" else some[:, ::-1]
        whole = own_scores(nlp, text, FIXED)
        expected = whole[..., [0, 2]] if made.config.span_mode == "markerV0" else whole[:, [0, 2]]
        np.testing.assert_allclose(chosen, expected, atol=1e-6)
    assert max(spread) > 0.01


def test_types_with_vectors_of_their_own_are_saved(fixed_types, tmp_path):
    _, path = fixed_types
    first = load_file(path / "model.safetensors")
    gliner_checkpoint.save(gliner_checkpoint.load(path), tmp_path / "again")
    second = load_file(tmp_path / "again/model.safetensors")
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert gliner_checkpoint.load(tmp_path / "again").fixed_types == tuple(FIXED)
