"""Public methods and functions that are given something else than they take: an error with a code, or what was meant."""

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, SpanGroup
from spacy.training import Example

import spacy_openner
from spacy_openner.errors import OpenNERError, SettingError, error
from spacy_openner.llm.factory import LLMClient_v1
from spacy_openner.types import Candidate
from tests.support.every_model import MODELS, pipeline

KINDS = ["type-cache", "types-static", "generator-t5"]
OTHERS = ["span", "bi"]
"""Span models that have arguments of their own."""
TEXT = "Marie Curie won the Nobel Prize in Paris."
NO_DOCS = [None, 5, "text", b"x", ["text"], [None], [5], [[]], {"a": 1}]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return {kind: MODELS[kind](tmp_path_factory.mktemp(kind)) for kind in (*KINDS, *OTHERS, "types-transformer")}


@pytest.fixture(scope="module", params=KINDS)
def pipe(request, models):
    ((_, pipe),) = pipeline(request.param, models[request.param]).components
    return pipe


@pytest.fixture(scope="module")
def doc():
    return spacy.blank("en")(TEXT)


@pytest.fixture(scope="module")
def refiner(models):
    nlp = pipeline("type-cache", models["type-cache"])
    return nlp.add_pipe("lar_reassigner", config={"labels": ["winner"]})


def refused(work):
    with pytest.raises(SettingError):
        work()


@pytest.mark.parametrize("odd", [*NO_DOCS, "doc", "span", "token"], ids=repr)
def test_docs(odd, pipe, doc, refiner):
    odd = {"doc": doc, "span": [doc[0:2]], "token": [doc[0]]}.get(odd, odd) if isinstance(odd, str) else odd
    refused(lambda: pipe.predict(odd))
    refused(lambda: pipe.set_annotations(odd, [[]]))
    refused(lambda: refiner.decide(odd))
    if not isinstance(odd, Doc):
        refused(lambda: list(pipe.pipe(odd)))
        refused(lambda: pipe(odd))
        refused(lambda: refiner(odd))


def test_docs_of_an_iterator(pipe, doc):
    assert len(pipe.predict(iter([doc, doc]))) == 2


@pytest.mark.parametrize("size", [0, -1, None, "x", 1.5, True])
def test_sizes_of_batches(size, pipe, doc):
    refused(lambda: list(pipe.pipe([doc], batch_size=size)))


def is_scorer(pipe):
    return hasattr(pipe, "span_scores")


ODD_SPANS = [
    None,
    5,
    "Marie",
    [(0, 1)],
    [[0, 1]],
    [None],
    ["Marie"],
    [(0, 1, "person")],
    {"a": 1},
    "doc",
    "span",
    "token",
]


@pytest.mark.parametrize("odd", ODD_SPANS, ids=repr)
def test_spans(odd, pipe, doc):
    if not is_scorer(pipe):
        return
    given = {"doc": doc, "span": doc[0:2], "token": [doc[0]]}.get(odd, odd) if isinstance(odd, str) else odd
    refused(lambda: pipe.span_scores(doc, given))


@pytest.mark.parametrize("odd", [None, 5, "person", [5], [None], {"a": None}, [""], b"x"], ids=repr)
def test_labels_and_docs_of_span_scores(odd, pipe, doc):
    if is_scorer(pipe):
        refused(lambda: pipe.span_scores(odd, [doc[0:1]]))
        if odd is not None:
            refused(lambda: pipe.span_scores(doc, [doc[0:1]], odd))


def test_spans_of_any_iterable(pipe, doc):
    if is_scorer(pipe):
        wanted = pipe.span_scores(doc, [doc[0:2], doc[7:8]])
        for spans in (iter([doc[0:2], doc[7:8]]), (doc[0:2], doc[7:8]), SpanGroup(doc, spans=[doc[0:2], doc[7:8]])):
            assert np.array_equal(pipe.span_scores(doc, spans), wanted)


@pytest.mark.parametrize("odd", [None, 5, [], "x", [None], [5], [["x"]], [[(0, 1, "x", 0.5)]], [[], []]], ids=repr)
def test_predictions(odd, pipe, doc):
    refused(lambda: pipe.set_annotations([doc.copy()], odd))


BAD = [(0, 100), (-1, 2), (3, 2), (2, 2), ("0", 1), (0.0, 1.0), (None, 1)]
CANDIDATES = [*(Candidate(*place, "person", 0.5) for place in BAD)]
CANDIDATES += [Candidate(0, 1, label, 0.5) for label in (5, None, "", " ")]
CANDIDATES += [Candidate(0, 1, "person", score) for score in ("x", None, float("nan"), float("inf"), True)]


