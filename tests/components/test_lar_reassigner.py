"""The component `lar_reassigner` with every reassigner: what it decides, what the doc says, what stays as it was."""

import json
import multiprocessing
import re
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span, SpanGroup
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_openner.errors import OpenNERWarning, SettingError
from spacy_openner.lar.decisions import Decision, read_decisions
from spacy_openner.lar.reassigner import TypeChoice
from spacy_openner.lar.table import AlignmentTable
from tests.support import tiny_models as tiny
from tests.support.fake_chat_server import serve
from tests.support.reassignment_case import (
    GOLD,
    TABLE,
    TEXTS,
    ents,
    gated,
    generator,
    gold_doc,
    lar_nlp,
    llm,
    source_nlp,
    span_matcher,
)

KEY = "sk-very-secret-0123456789"
ALL = " ".join(TEXTS)


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with serve(gold=GOLD) as running:
        yield running


@pytest.fixture(params=["span", "generator", "llm", "gated"])
def nlp(request, server, tiny_path, t5):
    """A pipeline with each kind of reassigner."""
    kinds = {
        "span": span_matcher(tiny_path),
        "generator": generator(t5),
        "llm": llm(server.url),
        "gated": gated(span_matcher(tiny_path), llm(server.url), below=0.9),
    }
    return lar_nlp(kinds[request.param])


def sides(doc, key="openner"):
    """What a doc says, as plain data."""
    return [(*d[:4], round(d.score, 4), *d[5:]) for d in read_decisions(doc, key)], ents(doc)


# What all reassigners share


def test_entities_get_types_of_their_source_types(nlp):
    docs = list(nlp.pipe(TEXTS))
    options = {source: {t for t, s in TABLE.items() if s == source} for source in TABLE.values()}
    n = 0
    for doc in docs:
        group = doc.spans["openner"]
        assert len(group) == len(group.attrs["scores"]) == len(group.attrs["sources"])
        for decision in read_decisions(doc):
            n += 1
            assert not decision.label or decision.label in options[decision.source]
            assert 0 <= decision.score <= 1
        assert ents(doc) == {doc[d.start : d.end].text: d.label for d in read_decisions(doc) if d.label}
    tally = nlp.get_pipe("lar_reassigner").tally
    assert n == tally.entities == tally.decided.total() + tally.dropped.total() == 9


def test_one_at_a_time_is_as_in_a_batch(nlp):
    for text, doc in zip(TEXTS, nlp.pipe(TEXTS), strict=True):
        assert sides(nlp(text)) == sides(doc)


def test_docs_without_anything(nlp):
    for text in ("", " ", "\n\n", "Rain"):
        doc = nlp(text)
        assert sides(doc) == ([], {})


def test_saved_and_loaded(nlp, tmp_path, monkeypatch):
    expected = [sides(doc) for doc in nlp.pipe(TEXTS)]
    nlp.to_disk(tmp_path / "saved")
    monkeypatch.setattr("spacy_openner.nn.hub.find", None)
    copy = spacy.load(tmp_path / "saved")
    assert [sides(doc) for doc in copy.pipe(TEXTS)] == expected
    assert copy.get_pipe("lar_reassigner").table == nlp.get_pipe("lar_reassigner").table


def test_bytes(nlp):
    expected = [sides(doc) for doc in nlp.pipe(TEXTS)]
    copy = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    # spaCy's entity_ruler loses its patterns there.
    copy.get_pipe("entity_ruler").add_patterns(nlp.get_pipe("entity_ruler").patterns)
    assert [sides(doc) for doc in copy.pipe(TEXTS)] == expected


@pytest.mark.timeout(180)
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
@pytest.mark.parametrize("nlp", ["gated", "generator"], indirect=True)
def test_two_processes(nlp, monkeypatch):
    expected = [sides(doc) for doc in nlp.pipe(TEXTS)]
    monkeypatch.setattr("spacy.language.mp", multiprocessing.get_context("fork"))
    docs = list(nlp.pipe(TEXTS * 2, n_process=2, batch_size=3))
    assert [sides(doc) for doc in docs] == expected * 2


