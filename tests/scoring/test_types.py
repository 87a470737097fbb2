"""Scores of type filters, and thresholds for a wanted recall."""

import json

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from typer.testing import CliRunner

from spacy_openner.calibration.types import calibrate_types
from spacy_openner.cli.app import app as cli
from spacy_openner.components.type_filter import TypeFilter, TypeScores
from spacy_openner.errors import OpenNERWarning, SettingError
from spacy_openner.labels import set_labels
from spacy_openner.scoring.types import make_type_scorer, score_types
from tests.support import tiny_models as tiny

TYPES = ["person", "city", "company"]
# The scores of the types in each text, and those that are there.
TABLE = {
    "first": ((0.9, 0.6, 0.1), ("person", "city")),
    "second": ((0.4, 0.7, 0.2), ("city",)),
    "third": ((0.3, 0.5, 0.25), ("company",)),
    "fourth": ((0.2, 0.1, 0.0), ()),
}


def gold(nlp, text, types=TYPES):
    doc = nlp.make_doc(text)
    doc.spans["openner"] = [Span(doc, 0, 1, label=label) for label in TABLE[text][1]]
    doc._.openner_labels = types
    return doc


@pytest.fixture
def nlp(tmp_path, monkeypatch):
    """A filter that says what the table says."""
    nlp = spacy.blank("en")
    model = {"name": str(tiny.saved_types(tmp_path / "model"))}
    nlp.add_pipe("type_filter", config={"labels": TYPES, "threshold": 0.5, "model": model})

    def predict(self, docs):
        labels_per_doc = self._labels_per_doc(docs)
        scores = [dict(zip(TYPES, TABLE[doc.text][0], strict=True)) for doc in docs]
        return [
            TypeScores(each, np.array([found[name] for name in each.names], dtype=np.float32))
            for each, found in zip(labels_per_doc, scores, strict=True)
        ]

    monkeypatch.setattr(TypeFilter, "predict", predict)
    return nlp


def docs(nlp):
    return [gold(nlp, text) for text in TABLE]


def test_scores(nlp):
    found = nlp.evaluate([Example(nlp.make_doc(text), gold(nlp, text)) for text in TABLE])
    # Kept: person, city; city; none (0.5 is not more than 0.5); none. Present: 4 of 12.
    assert (found["types_r"], found["types_p"]) == (pytest.approx(3 / 4), pytest.approx(1.0))
    assert found["types_kept"] == pytest.approx(3 / 12)
    present, absent = [0.9, 0.6, 0.7, 0.25], [0.1, 0.4, 0.2, 0.3, 0.5, 0.2, 0.1, 0.0]
    better = sum((p > a) + (p == a) / 2 for p in present for a in absent)
    assert found["types_auc"] == pytest.approx(better / (len(present) * len(absent)))
    assert found["types_per_type"]["company"] == {"p": 0.0, "r": 0.0, "f": 0.0, "kept": 0.0, "docs": 4}
    assert found["types_skipped"] == 0


def test_what_is_unknown_does_not_count(nlp):
    examples = [Example(nlp(text), gold(nlp, text, types=["city"])) for text in TABLE]
    found = score_types(examples)
    assert found["types_per_type"].keys() == {"person", "city", "company"}, "present ones are known"
    assert found["types_per_type"]["person"]["docs"] == 1
    assert found["types_per_type"]["city"]["docs"] == 4


def test_nothing_to_score(nlp):
    plain = Example(nlp.make_doc("first"), gold(nlp, "first"))
    found = score_types([plain])
    assert (found["types_skipped"], found["types_auc"], found["types_r"]) == (1, None, None)
    only_absent = score_types([Example(nlp("fourth"), gold(nlp, "fourth"))])
    assert (only_absent["types_auc"], only_absent["types_kept"]) == (None, 0.0)


def test_a_prefix_of_its_own(nlp):
    scorer = make_type_scorer(prefix="first")
    assert set(scorer([Example(nlp("first"), gold(nlp, "first"))])) >= {"first_r", "first_auc"}


