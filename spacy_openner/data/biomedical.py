"""Formats of biomedical corpora: BioC, in XML or JSON, which the library `bioc` reads, and PubTator's lines."""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import error
from .files import opened, read_lines
from .offsets import Mark, OffsetAligner
from .texts import AnnotatedText, Tally
from .uima import optional_module

TITLE_OR_ABSTRACT = re.compile(r"([^|\t]+)\|([ta])\|(.*)")
# Bytes, unpacked: a collection is read as a whole.
LARGEST = 1 << 29
PUBTATOR = '"1|t|TITLE", "1|a|ABSTRACT", and mentions: "1", start, end, text, type and identifier, with tabs between'


def read_bioc(
    path: str | Path, *, lang: str = "en", discontinuous: str = "drop", tally: Tally | None = None
) -> Iterator[AnnotatedText]:
    """Read BioC collections, in XML, or in JSON where the file's name says so.

    path (str | Path): A .xml or .json file, or a directory that is searched with all below it.
    lang (str): Code of the language whose tokenizer is used.
    discontinuous (str): What becomes of entities with gaps: "drop", or "join" them into one over the gaps.
    tally (Tally | None): Where to count entities that are dropped or widened, and relations.
    YIELDS (AnnotatedText): Each passage; those of a document follow one another.
    RAISES (OpenNERError): Without the library bioc, or for a file that cannot be read.
    """
    optional_module("bioc", "bioc")
    aligner, path = OffsetAligner(lang, tally, discontinuous), Path(path)
    files = sorted(file for file in path.rglob("*") if file.suffix in (".xml", ".json")) if path.is_dir() else [path]
    for file in files:
        for document in _collection(file).documents:
            where = f"{file}, document {document.id}"
            for i, passage in enumerate(document.passages):
                relations = len(passage.relations) + (0 if i else len(document.relations))
                if relations:
                    aligner.tally.leave("relation", where, relations)
                text = _passage(aligner, passage, where)
                # A passage goes on with its document.
                yield text if i == 0 else AnnotatedText(**{**text.__dict__, "starts_doc": False})


def _collection(file: Path) -> Any:
    """Load a collection.

    RAISES (DataError): O403, whatever the library makes of the file.
    """
    is_json = ".json" in file.suffixes
    reader = optional_module("bioc.biocjson" if is_json else "bioc.biocxml", "bioc")
    with opened(file) as stream:
        data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise error("O403", path=str(file), reason=f"it has more than {LARGEST >> 20} MB; split it")
    try:
        return reader.loads(data.decode())
    except Exception as problem:
        reason = f"it is no BioC collection ({type(problem).__name__}: {problem})"
        raise error("O403", path=str(file), reason=reason) from problem


def _passage(aligner: OffsetAligner, passage: Any, where: str) -> AnnotatedText:
    """Align a passage. Where sentences have the text, what stands between them is white space."""
    text, base = passage.text or "", passage.offset
    if not text:
        for sentence in passage.sentences:
            text = text.ljust(sentence.offset - base) + (sentence.text or "")
    annotations = [*passage.annotations, *(each for sentence in passage.sentences for each in sentence.annotations)]
    marks = [
        Mark(
            annotation.infons.get("type", ""),
            [(part.offset - base, part.end - base) for part in sorted(annotation.locations, key=lambda p: p.offset)],
            f"{where}, annotation {annotation.id}",
            annotation.text,
        )
        for annotation in annotations
    ]
    return aligner.align(text, marks, where)


def read_pubtator(path: str | Path, *, lang: str = "en", tally: Tally | None = None) -> Iterator[AnnotatedText]:
    """Read PubTator's lines: a title, an abstract, and mentions by their offsets in both, one blank between them.

    Mentions without an identifier are mentions too, though some readers take them for relations.

    path (str | Path): The file; unpacked where its name ends in ".gz".
    lang (str): Code of the language whose tokenizer is used.
    tally (Tally | None): Where to count entities that are dropped or widened, and relations.
    YIELDS (AnnotatedText): Each document.
    RAISES (DataError): For a line of another form, with its number.
    """
    aligner, path = OffsetAligner(lang, tally), Path(path)
    texts, marks, first = dict[str, str](), list[Mark](), ""
    with opened(path) as stream:
        for number, line in enumerate(chain(read_lines(stream), [""]), 1):
            where = f"{path}, line {number}"
            head = TITLE_OR_ABSTRACT.fullmatch(line)
            if texts and (not line.strip() or (head and head[2] in texts)):
                yield aligner.align("\n".join(texts[key] for key in sorted(texts, reverse=True)), marks, first)
                texts, marks = {}, []
            if head:
                texts[head[2]] = head[3]
                first = first if len(texts) > 1 else where
            elif line.strip():
                mark = _mention(line, where, aligner.tally)
                marks += [mark] if mark else []


def _mention(line: str, where: str, tally: Tally) -> Mark | None:
    """Read the line of a mention; None for a relation, which is counted.

    RAISES (DataError): O401, for another line.
    """
    cells = line.split("\t")
    if len(cells) >= 5 and cells[1].isdigit() and cells[2].isdigit() and len(cells[1] + cells[2]) < 30:
        return Mark(cells[4], [(int(cells[1]), int(cells[2]))], where, cells[3])
    if len(cells) >= 4 and not cells[1].isdigit():
        tally.leave("relation", where)
        return None
    raise error("O401", where=where, expected=PUBTATOR, found=repr(line[:60]), kind="pubtator")