def test_what_the_doc_says_survives_a_docbin(nlp, tmp_path):
    docs = list(nlp.pipe(TEXTS))
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "docs.spacy")
    for copy, doc in zip(DocBin().from_disk(tmp_path / "docs.spacy").get_docs(nlp.vocab), docs, strict=True):
        assert sides(copy) == sides(doc)


# Where entities come from, and which stay


def test_unmapped_types_stay_or_go(server):
    kept = lar_nlp(llm(server.url), more={"May": "date"})("Ada left in May")
    assert ents(kept) == {"Ada": "politician", "May": "date"}
    assert read_decisions(kept)[1] == Decision(3, 4, "date", "date", 1.0, "source", "unmapped")
    gone = lar_nlp(llm(server.url), more={"May": "date"}, on_unmapped="drop")("Ada left in May")
    assert ents(gone) == {"Ada": "politician"}
    assert read_decisions(gone)[1] == Decision(3, 4, "date", "", 0.0, "source", "unmapped")


def test_none_of_the_options(server):
    dropped = lar_nlp(llm(server.url))("Zoe met Ada")
    assert ents(dropped) == {"Ada": "politician"}
    assert read_decisions(dropped)[0] == Decision(0, 1, "person", "", 0.0, "llm", "none")
    kept = lar_nlp(llm(server.url), on_none="keep")("Zoe met Ada")
    assert ents(kept) == {"Zoe": "person", "Ada": "politician"}
    assert read_decisions(kept)[0][5:7] == ("llm", "none")
    never = lar_nlp(llm(server.url), on_none="never")("Zoe met Ada")
    assert set(ents(never)) == {"Zoe", "Ada"}
    assert "none of these" not in server.requests[-1]["messages"][-1]["content"]


def test_one_option_needs_no_question(server):
    nlp = lar_nlp(llm(server.url), table={"politician": "person", "city": "place"}, on_none="never")
    doc = nlp("Zoe left Bath")
    assert ents(doc) == {"Zoe": "politician", "Bath": "city"}
    assert {d.by for d in read_decisions(doc)} == {"table"}
    assert not server.requests


def test_from_a_span_group_with_scores(server):
    nlp = lar_nlp(llm(server.url), source="found", spans_key="settled", on_unmapped="keep")
    nlp.remove_pipe("entity_ruler")
    doc = nlp.make_doc("Ada met Lee in May")
    spans = [Span(doc, 0, 1, "person"), Span(doc, 2, 3, "person"), Span(doc, 4, 5, "date")]
    doc.spans["found"] = SpanGroup(doc, spans=spans, attrs={"scores": [0.5, 0.75, 0.25]})
    doc = nlp(doc)
    assert [(span.text, span.label_) for span in doc.spans["settled"]] == [
        ("Ada", "politician"),
        ("Lee", "musician"),
        ("May", "date"),
    ]
    assert [round(float(s), 2) for s in doc.spans["settled"].attrs["scores"]] == [1.0, 1.0, 0.25]
    assert [span.label_ for span in doc.spans["found"]] == ["person", "person", "date"]
    assert ents(nlp(nlp.make_doc("Ada"))) == {}


def test_preset_entities_are_respected(server):
    """An entity that did not come in through `source` stays, unless it is to be overwritten."""
    for overwrite in (False, True):
        nlp = lar_nlp(llm(server.url), source="found", overwrite_ents=overwrite)
        nlp.remove_pipe("entity_ruler")
        doc = nlp.make_doc("Ada met Lee in Oslo")
        doc.spans["found"] = [Span(doc, 0, 1, "person"), Span(doc, 2, 3, "person"), Span(doc, 4, 5, "place")]
        # A preset one of another extent, one that the group has as well, and a token that is ruled out.
        doc.set_ents([Span(doc, 0, 2, "team"), Span(doc, 2, 3, "person")], blocked=[doc[4:5]])
        expected = {"Ada": "politician", "Lee": "musician"} if overwrite else {"Ada met": "team", "Lee": "musician"}
        assert ents(nlp(doc)) == expected


def test_preset_entities_of_target_types_are_left_alone(server):
    nlp = lar_nlp(llm(server.url), more={"Zoe": "musician"})
    doc = nlp("Zoe met Ada")
    assert ents(doc) == {"Zoe": "musician", "Ada": "politician"}
    assert sides(nlp(Doc.from_docs([doc])))[1] == ents(doc)


