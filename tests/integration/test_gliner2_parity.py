"""The `gliner2` package and this one give the same entities for the same files, and read each other's."""

import json
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch

from spacy_openner.models.gliner2 import checkpoint as own
from spacy_openner.models.words import gliner2_word
from tests.support import tiny_gliner2 as tiny2
from tests.support import tiny_models as tiny

pytest.importorskip("gliner2", reason="the `gliner2` package (gliner2[local]) is not installed here")
pytest.importorskip("gliner2.models.span", reason="gliner2 is installed without its local models (gliner2[local])")

VARIANTS = {
    "count_lstm": {"counting_layer": "count_lstm"},
    "count_lstm_v2": {"counting_layer": "count_lstm_v2"},
    "count_lstm_moe": {"counting_layer": "count_lstm_moe"},
    "boundary": {"boundary_head": {"candidate_pool": "shared", "pool_size": 192}},
    "boundary-all-parts": {
        "boundary_head": {
            "candidate_pool": "shared",
            "pool_size": 40,
            "pool_boundary_top_k": 12,
            "enable_span_content": True,
            "content_soft_max_pool": True,
            "boundary_attention_layers": 1,
            "boundary_attention_window": 6,
            "boundary_refinement_layers": 2,
            "pair_temperature": 1.5,
        }
    },
}
KINDS = ("bert", "deberta-v2", "modernbert")
CASES = [("bert", name) for name in VARIANTS] + [
    (kind, name) for kind in KINDS[1:] for name in ("count_lstm_v2", "boundary")
]
DESCRIBED = {"person": "names of people", "city": "populated places", "award": "prizes and honours"}


def reference(kind: str, variant: str, path: Path) -> Path:
    """A random checkpoint that `gliner2` makes and saves; weights are spread out, so that scores differ."""
    from gliner2 import AutoExtractor, ExtractorConfig

    architecture = "boundary" if variant.startswith("boundary") else "span"
    backbone = tiny.backbone(kind, path / "backbone")
    torch.manual_seed(1)
    config = ExtractorConfig(model_name=str(backbone), architecture=architecture, **VARIANTS[variant])
    model = AutoExtractor.from_config(config)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if not name.startswith("encoder.") and value.dim() > 1:
                value.mul_(2.0)
    model.save_pretrained(str(path / "checkpoint"))
    return path / "checkpoint"


def load_reference(path: Path):
    from gliner2 import AutoExtractor

    return AutoExtractor.from_pretrained(str(path)).eval()


def build(path: Path, labels, threshold: float):
    nlp = spacy.blank("en")
    config = {"labels": labels, "threshold": threshold, "overlap": "all", "use_descriptions": isinstance(labels, dict)}
    nlp.add_pipe(
        "open_ner_span", config={**config, "model": tiny.span_matcher(path, words="gliner", precision="float32")}
    )
    return nlp


def their_entities(model, texts, labels, threshold):
    """Spans with scores. What ends at the full stop that the reference adds to a text is no span of the text."""
    options = {"include_confidence": True, "include_spans": True, "overlap_policy": "allow"}
    results = model.batch_extract_entities(texts, labels, batch_size=4, threshold=threshold, **options)
    return [
        {
            (each["start"], each["end"], label): each["confidence"]
            for label, found in (result.get("entities") or {}).items()
            for each in found
            if each["end"] <= len(text)
        }
        for text, result in zip(texts, results, strict=True)
    ]


def compare(path: Path, texts, labels, threshold: float) -> tuple[int, float]:
    """Assert that both find the same spans. Words inside one token of spaCy's are one span here, with the best score.

    RETURNS (tuple): How many spans, and the largest gap of their scores.
    """
    nlp, n, gap = build(path, labels, threshold), 0, 0.0
    theirs = their_entities(load_reference(path), texts, labels, threshold)
    for doc, expected in zip(nlp.pipe(texts), theirs, strict=True):
        merged: dict[tuple[int, int, str], float] = {}
        for (start, end, label), score in expected.items():
            span = doc.char_span(start, end, alignment_mode="expand")
            key = (span.start, span.end, label)
            merged[key] = max(score, merged.get(key, 0.0))
        ours = {span[:3]: span[3] for span in tiny.found(doc)}
        assert ours.keys() == merged.keys()
        gap = max([gap, *(abs(ours[key] - merged[key]) for key in ours)])
        n += len(ours)
    return n, gap


def middle(path: Path, labels) -> float:
    """A threshold that part of the spans pass, and that no score is close to."""
    nlp = build(path, labels, 0.0)
    scores = np.unique(np.array([score for doc in nlp.pipe(tiny.SENTENCES) for *_, score in tiny.found(doc)]).round(5))
    near = scores[int(0.6 * len(scores)) : int(0.6 * len(scores)) + 200]
    at = int(np.argmax(np.diff(near)))
    return float((near[at] + near[at + 1]) / 2)


@pytest.mark.parametrize(("kind", "variant"), CASES)
def test_entities_equal_the_reference(kind, variant, tmp_path):
    path = reference(kind, variant, tmp_path)
    for labels in (tiny.LABELS, DESCRIBED):
        n, gap = compare(path, tiny.SENTENCES, labels, middle(path, labels))
        assert n > 20
        assert gap < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["count_lstm_v2", "boundary"])
def test_entities_of_500_real_sentences_equal_the_reference(variant, data_dir, tmp_path):
    texts = []
    for name in ("conll2003", "crossner_ai"):
        lines = (data_dir / name / "dev.jsonl").read_text(encoding="utf8").splitlines()[:250]
        texts += [" ".join(json.loads(line)["tokens"]) for line in lines]
    path = reference("bert", variant, tmp_path)
    n, gap = compare(path, texts, DESCRIBED, middle(path, DESCRIBED))
    assert n > 500
    assert gap < 1e-4


@pytest.mark.parametrize("variant", ["count_lstm", "count_lstm_v2", "boundary"])
def test_the_reference_reads_what_is_saved_here(variant, tmp_path):
    path = reference("bert", variant, tmp_path)
    own.save(own.load(path), tmp_path / "again")
    first, second = load_reference(path).state_dict(), load_reference(tmp_path / "again").state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("layer", tiny2.COUNTING_LAYERS)
def test_checkpoints_made_here_equal_the_reference(layer, tmp_path):
    """What the tests without the reference use has the format that it reads."""
    path = tiny2.saved("span", tmp_path, counting_layer=layer)
    n, gap = compare(path, tiny.SENTENCES, tiny.LABELS, middle(path, tiny.LABELS))
    assert n > 20
    assert gap < 1e-4


@pytest.mark.parametrize(
    "text",
    [
        *tiny.SENTENCES,
        "see https://example.org/a?b=c, www.x.org. and mail A.B+c@d-e.co.uk; @user_1 says hi",
        "हिन्दी में नमस्ते, ไทย ภาษา, e\u0301t\u00e9 \u200dx\u200cy a--b -c d_ _e",
        "İstanbul ſ K @ a@b",
    ],
)
def test_words_equal_the_reference(text):
    from gliner2.processing.word_splitter import WhitespaceTokenSplitter

    theirs = [(start, end) for _, start, end in WhitespaceTokenSplitter()(text)]
    assert [match.span() for match in gliner2_word().finditer(text)] == theirs
