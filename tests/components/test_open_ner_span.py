"""The component: what a user of spaCy expects of it."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example

from spacy_openner.errors import OpenNERWarning, SettingError, TextError
from tests.support import tiny_models as tiny
from tests.support.tiny_models import found, same

LONG = tiny.long_text(300)


def test_scores_stay_in_step_with_spans(make_nlp):
    doc = make_nlp(overlap="all")(tiny.SENTENCES[0])
    spans = found(doc)
    assert spans
    assert all(0.5 < score <= 1 for *_, score in spans)
    assert doc.spans["openner"].attrs["scores"].dtype == np.float32


def test_scores_survive_docbin(make_nlp):
    nlp = make_nlp(overlap="all")
    doc = nlp(tiny.SENTENCES[0])
    copy = next(iter(DocBin(docs=[doc]).get_docs(nlp.vocab)))
    assert found(copy) == found(doc)


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n\t ", "a", "😀", "北京大学的张伟教授访问了巴黎。", "\u200b\u200d\ufe0f", "\x00\x07"]
)
def test_odd_texts(make_nlp, text):
    doc = make_nlp(threshold=0.0, overlap="all")(text)
    assert doc.text == text
    assert all(span.text.strip() for span in doc.spans["openner"])


@pytest.mark.parametrize("overlap", ["flat", "nested", "all"])
@pytest.mark.parametrize("batch_tokens", [1, 64, 4096])
def test_one_doc_or_many_makes_no_difference(make_nlp, overlap, batch_tokens):
    nlp = make_nlp(overlap=overlap)
    texts = [*tiny.SENTENCES, "", LONG, "Hi", tiny.SENTENCES[3] * 3]
    alone = [found(nlp(text)) for text in texts]
    nlp.get_pipe("open_ner_span").batch_tokens = batch_tokens
    for expected, doc in zip(alone, nlp.pipe(texts), strict=True):
        same(found(doc), expected)
    assert sum(map(len, alone)) > 20


def test_docs_with_types_of_their_own_do_not_mix(make_nlp):
    nlp = make_nlp(overlap="all", threshold=0.3)
    own = [["person"], None, ["音乐", "award"], [], {"award": "a prize"}]
    expected = []
    for text, labels in zip(tiny.SENTENCES, own, strict=False):
        doc = nlp.make_doc(text)
        doc._.openner_labels = labels
        expected.append(found(nlp(doc)))
    docs = [nlp.make_doc(text) for text, _ in zip(tiny.SENTENCES, own, strict=False)]
    for doc, labels in zip(docs, own, strict=True):
        doc._.openner_labels = labels
    for doc, labels, alone in zip(nlp.pipe(docs), own, expected, strict=True):
        same(found(doc), alone)
        assert {label for _, _, label, _ in alone} <= set(tiny.LABELS if labels is None else labels)
    assert all(expected[i] for i in (0, 1, 2, 4))
    assert not expected[3]


def test_repeated_mentions_are_all_found(make_nlp):
    nlp = make_nlp(overlap="all", threshold=0.0)
    doc = nlp("Paris Paris Paris")
    for i in range(3):
        assert {label for start, end, label, _ in found(doc) if (start, end) == (i, i + 1)} == set(tiny.LABELS)


def test_descriptions_go_into_the_prompt_only_when_asked(make_nlp):
    described = {"x1": "person", "x2": "award"}
    plain = found(make_nlp(labels=["person", "award"], overlap="all")(tiny.SENTENCES[0]))
    nlp = make_nlp(labels=described, use_descriptions=True, overlap="all")
    by_text = {v: k for k, v in described.items()}
    same(found(nlp(tiny.SENTENCES[0])), [(s, e, by_text[label], p) for s, e, label, p in plain])
    nlp.get_pipe("open_ner_span").use_descriptions = False
    assert found(nlp(tiny.SENTENCES[0])) != found(
        make_nlp(labels=["person", "award"], overlap="all")(tiny.SENTENCES[0])
    )
    assert nlp.get_pipe("open_ner_span").descriptions == described


def test_labels_change_without_loading(make_nlp, monkeypatch):
    nlp = make_nlp(overlap="all", threshold=0.1)
    pipe = nlp.get_pipe("open_ner_span")
    nlp("Load now.")
    monkeypatch.setattr("spacy_openner.models.gliner.checkpoint.load", None)
    pipe.labels = ["chemical element"]
    assert pipe.labels == ("chemical element",)
    assert {label for *_, label, _ in found(nlp(tiny.SENTENCES[0]))} == {"chemical element"}


def test_no_labels_finds_nothing_and_says_so_once(make_nlp):
    nlp = make_nlp(labels=[])
    with pytest.warns(OpenNERWarning, match="W001"):
        assert found(nlp("Some text.")) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not nlp("Again.").ents


@pytest.mark.parametrize("count", [1, 40, 1000, 2000])
def test_any_number_of_labels(make_nlp, count):
    labels = [f"type {i}, (kind {i % 7})" for i in range(count)]
    nlp = make_nlp(labels=labels, overlap="all", threshold=0.0)
    doc = nlp("Marie Curie")
    assert {label for *_, label, _ in found(doc)} == set(labels)


@pytest.mark.parametrize("fixture", ["tiny_path", "bi_encoder_path"])
def test_a_label_too_long_for_the_model(make_nlp, request, fixture):
    nlp = make_nlp({"name": str(request.getfixturevalue(fixture))}, labels=["fine", "word " * 600])
    with pytest.raises(SettingError, match="O006"):
        nlp("Some text.")


def test_label_thresholds(make_nlp):
    scores = found(make_nlp(overlap="all", threshold=0.0)(tiny.SENTENCES[0]))
    limit = sorted(p for *_, label, p in scores if label == "award")[-3]
    nlp = make_nlp(overlap="all", threshold=1.0, label_thresholds={"award": limit})
    kept = found(nlp(tiny.SENTENCES[0]))
    assert 1 <= len(kept) <= 3
    assert {label for *_, label, _ in kept} == {"award"}
    assert all(p > limit for *_, p in kept)
    with pytest.warns(OpenNERWarning, match="W005"):
        nlp.get_pipe("open_ner_span").label_thresholds = {"nobody": 0.1}


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        ("labels", "person", "O002"),
        ("labels", [""], "O003"),
        ("labels", ["a", 3], "O003"),
        ("labels", {"a": ""}, "O004"),
        ("labels", 5, "O002"),
        ("threshold", 1.5, "O001"),
        ("threshold", "0.5", "O001"),
        ("threshold", float("nan"), "O001"),
        ("label_thresholds", {"person": 2}, "O005"),
        ("overlap", "some", "O001"),
        ("batch_tokens", 0, "O001"),
        ("batch_tokens", 1.5, "O001"),
    ],
)
def test_bad_settings(make_nlp, setting, value, code):
    pipe = make_nlp().get_pipe("open_ner_span")
    with pytest.raises(SettingError, match=code):
        setattr(pipe, setting, value)


@pytest.mark.parametrize(
    "model",
    [
        {"precision": "half"},
        {"backend": "jax"},
        {"words": "white"},
        {"window": 3},
        {"max_types": 0},
        {"precision": "bfloat16", "backend": "onnx"},
        {"precision": "int8"},
    ],
)
def test_bad_model_settings(make_nlp, model):
    with pytest.raises(SettingError, match="O001"):
        make_nlp(model)


def test_entities_of_rules_before_are_kept(make_nlp):
    nlp = make_nlp(threshold=0.0)
    ruler = nlp.add_pipe("entity_ruler", before="open_ner_span")
    ruler.add_patterns([{"label": "RULE", "pattern": "Nobel Prize", "id": "np"}])
    doc = nlp(tiny.SENTENCES[0])
    rule = [ent for ent in doc.ents if ent.label_ == "RULE"]
    assert [(ent.text, ent.ent_id_) for ent in rule] == [("Nobel Prize", "np")]
    assert len(doc.ents) > 1


def test_entities_of_rules_before_are_overwritten_when_asked(make_nlp):
    nlp = make_nlp(threshold=0.0, overwrite_ents=True)
    nlp.add_pipe("entity_ruler", before="open_ner_span").add_patterns([{"label": "RULE", "pattern": "Nobel Prize"}])
    doc = nlp(tiny.SENTENCES[0])
    assert doc.ents
    assert "RULE" not in {ent.label_ for ent in doc.ents}


def test_untouched_entities_stay_even_when_overwriting(make_nlp):
    nlp = make_nlp(threshold=1.0, overwrite_ents=True)
    nlp.add_pipe("entity_ruler", before="open_ner_span").add_patterns([{"label": "RULE", "pattern": "Nobel Prize"}])
    assert [ent.label_ for ent in nlp(tiny.SENTENCES[0]).ents] == ["RULE"]


def test_rules_after_and_span_rulers(make_nlp):
    nlp = make_nlp(threshold=0.0)
    nlp.add_pipe("entity_ruler", config={"overwrite_ents": True}).add_patterns(
        [{"label": "RULE", "pattern": "Nobel Prize"}]
    )
    for place in ("first", "last"):
        name = f"ruler_{place}"
        nlp.add_pipe("span_ruler", name=name, config={"spans_key": name}, **{place: True}).add_patterns(
            [{"label": "R", "pattern": "Curie"}]
        )
    doc = nlp(tiny.SENTENCES[0])
    assert "RULE" in {ent.label_ for ent in doc.ents}
    assert [s.text for s in doc.spans["ruler_first"]] == [s.text for s in doc.spans["ruler_last"]] == ["Curie"]
    assert doc.spans["openner"]


def test_blocked_tokens_stay_blocked(make_nlp):
    nlp = make_nlp(threshold=0.0)
    doc = nlp.make_doc(tiny.SENTENCES[0])
    doc.set_ents([], blocked=[doc[0:2]], default="unmodified")
    doc = nlp(doc)
    assert doc.ents
    assert all(ent.start >= 2 for ent in doc.ents)


def test_replacing_foreign_spans_is_said(make_nlp):
    nlp = make_nlp()
    doc = nlp.make_doc("Marie Curie")
    doc.spans["openner"] = [Span(doc, 0, 1, label="X")]
    with pytest.warns(OpenNERWarning, match="W004"):
        nlp(doc)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp(doc)


def test_two_components_in_one_pipeline(make_nlp, tiny_path):
    nlp = make_nlp(labels=["person"], threshold=0.0)
    config = {"labels": ["award"], "spans_key": "second", "threshold": 0.0, "model": tiny.span_matcher(tiny_path)}
    nlp.add_pipe("open_ner_span", name="again", config=config)
    doc = nlp(tiny.SENTENCES[0])
    assert {s.label_ for s in doc.spans["openner"]} == {"person"}
    assert {s.label_ for s in doc.spans["second"]} == {"award"}


def test_annotate_ents_off(make_nlp):
    doc = make_nlp(annotate_ents=False, threshold=0.0)(tiny.SENTENCES[0])
    assert doc.spans["openner"]
    assert not doc.ents
    assert not doc.has_annotation("ENT_IOB")


def test_spacys_own_tools(make_nlp):
    nlp = make_nlp(threshold=0.0)
    nlp.add_pipe("merge_entities")
    analysis = nlp.analyze_pipes()
    assert "doc.ents" in analysis["summary"]["open_ner_span"]["assigns"]
    assert not analysis["problems"]["open_ner_span"]
    assert len(nlp(tiny.SENTENCES[0])) < len(nlp.make_doc(tiny.SENTENCES[0]))
    with nlp.select_pipes(disable="open_ner_span"):
        assert not nlp(tiny.SENTENCES[0]).ents
    assert nlp(tiny.SENTENCES[0]).ents


def test_after_retokenisation(make_nlp):
    nlp = make_nlp(threshold=0.0, overlap="all")
    doc = nlp.make_doc(tiny.SENTENCES[0])
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
    assert {(s.start, s.end) for s in nlp(doc).spans["openner"]} >= {(0, 1), (0, 2)}


def test_predict_leaves_docs_alone(make_nlp):
    nlp = make_nlp(threshold=0.0)
    doc = nlp.make_doc(tiny.SENTENCES[0])
    before = doc.to_bytes()
    assert nlp.get_pipe("open_ner_span").predict([doc])[0]
    assert doc.to_bytes() == before


def test_threads(make_nlp):
    nlp = make_nlp(overlap="all")
    pipe = nlp.get_pipe("open_ner_span")
    docs = [nlp.make_doc(text) for text in [*tiny.SENTENCES, LONG] * 4]
    expected = [pipe.predict([doc])[0] for doc in docs]
    fresh = make_nlp(overlap="all").get_pipe("open_ner_span")  # loads its weights in a race
    barrier = threading.Barrier(4)

    def work(part):
        barrier.wait()
        return [fresh.predict([doc])[0] for doc in docs[part::4]]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(4)))
    for part, predictions in enumerate(results):
        for candidates, alone in zip(predictions, expected[part::4], strict=True):
            same(candidates, alone)


def test_error_handler_gets_the_docs(make_nlp):
    nlp = make_nlp()
    bad = nlp.make_doc("Bad one.")
    bad._.openner_labels = "person"
    failed = []
    nlp.get_pipe("open_ner_span").set_error_handler(lambda name, proc, docs, e: failed.append((len(docs), str(e))))
    assert [doc.text for doc in nlp.pipe([nlp.make_doc("Good."), bad], batch_size=1)] == ["Good."]
    assert failed[0][0] == 1
    assert "O002" in failed[0][1]


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
def test_only_the_bad_doc_goes_to_an_error_handler(make_nlp, batch_size):
    nlp, failed = make_nlp(), []
    nlp.set_error_handler(lambda name, pipe, docs, problem: failed.append((name, docs, type(problem))))
    docs = [nlp.make_doc(f"Marie Curie {i}.") for i in range(10)]
    docs[3]._.openner_labels = 3
    good = list(nlp.pipe(docs, batch_size=batch_size))
    assert good == [*docs[:3], *docs[4:]]
    assert all("openner" in doc.spans for doc in good)
    assert failed == [("open_ner_span", [docs[3]], SettingError)]


def test_one_doc_that_fails_is_kept_where_a_handler_takes_the_error(make_nlp):
    nlp, failed = make_nlp(), []
    nlp.set_error_handler(lambda name, pipe, docs, problem: failed.append(docs))
    bad = nlp.make_doc("Bad one.")
    bad._.openner_labels = 3
    assert nlp(bad) is bad
    assert failed == [[bad]]
    assert nlp("Marie Curie").spans["openner"] is not None


def test_training_other_components_beside_it(make_nlp):
    nlp = make_nlp(threshold=0.0)
    textcat = nlp.add_pipe("textcat")
    texts = {"good": {"cats": {"yes": 1.0, "no": 0.0}}, "bad": {"cats": {"yes": 0.0, "no": 1.0}}}
    examples = [Example.from_dict(nlp.make_doc(text), gold) for text, gold in texts.items()]
    with nlp.select_pipes(enable=["textcat", "open_ner_span"]):
        optimizer = nlp.initialize(lambda: examples)
        losses = nlp.update(examples, sgd=optimizer, annotates=["open_ner_span"])
    assert losses["textcat"] > 0
    assert set(textcat.labels) == {"yes", "no"}
    assert nlp("good").cats
    assert nlp(tiny.SENTENCES[0]).ents


def test_devices(make_nlp):
    nlp = make_nlp(overlap="all")
    model = nlp.get_pipe("open_ner_span").model
    model.to_cpu()
    before = found(nlp(tiny.SENTENCES[0]))
    model.to_cpu()
    assert found(nlp(tiny.SENTENCES[0])) == before


def test_span_scores_equal_predictions(make_nlp):
    nlp = make_nlp(overlap="all", threshold=0.0)
    pipe = nlp.get_pipe("open_ner_span")
    for text in (*tiny.SENTENCES, LONG):
        doc = nlp(text)
        table = {}
        for start, end, label, score in found(doc):
            table.setdefault((start, end), {})[label] = score
        spans = [doc[a:b] for a, b in table]
        scores = pipe.span_scores(doc, spans)
        assert scores.shape == (len(spans), len(tiny.LABELS))
        expected = [[row[label] for label in tiny.LABELS] for row in table.values()]
        np.testing.assert_allclose(scores, expected, atol=2e-5)


def test_span_scores_of_odd_spans(make_nlp):
    nlp = make_nlp(model={"window": 64, "overlap": 0})
    pipe = nlp.get_pipe("open_ner_span")
    doc = nlp.make_doc(tiny.long_text(100) + "   end")
    blank = next(token.i for token in doc if token.is_space)
    scores = pipe.span_scores(doc, [doc[5:15], doc[12:20], doc[blank : blank + 1], doc[0:1]], ["person", "award"])
    assert scores.shape == (4, 2)
    assert (scores[2] == 0).all()
    assert (scores[[0, 1, 3]] > 0).all()
    assert pipe.span_scores(doc, [], ["person"]).shape == (0, 1)
    assert pipe.span_scores(doc, [doc[0:1]], []).shape == (1, 0)
    with pytest.raises(TextError, match="O201"):
        pipe.span_scores(doc, [doc[0:90]], ["person"])
    with pytest.raises(TextError, match="O202"):
        pipe.span_scores(doc, [nlp.make_doc("other")[0:1]], ["person"])


def test_evaluate_scores_the_component(make_nlp):
    nlp = make_nlp()
    predicted = nlp(tiny.SENTENCES[0])
    reference = Doc(nlp.vocab, words=[t.text for t in predicted], spaces=[bool(t.whitespace_) for t in predicted])
    reference.ents = [Span(reference, e.start, e.end, label=e.label_) for e in predicted.ents]
    scores = nlp.evaluate([Example(nlp.make_doc(tiny.SENTENCES[0]), reference)])
    assert predicted.ents
    assert scores["openner_f"] == 1.0


def test_blank_pipeline_in_other_languages(make_nlp):
    nlp = make_nlp(lang="zh", threshold=0.0, overlap="all")
    doc = nlp("北京大学的张伟教授访问了巴黎。")
    # Words are the tokens of the pipeline: names inside a clause can be found, not just the whole clause.
    assert "张伟" in {span.text for span in doc.spans["openner"]}