def test_links_of_entities_are_kept(server):
    nlp = lar_nlp(llm(server.url))
    doc = nlp("Ada met Lee")
    assert [(ent.label_, ent.ent_id_) for ent in doc.ents] == [("politician", "Ada-1"), ("musician", "Lee-1")]


def test_explanations_stay_with_their_entities(server):
    nlp = lar_nlp(llm(server.url), source="openner")
    nlp.remove_pipe("entity_ruler")
    doc = nlp.make_doc("Zoe met Ada and Lee")
    spans = [Span(doc, 0, 1, "person"), Span(doc, 2, 3, "person"), Span(doc, 4, 5, "person")]
    attrs = {"explanations": ["Zoe meets.", "", "Lee is met."], "openner": "gner_generator"}
    doc.spans["openner"] = SpanGroup(doc, spans=spans, attrs=attrs)
    group = nlp(doc).spans["openner"]
    said = {span.text: why for span, why in zip(group, group.attrs["explanations"], strict=True)}
    # Zoe is none of the target types, and is dropped.
    assert said == {"Ada": "", "Lee": "Lee is met."}


def test_without_writing_entities(server):
    doc = lar_nlp(llm(server.url), annotate_ents=False)("Ada met Lee")
    assert ents(doc) == {"Ada": "person", "Lee": "person"}
    assert [span.label_ for span in doc.spans["openner"]] == ["politician", "musician"]


def test_overlapping_sources(server):
    nlp = lar_nlp(llm(server.url), source="found", overlap="flat")
    nlp.remove_pipe("entity_ruler")
    doc = nlp.make_doc("Ada met Lee")
    doc.spans["found"] = [Span(doc, 0, 1, "person"), Span(doc, 0, 3, "person"), Span(doc, 0, 1, "person")]
    said = read_decisions(nlp(doc))
    assert [(d.start, d.end, d.label, d.reason) for d in said] == [
        (0, 3, "", "none"),
        (0, 1, "politician", ""),
        (0, 1, "", "overlaps a better one"),
    ]


def test_thresholds(tiny_path):
    nlp = lar_nlp(span_matcher(tiny_path))
    scores = {doc[d.start : d.end].text: d for doc in nlp.pipe([ALL]) for d in read_decisions(doc)}
    pipe = nlp.get_pipe("lar_reassigner")
    middle = sorted(d.score for d in scores.values())[4]
    pipe.threshold = middle
    for doc in nlp.pipe([ALL]):
        for d in read_decisions(doc):
            before = scores[doc[d.start : d.end].text]
            right = (before.label, "") if before.score >= middle else ("", "below the threshold")
            assert (d.label, d.reason) == right


# Tables


def test_neither_table_nor_labels(server):
    nlp = lar_nlp(llm(server.url), table=None)
    with pytest.warns(OpenNERWarning, match="W504"):
        doc = nlp("Ada")
    assert ents(doc) == {"Ada": "person"}


@pytest.mark.parametrize(("source", "group"), [("doc.ents", "openner"), ("doc.ents", "sc"), ("nope", "sc")])
def test_spans_that_stand_elsewhere_than_in_the_source(server, source, group):
    """As behind an `open_ner_span` that leaves doc.ents alone."""
    nlp = lar_nlp(llm(server.url), source=source)
    docs = [Doc(nlp.vocab, ["Bo", "left"]), Doc(nlp.vocab, ["Bo"]), Doc(nlp.vocab, ["Bo"])]
    for doc in docs[:2]:
        doc.spans[group] = [Span(doc, 0, 1, label="person")]
    with pytest.warns(OpenNERWarning) as warned:
        list(nlp.get_pipe("lar_reassigner").pipe(docs))
    (message,) = [str(each.message) for each in warned]
    assert re.search(rf"W506.*'lar_reassigner'.*'{source}'.*\{{'{group}': 1\}}", message)


def test_docs_without_entities_are_no_reason_to_warn(server):
    nlp = lar_nlp(llm(server.url))
    doc = nlp("Nobody came.")
    assert not nlp.get_pipe("lar_reassigner")(doc).ents


