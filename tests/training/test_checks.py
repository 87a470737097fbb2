"""Training that cannot work says so."""

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.util import load_config
from thinc.api import Adam

from spacy_openner import calibrate_entities
from spacy_openner.errors import OpenNERWarning, SettingError
from spacy_openner.labels import LabelSet, get_label_scores, set_labels
from spacy_openner.training.checks import TrainingChecks, examine_evaluation, nearest
from spacy_openner.training.corpus import OpenNERCorpus_v1
from spacy_openner.training.optimizer import LayerwiseAdam_v1, WarmupCosine_v1

NLP = spacy.blank("en")
CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def example(label="person", *, group=False, ents=True, listed=None):
    doc = Doc(NLP.vocab, ["Ada", "left"])
    span = Span(doc, 0, 1, label=label)
    if ents:
        doc.ents = [span]
    if group:
        doc.spans["openner"] = [span]
    if listed is not None:
        set_labels(doc, listed)
    return Example(Doc(NLP.vocab, ["Ada", "left"]), doc)


def warned(*batches, labels=("person", "city")):
    checks = TrainingChecks("ner")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for batch in batches:
            checks.examine(batch, "openner", LabelSet(labels))
    return [str(each.message) for each in caught]


def test_training_as_meant_says_nothing():
    assert warned([example(), example("city")], [example(listed=["person"])]) == []
    assert warned([example("city", group=True), example(group=True, ents=False)]) == []
    assert warned([example("anything")], labels=()) == []


@pytest.mark.parametrize("label", ["PERSON", "Person", "persn", "persons"])
def test_names_that_differ_in_case_or_spelling_are_shown_in_pairs(label):
    (message,) = warned([example(label)], [example(label)])
    assert message.startswith("[W014]")
    assert f"{label!r} ('person'?)" in message


def test_unknown_names_are_shown_with_those_that_are_known():
    (message,) = warned([example("gene")], [example("gene")])
    assert message.startswith("[W015]")
    assert "['gene']" in message
    assert "['city', 'person']" in message


def test_a_list_of_the_text_counts_before_the_labels():
    (message,) = warned([example("person", listed=["PERSON"])])
    assert "'person' ('PERSON'?)" in message


def test_texts_without_annotation():
    (message,) = warned([example(ents=False)] * 2, [example(ents=False)])
    assert message.startswith("[W013]")


def test_groups_that_are_there_for_some_texts_only():
    (message,) = warned([example(group=True), example(), example()])
    assert message.startswith("[W016]")
    assert "2 references" in message


def test_entities_that_the_group_lacks():
    """As when a group is set, empty, and the gold entities are in doc.ents."""
    lacking = example(group=True)
    lacking.reference.spans["openner"] = []
    (message,) = warned([example(group=True), lacking], [lacking])
    assert message.startswith("[W023]")
    assert "1 entities" in message
    assert "'Ada' ('person')" in message


def test_groups_of_another_name_beside_texts_that_teach():
    other = example(group=True, ents=False)
    other.reference.spans["sc"] = other.reference.spans.pop("openner")
    (message,) = warned([example(group=True), other, other])
    assert message.startswith("[W024]")
    assert "2 references" in message
    assert "{'sc': 2}" in message
    # Where nothing is annotated as it should be, that is said instead.
    (message,) = warned([other])
    assert message.startswith("[W013]")


@pytest.mark.parametrize(("name", "expected"), [("chemical_element", "chemical element"), ("river", None)])
def test_nearest(name, expected):
    assert nearest(name, ["person", "chemical element"]) == expected


def test_rates(make_nlp):
    nlp = make_nlp()
    pipe = nlp.get_pipe("open_ner_span")
    doc = nlp.make_doc("Ada left")
    reference = doc.copy()
    reference.ents = [Span(reference, 0, 1, label="person")]
    batch = [Example(doc, reference)]
    with pytest.warns(OpenNERWarning, match=r"W017.*0\.001"):
        pipe.update(batch, sgd=Adam(0.001))
    with warnings.catch_warnings():
        warnings.simplefilter("error", OpenNERWarning)
        pipe.update(batch, sgd=LayerwiseAdam_v1(0.001))
        make_nlp().get_pipe("open_ner_span").update(batch, sgd=Adam(1e-4))


def test_a_loss_that_is_no_number_stops_training(make_nlp):
    nlp = make_nlp()
    pipe = nlp.get_pipe("open_ner_span")
    pipe.loss = lambda logits, targets: logits.sum() * math.nan
    doc = nlp.make_doc("Ada left")
    reference = doc.copy()
    reference.ents = [Span(reference, 0, 1, label="person")]
    with pytest.raises(SettingError, match=r"O019.*nan"):
        pipe.update([Example(doc, reference)], sgd=LayerwiseAdam_v1())


@pytest.mark.parametrize("rate", [-1e-5, math.nan, math.inf, True])
def test_rates_that_are_none(rate):
    with pytest.raises(SettingError, match="learn_rate"):
        LayerwiseAdam_v1(rate)
    with pytest.raises(SettingError, match="initial_rate"):
        WarmupCosine_v1(rate, 1, 10)
    with pytest.raises(SettingError, match="final_rate"):
        WarmupCosine_v1(1e-4, 1, 10, rate)


