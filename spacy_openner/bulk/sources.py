"""Hold the files of a corpus against those that a run was begun with."""

from collections.abc import Sequence
from typing import Any

from ..errors import error
from .journal import Journal
from .plan import SourceFile, choose_unit_bytes


def settle_sources(journal: Journal, files: Sequence[SourceFile], *, is_limited: bool) -> int:
    """Note the files of a corpus at a run's first call, and hold them against these notes at a later one.

    Only a file that could not be read may have changed since: it was mended, and its part of the output is made anew.
    A run with a limit takes no such file, as what is read of the later files depends on it.

    RETURNS (int): Bytes of a unit of the line files. They were chosen at the first call, and stay.
    RAISES (DataError): O608, for a file that is new, gone or changed.
    """
    before = journal.read_sources()
    entries = [[file.name, file.size, file.digest] for file in files]
    if before is None:
        unit_bytes = choose_unit_bytes(files)
        journal.write_sources({"unit_bytes": unit_bytes, "files": entries})
        return unit_bytes
    if before["files"] != entries:
        for i in _changed(journal, before["files"], entries, is_limited):
            journal.forget_file(i)
        journal.write_sources({**before, "files": entries})
    return int(before["unit_bytes"])


def _changed(journal: Journal, before: list[list[Any]], now: list[list[Any]], is_limited: bool) -> list[int]:
    """Return the places of files that were mended."""
    names, names_before = [entry[0] for entry in now], [entry[0] for entry in before]
    other = sorted({*names} ^ {*names_before})
    changed = [i for i, entry in enumerate(now) if not other and entry != before[i]]
    refused = [names[i] for i in changed if is_limited or not journal.has_problem(i)]
    if other or refused:
        shown = ", ".join([*other, *refused][:5])
        raise error("O608", dest=str(journal.dest), changed=f"sources: {shown} changed, came or went")
    return changed
