"""Renderings of docs."""

import io
import re
import warnings

import pytest
import spacy
from spacy.tokens import Span

from spacy_openner.cli.render import doc_record, html_page, label_color, render_entities, render_figure
from spacy_openner.cli.tables import display_width
from tests.support.command_line import TEXT, annotated


def test_record_of_flat_entities():
    doc = annotated(TEXT, [(0, 2, "person", 0.98765), (4, 6, "award", 0.5)])
    assert doc_record(doc) == {
        "text": TEXT,
        "ents": [
            {"start": 0, "end": 2, "start_char": 0, "end_char": 11}
            | {"text": "Marie Curie", "label": "person", "score": 0.9877},
            {"start": 4, "end": 6, "start_char": 20, "end_char": 31}
            | {"text": "Nobel Prize", "label": "award", "score": 0.5},
        ],
    }


def test_record_of_overlapping_spans():
    found = [(4, 5, "person", 0.6), (4, 6, "award", 0.9), (0, 2, "person", 0.8)]
    doc = annotated(TEXT, found, flat=[1, 2])
    assert [e["text"] for e in doc_record(doc)["ents"]] == ["Marie Curie", "Nobel Prize"]
    ents = doc_record(doc, "nested")["ents"]
    assert [(e["text"], e["score"]) for e in ents] == [
        ("Marie Curie", 0.8),
        ("Nobel Prize", 0.9),
        ("Nobel", 0.6),
    ]


def test_record_of_a_doc_without_spans_and_of_an_entity_without_a_score():
    doc = spacy.blank("en")(TEXT)
    assert doc_record(doc) == doc_record(doc, "all") == {"text": TEXT, "ents": []}
    doc.ents = [Span(doc, 0, 2, label="person")]
    assert doc_record(doc)["ents"][0]["score"] is None
    assert "-   " in render_entities(doc_record(doc))


def test_table():
    doc = annotated(TEXT, [(0, 2, "person", 0.98765), (4, 6, "award", 0.5)])
    assert render_entities(doc_record(doc)).splitlines() == [
        "entity        label    score   characters",
        "-----------   ------   -----   ----------",
        "Marie Curie   person   0.988   0-11",
        "Nobel Prize   award    0.500   20-31",
    ]


def test_table_aligns_wide_and_combining_characters_and_shows_no_control_characters():
    doc = annotated("東京 e\u0301te\u0301 a\x1b[31m", [(0, 1, "市", 0.9), (1, 2, "saison", 0.8), (2, 3, "x\ny", 0.7)])
    lines = render_entities(doc_record(doc)).splitlines()
    starts = {display_width(line[: re.search(r"score|-----   -{10}|0\.\d", line).start()]) for line in lines}
    assert len(starts) == 1
    assert "\x1b" not in "".join(lines)
    assert len(lines) == 5


def test_table_without_entities():
    assert render_entities({"text": "", "ents": []}) == "(no entities)"


def test_label_colors_are_stable_and_differ():
    assert label_color("person") == label_color("person") == "hsl(134, 100%, 84%)"
    assert len({label_color(label) for label in ("person", "award", "city", "chemical element")}) == 4


@pytest.mark.parametrize("overlap", ["flat", "nested", "all"])
def test_figure_escapes_text_and_labels(overlap):
    doc = annotated("<b> Curie & {x}", [(3, 4, "<i>{y}</i>", 0.9)])
    markup = render_figure(doc, doc_record(doc, overlap), overlap)
    assert "<b>" not in markup
    assert "<i>" not in markup
    assert "&lt;i&gt;{y}&lt;/i&gt;" in markup
    assert "{x}" in markup.replace(" ", "")
    assert label_color("&lt;i&gt;{y}&lt;/i&gt;") in markup


@pytest.mark.parametrize("lang", ["en", "he"])
@pytest.mark.parametrize("texts", [[], [TEXT], [TEXT, ""]])
def test_page_is_what_displacy_makes_but_for_the_charset(lang, texts):
    docs = [annotated(text, [(0, 2, "person", 0.9)] if text else [], lang=lang) for text in texts]
    file = io.StringIO()
    with html_page(file, spacy.blank(lang)):
        for doc in docs:
            file.write(render_figure(doc, doc_record(doc)))
    colors = {"person": label_color("person")}
    if docs:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"\[W006\]")
            expected = spacy.displacy.render(docs, style="ent", page=True, options={"colors": colors})
        written = file.getvalue().replace('<meta charset="utf-8">', "")
        assert "".join(written.split()) == "".join(expected.split())
    assert file.getvalue().startswith("<!DOCTYPE html>")
    assert file.getvalue().rstrip().endswith("</html>")
