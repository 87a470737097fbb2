"""scripts/train_resumable.py with the recipe of the type cache, on a few texts and a tiny encoder."""

import json
from pathlib import Path

import pytest
import spacy
import torch

from spacy_openner.models.span_model import span_model
from tests.support.scripts import run_script
from tests.support.tiny_models import backbone

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus")
    run_script("convert_sets.py", ROOT / "assets" / "sample", path)
    encoder = backbone("bert", path / "encoder")
    values = {
        "paths.corpus": path,
        "paths.dev": path / "dev",
        "paths.encoder": encoder,
        "corpora.train.sources.train.limits": {"music": 8, "science": 8},
        "corpora.train.sources.train.weights": {},
        "corpora.train.sources.all": None,
        "corpora.dev.sources.dev.limit": 2,
        "training.max_steps": 4,
        "training.eval_frequency": 2,
        "training.batcher.size": 60,
        "initialize.components.open_ner_span.head.blind_layers": 1,
        "training.optimizer.learn_rate.warmup_steps": 1,
    }
    config = spacy.util.load_config(ROOT / "configs" / "type_cache.cfg")
    del config["corpora"]["train"]["sources"]["all"]
    config.to_disk(path / "config.cfg")
    return path / "config.cfg", [
        f"--{k}={v if isinstance(v, int) else json.dumps(v) if isinstance(v, dict) else v}"
        for k, v in values.items()
        if v is not None
    ]


def weights(path):
    pipe = spacy.load(path).get_pipe("open_ner_span")
    return span_model(pipe.model).checkpoint.network.state_dict()


def test_a_stopped_run_goes_on(settings, tmp_path):
    config, overrides = settings
    run_script("train_resumable.py", config, tmp_path, *overrides, "--for", "0")
    first = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in first] == [1]
    after_one = weights(tmp_path / "model-last")
    run_script("train_resumable.py", config, tmp_path, *overrides)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 4]
    assert lines[-1]["words"] > lines[0]["words"]
    # Warm-up of one step, then a cosine to nothing.
    assert [line["rate"] for line in lines] == sorted((line["rate"] for line in lines), reverse=True)
    updates = json.loads((tmp_path / "state" / "updates.json").read_text())
    assert set(updates.values()) == {4}
    last = weights(tmp_path / "model-last")
    assert not torch.equal(last["head.out.0.weight"], after_one["head.out.0.weight"])
    assert torch.equal(
        last["encoder.embeddings.word_embeddings.weight"], after_one["encoder.embeddings.word_embeddings.weight"]
    )
    assert (tmp_path / "model-best").is_dir()
    run_script("train_resumable.py", config, tmp_path, *overrides)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 3
