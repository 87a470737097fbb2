"""Strings with "$" in what a component is made of beside its settings: prompts, clients, reassigners, names of models."""

import pickle

import pytest
import spacy
from spacy.util import load_model_from_config

from spacy_openner.errors import SettingError
from spacy_openner.lar.alignment import PseudoLabelAlignment_v1
from spacy_openner.lar.embedding_alignment import EmbeddingAlignment_v1
from spacy_openner.llm.factory import LLMClient_v1
from spacy_openner.models.architectures import Generator_v1, SpanMatcher_v1, TypeCacheSpanMatcher_v1, TypeMatcher_v1
from spacy_openner.prompts.gner import GNERPrompt_v1
from spacy_openner.prompts.lar import LARPrompt_v1
from spacy_openner.prompts.toner import ToNERPrompt_v1
from spacy_openner.prompts.uniner import UniNERPrompt_v1
from spacy_openner.scoring.entities import make_entity_scorer
from spacy_openner.scoring.types import make_type_scorer
from spacy_openner.training.sampling import TypeSampler_v1
from tests.support.every_model import MODELS, component
from tests.support.reassignment_case import llm

INSTRUCTION = "Sums in US$ or $$, such as $5: {labels} {sentence}"
GATED = {
    "@misc": "spacy-openner.GatedReassigner.v1",
    "first": {"@misc": "spacy-openner.SpanTypeReassigner.v1"},
    "second": llm(
        "http://127.0.0.1:9/v1", model="m$", parameters={"stop": ["$", ";", "$$"], "user": "a$"}, cache_dir="$c"
    ),
    "types": ["$", "sum (US$)"],
    "gate": {"sum (US$)": 0.25},
}


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Pipelines whose parts, and the places of whose models, have "$" in their names."""
    place = tmp_path_factory.mktemp("costs") / "$5"
    paths = {kind: MODELS[kind](place / kind) for kind in ("span", "generator-t5", "types-static")}
    prompt = {"@misc": "spacy-openner.GNERPrompt.v1", "instruction": INSTRUCTION, "causal": "$ {prompt} $$"}
    more = {"generator-t5": {"prompt": prompt}}

    def make():
        nlp = spacy.blank("en")
        for kind, path in paths.items():
            factory, config = component(kind, path)
            nlp.add_pipe(factory, config={**config, "labels": ["sum (US$)"], **more.get(kind, {})})
        nlp.add_pipe("lar_reassigner", config={"reassigner": GATED, "labels": ["sum (US$)"], "gate": {"none": 0.5}})
        return nlp

    return make


def parts(nlp):
    """All that the components are made of, as far as "$" is in it, and what the config says."""
    prompt = nlp.get_pipe("gner_generator").prompt
    cascade = nlp.get_pipe("lar_reassigner").reassigner
    client = cascade.second.client
    names = [nlp.get_pipe(name).model.shims[0].name for name in ("open_ner_span", "gner_generator", "type_filter")]
    made = [
        prompt.instruction,
        prompt.causal,
        client.model,
        client.settings.parameters,
        cascade.types,
        cascade.gate,
        names,
    ]
    config = nlp.config["components"]
    return made, config["gner_generator"]["prompt"], config["lar_reassigner"]["reassigner"]


def test_they_are_the_same_however_often_they_are_saved(build, tmp_path):
    nlp = build()
    expected = parts(nlp)
    assert (expected[0][0], expected[0][3]) == (INSTRUCTION, {"stop": ["$", ";", "$$"], "user": "a$"})
    for i in range(3):
        nlp.to_disk(tmp_path / str(i))
        nlp = spacy.load(tmp_path / str(i))
        assert parts(nlp) == expected
    assert parts(pickle.loads(pickle.dumps(nlp))) == expected
    assert parts(load_model_from_config(nlp.config).from_bytes(nlp.to_bytes())) == expected
    cascade = nlp.get_pipe("lar_reassigner").reassigner
    assert cascade.first.owner == "open_ner_span"


def test_what_is_said_at_load_wins(build, tmp_path):
    build().to_disk(tmp_path)
    said = {"components.gner_generator.prompt.instruction": "In $$: {labels} {sentence}"}
    nlp = spacy.load(tmp_path, config=said)
    prompt = nlp.get_pipe("gner_generator").prompt
    assert (prompt.instruction, prompt.causal) == ("In $$: {labels} {sentence}", "$ {prompt} $$")


@pytest.mark.parametrize(
    "make",
    [
        lambda: GNERPrompt_v1("US${labels} {sentence}"),
        lambda: GNERPrompt_v1(causal="${prompt}"),
        lambda: ToNERPrompt_v1("${prompt}"),
        lambda: UniNERPrompt_v1("${sentence} {label}"),
        lambda: LARPrompt_v1("${sources} {targets} {text}"),
        lambda: TypeSampler_v1(synonyms={"city": ["town", "a ${x}"]}),
        lambda: TypeSampler_v1(synonyms={"${x}": ["town"]}),
        lambda: TypeSampler_v1(synonyms={"@x": ["town"]}),
        lambda: make_entity_scorer("${x}"),
        lambda: make_entity_scorer(prefix="a ${x}"),
        lambda: make_type_scorer("${x}"),
        lambda: PseudoLabelAlignment_v1("${x}"),
        lambda: EmbeddingAlignment_v1(miscellaneous="${x}"),
        lambda: EmbeddingAlignment_v1("a/${x}"),
        lambda: SpanMatcher_v1("a/${x}"),
        lambda: TypeCacheSpanMatcher_v1("a/${x}"),
        lambda: Generator_v1("a/${x}"),
        lambda: TypeMatcher_v1("a/${x}"),
        lambda: LLMClient_v1("m${x}"),
        lambda: LLMClient_v1("m", cache_dir="/a/${x}"),
        lambda: LLMClient_v1("m", parameters={"stop": ["${"]}),
        lambda: LLMClient_v1("m", parameters={"stop": ["$", "$$"]}),
        lambda: LLMClient_v1("m", parameters={"logit_bias": {"@x": 1}}),
    ],
)
def test_what_configs_take_for_variables_is_refused(make):
    """spaCy would fail at to_disk(), or at load."""
    with pytest.raises(SettingError, match="O001"):
        make()
