"""The table of kinds of faults in the documentation."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = (ROOT / "docs" / "guides" / "faults.md").read_text(encoding="utf8").partition("## What is tested")[2]
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in TABLE.splitlines() if line.startswith("| ")]
TEST_FILE = re.compile(r"`(tests/[^`]+)`")


def test_each_kind_has_a_row():
    assert {row[0][:2] for row in ROWS[1:]} == {f"{letter}." for letter in "ABCDEFGHI"}
    assert all(len(row) == 3 and all(row) for row in ROWS)


def test_each_test_file_is_there_and_has_tests():
    named = {name for row in ROWS[1:] for name in TEST_FILE.findall(row[2])}
    assert len(named) > 30
    assert all("\ndef test_" in (ROOT / name).read_text(encoding="utf8") for name in named)
    assert all(TEST_FILE.findall(row[2]) for row in ROWS[1:])
