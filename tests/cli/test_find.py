"""The command `find`."""

import io
import json
import os
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spacy_openner.cli import find
from spacy_openner.cli.app import app
from spacy_openner.errors import SettingError
from tests.support.command_line import LABELS, TEXT
from tests.support.forked_python import run_python, start_python


@pytest.mark.parametrize(
    ("data", "texts", "message"),
    [
        (b"a\nb\n", ["a", "b"], ""),
        (b"a\n\n \t\nb", ["a", "b"], "Read 2 texts, skipped 2 blank lines.\n"),
        (b"", [], "Read 0 texts, skipped 0 blank lines.\n"),
    ],
)
def test_blank_lines_are_skipped_and_counted(data, texts, message, capsys):
    stream = io.BytesIO(data)
    lines = find.TextLines(stream)
    assert lines.count() == len(texts)
    assert list(lines) == texts
    assert capsys.readouterr().err == message


def test_texts_of_a_pipe_are_not_counted():
    read, write = os.pipe()
    os.write(write, b"a\nb\n")
    os.close(write)
    with open(read, "rb") as stream:
        lines = find.TextLines(stream)
        assert lines.count() is None
        assert list(lines) == ["a", "b"]


def test_an_unknown_language_is_a_setting_error():
    with pytest.raises(SettingError, match="E048"):
        find.make_nlp(["person"], lang="xyz")


def test_find_is_the_default_command(run):
    plain, named = run(TEXT, *LABELS), run("find", TEXT, *LABELS)
    assert plain.exit_code == named.exit_code == 0
    assert plain.stdout == named.stdout
    assert run(*LABELS, TEXT).stdout == plain.stdout
    assert "Curie    Name    0.750   6-11" in plain.stdout
    assert not plain.stderr


def test_a_text_that_is_the_name_of_a_command_or_starts_with_a_dash(run):
    assert json.loads(run("--json", *LABELS, "find").stdout)["text"] == "find"
    assert json.loads(run("--json", *LABELS, "--", "-5 degrees").stdout)["text"] == "-5 degrees"


def test_options_reach_the_pipeline(run):
    args = ["--threshold", "0.3", "--overlap", "nested", "--lang", "de", "--model", "some/where", "--revision", "abc"]
    seen = run(TEXT, *LABELS, *args, "--precision", "float32", "--backend", "onnx").seen
    model = {"name": "some/where", "revision": "abc", "precision": "float32", "backend": "onnx"}
    assert seen == {
        "labels": ["person", "award", "city, town"],
        "lang": "de",
        "threshold": 0.3,
        "overlap": "nested",
        "model": model,
    }


def test_labels_file(run, tmp_path):
    (tmp_path / "labels").write_text("person\ta human being\n\ncity, town\n", encoding="utf-8")
    seen = run(TEXT, "--labels-file", str(tmp_path / "labels")).seen
    assert seen["labels"] == {"person": "a human being", "city, town": "city, town"}


def test_standard_input_and_file_give_the_same(run, tmp_path):
    data = "Ein Haus.\n\nMünchen 😀\n"
    (tmp_path / "texts").write_text(data, encoding="utf-8")
    piped = run("--json", *LABELS, input=data)
    assert piped.exit_code == 0
    records = [json.loads(line) for line in piped.stdout.splitlines()]
    assert [record["text"] for record in records] == ["Ein Haus.", "München 😀"]
    assert [ent["text"] for ent in records[0]["ents"]] == ["Ein", "Haus"]
    assert piped.stderr == "Read 2 texts, skipped 1 blank lines.\n"
    for file in (str(tmp_path / "texts"), "-"):
        assert run("--json", "--file", file, *LABELS, input=data).stdout == piped.stdout


def test_tables_of_several_texts_stand_under_their_texts(run):
    assert run(*LABELS, input="no\nYes\n").stdout.splitlines() == [
        "no",
        "(no entities)",
        "",
        "Yes",
        "entity   label   score   characters",
        "------   -----   -----   ----------",
        "Yes      Name    0.750   0-3",
        "",
    ]


def test_html_page(run, tmp_path):
    page = tmp_path / "page.html"
    result = run(*LABELS, "--html", str(page), input="München\n<b>\n")
    assert (result.exit_code, result.stdout) == (0, "")
    markup = page.read_text(encoding="utf-8")
    assert markup.count("<figure") == 2
    assert "&lt;b&gt;" in markup
    assert "München" in markup
    assert len(run(*LABELS, "--json", "--html", str(page), input="München\n<b>\n").stdout.splitlines()) == 2


