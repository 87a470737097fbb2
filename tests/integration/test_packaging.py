"""Packages of pipelines name this package: what `spacy package` finds out by the wheel's metadata."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, spacy
from spacy.cli.package import get_third_party_dependencies
nlp = spacy.blank("en")
for name in ("type_filter", "open_ner_span", "gner_generator", "lar_reassigner"):
    nlp.add_pipe(name)
import spacy_openner
print(json.dumps([spacy_openner.__file__, get_third_party_dependencies(nlp.config)]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel, laid out as an installation."""
    pytest.importorskip("hatchling")
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def test_pipelines_require_this_package(installed, tmp_path):
    (metadata,) = installed.glob("*.dist-info")
    assert (metadata / "top_level.txt").read_text() == "spacy_openner\n"
    assert f"{metadata.name}/top_level.txt" in (metadata / "RECORD").read_text()
    command = [sys.executable, "-W", "ignore", "-c", f"import sys; sys.path.insert(0, {str(installed)!r})\n{PROGRAM}"]
    output = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    file, found = json.loads(output.splitlines()[-1])
    assert Path(file).is_relative_to(installed)
    (requirement,) = found
    assert requirement.startswith("spacy-openner>=")
