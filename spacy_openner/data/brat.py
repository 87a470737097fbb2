"""brat's standoff annotation: texts in .txt files, and entities by character offsets in .ann files beside them."""

import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import error
from .offsets import Mark, OffsetAligner
from .texts import AnnotatedText, Tally

ENTITY = re.compile(r"T\S*\t(\S+(?: \S+)*?) (\d{1,15} \d{1,15}(?:;\d{1,15} \d{1,15})*)(?:\t(.*))?")
OTHERS = {"R": "relation", "*": "relation", "E": "event", "A": "attribute", "M": "attribute", "N": "normalization"}


def read_brat(
    path: str | Path, *, lang: str = "en", discontinuous: str = "drop", tally: Tally | None = None
) -> Iterator[AnnotatedText]:
    """Read a directory of .txt and .ann files, or one such pair. Relations and events are counted, notes passed over.

    Texts are split by a language's tokenizer. An entity that starts or ends inside a token is widened to it.

    path (str | Path): The directory, searched with all below it, or one of the two files.
    lang (str): Code of the language whose tokenizer is used.
    discontinuous (str): What becomes of entities with gaps: "drop", or "join" them into one over the gaps.
    tally (Tally | None): Where to count the entities that are dropped or widened.
    YIELDS (AnnotatedText): Each file, as one text.
    RAISES (OpenNERError): For a setting that is not allowed, a .ann file without its text, or lines of another form.
    """
    aligner, path = OffsetAligner(lang, tally, discontinuous), Path(path)
    for file in sorted(path.rglob("*.txt")) if path.is_dir() else ():
        if not file.with_suffix(".ann").exists():
            aligner.tally.skip("text without a file of annotation", str(file))
    for file in sorted(path.rglob("*.ann")) if path.is_dir() else [path.with_suffix(".ann")]:
        yield aligner.align(_read_text(file.with_suffix(".txt")), _read_marks(file, aligner.tally), str(file))


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


def _read_marks(path: Path, tally: Tally) -> Iterator[Mark]:
    """Yield the entities of a .ann file; what else is annotated there is counted."""
    for number, line in enumerate(_read_text(path).removeprefix("\ufeff").split("\n"), 1):
        where = f"{path}, line {number}"
        match = ENTITY.fullmatch(line.rstrip("\r"))
        if match:
            parts = [tuple(map(int, part.split())) for part in match[2].split(";")]
            in_order = sorted((start, end) for start, end in parts)
            # The text is that of the parts as they are written.
            yield Mark(match[1], in_order, where, match[3] if in_order == parts else None)
        elif line.startswith("T"):
            expected = '"T1", a tab, a label with character offsets such as "person 0 5", a tab, the text'
            raise error("O401", where=where, expected=expected, found=repr(line[:60]), kind="brat")
        elif kind := OTHERS.get(line[:1]):
            tally.leave(kind, where)
        elif line.strip() and not line.startswith("#"):
            tally.leave("line of another kind", where)
