"""Components of other packages in one pipeline with ours: order, who writes doc.ents, and scores."""

import warnings
from typing import Any, Iterable  # noqa: UP035 (spacy-llm knows no other)

import pytest
from spacy.util import registry

from tests.support import tiny_models as tiny
from tests.support.known_components import table_nlp

TABLE = {"Ada": [("person", 0.75)], "Rome": [("city", 0.625)], "fever": [("symptom", 0.5625)]}
LABELS = ["person", "city", "symptom"]


def finder(spans_key="openner"):
    return table_nlp(TABLE, labels=LABELS, spans_key=spans_key)


def scored(doc):
    return {ent.text: (ent.label_, ent._.openner_score) for ent in doc.ents}


# maskpipe


def masking(*, spans_key, copied):
    maskpipe = pytest.importorskip("maskpipe", reason="maskpipe is not installed")
    nlp = finder(spans_key)
    if copied:
        nlp.add_pipe("copy_openner_scores")
    builder = maskpipe.PipelineBuilder(nlp)
    builder.add_entities([maskpipe.entities.EMAIL])
    return builder.build()


MAIL = "Ada of Rome wrote to ada@example.com today"


def test_maskpipe_masks_what_is_found():
    doc = masking(spans_key="sc", copied=True)(MAIL)
    assert doc._.masked == "[PERSON] of [CITY] wrote to [EMAIL] today"
    assert [ent._.score for ent in doc.ents][:2] == [0.75, 0.625]


@pytest.mark.parametrize(("spans_key", "copied"), [("sc", False), ("openner", True), ("openner", False)])
def test_maskpipe_masks_nothing_otherwise(spans_key, copied):
    """If this fails one day, the page on maskpipe is to be changed."""
    assert masking(spans_key=spans_key, copied=copied)(MAIL)._.masked == "Ada of Rome wrote to [EMAIL] today"


def test_maskpipes_threshold_is_compared_with_true_scores():
    nlp = masking(spans_key="sc", copied=True)
    nlp.get_pipe("conflict_resolver").threshold = 0.7
    assert nlp(MAIL)._.masked == "[PERSON] of Rome wrote to [EMAIL] today"


# negspaCy


def test_negspacy():
    pytest.importorskip("negspacy", reason="negspacy is not installed")
    import negspacy.negation  # noqa: F401 (registers the component)

    nlp = finder()
    nlp.add_pipe("sentencizer", first=True)
    nlp.add_pipe("negex", config={"ent_types": ["symptom", "person"]})
    doc = nlp("Ada has no fever. Ada has fever.")
    assert [(ent.text, ent._.negex) for ent in doc.ents] == [
        ("Ada", False),
        ("fever", True),
        ("Ada", False),
        ("fever", False),
    ]
    assert [ent._.openner_score for ent in doc.ents] == [0.75, 0.5625] * 2


# spacy-llm


def with_llm(order):
    pytest.importorskip("spacy_llm", reason="spacy-llm is not installed")

    def answer(prompts: Iterable[Iterable[Any]]) -> Iterable[Iterable[Any]]:
        # In spacy-llm's own form.
        return [["1. Rome | True | place | it is a city"] for _ in prompts]

    registry.llm_models.register("openner_test.v1", func=lambda: answer)
    nlp = finder()
    config = {"task": {"@llm_tasks": "spacy.NER.v3", "labels": ["place"]}, "model": {"@llm_models": "openner_test.v1"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nlp.add_pipe("llm", config=config, **({"first": True} if order == "before" else {"last": True}))
    return nlp


def test_spacy_llm_before_ours():
    """Ours keeps its entities, and fills the gaps."""
    assert scored(with_llm("before")("Ada is in Rome")) == {"Ada": ("person", 0.75), "Rome": ("place", None)}


def test_spacy_llm_behind_ours():
    """spacy-llm takes all earlier entities away. It joins parts of docs with `Doc.from_docs`, which drops scores."""
    doc = with_llm("behind")("Ada is in Rome")
    assert scored(doc) == {"Rome": ("place", None)}
    assert [(span.text, span._.openner_score) for span in doc.spans["openner"]] == [("Ada", None), ("Rome", None)]


# SpanMarker


@pytest.fixture(scope="module")
def span_marker_path(tmp_path_factory):
    span_marker = pytest.importorskip("span_marker", reason="span_marker is not installed")
    path = tmp_path_factory.mktemp("span_marker")
    encoder = tiny.backbone("bert", path / "encoder")
    model = span_marker.SpanMarkerModel.from_pretrained(
        str(encoder), labels=["O", "place"], model_max_length=64, entity_max_length=3, marker_max_length=16
    )
    model.save_pretrained(str(path / "model"))
    model.tokenizer.save_pretrained(str(path / "model"))
    return path / "model"


@pytest.mark.parametrize("order", ["before", "behind"])
def test_span_marker(span_marker_path, order, monkeypatch):
    """Ours fills the gaps behind it; behind ours it lets the longest of both stay."""
    nlp = finder()
    nlp.add_pipe("sentencizer", first=True)
    settings = {"model": str(span_marker_path)}
    where = {"before": "open_ner_span"} if order == "before" else {"after": "open_ner_span"}
    pipe = nlp.add_pipe("span_marker", config=settings, **where)
    place = {"word_start_index": 3, "word_end_index": 5, "label": "place"}
    monkeypatch.setattr(pipe.model, "predict", lambda inputs, **kwargs: [[place] for _ in inputs])
    assert scored(nlp("Ada is in Rome today")) == {"Ada": ("person", 0.75), "Rome today": ("place", None)}
