"""Column files: a word and its tag in each line, in any of the schemes in use.

The letters of the schemes agree: B begins an entity, I (M) continues it, E (L) ends it, S (U, W) is one of a
single word. So one reader reads IOB1, IOB2 (BIO), BIOES, BILOU, BMES and BMEWO. A tag that continues nothing
starts an entity, as in conlleval; spaCy's `iob_to_biluo` reads I and L so, but knows no E and S.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from ..errors import error
from .files import opened, read_lines
from .texts import AnnotatedText, Span, Tally

TAG = re.compile(r"O|[BIMELSUW](-.*)?")
CONTINUING, ENDING = tuple("IMEL"), tuple("ELSUW")
DOC_MARK = "-DOCSTART-"
LABEL_STUDIO = " -X- _ "
UNSTARTED = "tag that continues no entity, read as a start"
UNENDED = "entity without an end tag, read as ended"


def read_columns(
    path: str | Path, *, word_column: int | None = None, tag_column: int = -1, tally: Tally | None = None
) -> Iterator[AnnotatedText]:
    """Read a file with a word and its tag in each line, and a blank line after each sentence.

    Columns stand between tabs where a line has any, else between spaces. A line that starts with "# " and has
    no tag is a comment. A tag without a label, such as "B", gives an empty label.

    path (str | Path): The file; unpacked where its name ends in ".gz".
    word_column (int | None): The column of the words, from 0; negative ones count from the right. None for the first,
        unless it numbers the words.
    tag_column (int): The column of the tags.
    tally (Tally | None): Where to count tags that break their scheme.
    YIELDS (AnnotatedText): Each sentence. "-DOCSTART-" lines start documents.
    RAISES (DataError): For a line without a word and a tag, or a first column that numbers the words.
    """
    tags = TagReader()
    for number, starts_doc, rows in _sentences(Path(path), word_column or 0, tag_column):
        where = f"{path}, line {number}"
        if word_column is None and _are_numbers([word for word, _ in rows]):
            raise error("O410", where=where, words=", ".join(word for word, _ in rows[:3]))
        spans = tags.spans([tag for _, tag in rows], where)
        yield AnnotatedText(tuple(word for word, _ in rows), tuple(spans), starts_doc=starts_doc, where=where)
    tags.report(tally or Tally())


class TagReader:
    """Turns the tags of one file into spans, and learns on the way which scheme they are in.

    Which tags break the scheme is known at the file's end only: entities may start with I in IOB1 alone, and
    they need not end with E or S in schemes without these.
    """

    def __init__(self) -> None:
        self.has_closing = False
        self.has_iob2_start = False
        self.suspects = Tally()

    def spans(self, tags: Sequence[str], where: str) -> list[Span]:
        """Turn the tags of a sentence into spans.

        tags (Sequence[str]): Tags that match `TAG`.
        where (str): Where the sentence stands, for the report.
        RETURNS (list[Span]): In order; they do not overlap.
        """
        spans: list[Span] = []
        start, label = None, ""  # of the entity that is open
        for i, tag in enumerate([*tags, "O"]):
            letter, name = _parse(tag)
            if start is not None and (letter not in CONTINUING or name != label):
                spans.append((start, i, label))
                self.suspects.repair(UNENDED, where)
                start = None
            if letter and start is None:
                self._check_start(letter, follows=bool(spans) and spans[-1][1:] == (i, name), where=where)
                start, label = i, name
            if start is not None and letter in ENDING:
                spans.append((start, i + 1, label))
                self.has_closing = True
                start = None
        return spans

    def _check_start(self, letter: str, follows: bool, where: str) -> None:
        """Look at the tag that starts an entity.

        follows (bool): An entity of the same label ends right before; only there does IOB1 write B.
        """
        if letter in CONTINUING:
            self.suspects.repair(UNSTARTED, where)
        elif letter == "B" and not follows:
            self.has_iob2_start = True

    def report(self, tally: Tally) -> None:
        """Count what breaks the scheme, as it is known at the end."""
        is_wrong = {UNSTARTED: self.has_iob2_start or self.has_closing, UNENDED: self.has_closing}
        for reason, finding in self.suspects.repaired.items():
            if is_wrong[reason]:
                tally.repair(reason, finding.example, finding.count)


def _parse(tag: str) -> tuple[str, str]:
    """Split a tag that matches `TAG` into its letter, "" for O, and its label."""
    return ("", "") if tag == "O" else (tag[0], tag[2:])


def _sentences(path: Path, word_column: int, tag_column: int) -> Iterator[tuple[int, bool, list[tuple[str, str]]]]:
    """Yield each sentence: the number of its first line, whether it starts a document, its words and tags."""
    rows: list[tuple[str, str]] = []
    first, starts_doc, width = 0, True, _count_columns(path)
    with opened(path) as stream:
        for number, line in enumerate(chain(read_lines(stream), [""]), 1):
            is_mark = line.startswith(DOC_MARK)
            if is_mark or not line.strip():
                if rows:
                    yield first, starts_doc, rows
                    rows, starts_doc = [], False
                starts_doc = starts_doc or is_mark
                continue
            cells = split_cells(line)
            row = pick_cells(cells, word_column, tag_column)
            # The words of a comment are rarely as many as the columns, should the last one look like a tag.
            if _is_hash(line) and (row is None or len(cells) != (width or len(cells))):
                continue
            if row is None:
                expected = f"a word in column {word_column} and a tag (O, B-person, ...) in column {tag_column}"
                where = f"{path}, line {number}"
                raise error("O401", where=where, expected=expected, found=repr(line[:60]), kind="columns")
            first = first if rows else number
            rows.append(row)


def _are_numbers(words: Sequence[str]) -> bool:
    """Tell whether the words of a sentence are its numbers, from 0 or 1 on."""
    return len(words) > 1 and any(list(words) == [str(n + i) for i in range(len(words))] for n in (0, 1))


def _is_hash(line: str) -> bool:
    """Tell whether a line has a hash sign where its first word should be: a comment does, and so may a text."""
    return line[:2].rstrip() == "#"


def _count_columns(path: Path) -> int:
    """Count the columns of a file's first line that is certainly not a comment; 0 if it has none."""
    with opened(path) as stream:
        for line in read_lines(stream):
            if line.strip() and not _is_hash(line) and not line.startswith(DOC_MARK):
                return len(split_cells(line))
    return 0


def split_cells(line: str) -> list[str]:
    """Split a line at tabs if it has any, else at spaces. Other blanks, such as U+00A0, may be words.

    Of Label Studio's lines ("Na -X- _ B-chemical element") the last cell is a label, blanks and all.
    """
    if LABEL_STUDIO in line:
        word, label = line.split(LABEL_STUDIO, 1)
        return [word, *LABEL_STUDIO.split(), label.rstrip()]
    return line.rstrip("\t ").split("\t") if "\t" in line else re.split(" +", line.strip(" "))


def pick_cells(cells: Sequence[str], word_column: int = 0, tag_column: int = -1) -> tuple[str, str] | None:
    """Give a line's word and tag; None if it does not have them."""
    reach = range(-len(cells), len(cells))
    if len(cells) < 2 or word_column not in reach or tag_column not in reach:
        return None
    word, tag = cells[word_column], cells[tag_column]
    return (word, tag) if TAG.fullmatch(tag) else None
