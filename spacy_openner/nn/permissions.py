"""Permissions of saved files."""

import os
import tempfile
from pathlib import Path


def as_new_files(directory: Path) -> None:
    """Let the weights in a directory be read by whom new files are read by, as all other files of a pipeline are.

    safetensors writes files that their owner alone can read, and a pipeline is often saved by one user and served by
    another.
    """
    weights = list(directory.rglob("*.safetensors"))
    if not weights:
        return
    # The mask itself cannot be read without changing it, for all threads.
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        probe = Path(scratch) / "new"
        probe.touch()
        mode = probe.stat().st_mode
    for file in weights:
        # Some file systems have one mode for all, and refuse to be told.
        if file.stat().st_mode != mode:
            os.chmod(file, mode)
