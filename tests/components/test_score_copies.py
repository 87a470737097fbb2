"""Scores where other packages look for them."""

import pytest
import spacy
from spacy.tokens import Span, SpanGroup

from spacy_openner.components.annotate import annotate
from spacy_openner.components.score_copies import ScoreCopier
from spacy_openner.errors import SettingError
from spacy_openner.types import Candidate


@pytest.fixture
def doc():
    doc = spacy.blank("en")("Ada met Lee in Rome")
    found = [Candidate(0, 1, "person", 0.75), Candidate(4, 5, "city", 0.5), Candidate(4, 5, "state", 0.25)]
    annotate(doc, found, name="x", spans_key="openner", annotate_ents=True, overwrite_ents=False)
    return doc


def test_scores_are_copied(doc):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("copy_openner_scores", config={"attribute": "copied_score"})
    lee = Span(doc, 2, 3, label="person")
    lee._.copied_score = 0.125
    doc.spans["mine"] = SpanGroup(doc, spans=[lee])
    pipe(doc)
    assert [ent._.copied_score for ent in doc.ents] == [0.75, 0.5]
    # One place has one value: the best. What nobody of ours found stays.
    assert [span._.copied_score for span in doc.spans["openner"]] == [0.75, 0.5, 0.5]
    assert doc.spans["mine"][0]._.copied_score == 0.125
    assert doc[1:2]._.copied_score == 0.0


def test_a_saved_pipeline(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("copy_openner_scores", config={"attribute": "other_score"})
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).get_pipe("copy_openner_scores").attribute == "other_score"


@pytest.mark.parametrize("attribute", ["openner_score", "", None, 3])
def test_attributes_that_are_none(attribute):
    with pytest.raises(SettingError, match=r"O001.*attribute"):
        ScoreCopier(attribute=attribute)


def test_attributes_that_are_computed():
    Span.set_extension("computed_score", getter=lambda span: 1.0)
    with pytest.raises(SettingError, match=r"O025.*computed_score"):
        ScoreCopier(attribute="computed_score")
    Span.remove_extension("computed_score")
