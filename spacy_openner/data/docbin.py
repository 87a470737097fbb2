"""spaCy's own files of annotated docs, and the lists of types beside them."""

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import error
from ..files import replaced_file
from ..json_files import json_text
from .naming import read_types
from .texts import AnnotatedText, Span, Tally

if TYPE_CHECKING:
    from spacy.tokens import Doc, DocBin
    from spacy.vocab import Vocab

LABELS_SUFFIX = ".labels.json"
SHARD_NUMBER = re.compile(r"-\d{5,}$")


def labels_file(path: Path) -> Path:
    """Return where the types of a .spacy file are listed: NAME.labels.json for NAME.spacy and NAME-00001.spacy."""
    return path.with_name(SHARD_NUMBER.sub("", path.stem) + LABELS_SUFFIX)


def load_docbin(path: Path) -> "DocBin":
    """Load a .spacy file without decoding its docs.

    RAISES (DataError): For a file that cannot be read, or is not of this format.
    """
    from spacy.tokens import DocBin

    try:
        return DocBin().from_disk(path)
    except OSError as problem:
        raise error("O403", path=str(path), reason=problem) from problem
    except Exception as problem:  # whatever zlib, msgpack and numpy make of other data
        raise _damaged(path, problem) from problem


def decode_docs(stored: "DocBin", vocab: "Vocab", path: Path) -> Iterator["Doc"]:
    """Decode the docs of a .spacy file.

    path (Path): Where they come from, for messages.
    RAISES (DataError): For docs that are damaged, or name strings that the file lacks.
    """
    try:
        for doc in stored.get_docs(vocab):
            _require_strings(doc)
            yield doc
    except Exception as problem:
        raise _damaged(path, problem) from problem


def read_annotated(path: Path, vocab: "Vocab") -> tuple[list["Doc"], list[str] | dict[str, str] | None]:
    """Read the docs of a .spacy file, and the types that are annotated there.

    RETURNS (tuple): The docs, and what the list beside the file holds; None without one.
    RAISES (DataError): For files that cannot be read.
    """
    docs = list(decode_docs(load_docbin(path), vocab, path))
    beside = labels_file(path)
    return docs, read_types(beside) if beside.is_file() else None


def write_annotated(docs: Iterable["Doc"], path: Path, types: Any = None) -> None:
    """Write docs to a .spacy file, and their types beside it: both files, or neither.

    Two files cannot be replaced in one step. Who is killed between the two leaves docs without a list, which says
    nothing, and not with one of other docs, which would say that these have no entities of its types.

    types (Sequence[str] | Mapping[str, str] | None): None to list none; an old list is removed.
    RAISES (DataError): When that cannot be done; what was there stays.
    """
    from spacy.tokens import DocBin

    listing, text = labels_file(path), None if types is None else json_text(types)
    with ExitStack() as stack:
        if text is not None:
            stack.enter_context(replaced_file(listing, parents=True)).write_text(text, encoding="utf8")
        DocBin(docs=docs, store_user_data=True).to_disk(stack.enter_context(replaced_file(path, parents=True)))
        withdraw(listing, text)


def withdraw(listing: Path, text: str | None) -> None:
    """Remove a list of types that is about to be replaced, unless it says the same.

    text (str | None): What it is to say; None for no list.
    RAISES (DataError): When it cannot be removed.
    """
    try:
        if listing.is_file() and (text is None or listing.read_bytes() != text.encode()):
            listing.unlink()
    except OSError as problem:
        raise error("O407", path=str(listing), reason=problem) from problem


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
    from spacy.vocab import Vocab

    tally = tally or Tally()
    files = sorted(Path(path).rglob("*.spacy")) if Path(path).is_dir() else [Path(path)]
    seen: set[str] = set()
    for file in files:
        for number, doc in enumerate(decode_docs(load_docbin(file), Vocab(), file), 1):
            where = f"{file}, doc {number}"
            seen.update(doc.spans)
            if source_key in doc.spans or (source_key is None and doc.has_annotation("ENT_IOB")):
                yield _read_doc(doc, source_key, where)
            else:
                tally.skip("doc without annotation", where)
    if source_key is not None and source_key not in seen:
        raise error("O405", path=str(path), key=source_key, keys=sorted(seen))


def _damaged(path: Path, problem: Exception) -> Exception:
    reason = f"it is damaged, or not a DocBin as spaCy writes it ({type(problem).__name__}: {problem})"
    return error("O403", path=str(path), reason=reason)


def _require_strings(doc: "Doc") -> None:
    """Look up all strings of a doc's words and labels, which fails where the file lacks one."""
    strings = doc.vocab.strings
    for token in doc:
        strings[token.orth]
    groups = doc.spans.values()
    for label in {*(ent.label for ent in doc.ents), *(span.label for group in groups for span in group)}:
        strings[label]


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
