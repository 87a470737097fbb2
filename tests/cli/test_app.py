"""The group of commands, and how it is reached."""

import re

import pytest
from typer.testing import CliRunner

from spacy_openner import __version__
from spacy_openner.cli import app as module
from spacy_openner.cli import find
from tests.support.command_line import LABELS, TEXT, execute
from tests.support.forked_python import run_python


def test_own_errors_and_warnings_are_lines_without_a_traceback(run, monkeypatch):
    from spacy_openner.errors import error, warn

    def fail(*args, **kwargs):
        warn("W002", repo="some/where")
        raise error("O003", value="")

    monkeypatch.setattr(find, "make_nlp", fail)
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


def test_mistakes_are_reported_without_loading_spacy():
    code = "import sys; from spacy_openner.cli.app import app; app([], standalone_mode=False)"
    result = execute("-X", "importtime", "-c", code)
    assert "| spacy_openner.cli.app" in result.stderr
    assert not re.search(r"\| +(spacy|torch|tqdm)$", result.stderr, re.MULTILINE)


def test_spacy_cli_gets_the_command():
    from spacy.cli._util import app

    before = [info.name for info in app.registered_groups]
    assert module.spacy_command is module.app
    assert module.spacy_command is module.app
    names = [info.name for info in app.registered_groups]
    assert names.count("openner") == 1
    assert set(before) <= set(names)
    result = CliRunner().invoke(app, ["openner", TEXT])
    assert result.exit_code == 2
    assert '--labels "person, award"' in result.output


def test_module_has_no_other_lazy_names():
    with pytest.raises(AttributeError, match="spacy_comand"):
        _ = module.spacy_comand


def test_spacy_openner_from_spacys_own_command_line():
    result = run_python(["-m", "spacy", "openner", TEXT])
    assert result.returncode == 2
    assert '--labels "person, award"' in result.stderr
    assert "Traceback" not in result.stderr
