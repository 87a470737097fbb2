import pytest
import spacy
from spacy.tokens import Span, SpanGroup

from spacy_openner.errors import SettingError
from spacy_openner.lar.decisions import Decision, DecisionCounts, as_attrs, read_decisions

KEPT = Decision(0, 1, "person", "politician", 0.5, "llm")
MOVED = Decision(2, 3, "person", "musician", 0.25, "span matcher", "a neighbouring span", (1, 3))
DROPPED = Decision(1, 3, "person", "", 0.0, "llm", "none")


def doc_with(decisions, key="openner", **attrs):
    doc = spacy.blank("en")("Ada met Lee")
    spans = [Span(doc, d.start, d.end, label=d.label) for d in decisions if d.label]
    scores = [d.score for d in decisions if d.label]
    doc.spans[key] = SpanGroup(doc, spans=spans, attrs={**as_attrs(doc, decisions), "scores": scores, **attrs})
    return doc


def test_what_a_doc_says_is_read_in_text_order():
    doc = doc_with([KEPT, MOVED, DROPPED])
    assert read_decisions(doc) == [KEPT, DROPPED, MOVED]
    assert read_decisions(doc_with([DROPPED], key="x"), "x") == [DROPPED]
    assert read_decisions(doc_with([])) == []


def test_where_entities_came_in():
    assert (KEPT.source_bounds, MOVED.source_bounds) == ((0, 1), (1, 3))


@pytest.mark.parametrize(
    "attrs",
    [
        {"sources": ["person"]},
        {"moved_from": None},
        {"scores": ["x", "y"]},
        {"dropped": [[1]]},
        {"dropped": 3},
        {"dropped": [[0, 99, "person", "llm", ""]]},
    ],
)
def test_groups_that_were_changed_since(attrs):
    with pytest.raises(SettingError, match=r"O510.*'openner'"):
        read_decisions(doc_with([KEPT, MOVED], **attrs))


def test_groups_of_others():
    doc = spacy.blank("en")("Ada")
    doc.spans["openner"] = [Span(doc, 0, 1, label="person")]
    for key in ("openner", "nowhere"):
        with pytest.raises(SettingError, match=f"O510.*{key}"):
            read_decisions(doc, key)


def test_counts():
    counts = DecisionCounts()
    for decision in (KEPT, MOVED, DROPPED, KEPT):
        counts.add(decision)
    assert counts == DecisionCounts(4, {"llm": 2, "span matcher": 1}, {"none": 1}, {"a neighbouring span": 1})
