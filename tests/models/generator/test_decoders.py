"""Causal models of many families: scored as their own network scores, and asked as they were trained to be."""

import json
from fnmatch import fnmatch

import pytest
import torch
import transformers

from spacy_openner.errors import CheckpointError, OpenNERWarning
from spacy_openner.models.generator import checkpoint as generators
from spacy_openner.models.generator.decoders import trunk
from spacy_openner.models.generator.likelihood import log_likelihoods
from spacy_openner.nn import hub
from spacy_openner.nn.packing import pack, unpack
from spacy_openner.prompts.base import PromptDefaults
from spacy_openner.prompts.gner import GNERPrompt_v1
from spacy_openner.prompts.lar import LARAnswerPrompt_v1, LARPrompt_v1
from spacy_openner.prompts.toner import ToNERPrompt_v1
from spacy_openner.prompts.uniner import UniNERPrompt_v1
from tests.support import tiny_models as tiny

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
}
GEMMA = {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 16}
# Configuration, what the family has of its own, and what it has not. In the first three, `base_model` is the model
# itself in some releases; the others scale or cap their logits, or attend to a window.
FAMILIES = {
    "Gemma3ForCausalLM": ("Gemma3TextConfig", GEMMA),
    "Llama4ForCausalLM": (
        "Llama4TextConfig",
        {"head_dim": 8, "intermediate_size_mlp": 48, "num_local_experts": 2, "attention_chunk_size": 512},
    ),
    "JetMoeForCausalLM": (
        "JetMoeConfig",
        {"num_attention_heads": None, "kv_channels": 16, "num_local_experts": 2, "num_experts_per_tok": 1},
    ),
    "Gemma2ForCausalLM": ("Gemma2Config", {**GEMMA, "final_logit_softcapping": 5.0}),
    "CohereForCausalLM": ("CohereConfig", {"logit_scale": 0.25}),
    "GraniteForCausalLM": ("GraniteConfig", {"logits_scaling": 4.0}),
    "MistralForCausalLM": ("MistralConfig", {"sliding_window": 16}),
}
PROMPTS = ["Marie Curie won the Nobel Prize in Paris and in Oslo", "Hi"]
ANSWERS = [["Paris is a city ."], ["a -> person", "city"]]
CHAT = "{{ bos_token }}{% for m in messages %}<u>{{ m.content }}</u>{% endfor %}{% if add_generation_prompt %}<m>\n{% endif %}"


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_scored_as_the_network_scores_them(family, tmp_path):
    config, options = FAMILIES[family]
    if not hasattr(transformers, family):
        pytest.skip(f"transformers {transformers.__version__} has no {family}")
    tok = tiny.generator_tokenizer("llama")
    settings = {name: value for name, value in {**SIZES, **options}.items() if value is not None}
    torch.manual_seed(0)
    network = getattr(transformers, family)(getattr(transformers, config)(vocab_size=len(tok), **settings))
    tiny.spread(network)
    network.save_pretrained(tmp_path)
    tok.save_pretrained(tmp_path)
    generator = generators.load(tmp_path)
    scores = log_likelihoods(generator, PROMPTS, ANSWERS, 10_000)
    for prompt, answers, row in zip(PROMPTS, ANSWERS, scores, strict=True):
        ids, _ = generator.encode_prompts([prompt])
        for answer, score in zip(answers, row, strict=True):
            subwords = torch.tensor(generator.encode_answer(answer, prompt))
            with torch.inference_mode():
                logits = generator.network(input_ids=torch.cat([ids, subwords[None]], 1)).logits
            expected = logits[0, ids.shape[1] - 1 : -1].log_softmax(-1).gather(1, subwords[:, None]).sum()
            assert score == pytest.approx(float(expected), abs=1e-3)


def test_a_network_without_a_decoder_is_named():
    with pytest.raises(CheckpointError, match=r"O113.*Linear has no decoder"):
        trunk(torch.nn.Linear(1, 1))


@pytest.fixture
def chat_path(tmp_path):
    """A causal model whose tokenizer has a chat template, which begins with a BOS of its own."""
    tok = tiny.generator_tokenizer("llama")
    tok.chat_template = CHAT
    tiny.generator_network("llama", tok).save_pretrained(tmp_path)
    tok.save_pretrained(tmp_path)
    return tmp_path


def test_a_chat_template_is_used_and_its_bos_stands_once(chat_path):
    generator = generators.load(chat_path)
    assert generator.prompt_defaults.find_causal() == "<s><u>{prompt}</u><m>\n"
    prompt = GNERPrompt_v1("{labels}: {sentence}").with_defaults(generator.prompt_defaults)
    text = prompt.render(["Ann"], ["city"], causal=True)
    assert text == "<s><u>city: Ann</u><m>\n"
    ids, _ = generator.encode_prompts([text])
    start = generator.tokenizer.bos_token_id
    assert ids[0, 0] == start
    assert (ids[0] == start).sum() == 1
    assert ids[0].tolist() == generator.tokenizer(text, add_special_tokens=False)["input_ids"]
    # A template that is set comes first; without any there is the published one.
    own = GNERPrompt_v1("{labels}: {sentence}", "Q: {prompt}").with_defaults(generator.prompt_defaults)
    assert own.render(["Ann"], ["city"], causal=True) == "Q: city: Ann"
    assert GNERPrompt_v1("{labels}: {sentence}").render(["Ann"], ["city"], causal=True) == "[INST] city: Ann [/INST]"


