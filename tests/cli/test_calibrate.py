"""The commands `calibrate` and `reliability`."""

import json
from dataclasses import replace

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.util import load_config_from_str
from typer.testing import CliRunner

from spacy_openner.calibration.entities import EntityCalibration, EntityScores, TypeThreshold, calibrate_entities
from spacy_openner.calibration.reliability import Reliability, measure_reliability
from spacy_openner.cli import calibrate as cli_calibration
from spacy_openner.cli.app import app
from spacy_openner.data.docbin import read_annotated
from tests.support import tiny_models as tiny
from tests.support.known_components import ASKED, GOLD, TABLE, gold_by_thresholds, gold_doc, table_nlp


@pytest.fixture
def saved(make_nlp, tmp_path):
    """A pipeline and annotated docs, on disk."""
    nlp = make_nlp(labels=ASKED, threshold=0.3)
    docs = gold_by_thresholds(nlp)
    nlp.to_disk(tmp_path / "pipeline")
    DocBin(docs=docs).to_disk(tmp_path / "dev.spacy")
    (tmp_path / "dev.labels.json").write_text(json.dumps(ASKED), encoding="utf8")
    return tmp_path, calibrate_entities(nlp, docs, min_gold=2, types=ASKED), measure_reliability(nlp, docs, types=ASKED)


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_calibrate_saves_a_pipeline(saved):
    path, expected, _ = saved
    result = run("calibrate", path / "pipeline", path / "dev.spacy", "--min-gold", 2, "--output", path / "better")
    assert result.exit_code == 0, result.output
    assert spacy.load(path / "better").get_pipe("open_ner_span").label_thresholds == expected.label_thresholds
    rows = {line.split("  ")[0]: line.split() for line in result.stdout.splitlines()}
    assert set(ASKED) < set(rows)
    figures = [*cli_calibration.percentages(expected.after), f"{100 * expected.before.f1:.1f}"]
    assert rows["all"][1:] == [str(expected.after.gold), *figures]
    assert not result.stderr


def test_calibrate_in_place(saved):
    path, expected, _ = saved
    assert run("calibrate", path / "pipeline", path / "dev.spacy", "--output", path / "pipeline").exit_code == 0
    nlp = spacy.load(path / "pipeline")
    assert nlp(tiny.SENTENCES[0]).spans["openner"] is not None
    assert (
        calibrate_entities(nlp, read_annotated(path / "dev.spacy", nlp.vocab)[0], types=ASKED).before.gold
        == expected.before.gold
    )


def test_calibrate_prints_a_config(saved):
    path, expected, _ = saved
    result = run("calibrate", path / "pipeline", path / "dev.spacy", "--min-gold", 2)
    assert result.exit_code == 0, result.output
    config = load_config_from_str("[components]\n" + result.stdout[result.stdout.index("[components.") :])
    settings = {"threshold": 0.3, "label_thresholds": expected.label_thresholds}
    assert config["components"]["open_ner_span"] == settings


def test_calibrate_prints_python_where_a_config_cannot_hold_a_name(saved):
    _, expected, _ = saved
    text = cli_calibration.render_settings(replace(expected, label_thresholds={"a: b": 0.4}))
    pipe = type("Pipe", (), {})()
    exec(text, {"nlp": type("Nlp", (), {"get_pipe": lambda self, name: pipe})()})
    assert (pipe.threshold, pipe.label_thresholds) == (0.3, {"a: b": 0.4})


@pytest.fixture
def saved_table(tmp_path):
    """Arguments of a command: a saved pipeline of which all is known, and annotated docs."""
    nlp = table_nlp(TABLE)
    nlp.to_disk(tmp_path / "table")
    DocBin(docs=[gold_doc(nlp, GOLD)]).to_disk(tmp_path / "table.spacy")
    return tmp_path / "table", tmp_path / "table.spacy", "--json", "--min-gold"


def test_calibrate_as_json(saved_table):
    record = json.loads(run("calibrate", *saved_table, 1).stdout)
    assert list(record["label_thresholds"]) == ["a", "b"]
    assert record["after"] == {"right": 3, "predicted": 5, "gold": 4, "precision": 0.6, "recall": 0.75, "f1": 6 / 9}
    assert record["per_type"]["a"]["before"]["recall"] == 0.5
    assert record["per_type"]["c"]["status"] == "unannotated"


def test_options_of_calibrate(saved_table):
    together = json.loads(run("calibrate", *saved_table, 1, "--global").stdout)
    assert (together["threshold"], together["label_thresholds"]) == (0.15, {})
    precise = run("calibrate", *saved_table, 1, "--precision", 0.9)
    assert json.loads(precise.stdout)["label_thresholds"] == {"b": 0.75}
    assert precise.stderr.startswith("Warning: [W421]")
    kept = json.loads(run("calibrate", *saved_table, 3).stdout)
    assert [each["status"] for each in kept["per_type"].values()] == ["kept", "kept", "unannotated"]
    wrong = run("calibrate", *saved_table, 1, "--precision", 90)
    assert wrong.exit_code == 1
    assert "O424" in wrong.stderr


def test_reliability_command(saved):
    path, _, expected = saved
    result = run("reliability", path / "pipeline", path / "dev.spacy")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["score", "spans", "mean", "score", "right"]
    assert [int(line.split()[1]) for line in lines[2:12]] == [b.count for b in expected.bins]
    assert f"error {expected.ece:.3f}, Brier score {expected.brier:.3f}" in lines[13]
    record = json.loads(run("reliability", path / "pipeline", path / "dev.spacy", "--json").stdout)
    assert record["ece"] == pytest.approx(expected.ece)
    assert len(record["bins"]) == 10
    strict = json.loads(run("reliability", path / "pipeline", path / "dev.spacy", "--json", "--threshold", 0.9).stdout)
    assert strict["count"] < record["count"]


def test_what_the_figures_leave_out_is_said():
    none = Reliability("open_ner_span", 0.05, 0, (), None, None, {"PERSON": 3}, 2)
    text = cli_calibration.render_reliability(none)
    assert "Annotated, but not asked for: PERSON (3)." in text
    assert "Docs without any annotation: 2." in text
    silent, kept = (
        TypeThreshold(0.9, status, EntityScores(0, 1, 7), EntityScores(0, 0, 7)) for status in ("chosen", "kept")
    )
    types = {"a": silent, "b": kept}
    text = cli_calibration.render_calibration(
        EntityCalibration("", 0.5, {}, EntityScores(0, 2, 14), EntityScores(0, 0, 14), types, {}, 0)
    )
    assert "finds nothing" in text.splitlines()[2]
    assert text.splitlines()[3].endswith("kept: too few gold spans")


@pytest.mark.parametrize("command", ["calibrate", "reliability"])
@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["nowhere", "dev.spacy"], 1, "O426"),
        (["pipeline", "pipeline/config.cfg"], 1, "O403"),
        (["pipeline", "nowhere.spacy"], 2, "nowhere.spacy"),
        (["pipeline", "dev.spacy", "--component", "ner"], 1, "O423"),
    ],
)
def test_mistakes_get_a_message_and_an_exit_code(saved, command, args, code, message, monkeypatch):
    monkeypatch.chdir(saved[0])
    result = run(command, *args)
    assert result.exit_code == code
    assert message in result.stderr
    assert isinstance(result.exception, SystemExit)
