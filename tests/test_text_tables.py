import pytest
from spacy_openner.text_tables import display_width, one_line, render_rows


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("東京", 4), ("e\u0301", 1), ("ｶﾞ", 2), ("", 0)])
def test_display_width(text, width):
    assert display_width(text) == width


def test_rows_are_aligned_by_what_a_terminal_shows():
    assert render_rows([("a", "b"), ("東京", "x"), ("abc", "")]) == "a      b\n----   -\n東京   x\nabc"


def test_one_line_has_no_control_characters():
    assert one_line("a\x1b[31m\n b\tc") == "a[31m b c"
