"""Docs for people to look at: records, tables, pages."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any, TextIO

from ..text_tables import display_width, one_line, pad
from ..types import DEFAULT_SPANS_KEY

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

COLUMNS = ("entity", "label", "score", "characters")


def doc_record(doc: "Doc", overlap: str = "flat") -> dict[str, Any]:
    """Turn a doc into plain data: what `--json` prints, one line a text.

    overlap (str): "flat" for doc.ents; otherwise all of doc.spans, by position.
    RETURNS (dict): "text" and "ents"; `start` and `end` count tokens, `start_char` and `end_char` characters.
    """
    group = doc.spans.get(DEFAULT_SPANS_KEY, ())
    scores = {
        (span.start, span.end, span.label_): round(float(score), 4)
        for span, score in zip(group, group.attrs["scores"] if group else (), strict=True)
    }
    spans = doc.ents if overlap == "flat" else sorted(group, key=lambda span: (span.start, -span.end))
    ents = [
        {"start": span.start, "end": span.end, "start_char": span.start_char, "end_char": span.end_char}
        | {"text": span.text, "label": span.label_}
        | {"score": scores.get((span.start, span.end, span.label_))}
        for span in spans
    ]
    return {"text": doc.text, "ents": ents}


def render_table(record: dict[str, Any]) -> str:
    """Lay out the entities of a record (see `doc_record`) in aligned columns."""
    if not record["ents"]:
        return "(no entities)"
    rows: list[tuple[str, ...]] = [COLUMNS]
    for ent in record["ents"]:
        score = "-" if ent["score"] is None else f"{ent['score']:.3f}"
        place = f"{ent['start_char']}-{ent['end_char']}"
        rows.append((one_line(ent["text"]), one_line(ent["label"]), score, place))
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    padded = (map(pad, row, widths) for row in rows)
    return "\n".join("   ".join(row).rstrip() for row in padded)


def label_color(label: str) -> str:
    """Pick a light CSS colour that depends on the label's text alone."""
    code = zlib.crc32(label.encode())
    return f"hsl({code % 360}, {60 + code // 360 % 5 * 10}%, {76 + code // 1800 % 4 * 4}%)"


def render_figure(doc: "Doc", record: dict[str, Any], overlap: str = "flat") -> str:
    """Render a doc's record as displaCy does, in its "ent" style, or "span" where entities may overlap."""
    from spacy import displacy
    from spacy.displacy.templates import TPL_FIGURE

    ents = [
        {"start": ent["start_char"], "end": ent["end_char"], "kb_id": "", "kb_url": "#"}
        # displaCy escapes the text, but not the labels.
        | {"start_token": ent["start"], "end_token": ent["end"], "label": escape(ent["label"])}
        for ent in record["ents"]
    ]
    style, key = ("ent", "ents") if overlap == "flat" else ("span", "spans")
    settings = {"lang": doc.lang_, "direction": doc.vocab.writing_system.get("direction", "ltr")}
    parsed = {"text": doc.text, "tokens": [token.text for token in doc], key: ents, "settings": settings}
    options = {"colors": {ent["label"]: label_color(ent["label"]) for ent in ents}}
    markup = displacy.render(parsed, style=style, manual=True, jupyter=False, options=options)
    return TPL_FIGURE.format(content=markup)


@contextmanager
def html_page(file: TextIO, nlp: "Language") -> Iterator[None]:
    """Write displaCy's page around the figures that are written to the file inside the block."""
    from spacy.displacy.templates import TPL_PAGE

    direction = nlp.vocab.writing_system.get("direction", "ltr")
    head, _, foot = TPL_PAGE.format(content="\0", lang=nlp.lang, dir=direction).partition("\0")
    file.write(head.strip().replace("<head>", '<head>\n        <meta charset="utf-8">', 1))
    try:
        yield
    finally:
        file.write(foot)
