"""Draw the pictures of the documentation, as SVG: entities found, the trip of a Doc, the span head, constrained decoding.

    python scripts/pictures.py docs/assets

`entities.svg` shows what the default weights find in a text, with their scores; the others are diagrams.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import spacy

INK, MUTED, LINE, PAPER = "#1f2933", "#616e7c", "#9aa5b1", "#ffffff"
COLORS = ("#c7e8e1", "#fde3b8", "#d9d6fb", "#fbd0d9", "#cfe6fb", "#e0efc0", "#f3d7f5", "#e6dccf")
FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"
# Widths of Helvetica, in thousandths of the size (Adobe's metrics); other characters are taken as 556.
WIDTHS = {
    **dict.fromkeys("ijl'|", 222), **dict.fromkeys(" !,./:;I[]\\ft", 278), **dict.fromkeys("()r-", 333),
    **dict.fromkeys("ckvxyszJ", 500), **dict.fromkeys("+=<>~", 584), **dict.fromkeys("ABEKPSVXY&", 667),
    **dict.fromkeys("CDHNRUw", 722), **dict.fromkeys("GOQ", 778), **dict.fromkeys("TZFL", 611), "m": 833, "M": 833,
    "W": 944, "%": 889, "·": 278, "→": 1000, "σ": 618, "…": 1000,
}  # fmt: skip
TEXT = (
    "Marie Curie won the Nobel Prize in Chemistry for discovering radium and polonium. She had studied at the "
    "Flying University in Warsaw before she moved to Paris in 1891, and played no musical instrument."
)
LABELS = ["person", "award", "chemical element", "university", "city", "year"]


def width(text: str, size: float) -> float:
    """Measure a text in Helvetica."""
    return sum(WIDTHS.get(char, 556) for char in text) * size / 1000


@dataclass
class Picture:
    """An SVG in the making."""

    width: float
    height: float
    title: str
    parts: list[str] = field(default_factory=list)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 14,
        color: str = INK,
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        """Write a line; it takes its measured width in every font."""
        length = f' textLength="{width(text, size) * (1.07 if bold else 1):.1f}"' if len(text) > 2 else ""
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" text-anchor="{anchor}"{weight}{length} '
            f'lengthAdjust="spacingAndGlyphs" xml:space="preserve">{escape(text)}</text>'
        )

    def box(
        self, x: float, y: float, w: float, h: float, fill: str = PAPER, stroke: str = LINE, radius: float = 6
    ) -> None:
        """Draw a rectangle with round corners."""
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{radius}" fill="{fill}" '
            f'stroke="{stroke}" stroke-width="1.2"/>'
        )

    def arrow(self, *points: tuple[float, float], color: str = MUTED) -> None:
        """Draw a line with a head at its last point."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6" marker-end="url(#head)"/>'
        )

    def lines(self, x: float, y: float, texts: Iterable[str], size: float = 12, color: str = MUTED) -> None:
        """Write centred lines below each other."""
        for i, text in enumerate(texts):
            self.text(x, y + i * size * 1.35, text, size, color, "middle")

    def save(self, file: Path) -> None:
        """Write the file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:.0f} {self.height:.0f}" '
            f'width="{self.width:.0f}" height="{self.height:.0f}" font-family="{FONT}" role="img">\n'
            f"<title>{escape(self.title)}</title>\n"
            '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
            f'orient="auto"><path d="M0,0 L10,5 L0,10 z" fill="{MUTED}"/></marker></defs>\n'
            f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>\n'
        )
        file.write_text(head + "\n".join(self.parts) + "\n</svg>\n", encoding="utf8")


def entities() -> Picture:
    """Return the entities that the default weights find in a text."""
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span", config={"labels": LABELS, "model": {"precision": "float32"}})
    doc = nlp(TEXT)
    group = doc.spans["openner"]
    scored = {span.start: (span, float(score)) for span, score in zip(group, group.attrs["scores"], strict=True)}
    picture = Picture(820, 0, "Entities found by the default weights")
    x, y, size, margin = 24.0, 46.0, 17, 24.0
    i = 0
    while i < len(doc):
        span, score = scored.get(doc[i].i, (None, 0.0))
        text = span.text if span is not None else doc[i].text
        tag = f"{span.label_}  {score:.2f}" if span is not None else ""
        wide = width(text, size) + (width(tag, 11) + 26 if tag else 0)
        if x + wide > picture.width - margin and text not in ",.":
            x, y = margin, y + 46
        if span is not None:
            color = COLORS[LABELS.index(span.label_)]
            picture.box(x, y - 22, wide, 32, color, color)
            picture.text(x + 8, y, text, size)
            picture.text(x + 16 + width(text, size), y - 1, tag, 11, INK)
        else:
            picture.text(x, y, text, size)
        x += wide
        i = span.end if span is not None else i + 1
        x += width(" ", size) if doc[i - 1].whitespace_ else 0
    picture.height = y + 32
    return picture


def doc_trip() -> Picture:
    """How a Doc passes the components."""
    picture = Picture(980, 330, "The trip of a Doc through the components")
    steps: Sequence[tuple[str, Sequence[str], str]] = (
        ("tokenizer", ("text to tokens",), "#eef1f4"),
        ("entity_ruler, ner, ...", ("rules and other", "components: they", "keep their entities"), "#eef1f4"),
        ("type_filter", ("scores all types", "against the text, once", "for each sentence"), COLORS[2]),
        ("open_ner_span", ("or gner_generator:", "finds entities of", "the types asked for"), COLORS[0]),
        ("lar_reassigner", ("gives entities of", "general types their", "target types"), COLORS[1]),
    )
    wide, gap, top = 164.0, 26.0, 60.0
    picture.text(24, 34, "doc = nlp(text)", 15, bold=True)
    for i, (name, about, fill) in enumerate(steps):
        x = 24 + i * (wide + gap)
        picture.box(x, top, wide, 92, fill)
        picture.text(x + wide / 2, top + 24, name, 14, INK, "middle", bold=True)
        picture.lines(x + wide / 2, top + 45, about)
        if i:
            picture.arrow((x - gap + 2, top + 46), (x - 2, top + 46))
    rows = (
        ("doc.ents", 1, "entities of rules stay, the gaps are filled"),
        ("doc._.openner_labels", 2, "the types that this text is asked for"),
        ('doc.spans["openner"]', 3, 'all spans, scores in attrs["scores"]'),
    )
    for k, (_, column, _) in enumerate(rows):
        x = 44 + column * (wide + gap)
        picture.arrow((x, top + 92), (x, 194.0 + k * 42))
    for k, (name, column, about) in enumerate(rows):
        y = 196.0 + k * 42
        left = 24 + column * (wide + gap)
        picture.box(left, y, 980 - 24 - left, 30, "#f7f9fa")
        picture.text(left + 12, y + 20, name, 13, INK, bold=True)
        picture.text(left + 26 + width(name, 13) * 1.07, y + 20, about, 12, MUTED)
    return picture


def span_head() -> Picture:
    """Draw what the span head computes once for each word, once for each type, and once for each span."""
    picture = Picture(900, 372, "The span head: no product per span")
    words, types = ("Marie", "Curie", "won", "the", "Nobel", "Prize"), ("person", "award")
    picture.text(24, 32, "once for each word", 13, bold=True)
    picture.text(560, 32, "once for each type", 13, bold=True)
    picture.text(24, 218, "once for each span: one addition, one ReLU, one dot product a type", 13, bold=True)
    for i, word in enumerate(words):
        x = 24 + i * 84.0
        picture.box(x, 48, 76, 30, "#eef1f4")
        picture.text(x + 38, 68, word, 13, INK, "middle")
        for k, (name, fill) in enumerate((("u", COLORS[4]), ("v", COLORS[5]))):
            picture.box(x + 2 + k * 38, 104, 34, 28, fill)
            picture.text(x + 19 + k * 38, 123, name, 13, INK, "middle")
            picture.arrow((x + 38, 78), (x + 19 + k * 38, 102))
    picture.text(24, 156, "u: the word as a start (Ws·a + c)     v: the word as an end (We·b)", 12, MUTED)
    for i, name in enumerate(types):
        x = 560 + i * 166.0
        picture.box(x, 48, 152, 30, COLORS[i])
        picture.text(x + 76, 68, name, 13, INK, "middle")
        picture.box(x + 26, 104, 100, 28, COLORS[i])
        picture.text(x + 76, 123, "W2ᵀ·q,  d·q", 13, INK, "middle")
        picture.arrow((x + 76, 78), (x + 76, 102))
    picture.text(560, 156, "q: the type's vector behind the type network", 12, MUTED)
    for k, (text, fill) in enumerate((("u of “Marie”", COLORS[4]), ("v of “Curie”", COLORS[5]))):
        picture.box(24, 236 + k * 46, 120, 34, fill)
        picture.text(84, 258 + k * 46, text, 13, INK, "middle")
        picture.arrow((144, 253 + k * 46), (190, 274))
    picture.box(192, 256, 150, 38, PAPER)
    picture.text(267, 280, "relu(u + v)", 14, INK, "middle")
    for k, (name, fill, other) in enumerate((("person", COLORS[0], "yes"), ("award", COLORS[1], "no"))):
        y = 240.0 + k * 46
        picture.arrow((342, 275), (398, y + 17))
        picture.box(400, y, 300, 34, fill)
        picture.text(550, y + 22, f"σ( relu(u + v) · W2ᵀ·q + d·q )   {name}", 13, INK, "middle")
        picture.arrow((700, y + 17), (744, y + 17))
        picture.text(754, y + 22, "over the threshold" if other == "yes" else "below it", 13, INK)
    picture.text(
        24, 352, "All spans of up to 12 words are scored: equations 1 and 2 of the GLiNER paper, factorised.", 12, MUTED
    )
    return picture


def copy_constrained() -> Picture:
    """How an answer can only repeat the text, and how many words settle in a pass."""
    picture = Picture(900, 412, "Constrained decoding")
    picture.text(
        24, 32, "The answer repeats each word (copied, grey); only the tags are chosen (coloured).", 14, bold=True
    )
    words = ("Angela", "Merkel", "visited", "Paris", "again")
    chosen = ("B-person", "I-person", "O", "B-city", "O")
    allowed = (("B-person", "B-city", "O"), ("I-person", "B-person", "B-city", "O"),
               ("I-person", "B-person", "B-city", "O"), ("B-person", "B-city", "O"), ("I-city", "B-person", "B-city", "O"))  # fmt: skip
    fills = {"B-person": COLORS[0], "I-person": COLORS[0], "B-city": COLORS[1], "I-city": COLORS[1], "O": "#f7f9fa"}
    for i, (word, tag) in enumerate(zip(words, chosen, strict=True)):
        x = 24 + i * 172.0
        picture.box(x, 52, 74, 30, "#e4e7eb", "#e4e7eb")
        picture.text(x + 37, 72, word, 14, MUTED, "middle")
        picture.box(x + 78, 52, 84, 30, fills[tag])
        picture.text(x + 120, 72, tag, 13, INK, "middle", bold=True)
        for k, other in enumerate(allowed[i]):
            y = 98.0 + k * 26
            picture.box(x + 78, y, 84, 22, fills[other] if other == tag else PAPER)
            picture.text(x + 120, y + 15.5, other, 11.5, INK if other == tag else MUTED, "middle")
    picture.text(24, 112, "may come", 12, MUTED)
    picture.text(24, 128, "next", 12, MUTED)
    picture.text(
        24,
        234,
        "A draft of all tags is scored in one pass; what agrees with the model up to the first that does not is final.",
        14,
        bold=True,
    )
    passes = (
        ("draft", ("O", "O", "O", "O", "O"), 0),
        ("pass 1", ("B-person", "O", "O", "B-city", "O"), 1),
        ("pass 2", ("B-person", "I-person", "O", "B-city", "O"), 2),
        ("pass 3", ("B-person", "I-person", "O", "B-city", "O"), 5),
    )
    for k, (name, tags, settled) in enumerate(passes):
        y = 252.0 + k * 36
        picture.text(24, y + 20, name, 13, INK, bold=True)
        for i, tag in enumerate(tags):
            picture.box(110 + i * 118.0, y, 108, 28, fills[tag] if i < settled else PAPER)
            picture.text(164 + i * 118.0, y + 19, tag, 12.5, INK if i < settled else MUTED, "middle")
        caption = ("nothing is settled", "the first tag is final", "one more", "the draft was right: all are")[k]
        picture.text(710, y + 19, caption, 12.5, MUTED)
    return picture


PICTURES = {"entities": entities, "doc_trip": doc_trip, "span_head": span_head, "copy_constrained": copy_constrained}


def main() -> None:
    """Draw what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", nargs="+", choices=PICTURES, default=list(PICTURES))
    args = parser.parse_args()
    for name in args.only:
        PICTURES[name]().save(args.directory / f"{name}.svg")


if __name__ == "__main__":
    main()
