"""Odd values of options: refused with a message, before anything is read or written."""

import pytest
import typer

from spacy_openner.cli.app import app, path_parameters
from spacy_openner.errors import SettingError
from spacy_openner.models.architectures import span_architecture
from spacy_openner.nn import hub
from tests.support.command_line import LABELS, TEXT

HUGE, LONG, UNDECODED = "9" * 30, "a" * 5000, "\udcff"
COMMANDS = typer.main.get_command(app).commands
# What each command needs beside the option in question.
NEEDED = {
    "find": [TEXT, *LABELS],
    "convert": ["words.conll", "words.spacy"],
    "calibrate": ["pipeline", "gold.spacy"],
    "reliability": ["pipeline", "gold.spacy"],
    "align": ["pipeline", "gold.spacy"],
    "annotate": ["texts.txt", "texts.spacy", "--model", "m", *LABELS],
    "explain": ["gold.spacy", "explained.spacy", "--model", "m"],
    "run": ["texts.jsonl", "out", "--pipeline", "pipeline"],
    "serve": LABELS,
}
PATHS = [
    (name, param.opts[0])
    for name, command in COMMANDS.items()
    for param in command.params
    if param.name in path_parameters(command.callback) and param.opts[0].startswith("--")
]


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("words.conll", "gold.spacy", "texts.txt", "texts.jsonl"):
        (tmp_path / name).write_text("Oslo B-city\n", encoding="utf-8")
    return sorted(tmp_path.iterdir())


def refused(result, text):
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert text in " ".join(result.stderr.split())
    return True


@pytest.mark.parametrize(("name", "option"), PATHS)
def test_no_option_takes_an_empty_path_for_the_current_directory(name, option, files, run, tmp_path):
    assert refused(run(name, *NEEDED[name], option, ""), "an empty path")
    assert sorted(tmp_path.iterdir()) == files


@pytest.mark.parametrize(
    "args", [["convert", "", "words.spacy"], ["convert", "words.conll", ""], ["run", "texts.jsonl", "", "--pipeline=p"]]
)
def test_no_argument_takes_an_empty_path_for_the_current_directory(args, files, run, tmp_path):
    assert refused(run(*args), "an empty path")
    assert sorted(tmp_path.iterdir()) == files


def test_every_command_is_there():
    assert set(NEEDED) == set(COMMANDS)
    assert len(PATHS) >= 15


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["find", TEXT, *LABELS, "--batch-size", HUGE], "--batch-size"),
        (["find", *LABELS, "--file", LONG], "O001"),
        (["find", TEXT, *LABELS, "--model", UNDECODED], "O203"),
        (["find", TEXT, *LABELS, "--revision", UNDECODED], "O203"),
        (["convert", "words.conll", "words.spacy", "--shard", HUGE], "O001"),
        (["convert", "words.conll", "words.spacy", "--n-sents", HUGE], "O001"),
        (["run", "texts.jsonl", "out", "--pipeline", "p", "--batch-size", HUGE], "O001"),
        (["run", "texts.jsonl", "out", "--pipeline", "p", "--shard-size", HUGE], "O001"),
        (["run", "texts.jsonl", "out", "--pipeline", "p", "--limit", HUGE], "O001"),
        (["run", "texts.jsonl", "out", "--pipeline", "p", "--workers", HUGE], "O001"),
        (["run", "texts.jsonl", "out", "--pipeline", "p", "--threads", "1025"], "--threads"),
        (["serve", *LABELS, "--threads", HUGE], "--threads"),
        (["align", LONG, "gold.spacy"], "O001"),
        (["explain", "gold.spacy", "explained.spacy", "--model", "m", "--spans-key", UNDECODED], "O001"),
    ],
)
def test_odd_values_are_refused(args, text, files, run, tmp_path):
    assert refused(run(*args), text)
    assert sorted(tmp_path.iterdir()) == files


@pytest.mark.parametrize("name", [LONG, "a" * 300 + "/b", "~nobody-has-this-name/model", "a\0b"])
@pytest.mark.parametrize("kind", [hub.MATCHER, hub.TYPE_CACHE])
def test_names_that_no_file_can_have(name, kind):
    with pytest.raises(SettingError, match="O001"):
        hub.find(name, None, kind)
    with pytest.raises(SettingError, match="O001"):
        span_architecture(name)
