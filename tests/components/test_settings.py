"""Every setting of every component survives saving, loading, copying and pickling, however it was set."""

import copy
import json
import pickle
import re

import pytest
import spacy
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.util import load_model_from_config

from spacy_openner.components.base import OpenLabelPipe, Setting
from spacy_openner.components.gner_generator import GNERGenerator
from spacy_openner.components.lar_reassigner import LARReassigner
from spacy_openner.components.open_ner_span import OpenNERSpan
from spacy_openner.components.type_filter import TypeFilter
from spacy_openner.errors import CheckpointError, OpenNERError, OpenNERWarning, SettingError
from spacy_openner.settings import FORMAT
from tests.support.reassignment_case import gated, llm

CLASSES = {
    "open_ner_span": OpenNERSpan,
    "gner_generator": GNERGenerator,
    "type_filter": TypeFilter,
    "lar_reassigner": LARReassigner,
}
LLM = llm("http://localhost:1/v1")
# What lets every setting have another value than its default.
BASES = {
    "open_ner_span": {},
    "gner_generator": {"prompt": {"@misc": "spacy-openner.ToNERPrompt.v1"}, "loss": "answer", "decoding": "free"},
    "type_filter": {},
    "lar_reassigner": {"reassigner": gated(LLM, LLM)},
}
LABELS = {"person": "a human", "amount (US$)": "costs $20, $$30", "U.S. city": "a city"}
VALUES = {
    "labels": LABELS,
    "threshold": 0.6,
    "label_thresholds": {"amount (US$)": 0.1, "person": 1 / 3},
    "spans_key": "other$key",
    "overlap": "nested",
    "validators": {"person": {"pattern": "[A-Z].+\\$", "exclude": True, "choices": ["$", "b"]}},
    "annotate_ents": False,
    "overwrite_ents": True,
    "boundaries": ["lines", "sentences"],
    "use_descriptions": True,
    "batch_tokens": 64,
    "loss": "answer",
    "type_recognition_ratio": 0.5,
    "type_classification_weight": 0.1,
    "attention_weight": 0.3,
    "label_hints": "hint",
    "decoding": "free",
    "num_beams": 2,
    "draft_from": "cheap$",
    "max_types": 7,
    "top_k": 3,
    "keep_labels": ["amount (US$)"],
    "min_types": 2,
    "propose_descriptions": True,
    "table": {"person": "human", "amount (US$)": "money"},
    "source": "found",
    "on_none": "keep",
    "on_unmapped": "drop",
    "correct_bounds": True,
    "gate": {"person": 0.4},
}
# Others again, for what is said at load.
OTHERS = {
    **VALUES,
    "labels": ["EU$", "person"],
    "threshold": 0.7,
    "label_thresholds": {"person": 0.9},
    "spans_key": "third",
    "overlap": "longest",
    "validators": {},
    "annotate_ents": True,
    "overwrite_ents": False,
    "boundaries": [],
    "use_descriptions": False,
    "batch_tokens": 128,
    "type_recognition_ratio": 0.0,
    "num_beams": 1,
    "draft_from": None,
    "max_types": None,
    "top_k": None,
    "keep_labels": [],
    "min_types": 0,
    "table": None,
    "source": "ents",
    "on_none": "never",
    "on_unmapped": "keep",
}
MERGED = ("label_thresholds", "validators", "gate")


@pytest.fixture(autouse=True)
def no_weights(monkeypatch):
    """Settings are the subject here; weights have tests of their own."""
    for kind in CLASSES.values():
        monkeypatch.setattr(kind, "_save", lambda self, path: path.mkdir())
        monkeypatch.setattr(kind, "_load", lambda self, path: None)
        monkeypatch.setattr(kind, "_pack", lambda self: b"")
        monkeypatch.setattr(kind, "_unpack", lambda self, data: None)


def build(factory, name="x", **settings) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe(factory, name=name, config={**BASES[factory], **settings})
    return nlp


def of_factory(factory, values):
    """Those of some values that a factory has."""
    return {name: values[name] for name in spacy.blank("en").add_pipe(factory).settings.names()}


def plain(nlp, name="x"):
    return nlp.get_pipe(name).settings.plain()