@pytest.mark.parametrize("candidate", CANDIDATES, ids=repr)
def test_candidates(candidate, pipe, doc):
    """Nothing of them is written."""
    if hasattr(pipe, "overlap"):
        copy = doc.copy()
        refused(lambda: pipe.set_annotations([copy], [[Candidate(0, 1, "person", 0.5), candidate]]))
        assert not copy.spans
        assert not copy.ents


@pytest.mark.parametrize("odd", [None, 5, "x", {}, []], ids=repr)
def test_settings_as_a_whole(odd, pipe):
    before = pipe.settings
    refused(lambda: setattr(pipe, "settings", odd))
    assert pipe.settings is before


@pytest.mark.parametrize("odd", [None, 5, "x", ["person"], {"nobody": "x"}, {"person": None}, {"person": ""}, {5: "x"}])
def test_descriptions(odd, pipe):
    before = pipe.descriptions
    refused(lambda: setattr(pipe, "descriptions", odd))
    assert pipe.descriptions == before


def test_descriptions_of_some_labels(pipe):
    before = pipe.settings
    pipe.descriptions = {"person": "a human being"}
    assert pipe.labels == before.labels.names
    assert pipe.descriptions == {**before.labels, "person": "a human being"}
    pipe.settings = before


@pytest.mark.parametrize("give", [None, 5, [], lambda: None, lambda: 5, lambda: "x", lambda: [None], lambda: ["x"]])
def test_examples_of_initialize(give, pipe):
    before = pipe.settings
    pipe.labels = []
    refused(lambda: pipe.initialize(give))
    pipe.settings = before


NO_PATH = [5, "", [], {}, b"x", "a\0b", "x" * 5_000, True]
NO_MAPPING = [5, "x", [5], {5: 1}, True]
OF_INITIALIZE = {"encoder": NO_PATH, "labels": [5, "person", [5], {"a": 5}, b"x"]}
OF_MODELS = {
    "head": [*NO_MAPPING, {"nope": 1}, {"width": 0}, {"width": "x"}, {"max_width": True}, {"dropout": float("nan")}],
    "lora": NO_MAPPING,
}
OF_FILTERS = {"static_width": [0, -1, "x", 1.5, True, 10**12]}
OF_GENERATORS = {"layers": [0, -1, "x", 1.5, 10**9, True], "lora": NO_MAPPING}


@pytest.mark.parametrize("kind", [*KINDS, *OTHERS])
def test_arguments_of_initialize(kind, models):
    example = Example.from_dict(spacy.blank("en").make_doc(TEXT), {})
    own = OF_FILTERS if kind.startswith("types") else OF_GENERATORS if kind.startswith("generator") else OF_MODELS
    given = [(name, value) for name, values in {**OF_INITIALIZE, **own}.items() for value in values]
    for name, value in given:
        others = {"encoder": str(models["types-transformer"])} if name in ("head", "layers", "static_width") else {}
        ((_, new),) = pipeline(kind, models[kind]).components
        with pytest.raises(OpenNERError):
            new.initialize(lambda: [example], **{**others, name: value})


@pytest.mark.parametrize("odd", [None, 5, "x", [5], [None], [(1, {})], "doc"], ids=repr)
def test_examples(odd, pipe, doc):
    odd = [doc] if odd == "doc" else odd
    refused(lambda: pipe.update(odd))
    refused(lambda: pipe.score(odd))
    refused(lambda: spacy_openner.score_entities(odd))


@pytest.mark.parametrize("drop", [-1, 2, "x", float("nan"), None, True])
def test_dropout(drop, pipe):
    refused(lambda: pipe.update([], drop=drop))


def test_optimizers_and_losses(pipe):
    for odd in (5, "x", []):
        refused(lambda odd=odd: pipe.update([], sgd=odd))
        refused(lambda odd=odd: pipe.update([], losses=odd))


@pytest.mark.parametrize("odd", [*NO_PATH, None], ids=lambda value: repr(value)[:20])
def test_paths(odd, pipe, tmp_path):
    refused(lambda: pipe.to_disk(odd))
    refused(lambda: pipe.from_disk(odd))
    if is_scorer(pipe):
        refused(lambda: pipe.save_adapters(odd))
        refused(lambda: pipe.load_adapters("mine", odd))
    for work in (
        spacy_openner.AlignmentTable.load,
        spacy_openner.AlignmentTable.from_dict({"city": "place"}, "here").save,
        lambda path: spacy_openner.convert(path, "out.spacy"),
        lambda path: spacy_openner.convert("in.json", path),
        lambda path: spacy_openner.run_corpus("in.jsonl", path, "pipeline"),
    ):
        refused(lambda work=work: work(odd))
    with pytest.raises(OpenNERError):
        spacy_openner.run_corpus(odd, tmp_path / "out", "pipeline")


