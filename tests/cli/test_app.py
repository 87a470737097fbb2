import io
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, Span, SpanGroup
from typer.testing import CliRunner

from spacy_openner import __version__
from spacy_openner.cli import render as rendering
from spacy_openner.cli.app import app as cli
from spacy_openner.errors import SettingError, TextError
from spacy_openner.text_tables import display_width
from spacy_openner.types import DEFAULT_SPANS_KEY

TEXT = "Marie Curie won the Nobel Prize in Paris."
LABELS = ["--labels", "person, award", "--label", "city, town"]


def annotated(text, found, flat=None, lang="en"):
    """Build a doc as the component leaves it: `found` are (start, end, label, score), `flat` picks doc.ents."""
    return annotate(spacy.blank(lang)(text), found, flat)


def annotate(doc: Doc, found, flat=None):
    spans = [Span(doc, start, end, label=label) for start, end, label, _ in found]
    scores = [score for *_, score in found]
    doc.spans[DEFAULT_SPANS_KEY] = SpanGroup(doc, name=DEFAULT_SPANS_KEY, spans=spans, attrs={"scores": scores})
    doc.ents = [spans[i] for i in (range(len(spans)) if flat is None else flat)]
    return doc


@pytest.fixture
def run(monkeypatch):
    """Run the command with a stand-in for the pipeline, which calls every capitalised word a `Name`."""
    seen = {}

    def make_nlp(labels, lang, threshold, overlap, **model):
        seen.update(labels=labels, lang=lang, threshold=threshold, overlap=overlap, model=model)
        nlp = spacy.blank(lang)
        nlp.add_pipe("cli_test_names")
        return nlp

    def invoke(*args, **kwargs):
        result = CliRunner().invoke(cli.app, list(args), **kwargs)
        result.seen = seen
        return result

    monkeypatch.setattr(cli, "make_nlp", make_nlp)
    return invoke


@spacy.Language.component("cli_test_names")
def cli_test_names(doc):
    return annotate(doc, [(t.i, t.i + 1, "Name", 0.75) for t in doc if t.text[0].isupper()])


# Labels


@pytest.mark.parametrize(
    ("lists", "whole", "described", "expected"),
    [
        (["person, award"], [], [], ["person", "award"]),
        (["person,award", " chemical element "], [], [], ["person", "award", "chemical element"]),
        (["person"], ["city, town"], [], ["person", "city, town"]),
        (["a,,b,", ",a"], ["b"], ["a"], ["a", "b"]),
        ([], [], ["city, town", "", "  "], ["city, town"]),
        ([], [], ["person\ta human being", "award"], {"person": "a human being", "award": "award"}),
        (["person"], [], ["person\ta human being"], {"person": "a human being"}),
        ([], [], [], []),
        ([" , "], [], [], []),
    ],
)
def test_collect_labels(lists, whole, described, expected):
    assert cli.collect_labels(lists, whole, described) == expected


def test_a_description_without_a_name_is_refused():
    with pytest.raises(SettingError, match="O003"):
        cli.collect_labels([], [], ["\ta human being"])


# Input


def test_read_lines_keeps_all_but_line_ends():
    stream = io.BytesIO("\ufeffeins \r\n\n  zwei\tdrei\nvi\u2028er".encode())
    assert list(cli.read_lines(stream)) == ["eins ", "", "  zwei\tdrei", "vi\u2028er"]


def test_read_lines_says_which_line_is_not_utf8():
    lines = cli.read_lines(io.BytesIO("ok\nGrüße".encode() + b"\n\xff\n"))
    assert [next(lines), next(lines)] == ["ok", "Grüße"]
    with pytest.raises(TextError, match=r"Line 3 of .* is not UTF-8"):
        next(lines)


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
    assert cli.count_texts(stream) == len(texts)
    assert list(cli.read_texts(stream)) == texts
    assert capsys.readouterr().err == message


def test_texts_of_a_pipe_are_not_counted():
    read, write = os.pipe()
    os.write(write, b"a\nb\n")
    os.close(write)
    with open(read, "rb") as stream:
        assert cli.count_texts(stream) is None
        assert list(cli.read_texts(stream)) == ["a", "b"]


def test_require_text():
    cli.require_text("Grüße 😀", "")
    with pytest.raises(TextError, match="not UTF-8"):
        cli.require_text("ok", b"Gr\xfc\xdfe".decode("utf-8", "surrogateescape"))


def test_an_unknown_language_is_a_setting_error():
    with pytest.raises(SettingError, match="E048"):
        cli.make_nlp(["person"], lang="xyz")