# How settings are set, and how a pipeline travels


def at_construction(factory, values, path):
    return build(factory, **values)


def by_attribute(factory, values, path):
    nlp = build(factory)
    for name, value in values.items():
        setattr(nlp.get_pipe("x"), name, value)
    return nlp


def all_at_once(factory, values, path):
    nlp = build(factory)
    nlp.get_pipe("x").settings = nlp.get_pipe("x").settings.replace(**values)
    return nlp


def by_config_at_load(factory, values, path):
    """spaCy puts no mapping where the saved config has none: those are there before, with other values."""
    before = {"table": {"person": "?"}, "gate": {"person": 0.0}, "validators": {"person": {"pattern": "b"}}}
    build(factory, **{name: before[name] for name in values if name in before}).to_disk(path / "before")
    return spacy.load(path / "before", config={"components": {"x": values}})


def by_disk(nlp, path):
    nlp.to_disk(path / "saved")
    return spacy.load(path / "saved")


def by_disk_three_times(nlp, path):
    for i in range(3):
        nlp.to_disk(path / str(i))
        nlp = spacy.load(path / str(i))
    return nlp


def by_bytes(nlp, path):
    return spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())


def by_pickle(nlp, path):
    return pickle.loads(pickle.dumps(nlp))


def by_pickle_and_disk(nlp, path):
    return by_disk(by_pickle(nlp, path), path)


def by_deep_copy(nlp, path):
    return copy.deepcopy(nlp)


def by_source(nlp, path):
    """The pipeline that the component comes from is gone then."""
    other = spacy.blank("en")
    other.add_pipe("x", source=nlp)
    return by_disk(other, path)


WAYS = [at_construction, all_at_once, by_config_at_load]
CARRIERS = [by_disk, by_disk_three_times, by_bytes, by_pickle, by_pickle_and_disk, by_deep_copy, by_source]


@pytest.mark.parametrize("factory", CLASSES)
def test_each_setting_is_an_attribute_and_is_tried_here(factory):
    pipe = spacy.blank("en").add_pipe(factory)
    own = {"labels", "table", "gate"}
    for name in pipe.settings.names():
        assert name in VALUES
        assert isinstance(getattr(CLASSES[factory], name), property if name in own else Setting)
        base = build(factory).get_pipe("x").settings
        assert name in BASES[factory] or base.check(name, VALUES[name]) != getattr(base, name)


@pytest.mark.parametrize(
    ("way", "carry"),
    [*((by_attribute, carry) for carry in CARRIERS), *((way, carry) for way in WAYS for carry in (by_disk, by_bytes))],
)
@pytest.mark.parametrize("factory", CLASSES)
def test_settings_survive(factory, way, carry, tmp_path):
    values = of_factory(factory, VALUES)
    if way is by_config_at_load:
        # Nor can keys with dots be said there.
        values["labels"] = list(LABELS)
    nlp = way(factory, values, tmp_path)
    expected = nlp.get_pipe("x").settings
    assert expected.plain() == {**plain(build(factory)), **values}
    assert carry(nlp, tmp_path).get_pipe("x").settings == expected


@pytest.mark.parametrize("carry", [by_disk, by_pickle_and_disk])
@pytest.mark.parametrize("factory", CLASSES)
def test_what_is_said_at_load_wins(factory, carry, tmp_path):
    """Also where it is what was said first, before an attribute was set."""
    first, then = of_factory(factory, OTHERS), of_factory(factory, VALUES)
    nlp = build(factory, **first)
    nlp.get_pipe("x").settings = nlp.get_pipe("x").settings.replace(**then)
    nlp = carry(nlp, tmp_path)
    nlp.to_disk(tmp_path / "again")
    for name in first:
        if name in MERGED or first[name] == then[name]:
            continue
        said = {name: first[name]}
        if name == "labels" and "table" in first:
            # The table before is for other labels.
            said["table"] = None
        nested = {"components": {"x": said}}
        dotted = {f"components.x.{key}": value for key, value in said.items()}
        # spaCy turns the second form into the first; one component shows that.
        for config in (nested, dotted) if factory == "type_filter" else (nested,):
            assert plain(spacy.load(tmp_path / "again", config=config)) == {**then, **said}, name


