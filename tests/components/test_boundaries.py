"""The setting `boundaries`: no component finds entities across blank lines, items, cells, or what else is asked for."""

import pytest
import spacy
from spacy.tokens import Doc, Span

from spacy_openner.decoding.text_boundaries import text_boundaries
from spacy_openner.errors import SettingError
from spacy_openner.models.architectures import SPAN_MATCHER
from spacy_openner.types import DEFAULT_BOUNDARIES
from tests.support import tiny_gliner2, tiny_models
from tests.support.generator_case import pipeline as generator_pipeline
from tests.support.type_cache import ARCHITECTURE as TYPE_CACHE
from tests.support.type_cache import saved_type_cache

NAMES = ["Marie Curie", "Niels Bohr", "Albert Einstein", "Lise Meitner"]
ROWS = ["Name\tCity", "Marie Curie\tWarsaw", "Niels Bohr\tCopenhagen", "Lise Meitner\tVienna"]
TEXTS = [
    "\n".join(NAMES[:2]),
    "\n".join(NAMES),
    "\n\n".join(NAMES),
    "\n".join(f"- {name}" for name in NAMES),
    "\n".join(f"{i}. {name}" for i, name in enumerate(NAMES, 1)),
    "\n".join(ROWS),
    "They met:\n\nMarie Curie\n\tNiels Bohr\n\n\nin the town of Oslo",
]
LABELS = ["person", "city"]

# The weights in the package


@pytest.fixture(scope="module", params=["open_ner_span", "gner_generator"])
def nlp(request):
    nlp = spacy.blank("en")
    model = {"precision": "float32"}
    if request.param == "open_ner_span":
        model |= {"@architectures": SPAN_MATCHER}
    nlp.add_pipe(request.param, name="finder", config={"labels": LABELS, "model": model})
    return nlp


def people(doc):
    return [ent.text for ent in doc.ents if ent.label_ == "person"]


@pytest.mark.parametrize("text", TEXTS[:5])
def test_names_on_lines_are_found_one_by_one(nlp, text):
    assert people(nlp(text)) == [name for name in NAMES if name in text]


def test_cells_are_found_one_by_one(nlp):
    doc = nlp(TEXTS[5])
    assert people(doc)[:1] == ["Marie Curie"]
    assert {"Marie Curie", "Niels Bohr", "Lise Meitner"} <= set(people(doc))
    assert {ent.text for ent in doc.ents if ent.label_ == "city"} >= {"Warsaw", "Copenhagen", "Vienna"}


def test_a_wrapped_paragraph_is_read_through(nlp):
    doc = nlp("The prize of the year went to the great chemist Marie\nCurie, who came from Warsaw to live in Paris.")
    assert people(doc) == ["Marie\nCurie"]


def test_without_boundaries_lines_are_one_text(nlp):
    finder = nlp.get_pipe("finder")
    finder.boundaries = []
    try:
        assert people(nlp(TEXTS[0])) == ["Marie Curie\nNiels Bohr"]
    finally:
        finder.boundaries = DEFAULT_BOUNDARIES


# All architectures, with random weights that find whatever there is


def span_pipeline(path, **model):
    nlp = spacy.blank("en")
    config = {
        "model": {**tiny_models.span_matcher(path), "precision": "float32", **model},
        "labels": LABELS,
        "threshold": 0.0,
    }
    nlp.add_pipe("open_ner_span", name="finder", config={**config, "overlap": "all"})
    return nlp


SPAN_MODELS = {
    "markerV0": lambda path: span_pipeline(tiny_models.saved("bert", path)),
    "marker": lambda path: span_pipeline(tiny_models.saved("bert", path, span_mode="marker")),
    "token": lambda path: span_pipeline(tiny_models.saved("bert", path, span_mode="token_level")),
    "single words": lambda path: span_pipeline(tiny_models.saved("bert", path, max_width=1)),
    "gliner words": lambda path: span_pipeline(tiny_models.saved("bert", path), words="gliner"),
    "small windows": lambda path: span_pipeline(tiny_models.saved("bert", path, max_width=3), window=32, overlap=2),
    "gliner2": lambda path: span_pipeline(tiny_gliner2.saved("span", path)),
    "gliner2.5": lambda path: span_pipeline(tiny_gliner2.saved("boundary", path)),
    "type cache": lambda path: span_pipeline(saved_type_cache("bert", path), **{"@architectures": TYPE_CACHE}),
}


