"""Cut a corpus into units that can be annotated by themselves, without reading it.

Line files are cut by bytes: a unit has the lines that begin within its bytes (`reading`). Compressed files, tables in
CSV and spaCy's own files cannot be entered in the middle and are one unit each; Parquet is cut by row groups.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ..errors import error
from .arrow import import_parquet
from .records import GZIP, SUFFIXES, Unit, file_format, is_compressed

# A unit of a small corpus; of a large one it grows, so that the plan stays small enough to hold and to list.
UNIT_BYTES = 2**20
MAX_UNITS = 20_000
SPLITTABLE = ("jsonl", "txt")
# Enough of both ends of a file to tell it from another one of the same size.
FINGERPRINT_BYTES = 2**16


class SourceFile(NamedTuple):
    """A file of the corpus.

    path: Path or URL.
    name: Path within the corpus.
    format: See `records.READABLE`.
    size: In bytes.
    digest: Of its first and its last bytes; none of a file that cannot be opened.
    """

    path: str
    name: str
    format: str
    size: int
    digest: str

    @property
    def is_splittable(self) -> bool:
        """Tell whether reading can begin at any byte."""
        return self.format in SPLITTABLE and not is_compressed(self.path)


def find_sources(source: str, dest: Path | None = None) -> list[SourceFile]:
    """Find the files of a corpus.

    source (str): A file, a directory, a glob, or a URL of any of these that `fsspec` reads.
    dest (Path | None): The directory of the output, which may lie in that of the corpus: it is no part of it.
    RETURNS (list[SourceFile]): In the order of their paths. Of a directory, the files with a known ending.
    RAISES (DataError): When there is none, or one that is named has an unknown ending.
    """
    try:
        system, root = fsspec.core.url_to_fs(source)
        folder, paths = _list_files(system, root)
    # The last is what an unknown kind of URL raises.
    except (OSError, ImportError, ValueError) as problem:
        raise error("O611", source=source, reason=problem) from problem
    if dest is not None and isinstance(system, LocalFileSystem):
        paths = _without_output(paths, folder, dest)
    if not paths:
        raise error("O605", source=source, allowed=", ".join(SUFFIXES))
    return [_describe(system, path, path.removeprefix(folder)) for path in sorted(paths)]


def _list_files(system: Any, root: str) -> tuple[str, list[str]]:
    """Return the directory that the paths of a corpus begin with, whatever files are in it, and the paths."""
    if system.isdir(root):
        return root.rstrip("/") + "/", [path for path in system.find(root) if _has_known_ending(path)]
    # A name may hold the characters of a glob.
    if system.exists(root):
        return root[: root.rfind("/") + 1], [root]
    fixed = re.split(r"[*?\[]", root)[0]
    matching = system.glob(root, detail=True) if fixed != root else {}
    return fixed[: fixed.rfind("/") + 1], [path for path, info in matching.items() if info["type"] == "file"]


def choose_unit_bytes(files: Sequence[SourceFile]) -> int:
    """Return the bytes that a unit of a line file is to have."""
    total = sum(file.size for file in files if file.is_splittable)
    return max(UNIT_BYTES, -(-total // MAX_UNITS))


def plan_units(files: Sequence[SourceFile], unit_bytes: int) -> list[Unit]:
    """Cut files into units.

    unit_bytes (int): Size of the units of line files.
    RETURNS (list[Unit]): In the order of the files. The same arguments give the same units, always.
    """
    return [
        Unit(i, number, file.path, file.format, *part)
        for i, file in enumerate(files)
        for number, part in enumerate(_parts(file, unit_bytes))
    ]


def _parts(file: SourceFile, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield start, stop and first row of each unit of a file."""
    if file.is_splittable and file.digest:
        for start in range(0, file.size, size):
            yield start, min(start + size, file.size), 0
    elif file.format == "parquet" and file.digest:
        yield from _row_groups(file)
    else:
        yield 0, -1, 0


def _row_groups(file: SourceFile) -> Iterator[tuple[int, int, int]]:
    try:
        with fsspec.open(file.path, "rb") as stream:
            metadata = import_parquet().ParquetFile(stream).metadata
    # Damage shows as one of many errors of Arrow's. The unit is planned, so that the run names it and goes on.
    except (OSError, ValueError):
        yield 0, -1, 0
        return
    row = 0
    for group in range(metadata.num_row_groups):
        yield group, group + 1, row
        row += metadata.row_group(group).num_rows


def _without_output(paths: list[str], folder: str, dest: Path) -> list[str]:
    own, whole = Path(os.path.realpath(dest)), Path(os.path.realpath(folder))
    if own == whole or not own.is_relative_to(whole):
        return paths
    return [path for path in paths if not Path(os.path.realpath(path)).is_relative_to(own)]


def _has_known_ending(path: str) -> bool:
    return path.lower().removesuffix(GZIP).endswith(tuple(SUFFIXES))


def _describe(system: Any, path: str, name: str) -> SourceFile:
    url, format = system.unstrip_protocol(path).removeprefix("file://"), file_format(path)
    try:
        size = int(system.size(path))
        with system.open(path, "rb") as stream:
            ends = stream.read(FINGERPRINT_BYTES)
            stream.seek(max(0, size - FINGERPRINT_BYTES))
            ends += stream.read(FINGERPRINT_BYTES)
    # Its unit will say what is wrong, and cost no other one.
    except OSError:
        return SourceFile(url, name, format, 0, "")
    return SourceFile(url, name, format, size, hashlib.sha256(ends).hexdigest()[:16])