def test_without_a_table_all_labels_are_options(server):
    nlp = lar_nlp(llm(server.url), table=None, labels={"politician": "who governs", "city": "a town"})
    assert ents(nlp("Ada left Oslo")) == {"Ada": "politician", "Oslo": "city"}
    asked = json.loads(server.requests[0]["messages"][-1]["content"])
    assert asked["entities"]["1"]["options"] == {"A": "politician", "B": "city", "C": "none of these"}
    assert asked["types"] == {"politician": "who governs", "city": "a town"}


def test_a_table_can_be_changed_and_is_saved(server, tmp_path):
    nlp = lar_nlp(llm(server.url))
    odd = {"politician": "person", "a: b": "place", "city": "place"}
    nlp.get_pipe("lar_reassigner").table = odd
    nlp.to_disk(tmp_path)
    pipe = spacy.load(tmp_path).get_pipe("lar_reassigner")
    assert pipe.table == AlignmentTable.from_dict(odd)
    # spaCy adds to mappings that the config has.
    given = spacy.load(tmp_path, config={"components.lar_reassigner.table": {"ocean": "place"}})
    assert given.get_pipe("lar_reassigner").table == AlignmentTable.from_dict({**odd, "ocean": "place"})


def test_initialize_aligns(server):
    nlp = lar_nlp(llm(server.url), table=None)
    ruler = nlp.get_pipe("entity_ruler")
    patterns = ruler.patterns
    examples = [Example(nlp.make_doc(text), gold_doc(nlp, text)) for text in TEXTS]
    nlp.config["initialize"]["components"]["entity_ruler"] = {"patterns": patterns}
    nlp.initialize(lambda: examples)
    pipe = nlp.get_pipe("lar_reassigner")
    assert {target: each.sources[0] for target, each in pipe.table.targets.items()} == TABLE
    assert pipe.table.targets["politician"].counts == {"person": 3}
    assert not examples[0].predicted.ents
    pipe.table = {"politician": "person"}
    nlp.initialize(lambda: examples)
    assert pipe.table.options("person") == ("politician",)


def test_initialize_with_a_file_and_without_examples(server, tmp_path):
    AlignmentTable.from_dict(TABLE).save(tmp_path / "table.json")
    nlp = lar_nlp(llm(server.url), table=None)
    nlp.initialize()
    assert nlp.get_pipe("lar_reassigner").table is None
    nlp.config["initialize"]["components"]["lar_reassigner"] = {"table": str(tmp_path / "table.json")}
    nlp.initialize()
    assert nlp.get_pipe("lar_reassigner").table == AlignmentTable.from_dict(TABLE)
    nlp.config["initialize"]["components"]["lar_reassigner"] = {"table": TABLE, "labels": ["city"]}
    with pytest.raises(SettingError, match="O502"):
        nlp.initialize()


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"on_none": "maybe"}, "O001"),
        ({"on_unmapped": "maybe"}, "O001"),
        ({"table": {"a: b": "person"}}, "O009"),
        ({"table": {"none": "person"}}, "O503"),
        ({"threshold": 2.0}, "O001"),
    ],
)
def test_settings_that_are_not_allowed(config, code):
    with pytest.raises(SettingError, match=code):
        lar_nlp(**config)


def test_no_gate_to_set(tiny_path):
    pipe = lar_nlp(span_matcher(tiny_path)).get_pipe("lar_reassigner")
    assert pipe.gate is None
    with pytest.raises(SettingError, match="O506"):
        pipe.gate = {"politician": 0.5}


def test_docs_that_it_did_not_process(server):
    nlp = source_nlp()
    with pytest.raises(SettingError, match="O510"):
        read_decisions(nlp("Ada"))


def test_errors_go_to_the_error_handler(server, monkeypatch):
    nlp = lar_nlp(llm(server.url))
    failed = []
    pipe = nlp.get_pipe("lar_reassigner")
    pipe.set_error_handler(lambda name, pipe, docs, problem: failed.append((name, len(docs))))
    monkeypatch.setattr(pipe.reassigner, "client", None)
    assert list(nlp.pipe(["Ada", "Bob"])) == []
    assert failed == [("lar_reassigner", 1)] * 2, "each doc alone: others of its batch are none the worse"


# Keys


