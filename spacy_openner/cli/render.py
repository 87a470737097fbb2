"""Renderings of docs: records for JSON, tables, displaCy pages."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any, TextIO

from ..types import DEFAULT_SPANS_KEY, FLAT_OVERLAPS
from .tables import render_table

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc


COLUMNS = ("entity", "label", "score", "characters")


def doc_record(doc: "Doc", overlap: str = "flat") -> dict[str, Any]:
    """Turn a doc into plain data: what `--json` prints, one line a text.

    overlap (str): "flat" or "longest" for doc.ents; otherwise all of doc.spans, by position.
    RETURNS (dict): "text" and "ents"; `start` and `end` count tokens, `start_char` and `end_char` characters.
    """
    group = doc.spans.get(DEFAULT_SPANS_KEY, ())
    scores = {
        (span.start, span.end, span.label_): round(float(score), 4)
        for span, score in zip(group, group.attrs["scores"] if group else (), strict=True)
    }
    spans = doc.ents if overlap in FLAT_OVERLAPS else sorted(group, key=lambda span: (span.start, -span.end))
    ents = [
        {"start": span.start, "end": span.end, "start_char": span.start_char, "end_char": span.end_char}
        | {"text": span.text, "label": span.label_}
        | {"score": scores.get((span.start, span.end, span.label_))}
        for span in spans
    ]
    return {"text": doc.text, "ents": ents}


def render_entities(record: dict[str, Any]) -> str:
    """Lay out the entities of a record (see `doc_record`) in aligned columns."""
    rows = []
    for ent in record["ents"]:
        score = "-" if ent["score"] is None else f"{ent['score']:.3f}"
        rows.append((ent["text"], ent["label"], score, f"{ent['start_char']}-{ent['end_char']}"))
    return render_table(rows, header=COLUMNS) if rows else "(no entities)"


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
    style, key = ("ent", "ents") if overlap in FLAT_OVERLAPS else ("span", "spans")
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