@pytest.mark.parametrize(
    ("recall", "threshold", "kept"),
    [(0.25, 0.9, 1), (0.5, 0.7, 2), (0.75, 0.6, 3), (0.76, 0.25, 7), (1.0, 0.25, 7)],
)
def test_a_wanted_recall(nlp, recall, threshold, kept):
    result = calibrate_types(nlp, docs(nlp), recall=recall)
    assert result.threshold == pytest.approx(threshold, abs=2e-4)
    assert (result.before.right, result.before.kept, result.before.present) == (3, 3, 4)
    assert (result.after.kept, result.after.decisions) == (kept, 12)
    assert result.after.recall >= recall
    assert nlp.get_pipe("type_filter").threshold == 0.5, "it stays as it is"
    result.apply(nlp)
    assert nlp.get_pipe("type_filter").threshold == result.threshold


def test_a_threshold_for_each_type(nlp):
    with pytest.warns(OpenNERWarning, match="W422"):
        result = calibrate_types(nlp, docs(nlp), recall=1.0, per_type=True, min_gold=2)
    assert result.label_thresholds == {"city": pytest.approx(0.6, abs=2e-4)}
    assert set(result.kept_types) == {"person", "company"}
    assert result.threshold == 0.5


def test_top_k_may_be_in_the_way(nlp):
    nlp.get_pipe("type_filter").top_k = 1
    with pytest.warns(OpenNERWarning, match="W422"):
        assert calibrate_types(nlp, docs(nlp), recall=1.0).after.recall < 1


@pytest.mark.parametrize("recall", [0, 1.1, -1])
def test_recalls_that_are_not_allowed(nlp, recall):
    with pytest.raises(SettingError, match="O428"):
        calibrate_types(nlp, docs(nlp), recall=recall)


def test_nothing_to_calibrate_by(nlp):
    with pytest.raises(SettingError, match="O422"):
        calibrate_types(nlp, [])
    with pytest.raises(SettingError, match="O421"):
        calibrate_types(nlp, [gold(nlp, "fourth")])
    nlp.add_pipe("sentencizer")
    with pytest.raises(SettingError, match=r"O427.*type_filter"):
        calibrate_types(nlp, docs(nlp), "sentencizer")


def test_types_of_a_component_without_labels(nlp):
    nlp.get_pipe("type_filter").labels = []
    for doc in (annotated := docs(nlp)):
        set_labels(doc, None)
    result = calibrate_types(nlp, annotated, recall=1.0, types=["person", "city"])
    assert (result.after.decisions, result.after.present) == (8, 3)
    assert nlp.get_pipe("type_filter").labels == ()


def test_the_command(nlp, tmp_path):
    nlp.to_disk(tmp_path / "pipeline")
    DocBin(docs=docs(nlp), store_user_data=True).to_disk(tmp_path / "dev.spacy")
    (tmp_path / "dev.labels.json").write_text(json.dumps(TYPES), encoding="utf8")
    command = ["calibrate", str(tmp_path / "pipeline"), str(tmp_path / "dev.spacy"), "--recall", "0.75", "--global"]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    assert "threshold = 0.6" in result.stdout
    assert [line.split()[1:] for line in result.stdout.splitlines() if line.startswith("after")] == [
        ["75.0", "100.0", "25.0"]
    ]
    result = CliRunner().invoke(cli, [*command, "--json", "--output", str(tmp_path / "better")])
    assert json.loads(result.stdout)["after"]["share_kept"] == pytest.approx(0.25)
    assert spacy.load(tmp_path / "better").get_pipe("type_filter").threshold == pytest.approx(0.6)
    both = CliRunner().invoke(cli, [*command, "--precision", "0.5"])
    assert both.exit_code == 2


def test_docs_without_words(nlp):
    assert score_types([Example(Doc(nlp.vocab), Doc(nlp.vocab))])["types_skipped"] == 1
