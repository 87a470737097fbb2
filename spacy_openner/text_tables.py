"""Texts laid out in columns of a terminal."""

import unicodedata


def one_line(text: str) -> str:
    """Make a text safe to show on one line of a terminal: no line breaks, no control characters."""
    return "".join(char for char in " ".join(text.split()) if unicodedata.category(char) != "Cc")


def display_width(text: str) -> int:
    """Count the terminal columns that a text takes: wide characters take two, combining ones none."""
    shown = [char for char in text if unicodedata.category(char) not in ("Mn", "Me", "Cf")]
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in shown)


def pad(text: str, width: int) -> str:
    """Fill a text with spaces to a number of terminal columns."""
    return text + " " * (width - display_width(text))


def render_rows(rows: list[tuple[str, ...]]) -> str:
    """Lay out rows, the first of which is a head, in aligned columns."""
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    rules = tuple("-" * width for width in widths)
    return "\n".join("   ".join(map(pad, row, widths)).rstrip() for row in [rows[0], rules, *rows[1:]])
