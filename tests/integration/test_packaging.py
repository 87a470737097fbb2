"""Packages of pipelines name this package: what `spacy package` finds out by the wheel's metadata."""

import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Set where the package is installed from a wheel, as continuous integration does it, so that no test falls back to the
# checkout in silence.
FROM_WHEEL = "SPACY_OPENNER_FROM_WHEEL"
PROGRAM = """
import json, spacy
from spacy.cli.package import get_third_party_dependencies
nlp = spacy.blank("en")
for name in ("type_filter", "open_ner_span", "gner_generator", "lar_reassigner"):
    nlp.add_pipe(name)
import spacy_openner
print(json.dumps([spacy_openner.__file__, get_third_party_dependencies(nlp.config)]))
"""


def is_editable():
    """Tell whether the package is installed as a link to the checkout."""
    told = json.loads(distribution("spacy-openner").read_text("direct_url.json") or "{}")
    return bool(told.get("dir_info", {}).get("editable"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Where the package is installed from a wheel; a wheel laid out so, where it is installed as a link."""
    if not is_editable():
        return Path(distribution("spacy-openner").locate_file(""))
    pytest.importorskip("hatchling")
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def test_pipelines_require_this_package(installed, tmp_path):
    (metadata,) = installed.glob("spacy_openner-*.dist-info")
    assert (metadata / "top_level.txt").read_text() == "spacy_openner\n"
    assert f"{metadata.name}/top_level.txt" in (metadata / "RECORD").read_text()
    command = [sys.executable, "-W", "ignore", "-c", f"import sys; sys.path.insert(0, {str(installed)!r})\n{PROGRAM}"]
    output = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    file, found = json.loads(output.splitlines()[-1])
    assert Path(file).is_relative_to(installed)
    (requirement,) = found
    assert requirement.startswith("spacy-openner>=")


@pytest.mark.skipif(FROM_WHEEL not in os.environ, reason=f"{FROM_WHEEL} is not set")
def test_the_wheel_is_what_other_processes_import(tmp_path):
    assert not is_editable()
    program = "import spacy_openner; print(spacy_openner.__file__)"
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert Path(run.stdout.strip()).is_relative_to(Path(distribution("spacy-openner").locate_file("")))