def test_mappings_are_merged_at_load(tmp_path):
    nlp = build("open_ner_span", labels=["a", "b$", "c: d"], label_thresholds={"a": 0.1, "b$": 0.2})
    nlp.get_pipe("x").label_thresholds = {"a": 0.3, "b$": 0.2, "c: d": 0.4}
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path, config={"components": {"x": {"label_thresholds": {"a": 0.1}}}})
    assert plain(loaded)["label_thresholds"] == {"a": 0.1, "b$": 0.2, "c: d": 0.4}


def test_overrides_are_kept_by_the_next_save(tmp_path):
    nlp = build("open_ner_span", threshold=0.5)
    nlp.get_pipe("x").threshold = 0.8
    nlp.to_disk(tmp_path / "a")
    spacy.load(tmp_path / "a", config={"components.x.threshold": 0.5}).to_disk(tmp_path / "b")
    assert plain(spacy.load(tmp_path / "b"))["threshold"] == 0.5
    assert plain(spacy.load(tmp_path / "b", config={"components.x.threshold": 0.8}))["threshold"] == 0.8


def test_the_pipelines_config_says_what_holds():
    nlp = build("open_ner_span", labels=["a"])
    pipe = nlp.get_pipe("x")
    pipe.threshold, pipe.labels = 0.25, {"b": "about b"}
    assert nlp.config["components"]["x"]["threshold"] == 0.25
    assert nlp.config["components"]["x"]["labels"] == {"b": "about b"}
    nlp.rename_pipe("x", "y")
    pipe.threshold = 0.35
    assert nlp.config["components"]["y"]["threshold"] == 0.35
    assert plain(spacy.blank("en").from_config(nlp.config), "y")["labels"] == {"b": "about b"}
    again = pickle.loads(pickle.dumps(nlp))
    again.get_pipe("y").threshold = 0.45
    assert again.config["components"]["y"]["threshold"] == 0.45
    assert nlp.config["components"]["y"]["threshold"] == 0.35


def test_a_component_of_two_pipelines_is_saved_by_either(tmp_path):
    nlp = build("open_ner_span", threshold=0.5)
    other = spacy.blank("en")
    other.add_pipe("x", source=nlp)
    other.get_pipe("x").threshold = 0.8
    for each, name in ((nlp, "one"), (other, "two")):
        each.to_disk(tmp_path / name)
        assert plain(spacy.load(tmp_path / name))["threshold"] == 0.8
        assert plain(by_bytes(each, tmp_path))["threshold"] == 0.8


def test_variables_of_a_config_stay_until_they_are_replaced(tmp_path):
    nlp = build("open_ner_span")
    nlp.to_disk(tmp_path / "a")
    config = nlp.config.copy()
    config["vars"] = {"share": 0.6}
    config["components"]["x"].update(threshold="${vars.share}", batch_tokens=77)
    load_model_from_config(config).to_disk(tmp_path / "b")
    assert "threshold = ${vars.share}" in (tmp_path / "b/config.cfg").read_text()
    assert plain(spacy.load(tmp_path / "b"))["threshold"] == 0.6
    loaded = spacy.load(tmp_path / "b", config={"vars.share": 0.7})
    assert (plain(loaded)["threshold"], plain(loaded)["batch_tokens"]) == (0.7, 77)


# Strings that spaCy's config changes, loses or refuses

ODD = [
    "@handle",
    "${x.y}",
    "a ${x} b",
    "$",
    "$$",
    "US$$",
    "a = b",
    "a: b",
    "[x]",
    "#x",
    "; x",
    " x ",
    "x\ny",
    "",
    "x.y",
    "\t",
]
ODD += ['"x"', "null", "true", "1.5", "{}", "é", "音乐", "x\\", "%(x)s", "${", "{"]
NAMES = [name for name in ODD if name.strip()]


def test_any_string_lives_in_the_components_own_file(tmp_path):
    nlp = build("open_ner_span", labels=["x"])
    pipe = nlp.get_pipe("x")
    pipe.settings = pipe.settings.replace(
        labels={name: f"about {name}" for name in NAMES},
        label_thresholds=dict.fromkeys(NAMES, 0.25),
        validators={name: {"pattern": r"\$*", "choices": NAMES} for name in NAMES},
        spans_key="${x.y} $",
    )
    assert by_disk_three_times(nlp, tmp_path).get_pipe("x").settings == pipe.settings
    assert by_bytes(nlp, tmp_path).get_pipe("x").settings == pipe.settings


