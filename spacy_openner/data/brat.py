"""brat's standoff annotation: texts in .txt files, and entities by character offsets in .ann files beside them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..environment import blank_pipeline
from ..errors import error
from .texts import AnnotatedText, Span, Tally

if TYPE_CHECKING:
    from spacy.tokens import Doc

ENTITY = re.compile(r"T\S*\t(\S+(?: \S+)*?) (\d{1,15} \d{1,15}(?:;\d{1,15} \d{1,15})*)(?:\t(.*))?")
POLICIES = ("drop", "join")


class Mark(NamedTuple):
    """An entity in a .ann file: label, (start, end) of each of its parts in characters, and its text if given."""

    label: str
    parts: list[tuple[int, int]]
    text: str | None
    where: str


def read_brat(
    path: str | Path, *, lang: str = "en", discontinuous: str = "drop", tally: Tally | None = None
) -> Iterator[AnnotatedText]:
    """Read a directory of .txt and .ann files, or one such pair. Relations, events and notes are passed over.

    Texts are split by a language's tokenizer. An entity that starts or ends inside a token is widened to it.

    path (str | Path): The directory, searched with all below it, or one of the two files.
    lang (str): Code of the language whose tokenizer is used.
    discontinuous (str): What becomes of entities with gaps: "drop", or "join" them into one over the gaps.
    tally (Tally | None): Where to count the entities that are dropped or widened.
    YIELDS (AnnotatedText): Each file, as one text.
    RAISES (OpenNERError): For a setting that is not allowed, a .ann file without its text, or lines of another form.
    """
    if discontinuous not in POLICIES:
        raise error("O001", name="discontinuous", value=discontinuous, allowed=", ".join(map(repr, POLICIES)))
    nlp, tally, path = blank_pipeline(lang), tally or Tally(), Path(path)
    for file in sorted(path.rglob("*.ann")) if path.is_dir() else [path.with_suffix(".ann")]:
        doc = nlp.tokenizer(_read_text(file.with_suffix(".txt")))
        spans = [_span(doc, mark, discontinuous == "join", tally) for mark in _read_marks(file)]
        yield AnnotatedText(
            tokens=tuple(token.text for token in doc),
            spans=tuple(span for span in spans if span),
            spaces=tuple(bool(token.whitespace_) for token in doc),
            sent_starts=(),
            starts_doc=True,
            where=str(file),
        )


def _read_text(path: Path) -> str:
    """Read a text as it is: offsets count carriage returns and byte order marks too.

    RAISES (OpenNERError): For a file that cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode()
    except OSError as err:
        raise error("O403", path=str(path), reason=err) from err
    except UnicodeDecodeError as err:
        raise error("O203", what=str(path), reason=err.reason) from err


def _read_marks(path: Path) -> Iterator[Mark]:
    """Yield the entities of a .ann file."""
    for number, line in enumerate(_read_text(path).removeprefix("\ufeff").split("\n"), 1):
        where = f"{path}, line {number}"
        found = ENTITY.fullmatch(line.rstrip("\r"))
        if found:
            parts = [tuple(map(int, part.split())) for part in found[2].split(";")]
            yield Mark(found[1], [(start, end) for start, end in parts], found[3], where)
        elif line.startswith("T"):
            expected = '"T1", a tab, a label with character offsets such as "person 0 5", a tab, the text'
            raise error("O401", where=where, expected=expected, found=repr(line[:60]), kind="brat")


def _span(doc: "Doc", mark: Mark, join: bool, tally: Tally) -> Span | None:
    """Find an entity's tokens; None if it is dropped, which is counted.

    join (bool): Take the words in gaps along instead of dropping the entity.
    """
    start, end = mark.parts[0][0], mark.parts[-1][1]
    reason = _objection(doc.text, mark, join)
    if reason:
        tally.drop(reason, mark.where)
        return None
    if _gaps(doc.text, mark):
        tally.repair("discontinuous entity, joined over its gaps", mark.where)
    # Blanks at the edges would draw in the token before.
    shown = doc.text[start:end]
    start, end = start + len(shown) - len(shown.lstrip()), end - len(shown) + len(shown.rstrip())
    span = doc.char_span(start, end, alignment_mode="expand")
    if (span.start_char, span.end_char) != (start, end):
        tally.repair("entity that starts or ends inside a token, widened to it", mark.where)
    return (span.start, span.end, mark.label)


def _objection(text: str, mark: Mark, join: bool) -> str:
    """Say why an entity cannot be used; nothing if it can.

    join (bool): Gaps are no reason.
    """
    written = " ".join(text[start:end] for start, end in mark.parts)
    if mark.parts[-1][1] > len(text):
        return "offsets past the end of the text"
    if not written.strip() or mark.parts[0][0] >= mark.parts[-1][1]:
        return "empty"
    if mark.text is not None and mark.text.split() != written.split():
        return "offsets that do not hold the annotated text"
    return "discontinuous" if _gaps(text, mark) and not join else ""


def _gaps(text: str, mark: Mark) -> list[str]:
    """Give what stands between an entity's parts; brat also starts a new part at each line, with no gap."""
    gaps = (text[end:start] for (_, end), (start, _) in zip(mark.parts, mark.parts[1:], strict=False))
    return [gap for gap in gaps if gap.strip()]
