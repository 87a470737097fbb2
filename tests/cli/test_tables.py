"""Tables in a terminal."""

import pytest

from spacy_openner.cli.tables import display_width, one_line, render_table


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("東京", 4), ("e\u0301", 1), ("ｶﾞ", 2), ("", 0)])
def test_display_width(text, width):
    assert display_width(text) == width


def test_one_line():
    assert one_line(" a\n b\x1b[31m\ud83d") == "a b[31m"


def test_columns_are_aligned_by_what_a_terminal_shows():
    assert render_table([("東京", "1"), ("a\nb", "100")], header=("name", "n")).splitlines() == [
        "name   n",
        "----   ---",
        "東京   1",
        "a b    100",
    ]
    assert render_table([("1", "a"), ("20", "b")], indent=2, numbers=[0]) == "   1   a\n  20   b"
