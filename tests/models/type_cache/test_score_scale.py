"""The scale of scores: what it keeps, what it fits, and when it is forgotten."""

import json
import re
import runpy
import shutil
from dataclasses import replace

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import DocBin
from spacy.training import Example
from typer import Typer
from typer.testing import CliRunner

from spacy_openner.errors import CheckpointError
from spacy_openner.labels import set_labels
from spacy_openner.models.span_model import span_model
from spacy_openner.models.type_cache import checkpoint as checkpoints
from spacy_openner.models.type_cache.score_scale import FEW, Scale, ScoreScale, fit_scale
from tests.integration.test_open_types import ROOT
from tests.support.tiny_models import LABELS, SENTENCES, found
from tests.support.type_cache import pipeline, saved_type_cache

STORED = ScoreScale(above=0.4, below=1.6, crowd=0.3)
SCALE = STORED.among(len(LABELS))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return saved_type_cache("bert", tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def scaled(plain, tmp_path_factory):
    path = shutil.copytree(plain, tmp_path_factory.mktemp("scaled") / "model")
    checkpoints.write_config(replace(checkpoints.read_config(path), score_scale=STORED), path)
    return path


@given(st.lists(st.floats(0, 1), min_size=2), st.floats(0.1, 8), st.floats(0.1, 8))
def test_order_and_side_are_kept_and_it_can_be_undone(scores, above, below):
    scale, exact = Scale(above, below), np.array(scores)
    values = scale(exact)
    assert (np.diff(values[np.argsort(exact)]) >= 0).all()
    assert ((values > 0.5) <= (exact > 0.5)).all()
    assert ((values >= 0) & (values <= 1)).all()
    assert scale([0.0, 0.5, 1.0]).tolist() == [0.0, 0.5, 1.0]
    middle = exact[(exact > 0.01) & (exact < 0.99)]
    assert scale.undo(scale(middle)) == pytest.approx(middle, abs=1e-5)


def test_it_is_fitted_to_what_is_right():
    random = np.random.default_rng(0)
    scores = random.random(20_000)
    right = random.random(20_000) < SCALE(scores)
    fitted = fit_scale(scores, right)
    assert fitted.above == pytest.approx(SCALE.above, abs=0.06)
    assert fitted.below == pytest.approx(SCALE.below, abs=0.1)
    assert fit_scale(np.zeros(0), np.zeros(0, dtype=bool)) == Scale()


@pytest.mark.parametrize(
    ("scores", "n_right", "above", "below"),
    [
        # Of like scores, the factor is that of the log-odds of the share that is right to their own.
        ([0.9] * 4, 3, 0.5, 1.0),
        ([0.75] * 10, 9, 2.0, 1.0),
        ([0.9] * 3, 2, 0.315, 1.0),
        ([0.1] * 4, 1, 1.0, 0.5),
        ([0.25] * 10, 1, 1.0, 2.0),
        # At the ends of what factors may be.
        ([0.9] * 4, 2, 0.1, 1.0),
        ([0.9] * 4, 4, 10.0, 1.0),
        ([0.1] * 4, 0, 1.0, 10.0),
        ([1.0] * 4, 3, 0.1, 1.0),
        ([0.0] * 4, 1, 1.0, 0.1),
        # Of scores on neither side nothing can be learned.
        ([0.5] * 4, 4, 1.0, 1.0),
    ],
)
def test_factors_by_hand(scores, n_right, above, below):
    right = np.arange(len(scores)) < n_right
    assert fit_scale(np.array(scores, dtype=np.float32), right) == Scale(above, below)


@pytest.mark.parametrize("scale", [Scale(), SCALE, Scale(0.5, 2.0)])
def test_scores_keep_their_type_and_shape(scale):
    for dtype in (np.float32, np.float64):
        scores = np.array([[0.0, 0.2], [0.7, 1.0]], dtype=dtype)
        for changed in (scale(scores), scale.undo(scores)):
            assert (changed.dtype, changed.shape) == (dtype, (2, 2))


@given(st.floats(0.01, 0.99), st.floats(-1, 1), st.floats(0.3, 3))
def test_a_shift_is_added_to_log_odds_before_the_factors(score, shift, factor):
    scale = Scale(factor, factor, shift)
    odds = np.log(score / (1 - score))
    assert scale(score) == pytest.approx(1 / (1 + np.exp(-factor * (odds + shift))), abs=1e-9)
    assert scale.undo(scale(score)) == pytest.approx(score, abs=1e-6)
    assert scale([0.0, 1.0]).tolist() == [0.0, 1.0]


def test_what_long_lists_take_is_given_back():
    stored = ScoreScale(above=0.5, below=2.0, crowd=0.4)
    assert stored.among(FEW) == Scale(above=0.5, below=2.0, shift=0.0)
    assert [stored.among(n).shift for n in (1, FEW, 2 * FEW, 1000 * FEW)] == pytest.approx([0, 0, 0.2, 0.4], abs=1e-3)


def test_the_shift_is_that_of_the_types_that_a_text_sees(plain, tmp_path):
    """Whatever finds or scores spans, with lists in one pass or in parts."""
    path = shutil.copytree(plain, tmp_path / "model")
    stored = ScoreScale(above=0.7, below=1.4, crowd=0.9)
    checkpoints.write_config(replace(checkpoints.read_config(path), score_scale=stored), path)
    labels = [f"type {n}" for n in range(3 * FEW)]
    for max_types, seen in ((None, 3 * FEW), (FEW, FEW), (2 * FEW, 3 * FEW // 2)):
        before, after = (
            pipeline(each, labels, overlap="all", threshold=0.0, model={"max_types": max_types})
            for each in (plain, path)
        )
        one, other = found(before(SENTENCES[0])), found(after(SENTENCES[0]))
        assert [x[:3] for x in one] == [x[:3] for x in other]
        assert one
        scale = stored.among(seen)
        assert [x[3] for x in other] == pytest.approx(scale([x[3] for x in one]).tolist(), abs=1e-5)


def test_predictions_and_span_scores_are_scaled_alike(plain, scaled):
    before, after = (pipeline(path, LABELS, overlap="all") for path in (plain, scaled))
    for text in SENTENCES:
        one, other = found(before(text)), found(after(text))
        assert [x[:3] for x in one] == [x[:3] for x in other]
        assert [x[3] for x in other] == pytest.approx(SCALE([x[3] for x in one]).tolist(), abs=1e-6)
    doc = after.make_doc(SENTENCES[0])
    spans, pipes = [doc[:2], doc[1:4]], [nlp.get_pipe("open_ner_span") for nlp in (before, after)]
    other = before.make_doc(SENTENCES[0])
    raw = pipes[0].span_scores(other, [other[:2], other[1:4]])
    assert pipes[1].span_scores(doc, spans) == pytest.approx(SCALE(raw), abs=1e-6)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.6, 1.0])
def test_thresholds_are_about_scaled_scores(plain, scaled, threshold):
    everything = found(pipeline(scaled, LABELS, overlap="all")(SENTENCES[0]))
    kept = found(pipeline(scaled, LABELS, overlap="all", threshold=threshold)(SENTENCES[0]))
    assert kept == [x for x in everything if x[3] > threshold]
    if threshold == 0.5:
        nlp = pipeline(plain, LABELS, overlap="all", threshold=0.5)
        assert [x[:3] for x in found(nlp(SENTENCES[0]))] == [x[:3] for x in kept]


def test_it_is_saved_and_forgotten_in_training(scaled, tmp_path):
    nlp = pipeline(scaled, ["person"])
    nlp(SENTENCES[0])
    nlp.to_disk(tmp_path)
    copy = spacy.load(tmp_path)
    shim = span_model(copy.get_pipe("open_ner_span").model)
    assert shim.checkpoint.config.score_scale == STORED
    example = Example.from_dict(copy.make_doc("Marie left"), {"entities": [(0, 5, "person")]})
    copy.update([example], sgd=copy.get_pipe("open_ner_span").create_optimizer())
    assert shim.checkpoint.config.score_scale == ScoreScale()


@pytest.mark.parametrize(
    "value",
    [
        {"above": 0},
        {"below": "1"},
        {"beside": 1.0},
        [1, 2],
        {"above": 1e9},
        {"crowd": 2},
        {"crowd": True},
        {"crowd": None},
    ],
)
def test_damaged_scales_are_refused(scaled, tmp_path, value):
    copy = shutil.copytree(scaled, tmp_path / "copy")
    values = json.loads((copy / "type_cache.json").read_text(encoding="utf8"))
    (copy / "type_cache.json").write_text(json.dumps({**values, "score_scale": value}), encoding="utf8")
    with pytest.raises(CheckpointError, match=r"O131.*type_cache\.json"):
        checkpoints.load(copy)


def test_one_command_fits_it_anew(scaled, tmp_path):
    """Whatever scale was there before; the weights stay as they are."""
    nlp = pipeline(scaled, LABELS)
    docs = list(nlp.pipe(text for text in SENTENCES if len(text) > 2))
    for number, doc in enumerate(docs):
        set_labels(doc, LABELS)
        doc.spans["openner"] = list(doc.spans["openner"])[number % 2 :]
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "dev.spacy")
    copy = shutil.copytree(scaled, tmp_path / "copy")
    app = Typer()
    app.command()(runpy.run_path(str(ROOT / "scripts" / "fit_scores.py"))["main"])
    result = CliRunner().invoke(app, [str(copy), str(tmp_path / "dev.spacy")])
    assert result.exit_code == 0, result.output
    assert "too sure" in result.output
    changed = {file.name for file in copy.iterdir() if file.read_bytes() != (scaled / file.name).read_bytes()}
    assert changed == {"type_cache.json"}
    first = checkpoints.read_config(copy).score_scale
    assert first != STORED
    CliRunner().invoke(app, [str(copy), str(tmp_path / "dev.spacy")])
    assert checkpoints.read_config(copy).score_scale == first
    assert first.crowd == STORED.crowd
    # Of rare types alone there are fewer spans.
    texts = tmp_path / "dev.spacy"
    counts = [
        int(re.findall(r"of (\d+) spans", CliRunner().invoke(app, [str(copy), str(texts), *more]).output)[0])
        for more in ([], ["--train", str(texts), "--rare", "3"])
    ]
    assert 0 < counts[1] < counts[0]
