"""Two reassigners in turn: when the second is asked, and what stands without its answer."""

import json

import pytest
import spacy

from spacy_openner.calibration.cascade import ALWAYS, NEVER
from spacy_openner.errors import SettingError
from spacy_openner.lar.cascade import GatedReassigner_v1
from spacy_openner.lar.decisions import read_decisions
from spacy_openner.lar.reassigner import EntityCase, LabelSpace, TypeChoice
from tests.support.fake_chat_server import serve
from tests.support.reassignment_case import GOLD, TEXTS, gated, lar_nlp, llm, span_matcher

TYPES = LabelSpace(("person",), {"politician": "politician", "musician": "musician"}, True)


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def questions(server):
    return [json.loads(body["messages"][-1]["content"]) for body in server.requests]


def test_the_gate_opens_below_a_score(tiny_path):
    with serve(gold=GOLD) as server:
        direct = {
            doc[d.start].text: d for doc in lar_nlp(span_matcher(tiny_path)).pipe(TEXTS) for d in read_decisions(doc)
        }
        middle = sorted(d.score for d in direct.values())[4]
        nlp = lar_nlp(gated(span_matcher(tiny_path), llm(server.url), below=middle), on_none="keep")
        for doc in nlp.pipe(TEXTS):
            for d in read_decisions(doc):
                first = direct[doc[d.start].text]
                if first.score < middle:
                    assert d.by == "llm"
                    assert d.label == GOLD.get(doc[d.start].text, "person")
                else:
                    assert d == first
        assert sum(len(q["entities"]) for q in questions(server)) == 4


def test_the_gate_opens_for_listed_types(tiny_path):
    with serve(gold=GOLD) as server:
        nlp = lar_nlp(gated(span_matcher(tiny_path), llm(server.url), types=["place"]))
        by = {doc[d.start].text: d.by for doc in nlp.pipe(TEXTS) for d in read_decisions(doc)}
        assert {word for word, who in by.items() if who == "llm"} == {"Oslo", "Rome", "Bath"}


def test_the_gate_of_single_types_and_its_copy(tiny_path, tmp_path):
    with serve(gold=GOLD) as server:
        nlp = lar_nlp(gated(span_matcher(tiny_path), llm(server.url), gate={"city": 0.0}))
        direct = {d.label for doc in lar_nlp(span_matcher(tiny_path)).pipe(TEXTS) for d in read_decisions(doc)}
        pipe = nlp.get_pipe("lar_reassigner")
        pipe.gate = dict.fromkeys(direct, NEVER)
        for doc in nlp.pipe(TEXTS):
            assert all(d.by == "span matcher" for d in read_decisions(doc))
        nlp.to_disk(tmp_path)
        assert spacy.load(tmp_path).get_pipe("lar_reassigner").gate == pipe.gate
        pipe.gate = dict.fromkeys(direct, ALWAYS)
        for doc in nlp.pipe(TEXTS):
            assert all(d.by == "llm" for d in read_decisions(doc))


def says(*choices, report=None):
    """A reassigner that says this, whatever it is asked."""

    class Saying:
        def __init__(self):
            self.report, self.asked, self.calls = report, [], []

        def __call__(self, cases, types):
            self.asked += [case.text for case in cases]
            return list(choices[: len(cases)])

        def __getattr__(self, name):
            return lambda *args: self.calls.append((name, *args))

    return Saying()


def cases(*words):
    doc = spacy.blank("en")(" ".join(words))
    return [EntityCase(doc, i, i + 1, "person", ("politician", "musician")) for i in range(len(words))]


SURE, UNSURE, SILENT = (
    TypeChoice("musician", 0.9, "a"),
    TypeChoice("musician", 0.4, "a"),
    TypeChoice(None, 0.0, "a", "x"),
)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (SURE, None, SURE),
        (UNSURE, TypeChoice("politician", 1.0, "b"), TypeChoice("politician", 1.0, "b")),
        (UNSURE, TypeChoice(None, 0.0, "b", "y"), UNSURE._replace(reason="b: y")),
        (SILENT, TypeChoice("politician", 1.0, "b"), TypeChoice("politician", 1.0, "b")),
        (SILENT, TypeChoice(None, 0.0, "b", "y"), SILENT._replace(reason="x; b: y")),
    ],
)
def test_whose_answer_stands(first, second, expected):
    answers = says(*([] if second is None else [second]))
    assert GatedReassigner_v1(says(first), answers, below=0.5)(cases("Ada"), TYPES) == [expected]
    assert answers.asked == ([] if second is None else ["Ada"])


def test_only_the_unsure_cases_are_passed_on():
    second = says(TypeChoice("politician", 1.0, "b"))
    choices = GatedReassigner_v1(says(SURE, UNSURE, SURE), second, below=0.9)(cases("Ada", "Lee", "Bob"), TYPES)
    assert second.asked == ["Lee"]
    assert [choice.by for choice in choices] == ["a", "b", "a"]


def test_types_and_gate_say_where():
    (case,) = cases("Ada")
    of_types = GatedReassigner_v1(None, None, below=0.5, types=["musician"])
    assert of_types.opens(case, UNSURE)
    assert not of_types.opens(case, UNSURE._replace(label="politician"))
    assert GatedReassigner_v1(None, None, below=0.5, types=["person"]).opens(case, UNSURE)
    of_gate = GatedReassigner_v1(None, None, below=0.5, types=[], gate={"musician": 0.41})
    assert of_gate.opens(case, UNSURE)
    assert not of_gate.opens(case, UNSURE._replace(score=0.41))
    assert not of_gate.opens(case, UNSURE._replace(label="politician"))
    assert of_gate.opens(case, SILENT)


def test_both_are_attached_saved_and_loaded(tmp_path):
    first, second = says(), says(report="counts")
    both = GatedReassigner_v1(first, second)
    both.attach("lar", "nlp")
    both.initialize()
    both.save(tmp_path)
    both.load(tmp_path)
    for part, name in ((first, "first"), (second, "second")):
        path = tmp_path / name
        assert part.calls == [("attach", "lar", "nlp"), ("initialize",), ("save", path), ("load", path)]
    assert both.report == "counts"
    assert GatedReassigner_v1(second, first).report == "counts"
    assert GatedReassigner_v1(first, first).report is None


@pytest.mark.parametrize(
    "settings", [{"below": -1}, {"below": float("nan")}, {"gate": {"a": "b"}}, {"types": "person"}, {"below": True}]
)
def test_settings_that_are_not_allowed(settings):
    with pytest.raises(SettingError, match="O001"):
        GatedReassigner_v1(None, None, **settings)
