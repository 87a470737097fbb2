"""The README's form: short, with the commands that continuous integration runs, and links that lead somewhere."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf8")


def test_is_short():
    assert len(README.splitlines()) <= 150


def test_has_the_test_command_that_ci_runs():
    (command,) = re.findall(r"python -m pytest .*", README)
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf8")


def test_links_and_pictures_are_there():
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README)
    assert len(targets) > 15
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert not missing


def test_figures_are_those_of_the_benchmarks_page():
    benchmarks = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf8")
    for table in ("| system | 8 types", "| weights | parameters"):
        rows = README.partition(table)[2].partition("\n\n")[0].splitlines()[2:]
        figures = [number for row in rows for number in re.findall(r"\b\d+(?:\.\d)?\b", row.rpartition("`")[2])]
        assert figures
        assert [number for number in figures if not re.search(rf"\b{re.escape(number)}\b", benchmarks)] == []
