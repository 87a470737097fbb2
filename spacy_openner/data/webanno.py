"""WebAnno TSV 3, which INCEpTION writes too: tokens with the annotation of several layers in columns."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..errors import error
from .files import opened, read_lines
from .offsets import WIDENED
from .texts import AnnotatedText, Span, Tally

MARK = "#FORMAT=WebAnno TSV 3"
ROW = re.compile(r"(\d+)-(\d+)(\.\d+)?\t(\d+)-(\d+)\t")
EXPECTED = 'rows such as "1-1", a tab, "0-3", a tab, "Kim", a tab and the columns of the layers'
NAMED_ENTITY = "NamedEntity"
STACK, ITEM, ESCAPED = re.compile(r"(?<!\\)\|"), re.compile(r"(.*?)(?<!\\)(?:\[(\d+)\])?"), re.compile(r"\\(.)")


class Layer(NamedTuple):
    """A layer of annotated spans, and the columns that it has.

    name: Of its type.
    features: One for each column.
    column: The first of its columns.
    """

    name: str
    features: tuple[str, ...]
    column: int

    @property
    def short(self) -> str:
        """The last part of its name."""
        return self.name.rsplit(".", 1)[-1]

    def label_column(self) -> int:
        """The column that holds the types of entities: that of the feature "value", or else the first."""
        return self.column + (self.features.index("value") if "value" in self.features else 0)


@dataclass
class _Document:
    """Tokens, sentences and spans read so far from a file."""

    tokens: list[str] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)
    sent_starts: list[int] = field(default_factory=list)
    spans: dict[tuple[str, str], Span] = field(default_factory=dict)
    sentence: str = ""

    def add_token(self, sentence: str, text: str, start: int, end: int) -> None:
        if sentence != self.sentence:
            self.sentence = sentence
            self.sent_starts.append(len(self.tokens))
        self.tokens.append(text)
        self.edges.append((start, end))

    def add_label(self, key: tuple[str, str], label: str) -> None:
        """Begin a span at the last token, or widen the span of that number to it."""
        at = len(self.tokens) - 1
        start = self.spans[key][0] if key in self.spans else at
        self.spans[key] = (start, at + 1, label)

    def text(self, where: str) -> AnnotatedText:
        following = [start for start, _ in self.edges[1:]]
        spaces = [start > end for (_, end), start in zip(self.edges, following, strict=False)]
        return AnnotatedText(
            tuple(self.tokens),
            tuple(self.spans.values()),
            (*spaces, False),
            tuple(self.sent_starts),
            starts_doc=True,
            where=where,
        )


def read_webanno(path: str | Path, *, layer: str | None = None, tally: Tally | None = None) -> Iterator[AnnotatedText]:
    """Read the tokens, sentences and entities of WebAnno TSV 3.

    path (str | Path): A .tsv file, or a directory that is searched with all below it.
    layer (str | None): The layer of entities, by its name or the last part of it. None for "NamedEntity", or the only
        one.
    tally (Tally | None): Where to count annotation inside of tokens, which is widened, and layers that are not read.
    YIELDS (AnnotatedText): Each file, as one text.
    RAISES (DataError): For a file of another form, with its line, or several layers of which none is chosen.
    """
    tally, path = tally or Tally(), Path(path)
    for file in sorted(path.rglob("*.tsv")) if path.is_dir() else [path]:
        with opened(file) as stream:
            yield _read(enumerate(read_lines(stream), 1), file, layer, tally)


def _read(lines: Iterator[tuple[int, str]], file: Path, layer: str | None, tally: Tally) -> AnnotatedText:
    document, layers, chosen = _Document(), list[Layer](), None
    relations: dict[int, str] = {}  # by column
    width = 3
    for number, line in lines:
        where = f"{file}, line {number}"
        if number == 1 and not line.startswith(MARK):
            raise error("O401", where=where, expected=f'"{MARK}.3"', found=repr(line[:60]), kind="webanno")
        if line.startswith("#T_"):
            if not line.startswith("#T_SP"):
                relations[width] = f'layer "{_short(line)}" of relations'
            width = _add_layer(layers, line, width)
        row = ROW.match(line)
        if row:
            chosen = chosen or _choose(layers, layer, where)
            cells = line.split("\t")
            _add_row(document, row, cells, chosen, where, tally)
            for column, reason in relations.items():
                if column < len(cells) and cells[column] not in ("", "_"):
                    tally.leave(reason, where)
        elif line.strip() and not line.startswith("#"):
            raise error("O401", where=where, expected=EXPECTED, found=repr(line[:60]), kind="webanno")
    for other in layers:
        if document.tokens and other is not chosen:
            tally.leave(f'layer "{other.short}", which --layer {other.short} reads', str(file))
    return document.text(str(file))


def _short(declared: str) -> str:
    """Return the last part of the name of a declared layer."""
    return declared.partition("=")[2].partition("|")[0].rsplit(".", 1)[-1]


def _add_layer(layers: list[Layer], line: str, column: int) -> int:
    """Read the declaration of a layer.

    RETURNS (int): The column behind those of the layer.
    """
    kind, _, declared = line.partition("=")
    name, *features = declared.split("|")
    if kind == "#T_SP":
        layers.append(Layer(name, tuple(features), column))
        return column + max(1, len(features))
    if kind == "#T_RL":
        return column + sum(not feature.startswith("BT_") for feature in features) + 1
    return column + 2


def _choose(layers: Sequence[Layer], name: str | None, where: str) -> Layer:
    """Choose the layer of entities.

    RAISES (DataError): O414.
    """
    wanted = name or NAMED_ENTITY
    matching = [layer for layer in layers if wanted in (layer.name, layer.short)]
    if not matching and name is None and len(layers) == 1:
        matching = list(layers)
    if len(matching) != 1:
        is_short = len({layer.short for layer in layers}) == len(layers)
        names = [layer.short if is_short else layer.name for layer in layers]
        raise error("O414", where=where, layers=", ".join(names) or "none")
    return matching[0]


def _add_row(
    document: _Document, row: re.Match[str], cells: Sequence[str], layer: Layer, where: str, tally: Tally
) -> None:
    column = layer.label_column()
    if column >= len(cells):
        raise error("O401", where=where, expected=EXPECTED, found=repr("\t".join(cells)[:60]), kind="webanno")
    if row[3] is None:
        document.add_token(row[1], cells[2], int(row[4]), int(row[5]))
    for i, item in enumerate(STACK.split(cells[column]) if cells[column] not in ("", "_") else ()):
        match = ITEM.fullmatch(item)
        value, number = (match[1], match[2]) if match else (item, None)
        label = "" if value == "*" and layer.features else layer.short if value == "*" else ESCAPED.sub(r"\1", value)
        if row[3] is not None:
            tally.repair(WIDENED, where)
        # Without a number an entity is of one token.
        document.add_label((label, number or f"{where}, {i}"), label)
