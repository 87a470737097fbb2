"""Formats of biomedical corpora: BioC, in XML or JSON, which the library `bioc` reads, and PubTator's lines."""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
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
# Characters between two sentences.
LARGEST_GAP = 1 << 16
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
            _hand_down(document, where, aligner.tally)
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
        return reader.loads(json.dumps(_completed(json.loads(data))) if is_json else data.decode())
    except Exception as problem:
        reason = f"it is no BioC collection ({type(problem).__name__}: {problem})"
        raise error("O403", path=str(file), reason=reason) from problem


def is_bioc(record: Any) -> bool:
    """Tell whether a value of JSON is a BioC collection, or PubTator's list of documents."""
    keys = set(record) if isinstance(record, dict) else set()
    return "PubTator3" in keys or {"documents", "infons"} <= keys or {"documents", "source"} <= keys


def _completed(value: Any) -> dict[str, Any]:
    """Add the keys that the library asks for, and not all exports have; some wrap the collection in a list."""
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if "PubTator3" in value:
        value = {"documents": value["PubTator3"]}
    for document in value["documents"]:
        for passage in document["passages"]:
            for part in (passage, *passage.setdefault("sentences", [])):
                part.update({"infons": {}, "annotations": [], "relations": [], **part})
        document.update({"infons": {}, "annotations": [], "relations": [], **document})
    return {"source": "", "date": "", "key": "", "infons": {}, **value}


def _hand_down(document: Any, where: str, tally: Tally) -> None:
    """Hand annotations of the document, and those of a passage that lie outside of it, to the passages they lie in."""
    offsets = [passage.offset for passage in document.passages]
    spread: list[list[Any]] = [[] for _ in offsets]
    for i, holder in enumerate([*document.passages, document]):
        for annotation in holder.annotations:
            begin = min((part.offset for part in annotation.locations), default=-1)
            home = bisect_right(offsets, begin) - 1
            if i < len(offsets) and (home < 0 or offsets[i] <= begin < offsets[i] + len(holder.text or "")):
                home = i
            if home >= 0:
                spread[home].append(annotation)
            else:
                tally.drop("offsets outside of the text", f"{where}, annotation {annotation.id}")
    for passage, annotations in zip(document.passages, spread, strict=True):
        passage.annotations = annotations


def _passage(aligner: OffsetAligner, passage: Any, where: str) -> AnnotatedText:
    """Align a passage. Where sentences have the text, what stands between them is white space."""
    text, base = passage.text or "", passage.offset
    if not text:
        for sentence in passage.sentences:
            if sentence.offset - base - len(text) > LARGEST_GAP:
                raise error(
                    "O403", path=where, reason=f"a sentence begins {sentence.offset - base} characters into its passage"
                )
            text = text.ljust(sentence.offset - base) + (sentence.text or "")
    annotations = [*passage.annotations, *(a for sentence in passage.sentences for a in sentence.annotations)]
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
    texts, marks, first, own = dict[str, str](), list[Mark](), "", ""
    with opened(path) as stream:
        for number, line in enumerate(read_lines(stream), 1):
            where = f"{path}, line {number}"
            head = TITLE_OR_ABSTRACT.fullmatch(line)
            if head:
                # Blank lines stand between documents, and in some files elsewhere, too.
                if texts and (head[1] != own or head[2] in texts):
                    yield _document(aligner, texts, marks, first)
                    texts, marks = {}, []
                texts[head[2]], own = head[3], head[1]
                first = first if len(texts) > 1 else where
            elif line.strip():
                mark = _mention(line, where, aligner.tally)
                if mark and line.split("\t", 1)[0] != own:
                    aligner.tally.drop("of another document than the one before it", where)
                    mark = None
                marks += [mark] if mark else []
    if texts:
        yield _document(aligner, texts, marks, first)


def _document(aligner: OffsetAligner, texts: Mapping[str, str], marks: list[Mark], where: str) -> AnnotatedText:
    return aligner.align("\n".join(texts[key] for key in sorted(texts, reverse=True)), marks, where)


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
