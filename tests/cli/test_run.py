"""The command `run`."""

import json

import pytest
import spacy
from typer.testing import CliRunner

from spacy_openner.bulk.local_engine import run_locally
from spacy_openner.cli.app import app


@pytest.fixture
def pipeline(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "person", "pattern": "Niels Bohr"}])
    nlp.to_disk(tmp_path / "pipeline")
    return str(tmp_path / "pipeline")


def test_run(pipeline, tmp_path):
    (tmp_path / "in.txt").write_text("Niels Bohr called.\nNobody did.\n", encoding="utf8")
    call = ["run", str(tmp_path / "in.txt"), str(tmp_path / "out"), "--pipeline", pipeline, "--no-progress"]
    result = CliRunner().invoke(app, call)
    assert (result.exit_code, result.output) == (0, "2 records with 1 entities; 0 set aside\n")
    (path,) = (tmp_path / "out").glob("part-*.jsonl")
    first, second = map(json.loads, path.read_text(encoding="utf8").splitlines())
    assert [entity["text"] for entity in first["entities"]] == ["Niels Bohr"]
    assert second["entities"] == []
    again = CliRunner().invoke(app, [*call, "--json"])
    assert json.loads(again.output)["records"] == 2


def test_what_cannot_be_read_is_named_and_exits_with_1(pipeline, tmp_path):
    (tmp_path / "in.spacy").write_bytes(b"no docs")
    call = ["run", str(tmp_path / "in.spacy"), str(tmp_path / "out"), "--pipeline", pipeline]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 1
    assert "in.spacy: [O602]" in result.output
    assert "1 of 1 units are left" in result.output


@pytest.mark.parametrize(
    ("source", "pipeline_name", "code"),
    [("missing.jsonl", None, "O605"), ("in.doc", None, "O601"), ("in.jsonl", "no-such-pipeline", "O609")],
)
def test_mistakes(pipeline, tmp_path, source, pipeline_name, code):
    for name in ("in.doc", "in.jsonl"):
        (tmp_path / name).write_text('{"text": "a"}\n', encoding="utf8")
    call = ["run", str(tmp_path / source), str(tmp_path / "out"), "--pipeline", pipeline_name or pipeline]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 1
    assert f"[{code}]" in result.output


def test_what_an_engine_prints_is_no_part_of_the_report(pipeline, tmp_path, monkeypatch):
    def chatty(units, settings, workers):
        print("(raylet) A worker died.")
        yield from run_locally(units, settings, workers)

    monkeypatch.setattr("spacy_openner.bulk.run.run_locally", chatty)
    (tmp_path / "in.txt").write_text("Niels Bohr called.\n", encoding="utf8")
    call = ["run", str(tmp_path / "in.txt"), str(tmp_path / "out"), "--pipeline", pipeline, "--json"]
    result = CliRunner().invoke(app, call)
    assert json.loads(result.stdout)["records"] == 1
    assert "worker died" in result.stderr
