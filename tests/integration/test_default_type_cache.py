"""The weights that `open_ner_span` takes by default: there, licensed, and fit for all that users do with them."""

import json
import pickle
from inspect import signature

import numpy as np
import pytest
import spacy
from spacy.training import Example
from thinc.api import Config

from spacy_openner import measure_reliability
from spacy_openner.components.open_ner_span import DEFAULT_MODEL
from spacy_openner.errors import CheckpointError, SettingError
from spacy_openner.labels import set_labels
from spacy_openner.lar.span_reassigner import SpanTypeReassigner_v1
from spacy_openner.models.architectures import SPAN_MATCHER, TYPE_CACHE, SpanMatcher_v1
from spacy_openner.models.span_model import span_model
from spacy_openner.models.type_cache.interface import TypeCacheSpanModel
from spacy_openner.nn import hub
from tests.support import tiny_models as tiny
from tests.support.default_weights import default_pipeline

LABELS = ["person", "award", "chemical element", "city"]
TEXTS = {
    "Marie Curie won the Nobel Prize for discovering polonium.": {
        ("Marie Curie", "person"),
        ("Nobel Prize", "award"),
        ("polonium", "chemical element"),
    },
    "Barack Obama met Angela Merkel in Berlin last week.": {
        ("Barack Obama", "person"),
        ("Angela Merkel", "person"),
        ("Berlin", "city"),
    },
    "The novel was written by Jane Austen.": {("Jane Austen", "person")},
}
FIRST, SECOND, _ = TEXTS


@pytest.fixture(scope="module")
def nlp():
    return default_pipeline(LABELS)


def ents(doc):
    return {(ent.text, ent.label_) for ent in doc.ents}


def test_files_and_size():
    directory = hub.default_directory(hub.TYPE_CACHE)
    names = {path.name for path in directory.iterdir()}
    assert {"model.int8.safetensors", "type_cache.json", "tokenizer.json", "README.md", "NOTICE.md"} <= names
    assert sum(path.stat().st_size for path in directory.iterdir()) < 50_000_000
    config = json.loads((directory / "type_cache.json").read_text(encoding="utf8"))
    assert "_name_or_path" not in config["encoder"]  # no path of the machine that trained it


def test_they_are_the_default():
    pipe = spacy.blank("en").add_pipe("open_ner_span")
    assert isinstance(span_model(pipe.model), TypeCacheSpanModel)
    assert DEFAULT_MODEL["@architectures"] == TYPE_CACHE
    assert DEFAULT_MODEL["name"] == ""


def test_entities_of_plain_sentences(nlp):
    for doc, expected in zip(nlp.pipe(TEXTS), TEXTS.values(), strict=True):
        assert ents(doc) == expected


def test_bfloat16_finds_the_same():
    """What some processors take by themselves."""
    nlp = default_pipeline(LABELS, model={"precision": "bfloat16"})
    for doc, expected in zip(nlp.pipe(TEXTS), TEXTS.values(), strict=True):
        assert ents(doc) == expected


def test_order_and_repetition_of_labels_change_nothing(nlp):
    doc = nlp.make_doc(FIRST)
    spans = [doc[:2], doc[4:6]]
    pipe = nlp.get_pipe("open_ner_span")
    scores = pipe.span_scores(doc, spans, LABELS)
    assert np.array_equal(pipe.span_scores(doc, spans, LABELS[::-1])[:, ::-1], scores)


def test_scores_of_chosen_spans(nlp):
    """Those of entities, and of spans that are wider than any that is looked for."""
    doc = nlp(FIRST)
    group = doc.spans["openner"]
    scores = nlp.get_pipe("open_ner_span").span_scores(doc, [*group, doc[:]])
    own = [scores[i, LABELS.index(span.label_)] for i, span in enumerate(group)]
    assert own == pytest.approx(list(group.attrs["scores"]), abs=2e-5)
    long = nlp.make_doc("It rained and rained and rained on all of the days of the whole long week .")
    assert nlp.get_pipe("open_ner_span").span_scores(long, [long[:]]).max() < 0.5


def test_labels_of_single_docs():
    nlp = default_pipeline(["award"])
    lists = [["person"], ["city", "person"], [], None]
    docs = [nlp.make_doc(SECOND) for _ in lists]
    for doc, labels in zip(docs, lists, strict=True):
        if labels is not None:
            set_labels(doc, labels)
    found = [{ent.label_ for ent in doc.ents} for doc in nlp.pipe(docs)]
    assert found == [{"person"}, {"city", "person"}, set(), set()]


