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
from typing import Any, BinaryIO, cast

from ..errors import error

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
    """Decode the lines of a UTF-8 stream one by one, without their line ends.

    RAISES (TextError): For a line that is not UTF-8, with its number.
    """
    for number, line in enumerate(stream, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as err:
            name = getattr(stream, "name", "the input")
            raise error("O203", what=f"Line {number} of {name}", reason=err.reason) from err


def read_values(path: Path, kind: str, expected: str) -> Iterator[tuple[int, Any]]:
    """Yield the values of a file of JSON lines, or of one JSON list, with the line at which each ends.

    kind (str): The format that the file is read as, for messages.
    expected (str): What a value should look like, for messages.
    RAISES (DataError): For what is not JSON, with its line.
    """
    with opened(path) as stream:
        is_list = stream.read(SNIFFED).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
        stream.seek(0)
        try:
            yield from _list_values(_read_chunks(stream)) if is_list else _line_values(read_lines(stream))
        except _NotJson as err:
            where = f"{path}, line {err.line}"
            raise error("O401", where=where, expected=expected, found=err.found, kind=kind) from err


class _NotJson(Exception):
    """There is something else where JSON should be.

    line (int): Where.
    found (str): What is there.
    """

    def __init__(self, line: int, text: str) -> None:
        self.line = line
        self.found = repr(text[:60]) if text.strip() else "the end of the file"


def _line_values(lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    """Yield the value of each line that is not blank, with the line's number."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                value = json.loads(line)
            except ValueError as err:
                raise _NotJson(number, line) from err
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

    The items must be objects: a number could be cut by the end of a chunk without anyone noticing.
    """
    decode = json.JSONDecoder().raw_decode
    text, line, mark = "", 1, "["
    for chunk in chain(chunks, [""]):
        text, at = text + chunk, 0
        while True:
            begin = _skip_blanks(text, at)
            if text[begin : begin + 1] not in ("", mark, "]"):
                raise _NotJson(line + text.count("\n", at, begin), text[begin:])
            if text[begin : begin + 1] == mark:
                begin = _skip_blanks(text, begin + 1)
            if text[begin : begin + 1] == "]":
                return
            try:
                value, end = decode(text, begin)
            except json.JSONDecodeError as err:
                if not chunk or len(text) - err.pos > LONGEST_VALUE:
                    raise _NotJson(line + text.count("\n", at, err.pos), text[begin:]) from err
                break
            line, at, mark = line + text.count("\n", at, end), end, ","
            yield line, value
        text = text[at:]


def _skip_blanks(text: str, at: int) -> int:
    """Go on to the next character that is not blank, or to the text's end."""
    found = BLANKS.match(text, at)
    return found.end() if found else at
