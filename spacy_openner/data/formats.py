"""The formats that can be converted, and how to tell them apart."""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import OpenNERError, error
from .biomedical import is_bioc, read_bioc, read_pubtator
from .brat import read_brat
from .char_records import read_doccano, read_prodigy, read_spacy_json
from .columns import pick_cells, read_columns, split_cells
from .conllu import is_conllu, read_conllu
from .docbin import read_spacy
from .files import SNIFFED, opened, read_values
from .hugging_face import read_hugging_face
from .label_studio import read_label_studio
from .records import expected_record, read_gliner, read_jsonl, record_kind
from .texts import AnnotatedText, Tally
from .uima import read_xmi
from .webanno import MARK as WEBANNO_MARK
from .webanno import read_webanno

__all__ = ["READERS", "detect_format", "read", "read_brat", "read_columns", "read_gliner", "read_jsonl", "read_spacy"]

# Line of PubTator's, with which a file of it begins.
PUBTATOR = re.compile(r"[^|\t]+\|t\|")

READERS: dict[str, Callable[..., Iterator[AnnotatedText]]] = {
    "columns": read_columns,
    "jsonl": read_jsonl,
    "gliner": read_gliner,
    "spacy": read_spacy,
    "brat": read_brat,
    "prodigy": read_prodigy,
    "doccano": read_doccano,
    "label-studio": read_label_studio,
    "spacy-json": read_spacy_json,
    "hugging-face": read_hugging_face,
    "webanno": read_webanno,
    "xmi": read_xmi,
    "bioc": read_bioc,
    "pubtator": read_pubtator,
    "conllu": read_conllu,
}


def read(path: str | Path, kind: str, tally: Tally | None = None, **options: Any) -> Iterator[AnnotatedText]:
    """Read a file, or a directory, of a known format.

    path (str | Path): What to read.
    kind (str): A key of `READERS`.
    tally (Tally | None): Where to count what is not taken over as it stands.
    **options (Any): Of the format's reader.
    YIELDS (AnnotatedText): The texts.
    RAISES (OpenNERError): For an unknown format, an option of another one, or data of another form.
    """
    if kind not in READERS:
        raise error("O001", name="format", value=kind, allowed=", ".join(map(repr, READERS)))
    known = [name for name in inspect.signature(READERS[kind]).parameters if name not in ("path", "tally")]
    for name in options:
        if name not in known:
            raise error("O408", name=name, kind=kind, options=", ".join(known) or "none")
    return READERS[kind](path, tally=tally, **options)


def detect_format(path: str | Path) -> str:
    """Tell a file's or a directory's format by its name, and else by its first line with data.

    path (str | Path): What is to be read.
    RETURNS (str): A key of `READERS`. It is "columns" for what is nothing else.
    RAISES (DataError): For a directory without known files, or JSON of another form.
    """
    path = Path(path)
    if path.is_dir():
        return _detect_directory(path)
    if path.suffix == ".spacy":
        return "spacy"
    if path.suffix == ".ann" or (path.suffix == ".txt" and path.with_suffix(".ann").is_file()):
        return "brat"
    with opened(path) as stream:
        start = stream.read(SNIFFED).decode("utf-8-sig", errors="replace")
    kind = _detect_text(path, start)
    if kind is not None:
        return kind
    line = next((line for line in start.splitlines() if line.strip() and not line.startswith("#")), "")
    if _is_json(line):
        return _detect_json(path)
    return "conllu" if is_conllu(line) else "columns"


def _is_json(line: str) -> bool:
    """Tell whether a file is of JSON by its first line: a word of columns may well be a bracket, but no tag ends so."""
    is_row = pick_cells(split_cells(line)) is not None and not line.rstrip().endswith(("}", "]", ","))
    return line.lstrip().startswith(("{", "[")) and not is_row


def _detect_text(path: Path, start: str) -> str | None:
    """Tell the formats whose files begin with a sign of their own; None for others."""
    if start.startswith(WEBANNO_MARK):
        return "webanno"
    if path.suffix == ".xmi" or "<xmi:XMI" in start:
        return "xmi"
    if "<collection" in start and start.lstrip().startswith("<"):
        return "bioc"
    return "pubtator" if PUBTATOR.match(start.lstrip()) else None


def _detect_directory(path: Path) -> str:
    """Tell a directory's format by its files' names, or the first one's signs."""
    for kind, pattern in (("spacy", "*.spacy"), ("brat", "*.ann"), ("xmi", "*.xmi")):
        if next(path.rglob(pattern), None):
            return kind
    for kind, pattern in (("webanno", "*.tsv"), ("bioc", "*.xml"), ("bioc", "*.json")):
        # A file that is none is no reason to fail: it may have nothing to do with the others.
        with suppress(OpenNERError):
            if (first := next(path.rglob(pattern), None)) and detect_format(first) == kind:
                return kind
    reason = "no .spacy, .ann or .xmi file is in it, nor one of WebAnno or BioC"
    raise error("O402", path=str(path), reason=reason, formats=", ".join(READERS))


def _detect_json(path: Path) -> str:
    """Tell a JSON file's format by its first record."""
    expected = f"{expected_record('jsonl')} or {expected_record('gliner')}"
    for _, record in islice(read_values(path, "jsonl", expected, rows=True), 1):
        kind = "bioc" if is_bioc(record) else record_kind(record)
        if kind is None:
            shown = f"its first record is {repr(record)[:100]}, not {expected}"
            raise error("O402", path=str(path), reason=shown, formats=", ".join(READERS))
        return kind
    return "jsonl"
