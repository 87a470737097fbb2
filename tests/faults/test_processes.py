"""Pipelines in other processes, which imported nothing of this package; and errors that a handler collects."""

import json
import multiprocessing
import pickle

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Span

from spacy_openner import align_labels, calibrate_entities, calibrate_types, measure_reliability
from spacy_openner.bulk.annotator import RunSettings, UnitAnnotator
from spacy_openner.bulk.plan import choose_unit_bytes, find_sources, plan_units
from spacy_openner.serve.finder import EntityFinder, RequestSettings
from tests.support.every_model import LABELS, component, pipeline
from tests.support.every_model import MODELS as KINDS

TEXTS = ["Marie Curie won the Nobel Prize in Paris.", "", "Hi"]
FACTORIES = {
    "open_ner_span": ["span"],
    "type_filter": ["types-static"],
    "gner_generator": ["generator-t5"],
    "lar_reassigner": ["span", "lar"],
    "all": ["types-static", "span", "generator-t5", "lar"],
}
PROGRAM = """
import pickle, sys
assert not [name for name in sys.modules if name.startswith("spacy_openner")], "not the first to import it"
with open(path + "/nlps", "rb") as nlps, open(path + "/texts", "rb") as texts:
    nlps, texts = pickle.load(nlps), pickle.load(texts)
found = {}
for name, nlp in nlps.items():
    docs = [nlp(text) for text in texts]
    spans = [[(s.start, s.end, s.label_) for s in doc.spans.get("openner", [])] for doc in docs]
    found[name] = spans, [doc._.openner_labels for doc in docs]
with open(path + "/found", "wb") as file:
    pickle.dump(found, file)
"""
"""Needs `path`. Imports nothing but what pickles do."""


@pytest.fixture(scope="module")
def others():
    """How to start processes that imported nothing of this package. They are forked from one that has imported what
    this package needs, which takes most of the time; what they are given is pickled as for spawned ones."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "transformers", "spacy", "openai"])
    return context


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Make pipelines of some components, on models that are made once."""
    paths = {kind: KINDS[kind](tmp_path_factory.mktemp(kind)) for kind in ("span", "types-static", "generator-t5")}

    def make(name):
        nlp = spacy.blank("en")
        for kind in FACTORIES[name]:
            factory, config = ("lar_reassigner", {}) if kind == "lar" else component(kind, paths[kind])
            config = {**config, "labels": ["winner", "city"] if kind == "lar" else LABELS}
            nlp.add_pipe(factory, config={**config, **({"spans_key": "generated"} if "generator" in kind else {})})
        return nlp

    return make


def found(docs):
    docs = list(docs)
    spans = [[(s.start, s.end, s.label_) for s in doc.spans.get("openner", [])] for doc in docs]
    return spans, [doc._.openner_labels for doc in docs]


def run(nlp, texts):
    return found(nlp(text) for text in texts)


@pytest.mark.parametrize("by", ["pickle", "cloudpickle"])
def test_pickles_in_a_process_that_imported_nothing(by, build, others, tmp_path):
    """`cloudpickle` is what Spark, Dask, Ray and joblib write."""
    pickler = pickle if by == "pickle" else pytest.importorskip("cloudpickle")
    pipelines = {name: build(name) for name in FACTORIES}
    (tmp_path / "nlps").write_bytes(pickler.dumps(pipelines))
    (tmp_path / "texts").write_bytes(pickle.dumps(TEXTS))
    process = others.Process(target=exec, args=(PROGRAM, {"path": str(tmp_path)}))
    process.start()
    process.join(500)
    assert process.exitcode == 0
    there = pickle.loads((tmp_path / "found").read_bytes())
    assert there == {name: run(nlp, TEXTS) for name, nlp in pipelines.items()}


def test_a_pool(build, others):
    nlp = build("all")
    with others.Pool(1) as pool:
        assert pool.apply(run, (nlp, TEXTS)) == run(nlp, TEXTS)


@pytest.mark.slow
def test_a_pool_of_spawned_processes(build):
    nlp = build("all")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(run, (nlp, TEXTS)) == run(nlp, TEXTS)


