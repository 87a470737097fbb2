"""Write files so that an interrupted write leaves the old ones whole."""

import ctypes
import os
import platform
import re
import secrets
import shutil
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from .errors import error

# Ends of names: of what is being written, and of a directory that is being replaced.
PARTIAL, REPLACED = ".part", ".old"
# Of Linux.
AT_FDCWD, RENAME_EXCHANGE = -100, 2
# How libraries in Rust write a system's error, in exceptions that are no OSError.
_SYSTEM_ERROR = re.compile(r"\(os error \d+\)")
# Of all systems that Python runs on, in bytes.
LONGEST_NAME, LONGEST_PATH = 255, 4_000
# Seconds; what nobody has written to for so long is abandoned, whoever did.
ABANDONED_AFTER = 24 * 3600.0


def as_path(value: Any, name: str = "path") -> Path:
    """Return the path that an argument names.

    RAISES (SettingError): For anything but a path, or text that is one. No text is none: it is the current directory,
        which is named by "." where it is meant.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text or not is_utf8(text):
        raise error("O001", name=name, value=value, allowed="a path, as text or as a Path")
    path = Path(text)
    if len(text) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in path.parts):
        raise error("O001", name=name, value=f"{text[:100]}...", allowed="a path that a system can have")
    return path


def as_local_path(value: Any, name: str = "path") -> Path:
    """Return the path that an argument names; "~" and "~user" stand for home directories.

    RAISES (SettingError): See `as_path`; and for a user that the system does not know.
    """
    path = as_path(value, name)
    try:
        return path.expanduser()
    except RuntimeError as problem:
        raise error("O001", name=name, value=value, allowed=f"a path ({problem})") from problem


@contextmanager
def replaced_file(path: str | Path, *, parents: bool = False, clear: bool = True) -> Iterator[Path]:
    """Give the block a path beside the file to write to; rename it over the file when the block ends well.

    A block that fails, and a process that is killed, leave the old file as it was. The new one has the permissions of
    the old one, or else those that the umask gives. What is no regular file, such as a pipe, is written to directly.

    path (str | Path): The file to write. A link is followed.
    parents (bool): Make the directories above it that are missing.
    clear (bool): Remove what killed processes left of it, for which the directory is listed: not wanted where many
        files are written to one directory, and cleared up after together.
    YIELDS (Path): Where to write in the meantime.
    RAISES (DataError): When the file cannot be written.
    """
    path = Path(os.path.realpath(as_path(path)))
    if path.exists() and not path.is_file():
        with _coded_errors(path):
            yield path
        return
    beside = _beside(path, PARTIAL)
    with _coded_errors(path):
        _prepare(path, parents, clear)
        try:
            os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            if path.exists():
                beside.chmod(path.stat().st_mode & 0o777)
            yield beside
            with beside.open("rb+") as stream:
                os.fsync(stream.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def replaced_directory(
    path: str | Path, holds: Collection[str] = (), *, parents: bool = False, keep_others: bool = False
) -> Iterator[Path]:
    """Give the block an empty directory beside the one to write; swap the two when the block ends well.

    A block that fails, and a process that is killed before the swap, leave the old directory as it was.

    path (str | Path): The directory to write. What it held is gone afterwards.
    holds (Collection[str]): The names that it may hold: those that the block could have written before.
    parents (bool): Make the directories above it that are missing.
    keep_others (bool): Keep what it holds under other names than those that the block writes, at its top level.
    YIELDS (Path): Where to write in the meantime.
    RAISES (DataError): When it cannot be written, or holds what would be lost.
    """
    path = Path(os.path.realpath(as_path(path)))
    new = _beside(path, PARTIAL)
    with _coded_errors(path):
        if path.exists() and not path.is_dir():
            raise NotADirectoryError("it is a file")
        others = [] if keep_others or not path.exists() else sorted({*os.listdir(path)} - {*holds})
        if others:
            raise FileExistsError(f"what it holds would be lost ({', '.join(others[:3])})")
        _prepare(path, parents)
        try:
            new.mkdir()
            if path.exists():
                new.chmod(path.stat().st_mode & 0o777)
            yield new
            if path.is_dir() and (keep_others or _is_around_us(path)):
                for entry in sorted(new.iterdir()):
                    _move_over(entry, path / entry.name)
            else:
                _move_over(new, path)
        finally:
            shutil.rmtree(new, ignore_errors=True)


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
    with replaced_file(path) as beside:
        beside.write_bytes(data)


def is_utf8(text: str) -> bool:
    """Tell whether UTF-8 can hold a text: not where it has lone surrogates, halves of pairs that are no characters."""
    try:
        text.encode("utf8")
    except UnicodeEncodeError:
        return False
    return True


def refuse_overwriting(inputs: Iterable[Path | None], outputs: Iterable[Path | None]) -> None:
    """Refuse outputs that are inputs too, and those that are named twice.

    inputs, outputs (Iterable[Path | None]): Files, there or not; directories among inputs stand for all files in them.
    RAISES (SettingError): Naming the first such output.
    """
    read = {os.path.realpath(file) for path in inputs if path is not None for file in _files_at(path)}
    written: set[str] = set()
    for output in outputs:
        target = None if output is None else os.path.realpath(output)
        if target in read:
            raise error("O409", path=str(output))
        if target in written:
            raise error("O415", path=str(output))
        if target is not None:
            written.add(target)


@contextmanager
def _coded_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors into the package's, also those that safetensors and tokenizers pass on in their own."""
    try:
        yield
    except OSError as problem:
        raise error("O407", path=str(path), reason=problem) from problem
    except Exception as problem:
        if _SYSTEM_ERROR.search(str(problem)):
            raise error("O407", path=str(path), reason=problem) from problem
        raise