@pytest.mark.parametrize("text", ["${x}", "a $ {x} ${", "$", "x\ny"])
@pytest.mark.parametrize("factory", CLASSES)
def test_what_a_config_can_hold_of_a_setting_can_be_built(factory, text, tmp_path):
    """Parts of a value, such as a validator without what it checks, could be saved and not be loaded."""
    full = {
        "format": "spacy-openner.alignment.v1",
        "strategy": text,
        "sources": ["place", text],
        "targets": {
            "city": {"source": ["place", text], "confidence": 0.5, "counts": {text: 3}},
            text: {"source": text},
        },
    }
    odd = {
        "labels": {"city": text, text: "described", "person": "human"},
        "label_thresholds": {text: 0.25},
        "validators": {"city": {"pattern": f"[A-Z]{re.escape(text)}"}, "person": {"choices": [text]}},
        "keep_labels": [text, "city"],
        "draft_from": text,
        "source": text,
        "spans_key": text,
        "table": full,
        "gate": {text: 0.5, "city": 0.25},
    }
    nlp = build(factory)
    pipe = nlp.get_pipe("x")
    for name in set(odd) & set(pipe.settings.names()):
        setattr(pipe, name, odd[name])
    for i in range(2):
        nlp.to_disk(tmp_path / str(i))
        nlp = spacy.load(tmp_path / str(i))
        assert nlp.get_pipe("x").settings == pipe.settings
    assert by_bytes(nlp, tmp_path).get_pipe("x").settings == pipe.settings


def test_lists_of_any_names(tmp_path):
    nlp = spacy.blank("en")
    for i, name in enumerate(NAMES):
        pipe = nlp.add_pipe("type_filter", name=f"p{i}", config={"labels": ["x"]})
        pipe.labels, pipe.keep_labels = [name, "x"], [name]
    loaded = by_disk(nlp, tmp_path)
    for i, name in enumerate(NAMES):
        settings = loaded.get_pipe(f"p{i}").settings
        assert (settings.labels.names, settings.keep_labels) == (tuple(dict.fromkeys([name, "x"])), (name,))


@pytest.mark.parametrize("value", ["${x.y}", "a ${x} b", "${"])
@pytest.mark.parametrize("setting", ["labels", "described", "spans_key"])
def test_a_config_with_variables_in_names_is_refused(setting, value):
    """It could be saved, but not be loaded."""
    config = {"labels": {"labels": [value]}, "described": {"labels": {"x": value}}, "spans_key": {"spans_key": value}}
    with pytest.raises(SettingError, match="O009"):
        build("open_ner_span", **config[setting])


names = st.text(min_size=1, max_size=12).filter(
    lambda text: text.strip() and not any(0xD800 <= ord(c) < 0xE000 for c in text)
)


@hypothesis_settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@example(labels={"first\rsecond": "x"}, thresholds=0.0)
@given(labels=st.dictionaries(names, names, min_size=1, max_size=4), thresholds=st.floats(0, 1))
def test_any_labels_survive(labels, thresholds, tmp_path_factory):
    nlp = build("open_ner_span", labels=["x"])
    pipe = nlp.get_pipe("x")
    pipe.settings = pipe.settings.replace(labels=labels, label_thresholds=dict.fromkeys(labels, thresholds))
    assert by_disk_three_times(nlp, tmp_path_factory.mktemp("any")).get_pipe("x").settings == pipe.settings


# Values that are refused, with the value and what is allowed, and leave the component as it was