@pytest.mark.slow
def test_joblib(build):
    """Its default backend, loky, pickles by cloudpickle and starts processes of its own."""
    joblib = pytest.importorskip("joblib")
    nlp = build("lar_reassigner")
    (result,) = joblib.Parallel(n_jobs=2)([joblib.delayed(run)(nlp, TEXTS)])
    assert result == run(nlp, TEXTS)
    joblib.externals.loky.get_reusable_executor().shutdown(wait=True)


BAD = "Curie"


class Refusal(Exception):
    """Of a text that a test has a component fail at."""


@pytest.mark.parametrize("batch_size", [1, 2, 100])
@pytest.mark.parametrize("name", ["open_ner_span", "type_filter", "gner_generator", "lar_reassigner"])
def test_handlers_collect_the_docs_that_fail_and_no_others(name, batch_size, build, monkeypatch):
    nlp = build(name)
    pipe = nlp.get_pipe(name)
    process, failed = type(pipe)._process, []

    def fails(self, docs):
        if any(BAD in doc.text for doc in docs):
            raise Refusal
        process(self, docs)

    monkeypatch.setattr(type(pipe), "_process", fails)
    nlp.set_error_handler(lambda proc_name, proc, docs, problem: failed.extend((proc_name, d.text) for d in docs))
    texts = [*TEXTS * 2, "Paris"]
    docs = list(nlp.pipe(texts, batch_size=batch_size))
    assert failed == [(name, TEXTS[0])] * 2
    assert [doc.text for doc in docs] == [text for text in texts if BAD not in text]


@pytest.fixture
def collecting(build):
    """A pipeline whose handler takes docs away that a component in front fails at."""

    def fail(doc):
        if BAD in doc.text:
            raise Refusal
        return doc

    Language.component("fails_at_some", func=fail)

    def make(name):
        nlp = build(name)
        nlp.add_pipe("fails_at_some", first=True)
        nlp.set_error_handler(lambda *args: None)
        return nlp

    return make


def gold(nlp):
    docs = [nlp.make_doc(f"Ada {i} met {BAD if i % 3 == 1 else 'Bohr'}") for i in range(9)]
    for doc in docs:
        doc.spans["openner"] = [Span(doc, 0, 1, label=LABELS[0])]
    return docs


def test_what_works_by_annotated_docs_does_without_those_that_a_handler_takes(collecting):
    nlp = collecting("open_ner_span")
    assert calibrate_entities(nlp, gold(nlp)).after.gold == 6
    assert sum(align_labels(nlp, gold(nlp), source="openner").targets[LABELS[0]].counts.values()) == 6
    assert measure_reliability(nlp, gold(nlp)).skipped == 0
    nlp = collecting("type_filter")
    assert calibrate_types(nlp, gold(nlp)).after.present == 6


def test_who_asks_a_service_is_told(collecting):
    """A handler would take texts out of the answers, and others get theirs."""
    finder = EntityFinder(collecting("open_ner_span"))
    with pytest.raises(Refusal):
        finder(["Ada", BAD, "Bohr"], RequestSettings())
    assert len(finder(["Ada", "Bohr"], RequestSettings())) == 2


def test_a_run_sets_aside_what_a_handler_would_lose(collecting, tmp_path, monkeypatch):
    monkeypatch.setattr("spacy_openner.bulk.annotator.load_pipeline", lambda path: collecting("open_ner_span"))
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("Ada", BAD, "Bohr")))
    (tmp_path / "out").mkdir()
    files = find_sources(str(source))
    (unit,) = plan_units(files, choose_unit_bytes(files))
    result = UnitAnnotator(RunSettings("pipeline", str(tmp_path / "out")))(unit)
    assert (result.problem, result.counts.records, result.counts.set_aside) == (None, 2, 1)


def test_a_pipeline_of_one_kind_is_pickled_with_its_settings(tmp_path):
    nlp = pipeline("types-static", KINDS["types-static"](tmp_path))
    nlp.get_pipe("type_filter").threshold = 0.125
    assert pickle.loads(pickle.dumps(nlp)).get_pipe("type_filter").threshold == 0.125