def test_an_empty_corpus_is_an_error(tmp_path):
    DocBin().to_disk(tmp_path / "none.spacy")
    with pytest.raises(SettingError, match=r"O020.*none\.spacy"):
        list(OpenNERCorpus_v1({"own": {"path": tmp_path}})(NLP))
    doc = Doc(NLP.vocab, ["Ada"])
    DocBin(docs=[doc]).to_disk(tmp_path / "none.spacy")
    with pytest.raises(SettingError, match="O020"):
        list(OpenNERCorpus_v1({"own": {"path": tmp_path, "weight": 0}})(NLP))


def test_a_variable_of_the_config_keeps_the_rate():
    rates = WarmupCosine_v1(1.0, 3, "${training.max_steps}")
    assert [round(next(rates), 3) for _ in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    with pytest.raises(SettingError, match="total_steps"):
        WarmupCosine_v1(1.0, 3, "many")


@pytest.mark.parametrize("recipe", ["finetune", "default", "generator", "type_filter"])
def test_pipelines_of_the_recipes_can_be_trained_on_in_python(recipe):
    config = load_config(CONFIGS / f"{recipe}.cfg")
    nlp = spacy.blank("en")
    nlp.config["training"]["optimizer"] = config["training"]["optimizer"]
    optimizer = nlp.create_optimizer()
    assert np.isfinite(float(optimizer.learn_rate))
    assert optimizer.learn_rate > 0


# Evaluation, by spaCy's own commands and `nlp.evaluate`

EVALUATED = {
    "person as it is": ([(0, 2, "person")], {}, []),
    "gold in another case": ([(0, 2, "PERSON")], {}, ["W434"]),
    "gold in another number": ([(0, 2, "persons")], {}, ["W434"]),
    "gold of another type": ([(0, 2, "person"), (3, 4, "gene")], {}, ["W434"]),
    "no entity": ([], {}, ["W433"]),
    "no annotation": (None, {}, ["W433"]),
    "nested, flat": ([(0, 2, "person"), (1, 2, "name")], {"overlap": "flat", "labels": ["person", "name"]}, ["W432"]),
    "nested": ([(0, 2, "person"), (1, 2, "name")], {"overlap": "nested", "labels": ["person", "name"]}, []),
    "crossing": ([(0, 2, "person"), (1, 3, "person")], {"overlap": "nested"}, ["W432"]),
    "two types, nested": (
        [(0, 2, "person"), (0, 2, "name")],
        {"overlap": "nested", "labels": ["person", "name"]},
        ["W432"],
    ),
    "two types": ([(0, 2, "person"), (0, 2, "name")], {"overlap": "all", "labels": ["person", "name"]}, []),
    "no labels": ([(0, 2, "person")], {"labels": []}, ["W001"]),
}


def evaluated(nlp, spans):
    reference = nlp.make_doc("Ada Lovelace met Kim")
    if spans is not None:
        reference.spans["openner"] = [Span(reference, start, end, label=label) for start, end, label in spans]
    return [Example(nlp.make_doc(reference.text), reference)]


def codes(caught):
    return sorted({str(each.message)[1:5] for each in caught if issubclass(each.category, OpenNERWarning)})


@pytest.mark.parametrize(("spans", "settings", "expected"), EVALUATED.values(), ids=EVALUATED)
def test_what_cannot_be_scored_as_meant_is_said(spans, settings, expected, make_nlp):
    nlp = make_nlp(**{"labels": ["person"], **settings})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nlp.evaluate(evaluated(nlp, spans))
    assert codes(caught) == expected


def test_no_docs_to_evaluate(make_nlp):
    nlp = make_nlp()
    with pytest.warns(OpenNERWarning, match=r"W433.*none of 0 docs"):
        nlp.evaluate([])


def test_other_components_types_are_not_asked_for(make_nlp):
    """The gold types of those that a component before has found, and of a list that a filter has cut."""
    nlp = make_nlp(labels=["person"])
    nlp.add_pipe("entity_ruler", first=True).add_patterns([{"label": "DATE", "pattern": "Kim"}])
    reference = nlp.make_doc("Ada Lovelace met Kim")
    reference.ents = [Span(reference, 0, 2, label="person"), Span(reference, 3, 4, label="DATE")]
    (example,) = [Example(nlp.make_doc(reference.text), reference)]
    with warnings.catch_warnings():
        warnings.simplefilter("error", OpenNERWarning)
        nlp.get_pipe("open_ner_span").score([Example(nlp("Ada Lovelace met Kim"), reference)], spans_key=None)
    filtered = nlp.make_doc("Ada")
    filtered._.openner_labels, filtered._.openner_type_scores = ["person"], {"person": 0.9, "DATE": 0.1}
    with warnings.catch_warnings():
        warnings.simplefilter("error", OpenNERWarning)
        examine_evaluation("x", [example], [get_label_scores(filtered)], None, None)


@pytest.mark.parametrize(("overlap", "expected"), [("flat", ["W432"]), ("longest", ["W432"]), ("all", [])])
def test_nested_gold_is_said_in_training_and_calibration(overlap, expected, make_nlp):
    nlp = make_nlp(labels=["person", "name"], overlap=overlap)
    examples = evaluated(nlp, [(0, 2, "person"), (1, 2, "name")])
    for work in (
        lambda: nlp.get_pipe("open_ner_span").update(examples),
        lambda: calibrate_entities(nlp, examples),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            work()
        assert codes(caught) == expected
