"""CoNLL-U files with entities in their last column: "NER=B-person" among the values of MISC, as Stanza writes them."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from ..errors import error
from .columns import TAG, TagReader
from .files import opened, read_lines
from .texts import AnnotatedText, Tally

COLUMNS = 10
# Of a word; of words that are written as one, such as "1-2"; of a word that is not in the text, such as "2.1".
NUMBER = re.compile(r"\d{1,9}([-.]\d{1,9})?")
KEY = "ner"
EXPECTED = 'ten columns between tabs, of which the last says "NER=B-person"'


class Word(NamedTuple):
    """A word, with its tag, and whether a space follows."""

    text: str
    tag: str | None
    space: bool


def is_conllu(line: str) -> bool:
    """Tell whether the first line with data is of CoNLL-U, and not of columns that end in a tag."""
    cells = line.split("\t")
    return len(cells) == COLUMNS and NUMBER.fullmatch(cells[0]) is not None and not TAG.fullmatch(cells[-1])


def read_conllu(path: str | Path, *, tally: Tally | None = None) -> Iterator[AnnotatedText]:
    """Read a file of CoNLL-U. Words without a tag are outside of entities; where others are tagged "O", sentences
    without any tag are not annotated, and left out.

    path (str | Path): The file; unpacked where its name ends in ".gz".
    tally (Tally | None): Where to count what is left out, and tags that break their scheme.
    YIELDS (AnnotatedText): Each sentence. "# newdoc" starts documents.
    RAISES (DataError): For a line of another form, or a file without tags.
    """
    path, tally, tags, keys = Path(path), tally or Tally(), TagReader(), Counter[str]()
    is_dense = any(word.tag == "O" for _, _, words in _sentences(path, keys) for word in words or ())
    if not keys[KEY]:
        found = f"values of {', '.join(sorted(keys)) or 'nothing'}"
        raise error("O401", where=str(path), expected=EXPECTED, found=found, kind="conllu")
    for number, starts_doc, words in _sentences(path, Counter()):
        where = f"{path}, line {number}"
        if is_dense and all(word.tag is None for word in words):
            tally.skip("sentence without tags", where)
            continue
        spans = tags.spans([word.tag or "O" for word in words], where)
        yield AnnotatedText(
            tuple(word.text for word in words),
            tuple(spans),
            spaces=tuple(word.space for word in words),
            starts_doc=starts_doc,
            where=where,
        )
    tags.report(tally)


def _sentences(path: Path, keys: Counter[str]) -> Iterator[tuple[int, bool, list[Word]]]:
    """Yield each sentence: the number of its first line, whether it starts a document, its words.

    keys (Counter[str]): Counts the keys of the last column.
    """
    words: list[Word] = []
    first, starts_doc = 0, True
    # What several words are written as, the number of the last of them, and how many words came before.
    whole, last_part, n_before = "", 0, 0
    with opened(path) as stream:
        for number, line in enumerate(chain(read_lines(stream), [""]), 1):
            if line.startswith("#"):
                starts_doc |= line[1:].strip().startswith("newdoc")
            elif line.strip():
                cells = line.split("\t")
                misc = _values(cells[-1])
                if len(cells) != COLUMNS or not NUMBER.fullmatch(cells[0]) or not TAG.fullmatch(misc.get(KEY, "O")):
                    where = f"{path}, line {number}"
                    raise error("O401", where=where, expected=EXPECTED, found=repr(line[:60]), kind="conllu")
                first = first if words else number
                start, mark, last = cells[0].partition("-")
                if mark:
                    whole, last_part, n_before = cells[1], int(last), len(words)
                elif "." not in start:
                    keys.update(list(misc))
                    words.append(Word(cells[1], misc.get(KEY), misc.get("spaceafter") != "No"))
                    parts = words[n_before:] if int(start) == last_part else []
                    # Nothing stands between "do" and "n't"; "de" and "el", which are written as "del", are no "deel".
                    if parts and "".join(part.text for part in parts) == whole:
                        words[n_before:-1] = [part._replace(space=False) for part in parts[:-1]]
            elif words:
                yield first, starts_doc, words
                words, starts_doc, last_part = [], False, 0


def _values(cell: str) -> dict[str, str]:
    """Read what the last column says, by key in lower case."""
    pairs = (each.partition("=") for each in cell.split("|"))
    return {key.casefold(): value for key, mark, value in pairs if mark}
