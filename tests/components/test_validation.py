"""Validators of types, and what they do in each component."""

import pickle
import time
import warnings
from collections import Counter

import pytest
import spacy
from spacy.tokens import Doc
from spacy.util import registry

from spacy_openner.components.validation import PATTERN_SECONDS, SpanValidator
from spacy_openner.errors import CheckpointError, OpenNERWarning, SettingError, TextError
from spacy_openner.types import Candidate
from tests.support import tiny_models as tiny
from tests.support.generator_case import pipeline
from tests.support.known_components import TABLE, WORDS, table_nlp


@registry.misc("validation_test.even.v1")
def is_even(span):
    return span.text.isdigit() and int(span.text) % 2 == 0


@registry.misc("validation_test.fails.v1")
def fails(span):
    raise KeyError(span.text)


@registry.misc("validation_test.no_answer.v1")
def gives_no_answer(span):
    return None


def texts(validator, words, label="x"):
    doc = Doc(spacy.blank("en").vocab, words=words)
    candidates = [Candidate(i, i + 1, label, 0.5) for i in range(len(words))]
    return [words[c.start] for c in SpanValidator({"x": validator}).select(doc, candidates)]


CASES = [
    ({"pattern": r"[a-z]\d"}, ["a1"]),
    ({"pattern": r"\d", "mode": "partial"}, ["a1", "xa1", "12", "7"]),
    ({"pattern": r"[a-z]\d", "mode": "full", "exclude": True}, ["xa1", "A", "12", "7", "small"]),
    ({"pattern": r"(?i)a|SMALL"}, ["A", "small"]),
    ({"choices": ["Small", "LARGE"]}, ["small"]),
    ({"function": "validation_test.even.v1"}, ["12"]),
    ({"function": "validation_test.even.v1", "pattern": r"\d", "mode": "partial", "choices": ["7", "A"]}, []),
]


@pytest.mark.parametrize(("validator", "accepted"), CASES, ids=lambda case: str(case))
def test_what_is_accepted(validator, accepted):
    words = ["a1", "xa1", "A", "12", "7", "small"]
    assert texts(validator, words) == accepted
    # Other types are not looked at.
    assert texts(validator, words, label="y") == words


def test_choices_of_several_words():
    doc = Doc(spacy.blank("en").vocab, words=["New", "\n", "York"], spaces=[True, False, True])
    select = SpanValidator({"x": {"choices": ["new  york"]}}).select
    assert len(select(doc, [Candidate(0, 3, "x", 0.5), Candidate(0, 2, "x", 0.5)])) == 1


def test_patterns_are_stopped_in_time():
    """Each of the spans alone would take years; honest ones of another type are not in the way."""
    words = ["a" * 40 + "!" * n for n in range(1, 6)]
    doc = Doc(spacy.blank("en").vocab, words=[*words, "b"])
    candidates = [Candidate(i, i + 1, "slow", 0.5) for i in range(5)] + [Candidate(5, 6, "quick", 0.5)]
    validator = SpanValidator({"slow": {"pattern": r"(a|aa)+[bc]"}, "quick": {"pattern": "b"}})
    begun = time.process_time()
    with pytest.warns(OpenNERWarning, match=r"W020.*'slow'.*1 s.*5 spans.*aa"):
        assert [c.label for c in validator.select(doc, candidates)] == ["quick"]
    assert time.process_time() - begun < PATTERN_SECONDS + 2


@pytest.mark.parametrize(
    ("name", "reason"), [("fails", "KeyError.*'12'"), ("no_answer", "it returned None")], ids=["fails", "no answer"]
)
def test_functions_that_fail(name, reason):
    with pytest.raises(TextError, match=f"O205.*{name}.*'x'.*'12'.*{reason}"):
        texts({"function": f"validation_test.{name}.v1"}, ["12"])


def test_functions_are_found_anew_after_pickling():
    validator = pickle.loads(pickle.dumps(SpanValidator({"x": {"function": "validation_test.even.v1"}})))
    doc = Doc(spacy.blank("en").vocab, words=["12", "13"])
    assert len(validator.select(doc, [Candidate(0, 1, "x", 0.5), Candidate(1, 2, "x", 0.5)])) == 1


BAD = [
    ("[0-9]+", "no mapping"),
    ({}, "checks nothing"),
    ({"mode": "full", "choices": ["a"]}, "need a `pattern`"),
    ({"pattern": "(", "mode": "full"}, r"no regular expression \(missing \)"),
    ({"pattern": 3}, "`pattern` is no text"),
    ({"pattern": "a" * 10_001}, "10001 characters"),
    ({"pattern": "a", "mode": "some"}, "`mode`"),
    ({"pattern": "a", "mode": ["full"]}, "`mode`"),
    ({"pattern": "a", "exclude": "no"}, "`exclude`"),
    ({"choices": []}, "`choices`"),
    ({"choices": "ab"}, "`choices`"),
    ({"choices": ["a", 3]}, "`choices`"),
    ({"function": is_even}, "`function`"),
    ({"patern": "a"}, "unknown keys: patern"),
]


@pytest.mark.parametrize(("value", "reason"), BAD)
def test_malformed_validators(value, reason):
    pipe = table_nlp({}).get_pipe("open_ner_span")
    with pytest.raises(SettingError, match=f"(?s)O023.*'a'.*{reason}"):
        pipe.validators = {"a": value}
    assert pipe.validators == {}