def test_progress_bar(run):
    many, few = "A text.\n" * 60, "A text.\n" * 3
    assert "60/60" in run(*LABELS, "--progress", input=many).stderr
    assert "3/3" in run(*LABELS, "--progress", input=few).stderr
    assert not run(*LABELS, "--no-progress", input=many).stderr
    assert not run(*LABELS, input=many).stderr


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ([TEXT], 2, '--labels "person, award"'),
        ([], 2, '--labels "person, award"'),
        ([TEXT, "--labels", ", "], 2, '--labels "person, award"'),
        ([TEXT, *LABELS, "--threshold", "3"], 2, "--threshold"),
        ([TEXT, *LABELS, "--overlap", "some"], 2, "--overlap"),
        ([TEXT, *LABELS, "--batch-size", "0"], 2, "--batch-size"),
        ([TEXT, *LABELS, "--precision", "float8"], 2, "--precision"),
        ([TEXT, *LABELS, "--backend", "jax"], 2, "--backend"),
        ([TEXT, *LABELS, "--file", "missing.txt"], 2, "not both"),
        ([*LABELS, "--file", "missing.txt"], 2, "missing.txt"),
        ([TEXT, "--labels-file", "missing.txt"], 2, "missing.txt"),
        ([*LABELS, "--file", "."], 2, "directory"),
        ([TEXT, *LABELS, "--file", "-"], 2, "not both"),
        ([TEXT, "more", *LABELS], 2, "more"),
        ([TEXT, *LABELS, "--html", "missing/page.html"], 1, "missing/page.html"),
        ([*LABELS, "--file", "latin"], 1, "Line 2 of latin is not UTF-8"),
        ([TEXT, "--labels-file", "latin"], 1, "Line 2 of latin is not UTF-8"),
        ([b"\xff".decode("utf-8", "surrogateescape"), *LABELS], 1, "not UTF-8"),
    ],
)
def test_mistakes_get_a_message_and_an_exit_code(run, args, code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("latin").write_bytes("gut\nGrüße\n".encode("latin-1"))
    result = run(*args)
    assert result.exit_code == code
    assert isinstance(result.exception, SystemExit)
    assert message in re.sub(r"\s+", " ", result.stderr)


def test_no_text_on_a_terminal(run, monkeypatch):
    monkeypatch.setattr(find, "sys", type("Terminal", (), {"stdin": None, "stdout": sys.stdout}))
    result = run(*LABELS)
    assert result.exit_code == 2
    assert "no text" in result.stderr


def test_a_reader_that_leaves_early_gets_no_traceback(tmp_path):
    code = (
        "import spacy; from spacy_openner.cli import app, find;"
        "find.make_nlp = lambda *args, **kwargs: spacy.blank('en'); app.main()"
    )
    (tmp_path / "texts").write_text("".join(f"Text {i}.\n" for i in range(2_000)))
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as stdout, open(tmp_path / "texts") as stdin, open(tmp_path / "err", "wb") as stderr:
        command = ["-c", code, "--labels", "person", "--json"]
        process = start_python(command, stdin=stdin, stdout=stdout, stderr=stderr)
        assert process.wait() == 1
    assert (tmp_path / "err").read_bytes() == b""


@pytest.fixture(scope="module")
def readme_command():
    text = "Marie Curie won the Nobel Prize for discovering polonium."
    return [text, "--labels", "person, award", "--labels", "chemical element"]


def test_end_to_end_json(readme_command):
    result = run_python(["-m", "spacy_openner", *readme_command, "--json"])
    assert result.returncode == 0, result.stderr
    ents = json.loads(result.stdout)["ents"]
    assert ("Marie Curie", "person") in [(ent["text"], ent["label"]) for ent in ents]
    assert all(0.5 <= ent["score"] <= 1 for ent in ents)


def test_end_to_end_table_through_spacy(readme_command):
    result = run_python(["-m", "spacy", "openner", *readme_command])
    assert result.returncode == 0, result.stderr
    assert re.search(r"^Marie Curie +person +[01]\.\d{3} +0-11$", result.stdout, re.MULTILINE)


def test_end_to_end_lines_are_the_same_as_single_texts(readme_command):
    text, *labels = readme_command
    runner = CliRunner()
    result = runner.invoke(app, [*labels, "--json", "--overlap", "all"], input=f"{text}\n\nNo one.\n{text}\n")
    assert result.exit_code == 0, result.output
    first, second, third = [json.loads(line) for line in result.stdout.splitlines()]
    assert first["ents"]
    assert second["text"] == "No one."
    assert [(e["start"], e["end"], e["label"]) for e in third["ents"]] == [
        (e["start"], e["end"], e["label"]) for e in first["ents"]
    ]


def test_end_to_end_descriptions_are_taken(readme_command, tmp_path):
    (tmp_path / "labels").write_text("person\ta human being with a name\n", encoding="utf-8")
    args = [readme_command[0], "--labels-file", str(tmp_path / "labels"), "--json", "--threshold", "0"]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    assert {ent["label"] for ent in json.loads(result.stdout)["ents"]} == {"person"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model", "./nowhere"], "./nowhere"),
        (["--precision", "bfloat16", "--backend", "onnx"], "bfloat16"),
        (["--lang", "xyz"], "xyz"),
    ],
)
def test_end_to_end_settings_that_are_not_allowed(readme_command, args, message):
    result = CliRunner().invoke(app, [*readme_command, *args])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: [O")
    assert message in result.stderr