NAN, INF = float("nan"), float("inf")
BAD = {
    "labels": ["person", 3, None, [None], [""], {"a": 1}, {"a": NAN}],
    "threshold": ["0.5", None, True, NAN, INF, 2, -1.5, [0.5], {}],
    "label_thresholds": [
        None,
        [],
        ["a"],
        "a",
        {"a": None},
        {"a": "0.5"},
        {"a": True},
        {"a": NAN},
        {"a": 2},
        {1: 0.5},
        {"": 0.5},
    ],
    "spans_key": [3, None, "", " ", [], True],
    "overlap": ["some", None, True, [], ["flat"]],
    "boundaries": [["words"], None, True, "lines", [3], {"lines": True}],
    "validators": [
        None,
        [],
        "a",
        {"a": "b"},
        {"a": {}},
        {"": {"pattern": "a"}},
        {"a": {"pattern": "("}},
        {1: {"pattern": "a"}},
    ],
    "annotate_ents": ["no", None, 0, 1, [], NAN],
    "overwrite_ents": ["yes", None, 1],
    "use_descriptions": ["yes", None, 1],
    "batch_tokens": [0, -1, 1.5, "2048", None, True, NAN, [8]],
    "loss": ["nonsense", None, 1],
    "type_recognition_ratio": [2, NAN, None, "0.5", True],
    "type_classification_weight": [2, NAN, None, "0.5", True],
    "attention_weight": [-1, NAN, None, "0.5", True],
    "label_hints": ["maybe", None],
    "decoding": ["magic", None, []],
    "num_beams": [0, 1.5, None, "1", True],
    "draft_from": ["", 3, []],
    "max_types": [0, 1.5, "1", True, NAN],
    "top_k": [-1, 1.5, "1", True],
    "keep_labels": ["person", None, 3, [None], {"person": "x"}],
    "min_types": [-1, None, "1", True],
    "propose_descriptions": ["no", None, 0],
    "table": [3, "x", [], {"a": 3}, {"none": "person"}],
    "source": [3, None, ""],
    "on_none": ["nonsense", None, True],
    "on_unmapped": ["nonsense", None, "never"],
    "correct_bounds": ["no", None, 1],
    "gate": [3, [], {"a": "x"}, {"a": NAN}, {"a": -1}],
}


@pytest.mark.parametrize("factory", CLASSES)
def test_bad_values_are_refused(factory):
    pipe = build(factory).get_pipe("x")
    before = pipe.settings
    for name in before.names():
        for value in BAD[name]:
            with pytest.raises(OpenNERError, match=r"^\[O\d+\]"):
                setattr(pipe, name, value)
            assert pipe.settings is before


@pytest.mark.parametrize("factory", CLASSES)
def test_bad_values_of_a_config_are_refused(factory):
    for name in build(factory).get_pipe("x").settings.names():
        value = next(value for value in BAD[name] if not isinstance(value, dict) and value == value)
        with pytest.raises(OpenNERError, match=r"^\[O\d+\]"):
            build(factory, **{name: value})


def test_the_message_names_the_value_and_what_is_allowed():
    pipe = build("lar_reassigner").get_pipe("x")
    with pytest.raises(SettingError, match=r"`on_none` is 'nonsense'; allowed: drop, keep, never"):
        pipe.on_none = "nonsense"
    with pytest.raises(SettingError, match=r"`annotate_ents` is 'no'; allowed: True or False"):
        pipe.annotate_ents = "no"
    with pytest.raises(SettingError, match=r"`spans_key` is 3; allowed: a string that is not blank"):
        pipe.spans_key = 3
    with pytest.raises(SettingError, match=r"`label_thresholds` is \['a'\]; allowed: a mapping"):
        pipe.label_thresholds = ["a"]


def test_settings_that_do_not_go_together_are_refused_by_attribute_too():
    pipe = build("gner_generator", decoding="free").get_pipe("x")
    with pytest.raises(SettingError, match="O015"):
        pipe.settings = pipe.settings.replace(type_recognition_ratio=0.5, loss="choices")
    assert pipe.loss == "answer"
    with pytest.raises(SettingError, match="O506"):
        spacy.blank("en").add_pipe("lar_reassigner").gate = {"a": 0.5}


def test_mappings_change_as_a_whole():
    pipe = build("open_ner_span", labels=["a"], label_thresholds={"a": 0.5}).get_pipe("x")
    for change in (
        lambda: pipe.label_thresholds.update(a=0.1),
        lambda: pipe.label_thresholds.__setitem__("a", 0.1),
        lambda: pipe.label_thresholds.pop("a"),
    ):
        with pytest.raises(SettingError, match="O022"):
            change()
    pipe.label_thresholds = {**pipe.label_thresholds, "a": 0.1}
    assert pipe.label_thresholds == {"a": 0.1}


