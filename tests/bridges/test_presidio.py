"""The engine for Presidio, against Presidio itself."""

import subprocess
import sys

import pytest
import spacy
from spacy.language import Language

from spacy_openner.errors import OpenNERWarning, SettingError
from tests.support.known_components import table_nlp

presidio = pytest.importorskip("presidio_analyzer", reason="presidio-analyzer is not installed")
nlp_engine = pytest.importorskip("presidio_analyzer.nlp_engine")
OpenNERNlpEngine = pytest.importorskip("spacy_openner.bridges.presidio").OpenNERNlpEngine

TABLE = {
    "Ada": [("person", 0.75)],
    "Rome": [("location", 0.625)],
    "neon": [("chemical element", 0.5625)],
    "maybe": [("person", 0.3125)],
}
LABELS = ["person", "location", "chemical element"]
TEXT = "Ada saw neon in Rome maybe"


@Language.component("presidio_test_marker")
def mark(doc):
    """A component of the pipeline that must go on working."""
    doc.user_data["marked"] = True
    return doc


@pytest.fixture
def nlp():
    nlp = table_nlp(TABLE, labels=LABELS, threshold=0.25)
    nlp.add_pipe("presidio_test_marker")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "ORG", "pattern": "saw"}])
    return nlp


def analyzer(engine):
    """With the recognizer that Presidio itself takes for the engine, and no other."""
    registry = presidio.RecognizerRegistry(supported_languages=["en"])
    registry.add_nlp_recognizer(engine)
    return presidio.AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])


def results(analyzer, text=TEXT, **settings):
    found = analyzer.analyze(text, language="en", **settings)
    return {text[r.start : r.end]: (r.entity_type, r.score) for r in found}


def test_true_scores_and_names(nlp):
    engine = OpenNERNlpEngine(pipelines={"en": nlp})
    assert results(analyzer(engine)) == {
        "Ada": ("PERSON", 0.75),
        "Rome": ("LOCATION", 0.625),
        "neon": ("CHEMICAL_ELEMENT", 0.5625),
        "maybe": ("PERSON", 0.3125),
        # Of another component: Presidio's default.
        "saw": ("ORGANIZATION", 0.85),
    }
    assert results(analyzer(engine), score_threshold=0.6).keys() == {"Ada", "Rome", "saw"}
    assert results(analyzer(engine), entities=["CHEMICAL_ELEMENT"]) == {"neon": ("CHEMICAL_ELEMENT", 0.5625)}


def test_presidios_own_engine_knows_none(nlp):
    """If this fails one day, the engine is no longer needed."""
    engine = nlp_engine.SpacyNlpEngine()
    engine.nlp = {"en": nlp}
    artifacts = engine.process_text(TEXT, "en")
    assert set(artifacts.scores) == {0.85}


def test_the_pipelines_components_stay(nlp):
    artifacts = OpenNERNlpEngine(pipelines={"en": nlp}).process_text(TEXT, "en")
    assert artifacts.tokens.user_data["marked"]
    assert artifacts.tokens.spans["openner"].attrs["scores"].tolist() == pytest.approx([0.75, 0.5625, 0.625, 0.3125])
    # No lemmatizer: words stand for their lemmas, so that context words are found.
    assert artifacts.lemmas[:2] == ["ada", "saw"]


def test_batches(nlp):
    engine = OpenNERNlpEngine(pipelines={"en": nlp})
    batches = list(engine.process_batch([TEXT, "Rome", ""], "en"))
    assert [artifacts.scores for _, artifacts in batches][:2] == [[0.75, 0.85, 0.5625, 0.625, 0.3125], [0.625]]
    analyzed = presidio.BatchAnalyzerEngine(analyzer(engine)).analyze_iterator([TEXT, "Rome"], "en")
    assert [[r.score for r in found] for found in analyzed][1] == [0.625]


def test_configured_names(nlp):
    configuration = nlp_engine.NerModelConfiguration(
        model_to_presidio_entity_mapping={"location": "PLACE", "ORG": "ORGANIZATION"},
        labels_to_ignore=["person"],
        default_score=0.5,
        low_score_entity_names=["PLACE"],
        low_confidence_score_multiplier=0.5,
    )
    engine = OpenNERNlpEngine(ner_model_configuration=configuration, pipelines={"en": nlp})
    assert results(analyzer(engine)) == {
        "Rome": ("PLACE", 0.3125),
        "neon": ("CHEMICAL_ELEMENT", 0.5625),
        "saw": ("ORGANIZATION", 0.5),
    }


def test_types_that_are_named_later(nlp):
    engine = OpenNERNlpEngine(pipelines={"en": nlp})
    nlp.get_pipe("open_ner_span").labels = ["person", "location", "chemical element", "pet"]
    nlp.get_pipe("open_ner_span").table["Rex"] = [("pet", 0.75)]
    with pytest.warns(OpenNERWarning, match=r"W022.*'pet'.*'PET'"):
        assert [ent.label_ for ent in engine.process_text("Rex", "en").entities] == ["PET"]


def test_models_and_the_provider(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PER", "pattern": "Ada"}])
    nlp.add_pipe("type_filter", config={"labels": ["person"]})
    nlp.add_pipe("open_ner_span", config={"labels": ["blood type"]})
    nlp.to_disk(tmp_path / "pipeline")
    configuration = {
        "nlp_engine_name": "openner",
        "models": [{"lang_code": "en", "model_name": str(tmp_path / "pipeline")}],
    }
    provider = nlp_engine.NlpEngineProvider(nlp_engines=[OpenNERNlpEngine], nlp_configuration=configuration)
    engine = provider.create_engine()
    assert engine.nlp["en"].pipe_names == ["entity_ruler", "type_filter", "open_ner_span"]
    assert "BLOOD_TYPE" in engine.get_supported_entities()
    assert results(analyzer(engine), "Ada left")["Ada"] == ("PERSON", 0.85)


@pytest.mark.parametrize("settings", [{}, {"models": [], "pipelines": {}}])
def test_models_or_pipelines(settings):
    with pytest.raises(SettingError, match=r"O001.*models"):
        OpenNERNlpEngine(**settings)


def test_without_presidio():
    program = (
        "import sys; sys.modules['presidio_analyzer'] = None\n"
        "try:\n    import spacy_openner.bridges.presidio\n"
        "except Exception as problem:\n    print(type(problem).__name__, problem)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("MissingExtra [O301]")
    assert "spacy-openner[presidio]" in run.stdout