# Output


def test_record_of_flat_entities():
    doc = annotated(TEXT, [(0, 2, "person", 0.98765), (4, 6, "award", 0.5)])
    assert rendering.doc_record(doc) == {
        "text": TEXT,
        "ents": [
            {"start": 0, "end": 2, "start_char": 0, "end_char": 11}
            | {"text": "Marie Curie", "label": "person", "score": 0.9877},
            {"start": 4, "end": 6, "start_char": 20, "end_char": 31}
            | {"text": "Nobel Prize", "label": "award", "score": 0.5},
        ],
    }


def test_record_of_overlapping_spans():
    found = [(4, 5, "person", 0.6), (4, 6, "award", 0.9), (0, 2, "person", 0.8)]
    doc = annotated(TEXT, found, flat=[1, 2])
    assert [e["text"] for e in rendering.doc_record(doc)["ents"]] == ["Marie Curie", "Nobel Prize"]
    ents = rendering.doc_record(doc, "nested")["ents"]
    assert [(e["text"], e["score"]) for e in ents] == [
        ("Marie Curie", 0.8),
        ("Nobel Prize", 0.9),
        ("Nobel", 0.6),
    ]


def test_record_of_a_doc_without_spans_and_of_an_entity_without_a_score():
    doc = spacy.blank("en")(TEXT)
    assert rendering.doc_record(doc) == rendering.doc_record(doc, "all") == {"text": TEXT, "ents": []}
    doc.ents = [Span(doc, 0, 2, label="person")]
    assert rendering.doc_record(doc)["ents"][0]["score"] is None
    assert "-   " in rendering.render_table(rendering.doc_record(doc))


def test_table():
    doc = annotated(TEXT, [(0, 2, "person", 0.98765), (4, 6, "award", 0.5)])
    assert rendering.render_table(rendering.doc_record(doc)).splitlines() == [
        "entity        label    score   characters",
        "-----------   ------   -----   ----------",
        "Marie Curie   person   0.988   0-11",
        "Nobel Prize   award    0.500   20-31",
    ]


def test_table_aligns_wide_and_combining_characters_and_shows_no_control_characters():
    doc = annotated("東京 e\u0301te\u0301 a\x1b[31m", [(0, 1, "市", 0.9), (1, 2, "saison", 0.8), (2, 3, "x\ny", 0.7)])
    lines = rendering.render_table(rendering.doc_record(doc)).splitlines()
    starts = {display_width(line[: re.search(r"score|-----   -{10}|0\.\d", line).start()]) for line in lines}
    assert len(starts) == 1
    assert "\x1b" not in "".join(lines)
    assert len(lines) == 5


def test_table_without_entities():
    assert rendering.render_table({"text": "", "ents": []}) == "(no entities)"


def test_label_colors_are_stable_and_differ():
    assert rendering.label_color("person") == rendering.label_color("person") == "hsl(134, 100%, 84%)"
    assert len({rendering.label_color(label) for label in ("person", "award", "city", "chemical element")}) == 4


@pytest.mark.parametrize("overlap", ["flat", "nested", "all"])
def test_figure_escapes_text_and_labels(overlap):
    doc = annotated("<b> Curie & {x}", [(3, 4, "<i>{y}</i>", 0.9)])
    markup = rendering.render_figure(doc, rendering.doc_record(doc, overlap), overlap)
    assert "<b>" not in markup
    assert "<i>" not in markup
    assert "&lt;i&gt;{y}&lt;/i&gt;" in markup
    assert "{x}" in markup.replace(" ", "")
    assert rendering.label_color("&lt;i&gt;{y}&lt;/i&gt;") in markup


@pytest.mark.parametrize("lang", ["en", "he"])
@pytest.mark.parametrize("texts", [[], [TEXT], [TEXT, ""]])
def test_page_is_what_displacy_makes_but_for_the_charset(lang, texts):
    docs = [annotated(text, [(0, 2, "person", 0.9)] if text else [], lang=lang) for text in texts]
    file = io.StringIO()
    with rendering.html_page(file, spacy.blank(lang)):
        for doc in docs:
            file.write(rendering.render_figure(doc, rendering.doc_record(doc)))
    colors = {"person": rendering.label_color("person")}
    if docs:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"\[W006\]")
            expected = spacy.displacy.render(docs, style="ent", page=True, options={"colors": colors})
        written = file.getvalue().replace('<meta charset="utf-8">', "")
        assert "".join(written.split()) == "".join(expected.split())
    assert file.getvalue().startswith("<!DOCTYPE html>")
    assert file.getvalue().rstrip().endswith("</html>")


