"""Tables of text in a terminal. wasabi's count characters; these count columns, which wide characters take two of."""

import unicodedata
from collections.abc import Sequence

Row = Sequence[str]


def one_line(text: str) -> str:
    """Make a text safe to show on one line of a terminal: no line breaks, no control characters."""
    return "".join(char for char in " ".join(text.split()) if unicodedata.category(char) not in ("Cc", "Cs"))


def display_width(text: str) -> int:
    """Count the terminal columns that a text takes: wide characters take two, combining ones none."""
    shown = [char for char in text if unicodedata.category(char) not in ("Mn", "Me", "Cf")]
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in shown)


def render_table(
    rows: Sequence[Row], *, header: Row | None = None, indent: int = 0, numbers: Sequence[int] = ()
) -> str:
    """Lay out rows in aligned columns.

    rows (Sequence[Row]): The cells of each row, as many in all of them; they are put on one line each.
    header (Row | None): Names of the columns, ruled off.
    indent (int): Spaces before each line.
    numbers (Sequence[int]): Columns that are aligned to the right.
    RETURNS (str): The lines, without a line end behind the last.
    """
    cells = [[one_line(cell) for cell in row] for row in ([header] if header else []) + list(rows)]
    widths = [max(map(display_width, column)) for column in zip(*cells, strict=True)]
    if header:
        cells.insert(1, ["-" * width for width in widths])
    lines = []
    for row in cells:
        padding = [" " * (width - display_width(cell)) for cell, width in zip(row, widths, strict=True)]
        padded = [p + c if i in numbers else c + p for i, (c, p) in enumerate(zip(row, padding, strict=True))]
        lines.append((" " * indent + "   ".join(padded)).rstrip())
    return "\n".join(lines)
