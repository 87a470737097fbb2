"""Known vulnerabilities of what is installed beside this package, by a local copy of an advisory database.

    git clone https://github.com/pypa/advisory-database
    python scripts/advisories.py advisory-database/vulns
    python scripts/advisories.py advisory-database/vulns --lowest --at-least 0

The database is a directory with a directory for each package, of records in the OSV format (YAML or JSON). Nothing is
asked over the network. --lowest looks at the oldest release that each requirement of the package allows, instead of what
is installed. Records of one CVE are one row; a row says how many of them name the version. Ends with status 1 when a
row is there.
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distributions, requires
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

PACKAGE = "spacy-openner"
HIGH = 7.0
ENDS = {"fixed": "fixed", "last_affected": "last", "lastaffected": "last"}
WEIGHTS = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    "CIA": {"H": 0.56, "L": 0.22, "N": 0.0},
}
PRIVILEGES = {"U": {"N": 0.85, "L": 0.62, "H": 0.27}, "C": {"N": 0.85, "L": 0.68, "H": 0.5}}


@dataclass(frozen=True)
class Advisory:
    """One record, as far as it is about one package.

    name: Its CVE, or its own id where it has none.
    id: Its own id.
    score: CVSS 3 base score; None where it has no such vector.
    versions: Releases that it lists.
    ranges: Events of each range: a kind ("introduced", "fixed" or "last") and a release.
    """

    name: str
    id: str
    score: float | None
    versions: frozenset[str]
    ranges: tuple[tuple[tuple[str, Version], ...], ...]

    def affects(self, version: Version) -> bool:
        """Tell whether it names a release, in its list or in a range."""
        return str(version) in self.versions or any(_in_range(version, events) for events in self.ranges)


def _in_range(version: Version, events: tuple[tuple[str, Version], ...]) -> bool:
    affected = False
    for kind, at in sorted(events, key=lambda event: event[1]):
        if kind == "introduced" and version >= at:
            affected = True
        elif (kind == "fixed" and version >= at) or (kind == "last" and version > at):
            affected = False
    return affected


def base_score(vector: str) -> float | None:
    """Compute the base score of a CVSS 3 vector (first.org/cvss/v3-1/specification-document, section 7.1).

    RETURNS (float | None): None for other vectors.
    """
    if not vector.startswith("CVSS:3"):
        return None
    parts = dict(part.split(":") for part in vector.split("/")[1:])
    changed = parts["S"] == "C"
    harm = 1 - math.prod(1 - WEIGHTS["CIA"][parts[name]] for name in "CIA")
    impact = 7.52 * (harm - 0.029) - 3.25 * (harm - 0.02) ** 15 if changed else 6.42 * harm
    if impact <= 0:
        return 0.0
    ease = 8.22 * math.prod(WEIGHTS[name][parts[name]] for name in ("AV", "AC", "UI"))
    ease *= PRIVILEGES[parts["S"]][parts["PR"]]
    return math.ceil(round(min((1.08 if changed else 1) * (impact + ease), 10) * 10, 5)) / 10


def read_advisories(directory: Path, package: str) -> list[Advisory]:
    """Read the records of a package."""
    folders = [folder for folder in directory.iterdir() if canonicalize_name(folder.name) == package]
    files = [file for folder in folders for file in sorted(folder.iterdir())]
    return [advisory for file in files for advisory in _read(file, package)]


def _read(file: Path, package: str) -> Iterator[Advisory]:
    if file.suffix not in (".yaml", ".yml", ".json"):
        return
    text = file.read_text(encoding="utf8")
    record: dict[str, Any] = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    if record.get("withdrawn"):
        return
    cves = [alias for alias in record.get("aliases") or [] if alias.startswith("CVE-")]
    scores = [base_score(str(severity.get("score", ""))) for severity in record.get("severity") or []]
    for affected in record.get("affected") or []:
        if canonicalize_name(affected["package"]["name"]) != package:
            continue
        yield Advisory(
            min(cves, default=record["id"]),
            record["id"],
            max((score for score in scores if score is not None), default=None),
            frozenset(str(version) for version in affected.get("versions") or []),
            tuple(
                tuple(_events(versions)) for versions in affected.get("ranges") or [] if versions.get("type") != "GIT"
            ),
        )


def _events(described: dict[str, Any]) -> Iterator[tuple[str, Version]]:
    for event in described.get("events") or []:
        for key, value in event.items():
            kind = ENDS.get(key, key)
            if value and kind in ("introduced", "fixed", "last"):
                yield kind, _version(str(value))


def _version(text: str) -> Version:
    """Read a release; of those with odd ends ("2.6.0-NA") what stands before."""
    try:
        return Version(text)
    except InvalidVersion:
        return Version(re.split(r"[-+ ]", text)[0])


def installed() -> dict[str, Version]:
    """Return the release of each package of this environment."""
    return {canonicalize_name(package.name): _version(package.version) for package in distributions()}


def lowest() -> dict[str, Version]:
    """Return the oldest release that each requirement of the package allows, without extras."""
    wanted = [Requirement(text) for text in requires(PACKAGE) or []]
    bounds = {}
    for requirement in wanted:
        least = [Version(part.version) for part in requirement.specifier if part.operator in (">=", "==", "~=")]
        if least and "extra" not in str(requirement.marker or ""):
            bounds[canonicalize_name(requirement.name)] = max(least)
    return bounds


def check(directory: Path, releases: dict[str, Version], at_least: float) -> list[dict[str, Any]]:
    """Look up releases.

    at_least (float): The lowest score to tell of; records without a score are always told of.
    RETURNS (list): A row for each CVE that a record names the release in.
    """
    rows = []
    for package, version in sorted(releases.items()):
        grouped: dict[str, list[Advisory]] = {}
        for advisory in read_advisories(directory, package):
            grouped.setdefault(advisory.name, []).append(advisory)
        for name, records in sorted(grouped.items()):
            naming = [record for record in records if record.affects(version)]
            scores = [record.score for record in records if record.score is not None]
            if naming and max(scores, default=at_least) >= at_least:
                score = f"{max(scores):.1f}" if scores else "none"
                rows.append(
                    {
                        "package": package,
                        "version": str(version),
                        "advisory": name,
                        "score": score,
                        "records": f"{len(naming)} of {len(records)}: {', '.join(record.id for record in naming)}",
                    }
                )
    return rows


def main() -> int:
    """Read the arguments, check, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="holds a directory for each package")
    parser.add_argument("--at-least", type=float, default=HIGH, help="lowest CVSS score to tell of (HIGH begins at 7)")
    parser.add_argument("--lowest", action="store_true", help="the oldest releases allowed, not those installed")
    args = parser.parse_args()
    releases = lowest() if args.lowest else installed()
    rows = check(args.directory, releases, args.at_least)
    print(f"{len(releases)} packages, {len(rows)} advisories with a score of {args.at_least:g} or more, or none")
    for row in rows:
        print(" | ".join(row.values()))
    return int(bool(rows))


if __name__ == "__main__":
    sys.exit(main())