@pytest.mark.parametrize("odd", [5, None, "cfg", [5]], ids=repr)
def test_excluded_parts(odd, pipe, tmp_path):
    refused(lambda: pipe.to_bytes(exclude=odd))
    refused(lambda: pipe.to_disk(tmp_path / "pipe", exclude=odd))
    assert not (tmp_path / "pipe").exists()


def test_a_directory_of_others_is_no_place_for_a_component(pipe, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"O407.*thesis\.txt"):
        pipe.to_disk(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("odd", [None, 5, "text", b"x", [], {}, [None], "span", "token"], ids=repr)
def test_functions_that_take_a_doc(odd, doc):
    odd = {"span": doc[0:2], "token": doc[0]}.get(odd, odd) if isinstance(odd, str) else odd
    refused(lambda: spacy_openner.get_labels(odd))
    refused(lambda: spacy_openner.set_labels(odd, ["person"]))
    refused(lambda: spacy_openner.read_decisions(odd))
    refused(lambda: spacy_openner.move_span_groups(odd))
    if odd != [] and odd != {}:
        refused(lambda: spacy_openner.merge_docs(odd))
    if not (hasattr(odd, "start_char")):
        refused(lambda: spacy_openner.get_score(odd))


@pytest.mark.parametrize("odd", [5, "text", [], {"a": "x"}, {"a": None}, {"a": float("nan")}, {5: 0.5}], ids=repr)
def test_scores_of_labels(odd, doc):
    refused(lambda: spacy_openner.set_labels(doc.copy(), ["a"], odd))


@pytest.mark.parametrize("odd", [5, "x", b"x", [5], {"a": 1}, True], ids=repr)
def test_functions_that_take_pipelines_clients_and_names(odd, refiner, doc, tmp_path):
    nlp = spacy.blank("en")
    client = LLMClient_v1("tiny", base_url="http://localhost:9/v1")
    for name in ("calibrate_entities", "calibrate_types", "calibrate_cascade", "measure_reliability"):
        refused(lambda name=name: getattr(spacy_openner, name)(odd, []))
        refused(lambda name=name: getattr(spacy_openner, name)(nlp, [], odd))
    refused(lambda: spacy_openner.align_labels(odd, []))
    refused(lambda: spacy_openner.align_labels(nlp, odd))
    refused(lambda: spacy_openner.align_labels(nlp, [], odd))
    refused(lambda: spacy_openner.align_labels(nlp, [], before=odd))
    refused(lambda: client.ask(odd))
    for work in (spacy_openner.explain_docs, lambda *args, **kw: spacy_openner.annotate_docs(nlp, *args, **kw)):
        labels = () if work is spacy_openner.explain_docs else (["person"],)
        refused(lambda work=work, labels=labels: list(work(odd, *labels, client)))
        refused(lambda work=work, labels=labels: list(work([doc], *labels, odd)))
        refused(lambda work=work, labels=labels: list(work([doc], *labels, client, report=odd)))
    refused(lambda: refiner.cases(odd))
    if odd != "x":
        (tmp_path / "in.jsonl").write_text('{"text": "Ada"}')
        for name in ("text_field", "id_field", "entities_field", "spans_key"):
            refused(lambda name=name: spacy_openner.run_corpus(tmp_path / "in.jsonl", tmp_path, "p", **{name: odd}))
        for name in ("format", "spans_key", "n_sents", *(() if odd == {"a": 1} else ("labels",))):
            given = {name: 1.5 if name == "n_sents" else odd}
            refused(lambda given=given: spacy_openner.convert(tmp_path / "in.jsonl", tmp_path / "out.spacy", **given))


@pytest.mark.parametrize("odd", [None, 5, lambda: None, lambda: [None], lambda: ["text"]])
def test_examples_to_align_by(odd, models):
    nlp = pipeline("type-cache", models["type-cache"])
    refiner = nlp.add_pipe("lar_reassigner", config={"labels": ["winner"]})
    refused(lambda: refiner.initialize(odd, nlp=nlp))


def test_attributes_of_joined_docs(doc):
    refused(lambda: spacy_openner.merge_docs([doc, doc], attrs=[]))


@pytest.mark.parametrize(("value", "length"), [("x" * 5_000, "5,002"), (["x" * 5_000], "5,004")])
def test_long_values_are_shown_in_part(value, length):
    message = str(error("O001", name="threshold", value=value, allowed="a number"))
    assert len(message) < 600
    assert f"... ({length} characters); allowed: a number." in message
