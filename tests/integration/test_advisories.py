"""`scripts/advisories.py` on made-up records."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

from scripts.advisories import base_score, check, lowest

ROOT = Path(__file__).resolve().parents[2]
REMOTE = "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H"


def record(directory: Path, package: str, id: str, ranges, *, cve="CVE-1", versions=(), vector=REMOTE, **more) -> None:
    content = {
        "id": id,
        "aliases": ["GHSA-x", cve],
        "affected": [
            {"package": {"ecosystem": "PyPI", "name": package}, "ranges": ranges, "versions": list(versions)},
            {"package": {"ecosystem": "PyPI", "name": "another"}, "ranges": [{"events": [{"introduced": "0"}]}]},
        ],
        "severity": [{"type": "CVSS_V3", "score": vector}] if vector else [],
        **more,
    }
    (directory / package).mkdir(exist_ok=True)
    (directory / package / f"{id}.yaml").write_text(yaml.safe_dump(content))


def between(*events, kind="ECOSYSTEM"):
    return [{"type": kind, "events": [dict([event]) for event in events]}]


def found(directory, version, at_least=7.0):
    return [row["advisory"] for row in check(directory, {"some-package": Version(version)}, at_least)]


# Scores of the specification's own examples, and of published records.
@pytest.mark.parametrize(
    ("vector", "score"),
    [
        (REMOTE, 8.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 7.5),
        ("CVSS:3.0/AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 7.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:H/I:H/A:H", 9.6),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
        ("CVSS:3.1/AV:L/AC:L/PR:L/UI:R/S:U/C:L/I:L/A:N", 3.9),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:4.0/AV:L/AC:L/AT:N/PR:L/UI:N/VC:L/VI:L/VA:L/SC:N/SI:N/SA:N", None),
    ],
)
def test_scores(vector, score):
    assert base_score(vector) == score


def test_ranges_and_lists(tmp_path):
    record(tmp_path, "Some_Package", "A-1", between(("introduced", "0"), ("fixed", "1.5")))
    record(tmp_path, "Some_Package", "A-2", between(("introduced", "2"), ("last_affected", "2.1")), cve="CVE-2")
    record(
        tmp_path,
        "Some_Package",
        "A-3",
        between(("introduced", "0"), ("fixed", "9"), kind="GIT"),
        cve="CVE-3",
        versions=["1.7"],
    )
    record(tmp_path, "Some_Package", "A-4", between(("introduced", "3")), cve="CVE-4")
    expected = {"1.4": ["CVE-1"], "1.5": [], "2.1": ["CVE-2"], "2.1.1": [], "1.7": ["CVE-3"], "3.5": ["CVE-4"]}
    assert {version: found(tmp_path, version) for version in expected} == expected


def test_records_of_one_cve_are_one_row(tmp_path):
    record(tmp_path, "some-package", "A-1", between(("introduced", "0")))
    odd = {"type": 3, "events": [{"introduced": "0", "lastaffected": ""}, {"introduced": "", "lastaffected": "1.0-NA"}]}
    record(tmp_path, "some-package", "A-2", [odd])
    (row,) = check(tmp_path, {"some-package": Version("2")}, 7)
    assert (row["score"], row["records"]) == ("8.8", "1 of 2: A-1")
    (row,) = check(tmp_path, {"some-package": Version("1.0")}, 7)
    assert row["records"] == "2 of 2: A-1, A-2"


def test_low_scores_are_left_out_and_missing_ones_are_not(tmp_path):
    always = between(("introduced", "0"))
    record(tmp_path, "some-package", "A-1", always, vector="CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:L")
    record(tmp_path, "some-package", "A-2", always, cve="CVE-2", vector=None)
    record(tmp_path, "some-package", "A-3", always, cve="CVE-3", withdrawn="2026-01-01T00:00:00Z")
    assert found(tmp_path, "1") == ["CVE-2"]
    assert found(tmp_path, "1", at_least=0) == ["CVE-1", "CVE-2"]


def test_the_command_looks_at_what_is_installed(tmp_path):
    record(tmp_path, "numpy", "A-1", between(("introduced", "0")))
    file = tmp_path / "numpy" / "A-1.yaml"
    (tmp_path / "numpy" / "A-1.json").write_text(json.dumps(yaml.safe_load(file.read_text())))
    file.unlink()
    command = [sys.executable, str(ROOT / "scripts" / "advisories.py"), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert "numpy" in result.stdout
    assert "CVE-1 | 8.8 | 1 of 1: A-1" in result.stdout
    (tmp_path / "empty").mkdir()
    assert subprocess.run([*command[:2], str(tmp_path / "empty")], capture_output=True).returncode == 0


def test_the_lowest_releases_are_those_of_the_requirements():
    assert lowest()["spacy"] >= Version("3.8")
    assert "pytest" not in lowest()
