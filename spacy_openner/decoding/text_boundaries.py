"""The places of a text that no entity crosses: blank lines, items of lists, cells of tables, and lines on demand.

Models read words, and no line breaks: to them, names on lines of their own are one long name. Which line breaks part
what stands on both sides, and which only wrap a paragraph, is told by the shape of the lines.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

BREAK = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# What boundaries are made of; most texts have none of it.
SHAPED = re.compile(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]| {3}|[|│┃║•‣◦▪●∙·]|\A>")
PARAGRAPH = re.compile(r"[\f\x1c-\x1e\u2029]")
BULLET = re.compile(
    r"[-*+•‣◦▪▫●○■□–—·∙➢►✓](?:[ \t]+\[[ xX]\])?(?:[ \t]+|$)|\(?[A-Za-z]\)[ \t]+|\[[ xX]\][ \t]+"
    r"|[→➔~][ \t]+|[①-⓿❶-➓][ \t]*|[一二三四五六七八九十]{1,3}、|[\u2600-\u27bf\U0001f300-\U0001faff]\ufe0f?[ \t]+"
)
NUMBER = re.compile(r"\(?(\d{1,3})(?:[.)](?:[ \t]+|$)|[．、])")
# "Name: ", "12:01", "2026-01-31": a line that begins so is an item if one beside it does, too.
KEY = re.compile(r"[^\s:.!?][^:.!?]{0,39}: |\[?(?:\d{4}-\d\d-\d\d|\d{1,2}:\d\d)(?![\d-])")
# Of a mail that is answered.
QUOTE = re.compile(r"(?:>[ \t]?)+")
# From the first of some blanks on, so that they are passed over once.
TAB = re.compile(r"(?<![ \t])[ \t]*\t[ \t]*")
PIPE = re.compile(r"(?<![ \t])[ \t]*[|│┃║][ \t|│┃║:-]*")
WALLS = tuple("|│┃║")
# Wide gaps, and signs between blanks. One in one line alone may be anything.
GAP = re.compile(r"(?<![ \t])(?:[ \t]+[|│┃║•‣◦▪●∙·][ \t]+| {3,})")
SENTENCE_END = tuple(".!?…。！？")

NARROW = 40
"""Columns. Running text is rarely wrapped at fewer, but lists of names are narrower."""
FILLED = 0.7
"""The share of its block's width that a line has at least, its next word included, where it is only wrapped."""


class Boundary(NamedTuple):
    """Characters that no entity holds or crosses: the blanks between two lines or cells, and a mark of an item.

    start, end: The characters, `end` exclusive.
    starts_line: Whether what follows is the beginning of a line.
    """

    start: int
    end: int
    starts_line: bool = True


class Line(NamedTuple):
    """A line that is not blank, without the blanks around it.

    start, end: Its characters, `end` exclusive, behind the signs by which a mail quotes.
    text: What it says.
    block: The number of its block: blank lines stand between blocks, and what is quoted is one of its own.
    edge: Where the signs of a quotation begin, or else `start`.
    mark: Characters of the mark of an item that it begins with.
    is_item: Whether it begins an item, with a mark or without.
    gaps: How many gaps part its cells; 0 for what is no row of a table.
    """

    start: int
    end: int
    text: str
    block: int
    edge: int
    mark: int = 0
    is_item: bool = False
    gaps: int = 0

    @property
    def is_walled(self) -> bool:
        """Tell whether it begins like a row of Markdown."""
        return self.text.startswith(WALLS)

    @property
    def is_row(self) -> bool:
        """Tell whether it is a row of a table."""
        return self.gaps > 0 or self.is_walled or "\t" in self.text


def text_boundaries(text: str, kinds: Collection[str]) -> list[Boundary]:
    """Find the boundaries of a text by the shape of its lines.

    text (str): Any text.
    kinds (Collection[str]): Of `types.BOUNDARIES`; "sentences" are none of a text's shape.
    RETURNS (list[Boundary]): In order; they share no character. None before the first word, but for an item's mark.

    A list item's mark belongs to the boundary before it:

        >>> text_boundaries("Met:\\n- Ann Bell\\n- Bo Ek", ["lists"])
        [Boundary(start=4, end=7, starts_line=True), Boundary(start=15, end=18, starts_line=True)]
    """
    if not SHAPED.search(text):
        return []
    lines = _rows(_lines(text, with_quotes="paragraphs" in kinds))
    if "lists" in kinds:
        lines = _items(lines)
    shapes = {number: _Block([line.text for line in block]) for number, block in groupby(lines, lambda x: x.block)}
    boundaries = [
        Boundary(line.edge, line.start + line.mark) for line in lines[:1] if line.edge < line.start + line.mark
    ]
    for line in lines if "cells" in kinds else ():
        boundaries += _cells(line)
    for line, after in pairwise(lines):
        if _parts(line, after, shapes[line.block], kinds):
            boundaries.append(Boundary(line.end, after.start + after.mark))
    return _joined(boundaries)


