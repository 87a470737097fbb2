"""Column files: a word and its tag in each line, in any of the schemes in use.

The letters of the schemes agree: B begins an entity, I (M) continues it, E (L) ends it, S (U, W) is one of a
single word. So one reader reads IOB1, IOB2 (BIO), IOE1, IOE2, BIOES, BILOU, BMES and BMEWO. A tag that continues
nothing starts an entity, as in conlleval; spaCy's `iob_to_biluo` reads I and L so, but knows no E and S.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from ..errors import error
from .files import opened, read_lines
from .texts import AnnotatedText, Span, Tally

# Several tags in one cell ("B-PER|B-ACTOR") are none.
TAG = re.compile(r"O|[BIMELSUW](-(?!.*\|[BIMELSUW]-).*)?")
# What numbers words and lines, or says where they stand: "7", "7.1", "2-7", "1:7".
NUMBER = re.compile(r"\d+(?:[.:-]\d+)?")
CONTINUING, ENDING, ALONE = tuple("IMEL"), tuple("ELSUW"), tuple("SUW")
DOC_MARK = "-DOCSTART-"
LABEL_STUDIO = " -X- _ "
UNSTARTED = "tag that continues no entity, read as a start"
UNENDED = "entity without an end tag, read as ended"


class Row(NamedTuple):
    """A line of a file: its word, its tag in each column of tags, and all its cells."""

    word: str
    tags: tuple[str, ...]
    cells: list[str]


def read_columns(
    path: str | Path,
    *,
    word_column: int | None = None,
    tag_column: int | Sequence[int] | None = None,
    tally: Tally | None = None,
) -> Iterator[AnnotatedText]:
    """Read a file with a word and its tag in each line, and a blank line after each sentence.

    Columns stand between tabs where a line has any, else between spaces. A line that starts with "# " and has
    no tag is a comment. A tag without a label, such as "B", gives an empty label.

    path (str | Path): The file; unpacked where its name ends in ".gz".
    word_column (int | None): The column of the words, from 0; negative ones count from the right. None for the first,
        unless it numbers the words.
    tag_column (int | Sequence[int] | None): The column of the tags, or several columns of nested layers. None for the
        last, unless others hold tags of the same types.
    tally (Tally | None): Where to count tags that break their scheme, and columns of tags that are not read.
    YIELDS (AnnotatedText): Each sentence. "-DOCSTART-" lines start documents.
    RAISES (DataError): For a line without a word and a tag, a first column that numbers the words, or, at the end, for
        several columns of tags of which none is chosen.
    """
    path, tally = Path(path), tally or Tally()
    chosen = _as_columns(tag_column)
    readers = [TagReader() for _ in chosen]
    survey, check = TagSurvey(word_column or 0, chosen[0]), WordCheck(word_column)
    for number, starts_doc, rows in _sentences(path, word_column or 0, chosen):
        where = f"{path}, line {number}"
        words = tuple(row.word for row in rows)
        check.add(rows, where)
        layers = zip(readers, zip(*(row.tags for row in rows), strict=True), strict=True)
        spans = [span for tags, layer in layers for span in tags.spans(layer, where)]
        if tag_column is None:
            survey.add(rows, {label for _, _, label in spans}, where)
        yield AnnotatedText(words, tuple(spans), starts_doc=starts_doc, where=where)
    check.report()
    for tags in readers:
        tags.report(tally)
    survey.report(str(path), tally)


def _as_columns(tag_column: int | Sequence[int] | None) -> tuple[int, ...]:
    """Return the columns of tags: the last, where none is named.

    RAISES (SettingError): For an empty list.
    """
    if tag_column is None:
        return (-1,)
    columns = (tag_column,) if isinstance(tag_column, int) else tuple(tag_column)
    if not columns:
        raise error("O001", name="tag_column", value=tag_column, allowed="a column, or a list of columns")
    return columns


class WordCheck:
    """Looks whether the words are words, where nobody said in which column they stand.

    word_column (int | None): The column that was named, if any.
    """

    def __init__(self, word_column: int | None) -> None:
        self._is_named = word_column is not None
        self._is_certain = self._is_named
        self._first: tuple[Sequence[Row], str] | None = None

    def add(self, rows: Sequence[Row], where: str) -> None:
        """Look at the lines of a sentence.

        RAISES (DataError): O410, where the first column counts the words from 0 or 1.
        """
        self._first = self._first or (rows, where)
        words = [row.word for row in rows]
        if not self._is_named and _are_counted(words):
            raise _numbered(rows, where)
        is_repeated = len(words) > 1 and len(set(words)) == 1
        self._is_certain |= len(rows[0].cells) < 3 or not (is_repeated or all(map(NUMBER.fullmatch, words)))

    def report(self) -> None:
        """Look back, at the end.

        RAISES (DataError): O410, where no sentence of three and more columns has a word in the first one.
        """
        if self._first is not None and not self._is_certain:
            raise _numbered(*self._first)


def _numbered(rows: Sequence[Row], where: str) -> Exception:
    """Make the error for a first column that holds no words, which names the first one that may."""
    columns = list(zip(*(row.cells for row in rows), strict=False))[1:]
    column = next((i for i, cells in enumerate(columns, 1) if not all(map(NUMBER.fullmatch, cells))), 1)
    return error("O410", where=where, words=", ".join(row.word for row in rows[:3]), column=column)


class TagSurvey:
    """Looks for tags in the columns that are not read.

    word_column, tag_column (int): Those that are read.
    """

    def __init__(self, word_column: int, tag_column: int) -> None:
        self._own = (word_column, tag_column)
        self._tag_column = -1
        self._read: set[str] = set()
        # Column -> how often it has each label; None before the first line.
        self._labels: dict[int, Counter[str]] | None = None
        self._first = ""

    def add(self, rows: Sequence[Row], read: Collection[str], where: str) -> None:
        """Look at the lines of a sentence.

        read (Collection[str]): The labels that were read there.
        """
        self._read.update(read)
        if self._labels is None:
            width, self._first = len(rows[0].cells), where
            word, self._tag_column = (column % width for column in self._own)
            self._labels = {i: Counter() for i in range(width) if i not in (word, self._tag_column)}
        for row in rows if self._labels else ():
            for i in list(self._labels):
                if i >= len(row.cells) or not TAG.fullmatch(row.cells[i]):
                    del self._labels[i]
                elif row.cells[i] != "O":
                    self._labels[i][_parse(row.cells[i])[1]] += 1

    def report(self, path: str, tally: Tally) -> None:
        """Count the columns of other tags, such as CoNLL-2003's phrases.

        RAISES (DataError): Where a column has types that were read, or the one that was read has none.
        """
        others = {i: labels for i, labels in (self._labels or {}).items() if labels}
        if any(not self._read or self._read & set(labels) for labels in others.values()):
            columns = sorted([*others, self._tag_column])
            options = " ".join(f"--tag-column {i}" for i in columns)
            raise error("O411", path=path, columns=", ".join(map(str, columns)), options=options, values=columns)
        for i, labels in others.items():
            shown = ", ".join([label for label, _ in labels.most_common(3)] + ["..."] * (len(labels) > 3))
            reason = f"tag in column {i} ({shown}), which --tag-column {i} reads"
            tally.leave(reason, self._first, labels.total())


class TagReader:
    """Turns the tags of one file into spans, and learns on the way which scheme they are in.

    Which tags break the scheme is known at the file's end only: entities may start with I where only some starts are
    marked (IOB1), or none (IOE1, IOE2), and need not end with E or S where only some ends are (IOE1), or none.
    """

    def __init__(self) -> None:
        self.marks_starts = False
        self.marks_ends = False
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
                # IOE1 writes E only where an entity of the same label follows.
                next_name = _parse(tags[i + 1])[1] if i + 1 < len(tags) and tags[i + 1] != "O" else None
                self.marks_ends |= letter in ALONE or next_name != label
                start = None
        return spans

    def _check_start(self, letter: str, follows: bool, where: str) -> None:
        """Look at the tag that starts an entity.

        follows (bool): An entity of the same label ends right before; only there does IOB1 write B.
        """
        if letter in CONTINUING:
            self.suspects.repair(UNSTARTED, where)
        elif letter in ALONE or not follows:
            self.marks_starts = True

    def report(self, tally: Tally) -> None:
        """Count what breaks the scheme, as it is known at the end."""
        is_wrong = {UNSTARTED: self.marks_starts, UNENDED: self.marks_ends}
        for reason, finding in self.suspects.repaired.items():
            if is_wrong[reason]:
                tally.repair(reason, finding.example, finding.count)


def _parse(tag: str) -> tuple[str, str]:
    """Split a tag that matches `TAG` into its letter, "" for O, and its label."""
    return ("", "") if tag == "O" else (tag[0], tag[2:])


def _sentences(path: Path, word_column: int, tag_columns: Sequence[int]) -> Iterator[tuple[int, bool, list[Row]]]:
    """Yield each sentence: the number of its first line, whether it starts a document, its lines."""
    rows: list[Row] = []
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
            row = pick_cells(cells, word_column, tag_columns)
            # The words of a comment are rarely as many as the columns, should the last one look like a tag.
            if _is_hash(line) and (row is None or len(cells) != (width or len(cells))):
                continue
            if row is None:
                columns = ", ".join(map(str, tag_columns))
                expected = f"a word in column {word_column} and a tag (O, B-person, ...) in column {columns}"
                where = f"{path}, line {number}"
                raise error("O401", where=where, expected=expected, found=repr(line[:60]), kind="columns")
            first = first if rows else number
            rows.append(row)


def _are_counted(words: Sequence[str]) -> bool:
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
    if "\t" in line:
        # Some pad their cells; one of blanks alone is a word.
        return [cell.strip(" ") or cell for cell in line.rstrip("\t ").split("\t")]
    return re.split(" +", line.strip(" "))


def pick_cells(cells: list[str], word_column: int = 0, tag_columns: Sequence[int] = (-1,)) -> Row | None:
    """Return a line's word and tags; None if it does not have them."""
    reach = range(-len(cells), len(cells))
    if len(cells) < 2 or word_column not in reach or any(column not in reach for column in tag_columns):
        return None
    tags = tuple(cells[column] for column in tag_columns)
    return Row(cells[word_column], tags, cells) if all(map(TAG.fullmatch, tags)) else None
