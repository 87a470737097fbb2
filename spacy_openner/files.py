"""Write files so that an interrupted write leaves the old ones whole, and read JSON strictly."""

import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import error


@contextmanager
def replaced_file(path: str | Path) -> Iterator[Path]:
    """Give the block a path beside the file to write to; rename it over the file when the block ends well.

    A block that fails, and a process that is killed, leave the old file as it was. The new one has the permissions of
    the old one, or else those that the umask gives. What is no regular file, such as a pipe, is written to directly.

    path (str | Path): The file to write. A link is followed.
    YIELDS (Path): Where to write in the meantime.
    RAISES (DataError): When the file cannot be written.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        with _coded_errors(path):
            yield path
        return
    beside = _beside(path)
    with _coded_errors(path):
        try:
            os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            if path.exists():
                beside.chmod(path.stat().st_mode & 0o777)
            yield beside
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def replaced_directory(path: str | Path) -> Iterator[Path]:
    """Give the block an empty directory beside the one to write; swap the two when the block ends well.

    A block that fails, and a process that is killed before the swap, leave the old directory as it was.

    path (str | Path): The directory to write. What it held is gone afterwards.
    YIELDS (Path): Where to write in the meantime.
    RAISES (DataError): When it cannot be written.
    """
    path = Path(os.path.realpath(path))
    new, old = _beside(path), _beside(path)
    with _coded_errors(path):
        try:
            new.mkdir()
            if path.exists():
                new.chmod(path.stat().st_mode & 0o777)
            yield new
            if path.exists():
                path.replace(old)
            try:
                new.replace(path)
            except OSError:
                if old.exists():
                    old.replace(path)
                raise
        finally:
            shutil.rmtree(new, ignore_errors=True)
            if path.exists():
                shutil.rmtree(old, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Replace a file by a text in UTF-8.

    RAISES (DataError): When that cannot be done; the old file is whole then.
    """
    try:
        data = text.encode("utf8")
    except UnicodeEncodeError as problem:
        raise error("O407", path=str(path), reason=problem) from problem
    write_bytes(path, data)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Replace a file by some bytes.

    RAISES (DataError): When that cannot be done; the old file is whole then.
    """
    with replaced_file(path) as beside, beside.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def write_json(path: str | Path, value: Any) -> None:
    """Replace a file by a value as JSON, laid out for people too.

    RAISES (DataError): When that cannot be done; the old file is whole then.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if any("\ud800" <= char <= "\udfff" for char in text):
        # Lone surrogates are no UTF-8; as JSON's escapes they can be written, and read back.
        text = json.dumps(value, indent=2)
    write_text(path, text + "\n")


def read_json_strictly(path: str | Path) -> Any:
    """Read a small JSON file in which no key of an object stands twice.

    RAISES (DataError): For a file that cannot be read, or holds something else.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"), object_pairs_hook=_unique_keys)
    except (OSError, ValueError, RecursionError) as problem:
        raise error("O403", path=str(path), reason=problem) from problem


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object. Of two entries for one key nobody knows which was meant."""
    repeated = [key for key, n in Counter(key for key, _ in pairs).items() if n > 1]
    if repeated:
        raise ValueError(f"more than one entry for {repeated}")
    return dict(pairs)


@contextmanager
def _coded_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors into the package's."""
    try:
        yield
    except OSError as problem:
        raise error("O407", path=str(path), reason=problem) from problem


def _beside(path: Path) -> Path:
    """Return a new hidden name beside a path."""
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
