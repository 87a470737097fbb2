"""The journal of a run: one small file for each finished part and unit, beside the output.

A part is an output file of at most `shard_size` records. Its files appear whole, by renaming, and its entry in the
journal last of all: what has an entry is finished, while its files are what the entry says, and what has none is made
again, to the byte.
"""

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import error
from ..files import PARTIAL
from ..json_files import parse_json, write_json

FOLDER = "_run"
SETTINGS_FILE = "run.json"
SOURCES_FILE = "sources.json"
LOCK_FILE = "lock"
NO_ENTRY = "it is not what a run writes there"
# Keys of entries: the files of a part or unit, with what they hold, and what tells that an entry is as it was written.
FILES, SEAL = "files", "seal"
BLOCK = 1 << 20
# Endings of notes about a unit that is not finished.
PROBLEM, ATTEMPTS = ".problem", ".attempts"


class Counts(NamedTuple):
    """Counts of records and entities.

    records: That were annotated.
    entities: That were found in them.
    set_aside: Records that went to the dead letters.
    """

    records: int = 0
    entities: int = 0
    set_aside: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Return the sum."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


class Journal:
    """The journal of a run.

    dest (Path): The directory that the run writes to.
    """

    def __init__(self, dest: Path) -> None:
        self.dest = dest
        self.folder = dest / FOLDER
        self._changed: list[str] = []

    @contextmanager
    def opened(self, settings: Mapping[str, Any]) -> Iterator[None]:
        """Begin a run, or go on with it, and keep other runs out.

        settings (Mapping[str, Any]): All that the output depends on; values that JSON holds.
        RAISES (DataError): For a directory with other files, a run with other settings, or one that is under way.
        """
        path = self.folder / SETTINGS_FILE
        try:
            others = self.dest.exists() and any(p.name != FOLDER for p in self.dest.iterdir())
            # What would be written through a link lies elsewhere, and may be somebody's.
            if (others and not path.exists()) or any(p.is_symlink() for p in self.dest.rglob("*")):
                raise error("O606", dest=str(self.dest))
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / LOCK_FILE).open("w")
        except OSError as problem:
            raise error("O407", path=str(self.dest), reason=problem) from problem
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as problem:
                raise error("O607", dest=str(self.dest)) from problem
            # Nobody else writes here now: what is half written is what a killed run left.
            self._clear_partial()
            for attempts in self.folder.glob(f"*/*{ATTEMPTS}"):
                attempts.unlink()
            if path.exists():
                self._check_settings(path, settings)
            else:
                self._write(path, settings)
            yield
            # Nor do workers any more, of which some may have been killed.
            self._clear_partial()

    def _clear_partial(self) -> None:
        for partial in self.dest.rglob(f".*{PARTIAL}"):
            partial.unlink(missing_ok=True)

    def _check_settings(self, path: Path, settings: Mapping[str, Any]) -> None:
        before = _read(path)
        changed = sorted(key for key in {*before, *settings} if before.get(key) != settings.get(key))
        if changed:
            shown = "; ".join(
                f"{key}: {_brief(before.get(key))} then, {_brief(settings.get(key))} now" for key in changed
            )
            raise error("O608", dest=str(self.dest), changed=shown)

    def read_sources(self) -> dict[str, Any] | None:
        """Return what `write_sources` wrote; None at a run's first call."""
        path = self.folder / SOURCES_FILE
        if not path.exists():
            if any(self.folder.glob("*/*.json")):
                raise error("O403", path=str(path), reason="it is gone, and with it what the output was made from")
            return None
        sources = _read(path)
        if not _is_whole(sources.get("unit_bytes"), 1) or not _are_files(sources.get("files")):
            raise error("O403", path=str(path), reason=NO_ENTRY)
        return sources

    def write_sources(self, sources: Mapping[str, Any]) -> None:
        """Note the files of the corpus, and how they are cut."""
        self._write(self.folder / SOURCES_FILE, sources)

    def note_problem(self, unit: str, reason: str) -> None:
        """Note why a unit could not be annotated: its file may be mended then."""
        self._write(self._unit_path(unit).with_suffix(PROBLEM), {"reason": reason})

    def count_attempt(self, unit: str) -> int:
        """Note that a unit is begun, and return how often it was in this run.

        RAISES (OSError): When that cannot be written.
        """
        path = self._unit_path(unit).with_suffix(ATTEMPTS)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as stream:
            stream.write(b".")
            return stream.tell()

    def has_problem(self, file: int) -> bool:
        """Tell whether a unit of a file could not be annotated."""
        return any(self.folder.glob(f"*/{file:06d}-*{PROBLEM}"))

    def forget_file(self, file: int) -> None:
        """Remove the output of a file. What is finished is forgotten first: a kill meanwhile loses nothing."""
        for path in self.folder.glob(f"*/{file:06d}-*.json"):
            path.unlink()
        for path in self.dest.rglob(f"part-{file:06d}-*"):
            path.unlink()

    def part_counts(self, unit: str, part: int) -> Counts | None:
        """Return what a finished part holds; None for one that is not finished, or whose files have changed since."""
        return self._counts_of(self._part_path(unit, part))

    def finish_part(self, unit: str, part: int, counts: Counts, files: Sequence[Path] = ()) -> None:
        """Note that the files of a part are whole."""
        states = {path.relative_to(self.dest).as_posix(): file_state(path) for path in files}
        self._write(self._part_path(unit, part), {**counts._asdict(), FILES: states})

    def unit_counts(self, unit: str) -> Counts | None:
        """Return what a finished unit holds; None for one that is not finished, or whose files have changed since."""
        return self._counts_of(self._unit_path(unit))

    def finish_unit(self, unit: str, counts: Counts) -> None:
        """Note that all parts of a unit are finished. The entries of its parts are needed no more."""
        parts = sorted(self._unit_path(unit).parent.glob(f"{unit}-*.json"))
        states = {name: state for path in parts for name, state in _read_entry(path)[1].items()}
        self._write(self._unit_path(unit), {**counts._asdict(), FILES: states})
        for path in parts:
            path.unlink(missing_ok=True)
        for ending in (PROBLEM, ATTEMPTS):
            self._unit_path(unit).with_suffix(ending).unlink(missing_ok=True)

    def take_changed(self) -> list[str]:
        """Return the files that had changed since they were finished, or were gone, since this was last called."""
        changed, self._changed = self._changed, []
        return changed

    def _counts_of(self, path: Path) -> Counts | None:
        """Read an entry, and hold the files against it. One that is outdated is removed, so that they are made anew."""
        if not path.exists():
            return None
        counts, states = _read_entry(path)
        changed = [name for name, state in states.items() if file_state(self.dest / name) != state]
        if changed:
            self._changed += changed
            path.unlink()
            return None
        return counts

    # A folder for each thousand units or so: file systems grow slow with folders of millions.
    def _unit_path(self, unit: str) -> Path:
        file, number = unit.split("-")
        return self.folder / f"{(int(file) + int(number)) // 1000:03d}" / f"{unit}.json"

    def _part_path(self, unit: str, part: int) -> Path:
        return self._unit_path(unit).with_stem(f"{unit}-{part:05d}")

    def _write(self, path: Path, value: Mapping[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {**value, SEAL: _seal(value)})


def file_state(path: Path) -> list[Any] | None:
    """Return what tells one state of a file from another: its bytes, and a hash of all of them; None for no file."""
    if not path.is_file():
        return None
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            size += len(block)
    return [size, digest.hexdigest()]


def _seal(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _read(path: Path) -> dict[str, Any]:
    """Read what a run wrote.

    RAISES (DataError): For what somebody damaged or changed since.
    """
    try:
        value = parse_json(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise error("O403", path=str(path), reason=problem) from problem
    if not isinstance(value, dict) or value.pop(SEAL, None) != _seal(value):
        raise error("O403", path=str(path), reason=NO_ENTRY)
    return value


def _read_entry(path: Path) -> tuple[Counts, dict[str, Any]]:
    """Read the counts of a part or unit, and the states of its files."""
    values = _read(path)
    states = values.pop(FILES, None)
    whole = set(values) == set(Counts._fields) and all(_is_whole(value, 0) for value in values.values())
    if not whole or not isinstance(states, dict):
        raise error("O403", path=str(path), reason=f"{NO_ENTRY}; without it, what it stands for is made anew")
    return Counts(**values), states


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _are_files(value: Any) -> bool:
    """Tell whether a value lists files: of each its name, its size, and what tells one state of it from another."""
    return isinstance(value, list) and all(
        isinstance(entry, list) and len(entry) == 3 and isinstance(entry[0], str) and _is_whole(entry[1], 0)
        for entry in value
    )


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