def test_descriptions_and_thresholds():
    nlp = default_pipeline({"WHO": "person", "WHERE": "city"}, use_descriptions=True)
    assert ents(nlp(SECOND)) == {("Barack Obama", "WHO"), ("Angela Merkel", "WHO"), ("Berlin", "WHERE")}
    nlp.get_pipe("open_ner_span").label_thresholds = {"WHO": 1.0}
    assert ents(nlp(SECOND)) == {("Berlin", "WHERE")}


def test_nested_and_all_spans(nlp):
    pipe = nlp.get_pipe("open_ner_span")
    sizes = []
    try:
        pipe.threshold = 0.02
        for pipe.overlap in ("flat", "nested", "all"):
            sizes.append(len(nlp(FIRST).spans["openner"]))
    finally:
        pipe.threshold, pipe.overlap = 0.5, "flat"
    assert 0 < sizes[0] <= sizes[1] <= sizes[2]


@pytest.mark.parametrize("words", ["spacy", "gliner"])
def test_the_end_of_a_long_doc_is_read(words):
    nlp = default_pipeline(["person"], model={"words": words})
    doc = nlp("It rained all day and nobody came. " * 100 + "Then Barack Obama met Angela Merkel.")
    assert [ent.text for ent in doc.ents][-2:] == ["Barack Obama", "Angela Merkel"]


@pytest.mark.parametrize("text", ["", " ", "Kim", "玛丽居里获得了诺贝尔奖" * 30, "ที่กรุงเทพ", "👩‍🔬 🧪"])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_texts_that_it_never_learnt(lang, text):
    """Of one token or none, or in other scripts: no good entities, but none outside of the text either."""
    nlp = default_pipeline(LABELS, lang, threshold=0.02, overlap="all")
    doc = nlp(text)
    assert all(0 <= span.start < span.end <= len(doc) for span in doc.spans["openner"])


def test_no_labels_at_all():
    doc = default_pipeline()(FIRST)
    assert not doc.ents
    assert len(doc.spans["openner"]) == 0


def test_a_thousand_types_in_one_pass():
    many = [*LABELS, *(f"{kind} of kind {number}" for kind in ("vehicle", "tool") for number in range(498))]
    nlp = default_pipeline(many)
    assert {("Barack Obama", "person"), ("Angela Merkel", "person"), ("Berlin", "city")} <= ents(nlp(SECOND))
    # A filter in front leaves a few of them.
    nlp.add_pipe("type_filter", before="open_ner_span", config={"labels": many, "top_k": 20})
    doc = nlp(SECOND)
    assert 0 < len(doc._.openner_labels) <= 20
    assert {ent.label_ for ent in doc.ents} <= set(doc._.openner_labels)


def test_several_processes():
    nlp = default_pipeline(LABELS)
    for doc, expected in zip(nlp.pipe(TEXTS, n_process=2, batch_size=2), TEXTS.values(), strict=True):
        assert ents(doc) == expected


def test_they_are_saved_whole_with_a_pipeline(nlp, tmp_path, monkeypatch):
    nlp.to_disk(tmp_path / "pipeline")
    packed, pickled = nlp.to_bytes(), pickle.dumps(nlp)
    monkeypatch.setattr(hub, "PACKAGE", tmp_path / "nothing here")
    loaded = spacy.load(tmp_path / "pipeline")
    for doc, expected in zip(loaded.pipe(TEXTS), TEXTS.values(), strict=True):
        assert ents(doc) == expected
    blank = spacy.blank("en")
    blank.add_pipe("open_ner_span", config={"model": {"precision": "float32"}})
    for again in (blank.from_bytes(packed), pickle.loads(pickled)):
        assert ents(again(FIRST)) == TEXTS[FIRST]


def test_they_learn_and_keep_what_they_learnt(tmp_path):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("open_ner_span", config={"labels": ["grape", "region"], "model": {"precision": "float32"}})
    spans = {"entities": [(0, 6, "region"), (20, 28, "grape")]}
    example = Example.from_dict(nlp.make_doc("Barolo is made from Nebbiolo ."), spans)
    optimizer = nlp.initialize(lambda: [example])
    optimizer.learn_rate = 1e-4
    gold = example.reference.ents

    def scores(pipe):
        return pipe.span_scores(example.reference, gold)[[0, 1], [1, 0]]

    before = scores(pipe)
    for _ in range(6):
        nlp.update([example], sgd=optimizer)
    after = scores(pipe)
    assert (after > before).all()
    nlp.to_disk(tmp_path)
    assert scores(spacy.load(tmp_path).get_pipe("open_ner_span")) == pytest.approx(after, abs=1e-6)