def test_every_prompt_for_causal_models_takes_the_template():
    defaults = PromptDefaults(None, lambda: "<u>{prompt}<m>")
    for prompt in (GNERPrompt_v1(), ToNERPrompt_v1(), LARAnswerPrompt_v1()):
        assert prompt.with_defaults(defaults).render(["Ann"], ["city"], causal=True).startswith("<u>")
        assert not prompt.with_defaults(defaults).render(["Ann"], ["city"]).startswith("<u>")
    assert LARPrompt_v1().with_defaults(defaults).render("Ann", ["a"], ["b"], causal=True).startswith("<u>")
    # A conversation is a template of its own.
    assert UniNERPrompt_v1().with_defaults(defaults) == UniNERPrompt_v1()


LOOP = "{% for m in messages %}<u>{{ m.content }}</u>{% endfor %}"
# Template -> what it writes around a message.
WORKING = {
    "of parts": ("{% for m in messages %}{% for p in m.content %}<u>{{ p['text'] }}{% endfor %}{% endfor %}", "<u>"),
    "of tools": ("{% for tool in tools %}{{ tool }}{% endfor %}" + LOOP, "<u>"),
    "several": ({"default": LOOP, "tool_use": "{{ raise_exception('no') }}"}, "<u>"),
    "one with a name": ({"chat": LOOP}, "<u>"),
}
BROKEN = {
    "no program": ("{{ nonsense(", "fails with TemplateSyntaxError"),
    "an error": ("{{ raise_exception('only with a system message') }}", "only with a system message"),
    "no message": ("always the same", "as it is, once"),
    "another message": ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "as it is, once"),
    "twice": (LOOP + LOOP, "as it is, once"),
    "none by default": ({"tool_use": LOOP, "rag": LOOP}, r"several \(tool_use, rag\)"),
}


def with_template(path, template):
    """Save another chat template with a model, as the tokenizer itself does it."""
    tokenizer = generators.load(path).tokenizer
    tokenizer.chat_template = template
    (path / "chat_template.jinja").unlink()
    tokenizer.save_pretrained(path)
    return generators.load(path)


@pytest.mark.parametrize(("template", "start"), WORKING.values(), ids=WORKING)
def test_templates_of_other_kinds(template, start, chat_path, tmp_path_factory):
    generator = with_template(chat_path, template)
    assert generator.chat_template.startswith(f"{start}{{prompt}}")
    generators.save(generator, again := tmp_path_factory.mktemp("again"))
    assert generators.load(again).chat_template == generator.chat_template
    unpacked = []
    unpack(pack(lambda path: generators.save(generator, path)), lambda path: unpacked.append(generators.load(path)))
    assert unpacked[0].chat_template == generator.chat_template


@pytest.mark.parametrize(("template", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_template_that_does_not_work_is_named_once(template, reason, chat_path):
    generator = generators.load(chat_path)
    generator.tokenizer.chat_template = template
    with pytest.warns(OpenNERWarning, match=rf"W124.*{reason}.*\[INST\]"):
        assert generator.chat_template is None
    prompt = GNERPrompt_v1("{labels}: {sentence}").with_defaults(generator.prompt_defaults)
    assert prompt.render(["Ann"], ["city"], causal=True) == "[INST] city: Ann [/INST]"


def test_nobody_looks_at_a_template_where_the_prompt_has_its_own(chat_path):
    generator = generators.load(chat_path)
    generator.tokenizer.chat_template = "{{ nonsense("
    for prompt in (GNERPrompt_v1(causal="Q: {prompt}"), ToNERPrompt_v1("Q: {prompt}"), UniNERPrompt_v1()):
        assert prompt.with_defaults(generator.prompt_defaults) == prompt


@pytest.mark.parametrize("instruction", [5, ["{labels} {sentence}"], "", "no places", "{labels} alone"])
def test_an_instruction_of_the_models_files_needs_its_places(instruction, chat_path):
    config = json.loads((chat_path / "config.json").read_text())
    (chat_path / "config.json").write_text(json.dumps({**config, "openner_instruction": instruction}))
    with pytest.raises(CheckpointError, match=r"O113.*openner_instruction.*\{sentence\}"):
        generators.load(chat_path)


def test_the_first_word_follows_a_space_where_the_prompt_does_not_end_with_one(tmp_path):
    generator = generators.load(tiny.saved_generator("gpt2", tmp_path / "model"))
    assert generator.chunks.spaced
    plain, spaced = (generator.tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("Ann", " Ann"))
    assert generator.encode_answer("Ann", "Q: [/INST]")[:-1] == spaced
    assert generator.encode_answer("Ann", "Q:\n")[:-1] == plain
    assert not generators.load(tiny.saved_generator("t5", tmp_path / "t5")).answers_after_space("Q:")


def test_templates_come_along_from_the_hub(chat_path, monkeypatch):
    """As `snapshot_download` chooses files, below directories too."""
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **options: asked.append(options) or chat_path)
    hub.find("owner/model", "main", hub.GENERATOR)
    (patterns,) = (options["allow_patterns"] for options in asked)
    for name in ("chat_template.jinja", "additional_chat_templates/tool_use.jinja"):
        assert any(fnmatch(name, pattern) for pattern in patterns)