def crosses(doc, kinds=DEFAULT_BOUNDARIES):
    """The spans that hold or cross a boundary."""
    found = text_boundaries(doc.text, kinds)
    return [s for s in doc.spans["openner"] if any(s.start_char < b.end and b.start < s.end_char for b in found)]


@pytest.mark.parametrize("kind", SPAN_MODELS)
def test_no_span_of_any_architecture_crosses(kind, tmp_path):
    nlp = SPAN_MODELS[kind](tmp_path)
    docs = list(nlp.pipe(TEXTS))
    assert sum(len(doc.spans["openner"]) for doc in docs) > 20
    assert not any(crosses(doc) for doc in docs)
    finder = nlp.get_pipe("finder")
    for doc in docs[:3]:
        spans = doc.spans["openner"]
        scores = finder.span_scores(doc, list(spans))
        index = {label: i for i, label in enumerate(finder.labels)}
        if kind not in ("single words", "small windows"):
            expected = [float(scores[i, index[span.label_]]) for i, span in enumerate(spans)]
            assert spans.attrs["scores"].tolist() == pytest.approx(expected, abs=1e-4)
    finder.boundaries = []
    assert any(crosses(doc) for doc in nlp.pipe(TEXTS))


@pytest.mark.parametrize("max_width", [1, 4])
def test_sentences_are_boundaries_on_demand(max_width, tmp_path):
    nlp = span_pipeline(tiny_models.saved("bert", tmp_path, max_width=max_width))
    words = ["Marie", "Curie", "came", "Niels", "Bohr", "left"]

    def found():
        doc = Doc(nlp.vocab, words=words, sent_starts=[True, False, False, True, False, False])
        spans = nlp(doc).spans["openner"]
        return [span for span in spans if span.start < 3 < span.end]

    assert found()
    nlp.get_pipe("finder").boundaries = ["sentences"]
    assert not found()


@pytest.mark.parametrize("kind", ["t5", "llama"])
@pytest.mark.parametrize("settings", [{}, {"num_beams": 2}, {"decoding": "free"}])
def test_no_answer_of_a_generator_crosses(kind, settings, tmp_path):
    path = tiny_models.saved_generator(kind, tmp_path / "model")
    nlp = generator_pipeline(path, before=["sentencizer"], overlap="all", **settings)
    docs = list(nlp.pipe(TEXTS))
    assert settings.get("decoding") == "free" or any(doc.spans["openner"] for doc in docs)
    assert not any(crosses(doc) for doc in docs)


def test_a_reassigner_corrects_no_bounds_across():
    nlp = spacy.blank("en")
    nlp.add_pipe("lar_reassigner", config={"labels": LABELS, "correct_bounds": True, "source": "found"})
    doc = nlp.make_doc("Niels Bohr\nthe Marie Curie\nLise Meitner")
    doc.spans["found"] = [Span(doc, 3, 6, label="misc")]
    (decision,) = nlp.get_pipe("lar_reassigner").decide([doc])[0]
    assert decision.label == "person"
    assert doc[decision.start : decision.end].text in ("Marie Curie", "the Marie Curie")


# The setting


@pytest.mark.parametrize("wrong", ["lines", ["line"], None, [1], {"lines": True}])
@pytest.mark.parametrize("factory", ["open_ner_span", "gner_generator", "lar_reassigner"])
def test_unknown_boundaries_are_refused(factory, wrong):
    pipe = spacy.blank("en").add_pipe(factory)
    with pytest.raises(SettingError, match=r"O001.*boundaries.*paragraphs, lists, cells, lines, sentences"):
        pipe.boundaries = wrong
    assert pipe.boundaries == DEFAULT_BOUNDARIES


def test_boundaries_are_kept_in_their_own_order():
    pipe = spacy.blank("en").add_pipe("open_ner_span", config={"boundaries": ["lines", "paragraphs", "lines"]})
    assert pipe.boundaries == ("paragraphs", "lines")
