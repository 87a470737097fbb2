"""Data files as lines and as JSON values, gzipped or not, never held as a whole."""

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from ..errors import error
from ..json_files import STRICT

SNIFFED, CHUNK = 1 << 16, 1 << 20
# A value that no chunk completes is given up after so many characters, not at the end of a large file.
LONGEST_VALUE = 1 << 24
BLANKS = re.compile(r"[ \t\r\n]*")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, unpacked where its name ends in ".gz".

    RAISES (DataError): If it cannot be opened, or not be read to its end.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            yield cast(BinaryIO, stream)
    except (OSError, EOFError, zlib.error) as err:
        raise error("O403", path=str(path), reason=err) from err


def read_lines(stream: BinaryIO) -> Iterator[str]:
    """Decode the lines of a UTF-8 stream one by one, without their line ends, which may be carriage returns alone.

    RAISES (TextError): For a line that is not UTF-8, with its number.
    """
    for number, line in enumerate(stream, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as err:
            name = getattr(stream, "name", "the input")
            raise error("O203", what=f"Line {number} of {name}", reason=err.reason) from err
        yield from text.split("\r")


def read_values(path: Path, kind: str, expected: str, rows: bool = False) -> Iterator[tuple[int, Any]]:
    """Yield the values of a file of JSON lines, or of one JSON list, with the line at which each ends.

    kind (str): The format that the file is read as, for messages.
    expected (str): What a value should look like, for messages.
    rows (bool): Values may be lists themselves: a file is one list of them only if its first item is no string.
    RAISES (DataError): For what is not JSON, with its line and column.
    """
    with opened(path) as stream:
        start = stream.read(SNIFFED).removeprefix(b"\xef\xbb\xbf").lstrip()
        is_list = start.startswith(b"[") and not (rows and start[1:].lstrip().startswith(b'"'))
        stream.seek(0)
        try:
            yield from _list_values(_read_chunks(stream)) if is_list else _line_values(read_lines(stream))
        except _NotJson as err:
            where = f"{path}, line {err.position.line}, column {err.position.column}"
            raise error("O401", where=where, expected=expected, found=err.found, kind=kind) from err


class _NotJson(Exception):
    """There is something else where JSON should be.

    position (_Position): Where.
    found (str): What is there.
    """

    def __init__(self, position: "_Position", text: str) -> None:
        self.position = position
        self.found = repr(text[:60]) if text.strip() else "the end of the file"


class _Position(NamedTuple):
    """A position in a file, from 1."""

    line: int
    column: int

    def after(self, text: str) -> "_Position":
        """Return the position behind some text that begins here."""
        breaks = text.count("\n")
        if not breaks:
            return _Position(self.line, self.column + len(text))
        return _Position(self.line + breaks, len(text) - text.rfind("\n"))


def _line_values(lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    """Yield the value of each line that is not blank, with the line's number."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                value = json.loads(line, **STRICT)
            except json.JSONDecodeError as err:
                raise _NotJson(_Position(number, err.colno), line[err.pos :] or line) from err
            except (ValueError, RecursionError) as err:
                raise _NotJson(_Position(number, 1), line) from err
            yield number, value


def _read_chunks(stream: BinaryIO) -> Iterator[str]:
    """Decode a UTF-8 stream in large pieces.

    RAISES (TextError): For what is not UTF-8.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        yield from iter(lambda: text.read(CHUNK), "")
    except UnicodeDecodeError as err:
        raise error("O203", what=getattr(stream, "name", "the input"), reason=err.reason) from err


def _list_values(chunks: Iterable[str]) -> Iterator[tuple[int, Any]]:
    """Yield the items of a JSON list, with the line at which each ends, holding one chunk and one item.

    The items must be objects: a number could be cut by the end of a chunk without anyone noticing. Behind the list
    there is nothing.
    """
    chunks, decoder = chain(chunks, [""]), json.JSONDecoder(**STRICT)
    text, position, mark = "", _Position(1, 1), "["
    for chunk in chunks:
        text, at = text + chunk, 0
        while True:
            begin = _skip_blanks(text, at)
            has_mark = text[begin : begin + 1] == mark
            item = _skip_blanks(text, begin + 1) if has_mark else begin
            if text[item : item + 1] == "]" and (not has_mark or mark == "["):
                _require_end(text[item + 1 :], chunks, position.after(text[at : item + 1]))
                return
            if not has_mark and begin < len(text):
                raise _NotJson(position.after(text[at:begin]), text[begin:])
            try:
                value, end = decoder.raw_decode(text, item)
            except (ValueError, RecursionError) as err:
                wrong = getattr(err, "pos", item)
                if not chunk or len(text) - wrong > LONGEST_VALUE or not isinstance(err, json.JSONDecodeError):
                    raise _NotJson(position.after(text[at:wrong]), text[item:]) from err
                break
            position, at, mark = position.after(text[at:end]), end, ","
            yield position.line, value
        text = text[at:]


def _require_end(text: str, chunks: Iterable[str], position: _Position) -> None:
    """Refuse what is not blank behind a list."""
    for chunk in chain([text], chunks):
        begin = _skip_blanks(chunk, 0)
        if begin < len(chunk):
            raise _NotJson(position.after(chunk[:begin]), chunk[begin:])
        position = position.after(chunk)


def _skip_blanks(text: str, at: int) -> int:
    """Go on to the next character that is not blank, or to the text's end."""
    match = BLANKS.match(text, at)
    return match.end() if match else at