# The command


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


@pytest.mark.parametrize("count", [50, 51])
@pytest.mark.parametrize("known", [True, False])
def test_progress_bar_appears_above_50_texts(count, known, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    assert len(list(cli.with_progress(range(count), None, count if known else None))) == count
    assert bool(sys.stderr.getvalue().strip()) == (count > 50)


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
        ([TEXT, *LABELS, "--file", "missing.txt"], 2, "missing.txt"),
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
    monkeypatch.setattr(cli, "sys", type("Terminal", (), {"stdin": None, "stdout": sys.stdout}))
    result = run(*LABELS)
    assert result.exit_code == 2
    assert "no text" in result.stderr


def test_own_errors_and_warnings_are_lines_without_a_traceback(run, monkeypatch):
    from spacy_openner.errors import error, warn

    def fail(*args, **kwargs):
        warn("W002", repo="some/where")
        raise error("O003", value="")

    monkeypatch.setattr(cli, "make_nlp", fail)
    result = run(TEXT, *LABELS)
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first.startswith("Warning: [W002]")
    assert second.startswith("Error: [O003]")


def test_version_and_help(run):
    assert run("--version").stdout == f"spacy-openner {__version__}\n"
    text = run("--help").stdout
    for option in ("--labels", "--label", "--json", "--version", "find"):
        assert option in text
    assert "--labels" in run("find", "--help").stdout


# Processes of their own


def execute(*args, **kwargs):
    return subprocess.run(
        [sys.executable, *args], capture_output=True, encoding="utf-8", timeout=300, check=False, **kwargs
    )


def test_mistakes_are_reported_without_loading_spacy():
    code = "import sys; from spacy_openner.cli.app import app; app([], standalone_mode=False)"
    result = execute("-X", "importtime", "-c", code)
    assert "| spacy_openner.cli.app" in result.stderr
    assert not re.search(r"\| +(spacy|torch|tqdm)$", result.stderr, re.MULTILINE)


def test_spacy_cli_gets_the_command():
    from spacy.cli._util import app

    before = [info.name for info in app.registered_groups]
    assert cli.spacy_command is cli.app
    assert cli.spacy_command is cli.app
    names = [info.name for info in app.registered_groups]
    assert names.count("openner") == 1
    assert set(before) <= set(names)
    result = CliRunner().invoke(app, ["openner", TEXT])
    assert result.exit_code == 2
    assert '--labels "person, award"' in result.output


def test_module_has_no_other_lazy_names():
    with pytest.raises(AttributeError, match="spacy_comand"):
        _ = cli.spacy_comand


def test_spacy_openner_from_spacys_own_command_line():
    result = execute("-m", "spacy", "openner", TEXT)
    assert result.returncode == 2
    assert '--labels "person, award"' in result.stderr
    assert "Traceback" not in result.stderr


def test_a_reader_that_leaves_early_gets_no_traceback():
    code = (
        "import spacy; from spacy_openner import cli;"
        "cli.make_nlp = lambda *args, **kwargs: spacy.blank('en'); cli.main()"
    )
    texts = "".join(f"Text {i}.\n" for i in range(20_000))
    command = [sys.executable, "-c", code, "--labels", "person", "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(texts.encode(), timeout=300)
    assert process.returncode == 1
    assert err == b""


# With the default weights


@pytest.fixture(scope="module")
def readme_command():
    text = "Marie Curie won the Nobel Prize for discovering polonium."
    return [text, "--labels", "person, award", "--labels", "chemical element"]


def test_end_to_end_json(readme_command):
    result = execute("-m", "spacy_openner", *readme_command, "--json")
    assert result.returncode == 0, result.stderr
    ents = json.loads(result.stdout)["ents"]
    assert ("Marie Curie", "person") in [(ent["text"], ent["label"]) for ent in ents]
    assert all(0.5 <= ent["score"] <= 1 for ent in ents)


def test_end_to_end_table_through_spacy(readme_command):
    result = execute("-m", "spacy", "openner", *readme_command)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^Marie Curie +person +[01]\.\d{3} +0-11$", result.stdout, re.MULTILINE)


def test_end_to_end_lines_are_the_same_as_single_texts(readme_command):
    text, *labels = readme_command
    runner = CliRunner()
    result = runner.invoke(cli.app, [*labels, "--json", "--overlap", "all"], input=f"{text}\n\nNo one.\n{text}\n")
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
    result = CliRunner().invoke(cli.app, args)
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
    result = CliRunner().invoke(cli.app, [*readme_command, *args])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: [O")
    assert message in result.stderr