def _lines(text: str, with_quotes: bool) -> list[Line]:
    """Split a text into lines that are not blank.

    with_quotes (bool): Take signs of quotations off.
    """
    edges = [(0, 0), *((match.start(), match.end()) for match in BREAK.finditer(text)), (len(text), len(text))]
    lines: list[Line] = []
    block, depth = 0, 0
    for (opens, start), (end, _) in pairwise(edges):
        shown = text[start:end]
        edge = start + len(shown) - len(shown.lstrip())
        quote = QUOTE.match(text, edge, end) if with_quotes else None
        left = quote.end() if quote else edge
        content = text[left:end].strip()
        level = quote[0].count(">") if quote else 0
        if not content or level != depth or PARAGRAPH.search(text, opens, start):
            block += 1
        if content:
            left = text.index(content[0], left)
            lines.append(Line(left, left + len(content), content, block, edge))
            depth = level
    return lines


def _items(lines: Sequence[Line]) -> list[Line]:
    """Find the lines that begin items. A number or a key does so where the next or the last is there too: running text
    has dates and colons as well."""
    bullets = [BULLET.match(line.text) for line in lines]
    numbers = [NUMBER.match(line.text) for line in lines]
    known = {int(number[1]) for number in numbers if number}
    keyed = [line.block if KEY.match(line.text) else None for line in lines]
    items = []
    for i, (line, bullet, number) in enumerate(zip(lines, bullets, numbers, strict=True)):
        is_counted = number is not None and not known.isdisjoint({int(number[1]) - 1, int(number[1]) + 1})
        mark = bullet or (number if is_counted else None)
        is_keyed = keyed[i] is not None and keyed[i] in (*keyed[max(0, i - 1) : i], *keyed[i + 1 : i + 2])
        items.append(line._replace(mark=mark.end() if mark else 0, is_item=mark is not None or is_keyed))
    return items


def _rows(lines: Sequence[Line]) -> list[Line]:
    """Find the lines whose cells stand between gaps: several gaps in a line, or in several lines of a block."""
    gaps = [0 if line.is_walled else sum(1 for _ in GAP.finditer(line.text)) for line in lines]
    in_block = Counter(line.block for line, n in zip(lines, gaps, strict=True) if n)
    return [
        line._replace(gaps=n if n > 1 or in_block[line.block] > 1 else 0) for line, n in zip(lines, gaps, strict=True)
    ]


class _Block:
    """Lines without a blank one between them, and whether a break there may be the wrapping of a paragraph.

    lines (list[str]): What they say.
    """

    def __init__(self, lines: list[str]) -> None:
        self.width = max(map(len, lines))
        self.is_list = self.width < NARROW and not lines[-1].endswith(SENTENCE_END)

    def is_wrapped(self, line: str, after: str) -> bool:
        """Tell whether a line ends where it does for want of room."""
        filled = len(line) + 1 + len(after.split(None, 1)[0])
        return not self.is_list and filled > FILLED * self.width and not line.endswith((":", "："))


def _parts(line: Line, after: Line, block: _Block, kinds: Collection[str]) -> bool:
    """Tell whether no entity crosses from one line to the next."""
    if line.block != after.block:
        return "paragraphs" in kinds or "lines" in kinds
    if "lines" in kinds:
        return True
    if line.is_row or after.is_row:
        return "cells" in kinds
    return "lists" in kinds and (after.is_item or not block.is_wrapped(line.text, after.text))


def _cells(line: Line) -> Iterator[Boundary]:
    """Find the boundaries between the cells of a row; a line that is none has no tab."""
    for pattern in [PIPE] if line.is_walled else [TAB, *[GAP] * (line.gaps > 0)]:
        for match in pattern.finditer(line.text):
            yield Boundary(line.start + match.start(), line.start + match.end(), starts_line=False)


def _joined(boundaries: Sequence[Boundary]) -> list[Boundary]:
    """Join boundaries that touch, such as the end of a row and the sign that the next one begins with."""
    joined: list[Boundary] = []
    for boundary in sorted(boundaries):
        last = joined[-1] if joined else None
        if last is not None and boundary.start <= last.end:
            joined[-1] = Boundary(last.start, max(last.end, boundary.end), last.starts_line or boundary.starts_line)
        else:
            joined.append(boundary)
    return joined
