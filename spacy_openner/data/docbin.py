"""spaCy's own files of annotated docs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import error
from .texts import AnnotatedText, Span, Tally

if TYPE_CHECKING:
    from spacy.tokens import Doc


def read_spacy(
    path: str | Path, *, source_key: str | None = None, tally: Tally | None = None
) -> Iterator[AnnotatedText]:
    """Read the tokens, sentence starts and entities of a .spacy file's docs; nothing else is kept.

    path (str | Path): The file, or a directory of such files.
    source_key (str | None): The span group to read; None reads `doc.ents`.
    tally (Tally | None): Where to count docs without annotation, which are left out.
    YIELDS (AnnotatedText): Each annotated doc.
    RAISES (DataError): For a file that is not of this format, or if no doc has the span group.
    """
    tally = tally or Tally()
    files = sorted(Path(path).rglob("*.spacy")) if Path(path).is_dir() else [Path(path)]
    seen: set[str] = set()
    for file in files:
        for number, doc in enumerate(_docs(file), 1):
            where = f"{file}, doc {number}"
            seen.update(doc.spans)
            if source_key in doc.spans or (source_key is None and doc.has_annotation("ENT_IOB")):
                yield _read_doc(doc, source_key, where)
            else:
                tally.skip("doc without annotation", where)
    if source_key is not None and source_key not in seen:
        raise error("O405", path=str(path), key=source_key, keys=sorted(seen))


def _docs(path: Path) -> Iterator["Doc"]:
    """Unpack a file's docs."""
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    try:
        docs = DocBin().from_disk(path)
    except OSError as err:
        raise error("O403", path=str(path), reason=err) from err
    except Exception as err:  # whatever zlib, msgpack and numpy make of other data
        reason = f"it is not a DocBin as spaCy writes it ({type(err).__name__})"
        raise error("O403", path=str(path), reason=reason) from err
    yield from docs.get_docs(Vocab())


def _read_doc(doc: "Doc", source_key: str | None, where: str) -> AnnotatedText:
    """Take what is converted from a doc."""
    entities = doc.ents if source_key is None else doc.spans[source_key]
    spans: tuple[Span, ...] = tuple((span.start, span.end, span.label_) for span in entities)
    has_starts = doc.has_annotation("SENT_START")
    return AnnotatedText(
        tokens=tuple(token.text for token in doc),
        spans=spans,
        spaces=None if doc.has_unknown_spaces else tuple(bool(token.whitespace_) for token in doc),
        sent_starts=tuple(token.i for token in doc if token.is_sent_start) if has_starts else (),
        starts_doc=True,
        where=where,
    )