def _files_at(path: Path) -> list[Path]:
    return [path, *path.rglob("*")] if path.is_dir() else [path]


def _is_around_us(path: Path) -> bool:
    """Tell whether a directory is the current one, or above it: with another in its place, we would be nowhere."""
    try:
        return Path.cwd().is_relative_to(path)
    except FileNotFoundError:
        return False


def _beside(path: Path, ending: str) -> Path:
    """Return a new hidden name beside a path, which tells the process, so that others know whether it still runs."""
    return path.with_name(f".{path.name[:100]}.{os.getpid()}@{platform.node()}.{secrets.token_hex(4)}{ending}")


def _move_over(new: Path, path: Path) -> None:
    """Put a file or directory in the place of another one, if there is one."""
    if not path.is_dir() and not new.is_dir():
        new.replace(path)
        return
    old = _beside(path, REPLACED)
    if path.exists() and _exchange(new, path):
        # Under the name of what is replaced it is cleared up even where this process is killed now.
        new.replace(old)
        _remove(old)
        return
    if path.exists():
        path.replace(old)
    try:
        new.replace(path)
    except OSError:
        if old.exists():
            old.replace(path)
        raise
    _remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step, so that at no time there is nothing at either.

    RETURNS (bool): False where the system or the file system cannot do that; nothing has changed then.
    """
    rename: Any = getattr(_libc(), "renameat2", None)
    return rename is not None and rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0


@cache
def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None


def _remove(path: Path) -> None:
    # Of a link, only the link.
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _prepare(path: Path, parents: bool, clear: bool = True) -> None:
    """Make directories, and remove what killed processes left there; what one had moved away is put back."""
    if parents:
        path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name[:100]}."
    # Names alone, of which only these become paths: there may be many.
    names = os.listdir(path.parent) if clear else []
    for left in (path.parent / name for name in sorted(names) if name.startswith(prefix)):
        if not left.name.endswith((PARTIAL, REPLACED)):
            continue
        with suppress(OSError):
            if not _is_abandoned(left, left.name[len(prefix) :]):
                continue
            if left.name.endswith(REPLACED) and not path.exists():
                left.replace(path)
            else:
                _remove(left)


def _is_abandoned(path: Path, writer: str) -> bool:
    """Tell whether who writes a path is gone, as far as can be known."""
    if time.time() - path.stat().st_mtime > ABANDONED_AFTER:
        return True
    pid, _, host = writer.partition("@")
    if not pid.isdecimal() or not host.startswith(f"{platform.node()}.") or os.name != "posix":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False
