"""Write `top_level.txt` into wheels: by it `spacy package` finds the distribution that a pipeline's factories need."""

import os
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "spacy_openner"


class TopLevelHook(BuildHookInterface):
    """Adds the file, which hatchling does not write, to the metadata of wheels and editable installations."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file. `version` is the kind of wheel, not that of the package."""
        self._scratch = tempfile.TemporaryDirectory()
        file = os.path.join(self._scratch.name, "top_level.txt")
        with open(file, "w", encoding="utf8") as stream:
            stream.write(PACKAGE + "\n")
        kind = "force_include_editable" if version == "editable" else "force_include"
        build_data[kind][file] = f"{PACKAGE}-{self.metadata.version}.dist-info/top_level.txt"