def test_unknown_labels_are_said_once_for_each_setting():
    with pytest.warns(OpenNERWarning, match="W005.*label_thresholds.*'b'"):
        build("open_ner_span", labels=["a"], label_thresholds={"b": 0.5})
    with pytest.warns(OpenNERWarning, match="W005.*keep_labels.*'b'"):
        build("type_filter", labels=["a"], keep_labels=["b"])


def test_a_gate_of_none_is_the_reassigners_own():
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("lar_reassigner", config={"reassigner": gated(LLM, LLM, gate={"a": 0.2})})
    assert pipe.gate == {"a": 0.2}
    pipe.gate = {"b": 0.3}
    assert pipe.gate == pipe.reassigner.gate == {"b": 0.3}
    pipe.gate = None
    assert pipe.gate == {"a": 0.2}


# Damaged files

GOOD = {"format": FORMAT, "settings": {"threshold": 0.7}}
DAMAGED = [
    b"",
    b"{",
    json.dumps(GOOD)[:-9].encode(),
    b"\xff\xfe\x00rubbish",
    b"[]",
    b"3",
    b"{}",
    b'{"threshold": [0.5, 0.8]}',
    json.dumps({**GOOD, "format": "other"}).encode(),
    json.dumps({**GOOD, "settings": []}).encode(),
    json.dumps({**GOOD, "settings": {"unknown": 1}}).encode(),
    json.dumps({**GOOD, "settings": {"threshold": "0.7"}}).encode(),
    json.dumps({**GOOD, "settings": {"threshold": NAN}}).encode(),
    b"[" * 100_000,
]


@pytest.mark.parametrize("data", DAMAGED, ids=lambda data: repr(data[:20]))
def test_damaged_settings(data, tmp_path):
    nlp = build("open_ner_span")
    nlp.to_disk(tmp_path)
    (tmp_path / "x/cfg").write_bytes(data)
    with pytest.raises(CheckpointError, match="O021"):
        spacy.load(tmp_path)


def test_settings_that_are_gone(tmp_path):
    nlp = build("open_ner_span")
    nlp.to_disk(tmp_path)
    (tmp_path / "x/cfg").unlink()
    with pytest.raises(CheckpointError, match="O021"):
        spacy.load(tmp_path)


@pytest.mark.parametrize("data", [b"", b"rubbish", b"\xc1", b"\x93\x01\x02\x03", pickle.dumps({"cfg": "{}"})])
def test_damaged_bytes(data):
    pipe = build("open_ner_span").get_pipe("x")
    before = pipe.settings
    with pytest.raises(CheckpointError, match=r"O105|O021"):
        pipe.from_bytes(data)
    assert pipe.settings is before


def test_a_component_alone(tmp_path):
    pipe = build("open_ner_span", labels=["a"]).get_pipe("x")
    pipe.threshold = 0.3
    pipe.to_disk(tmp_path / "alone")
    other = OpenNERSpan(spacy.blank("en").vocab, pipe.model)
    assert other.from_disk(tmp_path / "alone").settings == pipe.settings
    assert OpenNERSpan(spacy.blank("en").vocab, pipe.model).from_bytes(pipe.to_bytes()).settings == pipe.settings
    assert isinstance(other, OpenLabelPipe)


def test_what_used_to_be_lost(tmp_path):
    nlp = spacy.blank("en")
    generator = nlp.add_pipe("gner_generator")
    generator.decoding, generator.max_types, generator.num_beams = "free", 5, 3
    reassigner = nlp.add_pipe("lar_reassigner", config={"reassigner": LLM})
    reassigner.on_none, reassigner.on_unmapped = "keep", "drop"
    loaded = by_disk(nlp, tmp_path)
    generator, reassigner = loaded.get_pipe("gner_generator"), loaded.get_pipe("lar_reassigner")
    assert (generator.decoding, generator.max_types, generator.num_beams) == ("free", 5, 3)
    assert (reassigner.on_none, reassigner.on_unmapped) == ("keep", "drop")
