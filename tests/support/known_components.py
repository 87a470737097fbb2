"""A component that finds what a table says, gold docs beside it, and gold that random weights can reach."""

import numpy as np
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span

from spacy_openner.calibration.predictions import changed
from spacy_openner.components.entity_pipe import OpenNERPipe
from spacy_openner.settings import EntitySettings
from spacy_openner.types import Candidate
from tests.support import tiny_models as tiny

WORDS = ["a0", "a1", "b0", "b1", "c0", "c1", "a2", "b2", "c2", "x"]
ASKED = tiny.LABELS[:3]


class Table(OpenNERPipe):
    """Finds what a table says: word -> (label, score), or several of them."""

    def __init__(self, vocab, name, table, **settings):
        super().__init__(vocab, name, EntitySettings(**settings))
        self.table = table

    def predict(self, docs):
        found = []
        for doc, labels in zip(docs, self._labels_per_doc(docs), strict=True):
            rows = [(token.i, *row) for token in doc for row in self.table.get(token.text, ())]
            candidates = [Candidate(i, i + 1, label, score) for i, label, score in rows if label in labels]
            passed = [c for c in candidates if c.score > self.label_thresholds.get(c.label, self.threshold)]
            found.append(self._choose(doc, passed))
        return found


@Language.factory("calibration_test_table", default_config={"settings": {}})
def make_table(nlp, name, table, settings):
    rows = {word: [tuple(row) for row in rows] for word, rows in table.items()}
    return Table(nlp.vocab, name, rows, **{"labels": ["a", "b", "c"], **settings})


def table_nlp(table, name="open_ner_span", **settings):
    nlp = spacy.blank("en")
    nlp.add_pipe("calibration_test_table", name=name, config={"table": table, "settings": settings})
    return nlp


def gold_doc(nlp, spans, words=WORDS, key=None):
    """A doc whose gold is {word: label} in doc.ents, or under a key."""
    doc = Doc(nlp.vocab, words=words)
    made = [Span(doc, token.i, token.i + 1, label=spans[token.text]) for token in doc if token.text in spans]
    if key is None:
        doc.ents = made
    else:
        doc.spans[key] = made
    return doc


# Type "a": right at 0.9 and 0.3, wrong at 0.4. Type "b": right at 0.8, wrong at 0.95 and 0.7. "c": never annotated.
TABLE = {
    "a0": [("a", 0.9)],
    "a1": [("a", 0.3)],
    "a2": [("a", 0.4)],
    "b0": [("b", 0.8)],
    "b1": [("b", 0.95)],
    "b2": [("b", 0.7)],
    "c0": [("c", 0.9)],
}
GOLD = {"a0": "a", "a1": "a", "b0": "b", "c1": "b"}


def gold_by_thresholds(nlp):
    """Gold docs that hold, in doc.ents, just what the component finds with a threshold for each type.

    The thresholds are shares of the types' own scores, which are random.
    """
    pipe = nlp.get_pipe("open_ner_span")
    docs = [nlp.make_doc(text) for text in tiny.SENTENCES]
    with changed(pipe, threshold=0.0, overlap="all"):
        found = [candidate for doc in pipe.predict(docs) for candidate in doc]
    hidden = {
        label: float(np.quantile([c.score for c in found if c.label == label], share))
        for label, share in zip(ASKED, (0.97, 0.9, 0.94), strict=True)
    }
    with changed(pipe, label_thresholds=hidden, overlap="flat"):
        for doc, candidates in zip(docs, pipe.predict(docs), strict=True):
            doc.ents = [Span(doc, c.start, c.end, label=c.label) for c in candidates]
    return docs