def test_nothing_saved_holds_a_key(monkeypatch, tmp_path):
    with serve(gold=GOLD, key=KEY) as server:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        cache = tmp_path / "cache"
        nlp = lar_nlp(llm(server.url, cache_dir=str(cache)))
        assert ents(nlp("Ada met Lee")) == {"Ada": "politician", "Lee": "musician"}
        nlp.to_disk(tmp_path / "saved")
        packed = nlp.to_bytes()
        assert KEY not in nlp.config.to_str()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"config.cfg", "answers.sqlite3"}
    assert not any(KEY.encode() in data for data in (packed, *map(Path.read_bytes, files)))


# Weights


def test_overfitting_IO(tmp_path):
    """A matcher that learns the target types settles those of entities of source types, through a copy as well."""
    nlp = source_nlp()
    nlp.add_pipe("open_ner_span", config={"labels": list(TABLE), "annotate_ents": False, "spans_key": "direct"})
    nlp.add_pipe("lar_reassigner", config={"table": TABLE, "on_none": "never"})
    texts = [text for text in TEXTS if text]
    examples = [Example(nlp.make_doc(text), gold_doc(nlp, text)) for text in texts]
    for example in examples:
        example.reference.spans["direct"] = list(example.reference.ents)
    fix_random_seed(0)
    nlp.get_pipe("open_ner_span").initialize(lambda: examples)
    optimizer = nlp.create_optimizer()
    optimizer.learn_rate = 3e-4
    for _ in range(30):
        losses = nlp.update(examples, sgd=optimizer)
        if losses["open_ner_span"] < 0.05:
            break
    assert losses["open_ner_span"] < 0.1

    def right(pipeline):
        found = {text: label for doc in pipeline.pipe(texts) for text, label in ents(doc).items()}
        return {text: found[text] for text in GOLD}

    assert right(nlp) == GOLD
    nlp.to_disk(tmp_path)
    copy = spacy.load(tmp_path)
    assert right(copy) == GOLD
    assert copy.get_pipe("lar_reassigner").reassigner.model is copy.get_pipe("open_ner_span").model
    assert not list((tmp_path / "lar_reassigner").rglob("*.safetensors")), "the shared weights are saved once"
    scores = nlp.evaluate([Example(nlp.make_doc(e.text), e.reference) for e in examples])
    assert scores["openner_r"] == 1.0


def test_long_docs(tiny_path, server):
    """300 entities in one doc, far more words than any window."""
    text = " ".join(f"{name} {tiny.SENTENCES[0]}" for name in ["Ada", "Lee", "Oslo"] * 100)
    doc = lar_nlp(span_matcher(tiny_path), on_none="never")(text)
    assert len(read_decisions(doc)) == len(doc.ents) == 300
    doc = lar_nlp(llm(server.url))(text)
    assert ents(doc) == {"Ada": "politician", "Lee": "musician", "Oslo": "city"}
    assert len(doc.ents) == 300


# Bounds


class TrimmingReassigner:
    """Chooses the first option for an entity without its first word."""

    report = None

    def __call__(self, cases, types):
        return [
            TypeChoice(case.options[0], 0.9, "test", "a neighbouring span", (case.start + 1, case.end))
            for case in cases
        ]

    def attach(self, name, nlp):
        """Share nothing."""

    initialize = save = load = lambda self, path=None: None


def trimmed(**config):
    nlp = lar_nlp(llm("http://localhost:1"), more={"the Ada": "person"}, **config)
    nlp.get_pipe("lar_reassigner").reassigner = TrimmingReassigner()
    return nlp("Yes , the Ada left")


def test_bounds_are_corrected_where_asked():
    doc = trimmed(correct_bounds=True)
    (decision,) = read_decisions(doc)
    assert decision == Decision(3, 4, "person", "politician", pytest.approx(0.9), "test", "a neighbouring span", (2, 4))
    assert decision.source_bounds == (2, 4)
    assert [(ent.start, ent.end, ent.label_) for ent in doc.ents] == [(3, 4, "politician")]
    copy = Doc(doc.vocab).from_bytes(doc.to_bytes())
    assert read_decisions(copy) == [decision]


def test_bounds_stay_by_default():
    doc = trimmed()
    (decision,) = read_decisions(doc)
    assert (decision.start, decision.end, decision.moved_from, decision.reason) == (2, 4, None, "a neighbouring span")
    assert ents(doc) == {"the Ada": "politician"}
