"""The default weights, really trained, on real sentences: the same entities as the `gliner` package finds."""

import json
import random

import pytest
import spacy

from spacy_openner.models.words import GLINER_WORD
from spacy_openner.nn import hub as sources
from tests.support import tiny_models as tiny

pytestmark = pytest.mark.data
SETS = ("crossner_politics", "crossner_science", "wnut17", "wikigold", "cyner")


def sample(data_dir, n):
    """Return some sentences of each set."""
    rng, found = random.Random(0), []
    for name in SETS:
        file = next(iter([*data_dir.glob(f"{name}/dev.jsonl"), *data_dir.glob(f"{name}/all.jsonl")]))
        rows = [json.loads(line) for line in file.read_text(encoding="utf8").splitlines()]
        found += [" ".join(row["tokens"]) for row in rng.sample(rows, n)]
    return found


@pytest.mark.parametrize("n", [30, pytest.param(150, marks=pytest.mark.slow)])
def test_same_entities_on_real_sentences(data_dir, n):
    texts = sample(data_dir, n)
    gliner = pytest.importorskip("gliner")
    labels = ["person", "organization", "location", "event", "product", "software", "award", "scientist"]
    path = str(sources.default_directory())
    reference = gliner.GLiNER.from_pretrained(path).inference(texts, labels, threshold=0.3, batch_size=16)
    nlp = spacy.blank("en")
    model = tiny.span_matcher(path, words="gliner", precision="float32")
    nlp.add_pipe("open_ner_span", config={"labels": labels, "threshold": 0.3, "model": model})
    compared = entities = 0
    for doc, expected in zip(nlp.pipe(texts), reference, strict=True):
        # Where the splitter's words are no tokens, entities are widened to tokens; that is tested elsewhere.
        if all(doc.char_span(m.start(), m.end()) is not None for m in GLINER_WORD.finditer(doc.text)):
            group = doc.spans["openner"]
            scores = group.attrs["scores"]
            ours = {(s.start_char, s.end_char, s.label_): p for s, p in zip(group, scores, strict=True)}
            theirs = {(e["start"], e["end"], e["label"]): e["score"] for e in expected}
            # A score this close to the threshold may fall to either side.
            sure = {key for key, p in theirs.items() if abs(p - 0.3) > 1e-4}
            assert sure <= ours.keys()
            assert all(key in theirs or abs(p - 0.3) < 1e-4 for key, p in ours.items())
            assert all(abs(ours[key] - theirs[key]) < 1e-4 for key in sure)
            compared, entities = compared + 1, entities + len(ours)
    assert compared >= 100 * n / 30
    assert entities >= 60 * n / 30
