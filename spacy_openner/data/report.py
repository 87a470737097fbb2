"""What a conversion reports: how much was written, and what was not, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..text_tables import display_width, one_line, pad
from .texts import Finding

HEADINGS = {
    "dropped": "Dropped spans",
    "repaired": "Repaired",
    "skipped": "Skipped texts",
}


@dataclass(frozen=True)
class Report:
    """What a conversion did.

    source (str): What was read.
    format (str): The format that it was read in.
    files (tuple[str, ...]): The .spacy files written.
    labels_file (str): The file of the types.
    texts (int): Sentences, or whatever the format's texts are.
    docs (int): What they were grouped into.
    tokens (int): All words.
    spans (int): All entities written.
    types (Mapping[str, int]): All types that the corpus annotates, with their spans, the most frequent first.
    dropped (Mapping[str, Finding]): Spans left out, by reason: spans read = `spans` + these.
    repaired (Mapping[str, Finding]): What was read in the nearest sense that it has.
    skipped (Mapping[str, Finding]): Texts left out, by reason.
    """

    source: str
    format: str
    files: tuple[str, ...]
    labels_file: str
    texts: int
    docs: int
    tokens: int
    spans: int
    types: Mapping[str, int]
    dropped: Mapping[str, Finding]
    repaired: Mapping[str, Finding]
    skipped: Mapping[str, Finding]

    def to_dict(self) -> dict[str, Any]:
        """Give plain data, which JSON can hold."""
        return asdict(self)


def render_report(report: Report) -> str:
    """Lay out a report for people."""
    first, last = report.files[0], report.files[-1]
    files = first if first == last else f"{first} to {last}"
    lines = [
        f"Read {report.source} as {report.format}, wrote {files} and {report.labels_file}.",
        f"Texts: {report.texts}, docs: {report.docs}, tokens: {report.tokens}, spans: {report.spans}, "
        f"types: {len(report.types)}",
        *_columns([(str(count), one_line(label)) for label, count in report.types.items()]),
    ]
    for name, heading in HEADINGS.items():
        findings: Mapping[str, Finding] = getattr(report, name)
        if findings:
            total = sum(finding.count for finding in findings.values())
            lines.append(f"{heading}: {total}")
            lines.extend(
                _columns([(str(f.count), why, f"first: {one_line(f.example)}") for why, f in findings.items()])
            )
    return "\n".join(lines)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Align rows whose first cells are numbers."""
    widths = [max(map(display_width, cells)) for cells in zip(*rows, strict=True)]
    return ["  ".join(["", row[0].rjust(widths[0]), *map(pad, row[1:], widths[1:])]).rstrip() for row in rows]
