"""Options, inputs and outputs that commands share."""

import io
import os
import subprocess
import sys

import pytest

from spacy_openner.cli.options import blank_pipeline, collect_labels, decoded, with_progress
from spacy_openner.errors import SettingError, TextError


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
    assert collect_labels(lists, whole, described) == expected


def test_a_description_without_a_name_is_refused():
    with pytest.raises(SettingError, match="O003"):
        collect_labels([], [], ["\ta human being"])


@pytest.mark.parametrize("count", [50, 51])
@pytest.mark.parametrize("known", [True, False])
def test_progress_bar_appears_above_50_texts(count, known, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    assert len(list(with_progress(range(count), None, count if known else None))) == count
    assert bool(sys.stderr.getvalue().strip()) == (count > 50)


def test_arguments_that_the_locale_could_not_decode():
    undecoded = "Größe".encode().decode("ascii", "surrogateescape")
    assert decoded("Grüße 😀") == "Grüße 😀"
    assert decoded(undecoded) == "Größe"
    with pytest.raises(TextError, match="O203"):
        decoded(b"Gr\xfc\xdfe".decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("command", ["find", "annotate"])
def test_labels_in_a_locale_without_letters(command, own_plugins, tmp_path):
    """The command gets the labels' bytes, whatever the locale says of them."""
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    (tmp_path / "texts").write_text("Ein Haus.\n", encoding="utf8")
    name = b"\xff" if command == "find" else "Größe".encode()
    target = [] if command == "find" else [str(tmp_path / "t.json")]
    more = [] if command == "find" else ["--model", "tiny"]
    code = "from spacy_openner.cli.app import main; main()"
    args = [sys.executable, "-c", code, command, str(tmp_path / "texts"), *target, *more, "--label", name]
    result = subprocess.run(args, capture_output=True, env=environment, timeout=300, check=False)
    # The first is no UTF-8; the second passes, and the next mistake is found.
    assert result.returncode == 1
    assert (b"O203" if command == "find" else b"O001") in result.stderr


@pytest.mark.parametrize(("redirect", "reason"), [(">/dev/full", "No space left"), (">&-", "closed")])
def test_standard_output_that_cannot_be_written(redirect, reason):
    code = "from spacy_openner.cli.app import main; main()"
    command = f'{sys.executable} -c "{code}" --version {redirect}'
    result = subprocess.run(command, shell=True, capture_output=True, encoding="utf8", timeout=300, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: [O407]")
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_texts_of_any_length_have_a_pipeline():
    assert len(blank_pipeline("en").make_doc("a " * 600_000)) == 600_000
    with pytest.raises(SettingError, match=r"O001.*xyz"):
        blank_pipeline("xyz")
