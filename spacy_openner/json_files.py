"""Read JSON strictly, and write it."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from .errors import error
from .files import as_path, is_utf8, write_text

MAX_JSON_BYTES = 1 << 26
MAX_JSON_DEPTH = 100


class NotJSON(ValueError):
    """A text that is not JSON as it is accepted here.

    reason (str): What is wrong, for people.
    line, column (int | None): Where, from 1; None where that is not known.
    """

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        position = "" if line is None else f" at line {line}, column {column}"
        super().__init__(reason + position)
        self.reason, self.line, self.column = reason, line, column


def parse_json(data: bytes | str) -> Any:
    """Read one JSON value and nothing behind it.

    Refused are also bytes that are not UTF-8, repeated keys, NaN and infinities, numbers that no float can hold, and
    values that are nested more than `MAX_JSON_DEPTH` deep.

    data (bytes | str): The whole text; a byte order mark is passed over.
    RETURNS (Any): What Python makes of it.
    RAISES (NotJSON): Saying what is wrong, and where.
    """
    text = _decode(data) if isinstance(data, bytes) else data
    try:
        value = json.loads(text.removeprefix("\ufeff"), parse_float=_finite, **STRICT)
    except json.JSONDecodeError as problem:
        reason = "data after the end of the value" if problem.msg == "Extra data" else problem.msg
        raise NotJSON(reason, problem.lineno, problem.colno) from problem
    except RecursionError as problem:
        raise NotJSON(f"nested more than {MAX_JSON_DEPTH} deep") from problem
    except NotJSON:
        raise
    except ValueError as problem:
        raise NotJSON(str(problem)) from problem
    _check_depth(value)
    return value


def read_json(path: str | Path, expected: str, kind: type | tuple[type, ...] = object) -> Any:
    """Read a small JSON file of a known form; see `parse_json` for what is refused.

    expected (str): What it should hold, for messages.
    kind (type | tuple[type, ...]): What Python type its value must have.
    RAISES (DataError): For a file that cannot be read, is too large, or holds something else.
    """
    try:
        value = load_json(path)
    except NotJSON as problem:
        shown = f"something that is not JSON ({problem})"
        raise error("O404", path=str(path), expected=expected, found=shown) from problem
    if not isinstance(value, kind):
        raise error("O404", path=str(path), expected=expected, found=repr(value)[:200])
    return value


def read_json_strictly(path: str | Path) -> Any:
    """Read a small JSON file of any form; see `parse_json` for what is refused.

    RAISES (DataError): For a file that cannot be read, or holds something else.
    """
    try:
        return load_json(path)
    except NotJSON as problem:
        raise error("O403", path=str(path), reason=problem) from problem


def load_json(path: str | Path) -> Any:
    """Read a small JSON file; see `parse_json` for what is refused.

    RAISES (NotJSON): Saying what is wrong.
    RAISES (DataError): For a file that cannot be read.
    """
    try:
        with as_path(path).open("rb") as stream:
            data = stream.read(MAX_JSON_BYTES + 1)
    except OSError as problem:
        raise error("O403", path=str(path), reason=problem) from problem
    if len(data) > MAX_JSON_BYTES:
        raise NotJSON(f"more than {MAX_JSON_BYTES >> 20} MB")
    return parse_json(data)


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as problem:
        before = data[: problem.start]
        line, column = before.count(b"\n") + 1, problem.start - (before.rfind(b"\n") + 1) + 1
        raise NotJSON(f"bytes that are not UTF-8 ({problem.reason})", line, column) from problem


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object. Of two entries for one key nobody knows which was meant.

    RAISES (NotJSON): Naming such keys.
    """
    value = dict(pairs)
    if len(value) < len(pairs):
        repeated = [key for key, n in Counter(key for key, _ in pairs).items() if n > 1]
        raise NotJSON(f"more than one entry for {repeated}")
    return value


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise NotJSON(f"{number[:20]}, which is too large a number")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise NotJSON(f"{name}, which is no JSON number")


STRICT: dict[str, Any] = {"object_pairs_hook": _unique_keys, "parse_constant": _refuse_constant}
"""For `json.loads`: repeated keys, NaN and infinities, which are no JSON, are refused."""


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        inner = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list))
        level = [item for items in inner for item in items]
        if not level:
            return
    if any(isinstance(item, dict | list) for item in level):
        raise NotJSON(f"nested more than {MAX_JSON_DEPTH} deep")


def write_json(path: str | Path, value: Any) -> None:
    """Replace a file by a value as JSON, laid out for people too.

    RAISES (DataError): When that cannot be done; the old file is whole then.
    """
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Return a value as JSON, laid out for people too."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if not is_utf8(text):
        # Lone surrogates are no UTF-8; as JSON's escapes they can be written, and read back.
        text = json.dumps(value, indent=2)
    return text + "\n"