@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_validators_that_are_no_mapping(value):
    with pytest.raises(SettingError, match=r"O001.*validators"):
        table_nlp({}).get_pipe("open_ner_span").validators = value


def test_functions_that_are_not_registered():
    pipe = table_nlp({}).get_pipe("open_ner_span")
    with pytest.raises(SettingError, match=r"O024.*'a'.*'nobody.knows.v1'.*--code"):
        pipe.validators = {"a": {"function": "nobody.knows.v1"}}


def test_labels_that_are_unknown():
    pipe = table_nlp({}).get_pipe("open_ner_span")
    with pytest.warns(OpenNERWarning, match=r"W005.*validators.*'d'"):
        pipe.validators = {"a": {"pattern": "x"}, "d": {"pattern": "x"}}


# In components


def spans_of(nlp, text):
    doc = nlp(text)
    return [(span.text, span.label_) for span in doc.spans["openner"]]


def test_open_ner_span(make_nlp):
    """A rejected span does not keep others out."""
    nlp = make_nlp(overlap="all")
    pipe = nlp.get_pipe("open_ner_span")
    text = "Marie Curie lived in Paris ."
    before = set(spans_of(nlp, text))
    label = Counter(own for _, own in before).most_common(1)[0][0]
    pipe.validators = {label: {"pattern": r"[A-Z]\w+"}}
    expected = {(text, own) for text, own in before if own != label or text.istitle()}
    assert before > expected
    assert set(spans_of(nlp, text)) == expected
    pipe.overlap = "flat"
    flat = set(spans_of(nlp, text))
    assert flat <= expected


def test_gner_generator(t5):
    nlp = pipeline(t5)
    pipe = nlp.get_pipe("gner_generator")
    found = {text: spans_of(nlp, text) for text in tiny.SENTENCES}
    first = next(text for spans in found.values() for text, _ in spans)
    pipe.validators = {label: {"choices": [first]} for label in pipe.labels}
    expected = {text: [span for span in spans if span[0] == first] for text, spans in found.items()}
    assert expected != found
    assert {text: spans_of(nlp, text) for text in tiny.SENTENCES} == expected


@pytest.mark.parametrize(("on_none", "label"), [("drop", None), ("keep", "person"), ("never", "person")])
def test_lar_reassigner(on_none, label):
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "person", "pattern": name} for name in ("Ada", "Bob")])
    config = {"labels": ["writer"], "table": {"writer": "person"}, "on_none": "never"}
    pipe = nlp.add_pipe("lar_reassigner", config=config)
    pipe.validators = {"writer": {"pattern": "A.*"}}
    pipe.reassigner = lambda cases, types: []
    pipe.cases = lambda doc: []
    pipe.settings = pipe.settings.replace(on_none=on_none)
    found = {ent.text: ent.label_ for ent in nlp("Ada met Bob").ents}
    assert found == {"Ada": "writer", **({"Bob": label} if label else {})}


def test_lar_reassigner_says_why():
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "person", "pattern": "Bob"}])
    pipe = nlp.add_pipe("lar_reassigner", config={"table": {"writer": "person"}, "on_none": "never"})
    pipe.validators = {"writer": {"pattern": "A.*"}, "person": {"pattern": "A.*"}}
    (decision,) = pipe.decide([nlp("Bob")])[0] or pipe.decide([nlp.get_pipe("entity_ruler")(nlp.make_doc("Bob"))])[0]
    assert (decision.label, decision.reason) == ("person", "rejected by the validator")


def test_calibration_sees_what_is_valid():
    from spacy_openner.calibration.entities import calibrate_entities
    from tests.support.known_components import GOLD, gold_doc

    nlp = table_nlp(TABLE)
    nlp.get_pipe("open_ner_span").validators = {"b": {"choices": ["b0", "b2"]}}
    result = calibrate_entities(nlp, [gold_doc(nlp, GOLD, words=WORDS)], min_gold=1)
    # The wrong b1, at 0.95, is out of the way; only b2, at 0.7, must still be kept out.
    assert result.per_type["b"].after.precision == 1.0


def test_saved_pipelines(tmp_path, make_nlp):
    nlp = make_nlp()
    pipe = nlp.get_pipe("open_ner_span")
    label = pipe.labels[0]
    pipe.validators = {label: {"pattern": r"^\$\d+$", "exclude": True, "function": "validation_test.even.v1"}}
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert loaded.get_pipe("open_ner_span").validators == pipe.validators
    assert {text for text, own in spans_of(loaded, "It was 12 or 13 .") if own == label} <= {"12"}
    config = {"components": {"open_ner_span": {"validators": {label: {"function": "nobody.knows.v1"}}}}}
    with pytest.raises(SettingError, match="O024"):
        spacy.load(tmp_path, config=config)


def test_damaged_validators(tmp_path, make_nlp):
    nlp = make_nlp()
    nlp.get_pipe("open_ner_span").validators = {nlp.get_pipe("open_ner_span").labels[0]: {"pattern": "a"}}
    nlp.to_disk(tmp_path)
    cfg = tmp_path / "open_ner_span" / "cfg"
    cfg.write_text(cfg.read_text().replace('"pattern": "a"', '"pattern": "("'))
    with pytest.raises(CheckpointError, match=r"O021.*O023"):
        spacy.load(tmp_path)


def test_nothing_is_said_where_all_is_well():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert texts({"pattern": "b"}, ["a", "b"]) == ["b"]