def test_their_scores_can_be_judged(nlp):
    gold = []
    for text, spans in TEXTS.items():
        doc = nlp.make_doc(text)
        doc.ents = [doc.char_span(text.index(part), text.index(part) + len(part), label) for part, label in spans]
        gold.append(doc)
    measured = measure_reliability(nlp, gold)
    assert measured.count >= 7
    assert 0 <= measured.ece <= 1


# Other components, other architectures


def test_the_reassigner_takes_them(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "person", "pattern": "Jane Austen"}])
    table = {"novelist": "person", "football player": "person"}
    pipe = nlp.add_pipe("lar_reassigner", config={"table": table, "on_none": "never"})
    assert isinstance(span_model(pipe.reassigner.model), TypeCacheSpanModel)
    text = "The novel was written by Jane Austen."
    assert ents(nlp(text)) == {("Jane Austen", "novelist")}
    nlp.to_disk(tmp_path)
    assert ents(spacy.load(tmp_path)(text)) == {("Jane Austen", "novelist")}


def test_a_reassigner_that_was_saved_with_another_architecture_stays_with_it(tiny_path, tmp_path):
    saved = SpanTypeReassigner_v1()
    saved._default = tiny_reassigner_model(tiny_path)
    saved.save(tmp_path / "saved")
    loaded = SpanTypeReassigner_v1()
    loaded.load(tmp_path / "saved")
    assert loaded.model.name == "span_matcher"


def tiny_reassigner_model(path):
    nlp = spacy.blank("en")
    return nlp.add_pipe("open_ner_span", config={"model": tiny.span_matcher(path)}).model


def test_adapters_are_refused_with_the_architecture_that_takes_them():
    nlp = default_pipeline(LABELS)
    with pytest.raises(SettingError, match=r"O001.*lora.*spacy-openner\.SpanMatcher\.v1"):
        nlp.get_pipe("open_ner_span").initialize(list, lora={"r": 4})


def test_checkpoints_of_the_other_family_say_what_reads_them(tiny_path):
    """In both directions, from disk and from bytes."""
    gliner = spacy.blank("en").add_pipe("open_ner_span", config={"model": tiny.span_matcher(tiny_path)})
    cached = default_pipeline(["person"]).get_pipe("open_ner_span")
    mine = str(hub.default_directory(hub.TYPE_CACHE))
    for load in (
        lambda: named({"name": str(tiny_path)}),
        lambda: default_pipeline(["person"]).get_pipe("open_ner_span").from_bytes(gliner.to_bytes()),
    ):
        with pytest.raises(CheckpointError, match=r"O131.*spacy-openner\.SpanMatcher\.v1"):
            load()
    for load in (lambda: named(tiny.span_matcher(mine)), lambda: gliner.from_bytes(cached.to_bytes())):
        with pytest.raises(CheckpointError, match=r"O101.*spacy-openner\.TypeCacheSpanMatcher\.v1"):
            load()


def named(model):
    return spacy.blank("en").add_pipe("open_ner_span", config={"model": model}).initialize(list)


def test_pipelines_of_before_stay_what_they_were(tiny_path, tmp_path):
    """Their config names the architecture, with all the settings that it had."""
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span", config={"labels": ["person"], "model": tiny.span_matcher(tiny_path)})
    nlp.to_disk(tmp_path)
    settings = Config().from_disk(tmp_path / "config.cfg", interpolate=False)["components"]["open_ner_span"]["model"]
    assert settings["@architectures"] == SPAN_MATCHER
    assert set(settings) == {"@architectures", *signature(SpanMatcher_v1).parameters}
    assert spacy.load(tmp_path).get_pipe("open_ner_span").model.name == "span_matcher"


def test_people_are_not_whatever_is_asked_for():
    """Weights that call every person what was asked for pass all tests above."""
    nlp = default_pipeline(["scientist", "actor", "politician", "person"])
    cast = nlp(
        "The six-part series features Richard Madden and Keeley Hawes, and includes Gina McKee and Sophie Rundle."
    )
    assert [ent.label_ for ent in cast.ents] == ["actor"] * 4
    both = nlp("Marie Curie met the actress Sarah Bernhardt in Paris.")
    assert [(ent.text, ent.label_) for ent in both.ents] == [("Marie Curie", "scientist"), ("Sarah Bernhardt", "actor")]
