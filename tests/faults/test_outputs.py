"""Commands whose outputs are named like something that they read, or twice."""

import json

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from typer.testing import CliRunner

from spacy_openner.cli.app import app

LLM = ["--model", "tiny", "--base-url", "http://127.0.0.1:9/v1"]
COMMANDS = {
    "align over its gold": (["align", "rules", "dev.spacy", "--output", "dev.spacy"], "O409"),
    "align over the types of its gold": (["align", "rules", "dev.spacy", "--types", "dev.labels.json"], "O409"),
    "align into its pipeline": (["align", "rules", "dev.spacy", "--output", "rules/config.cfg"], "O409"),
    "align to one file": (["align", "rules", "dev.spacy", "--output", "t.json", "--types", "./t.json"], "O415"),
    "convert over its labels": (["convert", "x.jsonl", "map.spacy", "--labels", "map.labels.json"], "O409"),
    "convert over its types": (["convert", "x.jsonl", "dev.spacy", "--types", "dev.labels.json"], "O409"),
    "convert over itself": (["convert", "dev.spacy", "."], "O409"),
    "annotate over its labels": (
        ["annotate", "x.jsonl", "lines-00001.spacy", "--labels-file", "lines.labels.json", *LLM],
        "O409",
    ),
    "annotate over itself": (["annotate", "dev.spacy", "dev.spacy", "--labels", "a", *LLM], "O409"),
    "explain over the types of its source": (["explain", "dev.spacy", "dev-00002.spacy", *LLM], "O409"),
    "find over its labels": (["x", "--labels-file", "lines.labels.json", "--html", "lines.labels.json"], "O409"),
    "calibrate over its gold": (["calibrate", "rules", "dev.spacy", "--output", "dev.spacy"], "dev.spacy"),
    "run into its pipeline": (["run", "x.jsonl", "rules", "--pipeline", "rules"], "O606"),
    "run over its source": (["run", "part-00000.jsonl", ".", "--pipeline", "rules"], "O606"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = tmp_path_factory.mktemp("outputs")
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "person", "pattern": "Ada"}])
    nlp.to_disk(path / "rules")
    doc = Doc(nlp.vocab, words=["Ada", "met", "Lee"])
    doc.ents = [Span(doc, 0, 1, label="person")]
    DocBin(docs=[doc]).to_disk(path / "dev.spacy")
    (path / "dev.labels.json").write_text('["person"]')
    (path / "map.labels.json").write_text('{"per": "person"}')
    (path / "lines.labels.json").write_text("person\n")
    for name in ("x.jsonl", "part-00000.jsonl"):
        (path / name).write_text(json.dumps({"text": "Ada", "tokens": ["Ada"], "spans": [[0, 1, "per"]]}) + "\n")
    return path


@pytest.mark.parametrize(("command", "said"), COMMANDS.values(), ids=COMMANDS)
def test_they_are_refused(command, said, place, monkeypatch):
    monkeypatch.chdir(place)
    before = {file: file.read_bytes() for file in place.rglob("*") if file.is_file()}
    result = CliRunner().invoke(app, command)
    assert result.exit_code in (1, 2)
    assert said in result.output
    assert {file: file.read_bytes() for file in place.rglob("*") if file.is_file()} == before
