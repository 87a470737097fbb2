"""Precisions and devices."""

import pytest
import torch

from spacy_openner.errors import SettingError
from spacy_openner.nn import precision as precisions
from spacy_openner.nn.precision import resolve
from tests.support import tiny_models as tiny
from tests.support.tiny_models import found

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def test_bfloat16_is_close_and_scores_are_float32(make_nlp):
    plain = make_nlp(overlap="all", threshold=0.0)(tiny.SENTENCES[0])
    low = make_nlp({"precision": "bfloat16"}, overlap="all", threshold=0.0)(tiny.SENTENCES[0])
    left, right = ({x[:3]: x[3] for x in found(doc)} for doc in (plain, low))
    assert left.keys() == right.keys()
    gaps = [abs(left[key] - right[key]) for key in left]
    assert 0 < sum(gaps) / len(gaps) < 0.05
    assert low.spans["openner"].attrs["scores"].dtype == "float32"


@pytest.mark.parametrize("fast", [True, False])
def test_auto(monkeypatch, fast):
    monkeypatch.setattr(precisions, "has_fast_bfloat16", lambda: fast)
    assert resolve("auto", CPU) == ("bfloat16" if fast else "float32")
    assert resolve("auto", GPU) == "float32"


def test_what_a_device_cannot_do_is_refused():
    with pytest.raises(SettingError, match="O007"):
        resolve("float16", CPU)
    assert resolve("float16", GPU) == "float16"


def test_the_master_weights_stay_float32(make_nlp):
    nlp = make_nlp({"precision": "bfloat16"})
    nlp("Marie Curie")
    shim = nlp.get_pipe("open_ner_span").model.shims[0]
    assert {p.dtype for p in shim.checkpoint.network.parameters()} == {torch.float32}
    assert {p.dtype for p in shim.runtime.network.parameters()} == {torch.bfloat16}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_gpu_equals_cpu(make_nlp, precision):
    import spacy
    from thinc.api import get_current_ops, set_current_ops

    expected = {x[:3]: x[3] for x in found(make_nlp(overlap="all", threshold=0.0)(tiny.SENTENCES[0]))}
    ops = get_current_ops()
    spacy.require_gpu()
    try:
        nlp = make_nlp({"precision": precision}, overlap="all", threshold=0.0)
        scores = {x[:3]: x[3] for x in found(nlp(tiny.SENTENCES[0]))}
    finally:
        set_current_ops(ops)
    assert scores == pytest.approx(expected, abs=1e-4 if precision == "float32" else 0.1)


@pytest.mark.parametrize("options", [{"lstm_layers": 1}, {"span_mode": "token_level"}, {"span_mode": "marker"}])
def test_bfloat16_with_every_part(make_nlp, tmp_path, options):
    path = str(tiny.saved("bert", tmp_path, **options))
    docs = [
        make_nlp({"name": path, "precision": p}, overlap="all", threshold=0.0)(tiny.SENTENCES[0])
        for p in ("float32", "bfloat16")
    ]
    left, right = ({x[:3]: x[3] for x in found(doc)} for doc in docs)
    common = left.keys() & right.keys()
    assert len(common) > 0.9 * len(left)
    assert sum(abs(left[key] - right[key]) for key in common) / len(common) < 0.05
