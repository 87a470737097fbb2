"""Directories as bytes: the files that a model saves, packed into one object and laid out again."""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import srsly

from ..errors import error

MSGPACK_LIMIT = 2**32 - 1
# Names that saving writes, in folders within the directory. Nothing else is laid out: a name from foreign bytes could
# lead anywhere.
_FILE = re.compile(r"(\w[\w.-]*/){0,4}\w[\w.-]*", re.ASCII)
_KINDS = ("", ".json", ".txt", ".model", ".safetensors", ".jinja")


def pack(save: Callable[[Path], None]) -> bytes:
    """Put the files that `save` writes into a directory into one object.

    RAISES (CheckpointError): When one of them passes the limit of msgpack: use `to_disk` then.
    """
    with tempfile.TemporaryDirectory() as scratch:
        save(Path(scratch))
        files = [file for file in Path(scratch).rglob("*") if file.is_file()]
        if any(file.stat().st_size > MSGPACK_LIMIT for file in files):
            raise error("O109")
        contents = {file.relative_to(scratch).as_posix(): file.read_bytes() for file in files}
    packed: bytes = srsly.msgpack_dumps(contents)
    return packed


def unpack(data: bytes, load: Callable[[Path], None]) -> None:
    """Lay out again what `pack` took, and call `load` with the directory.

    RAISES (CheckpointError): For bytes that `pack` did not make. Nothing is written then.
    """
    contents = _checked(data)
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in contents.items():
            file = Path(scratch) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        load(Path(scratch))


def _checked(data: bytes) -> dict[str, bytes]:
    """Read packed files, whose names are known ones."""
    try:
        contents = srsly.msgpack_loads(data)
    # msgpack fails in many ways on what it did not write.
    except Exception as problem:
        raise error("O117", reason=f"they are no msgpack ({type(problem).__name__})") from problem
    if not isinstance(contents, dict):
        raise error("O117", reason=f"they hold a {type(contents).__name__}, not files by name")
    for name, content in contents.items():
        if not (isinstance(name, str) and _FILE.fullmatch(name) and Path(name).suffix in _KINDS):
            raise error("O117", reason=f"they name a file {name!r}")
        if any(parent.as_posix() in contents for parent in Path(name).parents):
            raise error("O117", reason=f"they name a file {name!r} inside of another")
        if not isinstance(content, bytes):
            raise error("O117", reason=f"the content of {name!r} is a {type(content).__name__}")
    return contents
