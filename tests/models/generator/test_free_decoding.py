"""Free answers, heard and scored: whatever a model says, and if it says nothing."""

import pytest
import torch

from spacy_openner.models.generator.checkpoint import load
from spacy_openner.models.generator.free_decoding import parse_answer, word_log_probs
from spacy_openner.models.generator.model import make_generator
from spacy_openner.prompts.gner import GNERPrompt_v1
from spacy_openner.prompts.lar import LARAnswerPrompt, LARAnswerPrompt_v1
from spacy_openner.prompts.toner import ToNERPrompt_v1
from spacy_openner.prompts.uniner import UniNERPrompt_v1
from tests.support import tiny_models as tiny

PROMPTS = [
    ToNERPrompt_v1(),
    ToNERPrompt_v1(explain=True),
    LARAnswerPrompt_v1(),
    UniNERPrompt_v1(),
    *(GNERPrompt_v1(target=target) for target in ("bio", "bioes", "entities", "context")),
]
WORDS = ["Curie", "won"]
LABELS = ["person", "award"]


@pytest.mark.parametrize("answer", ["", "[]", "nothing here", "Curie(B-", "[(person"])
@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: f"{type(prompt).__name__} {prompt.target}")
@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_answers_without_entities(kind, prompt, answer, tmp_path):
    generator = load(tiny.saved_generator(kind, tmp_path / "model"))
    said = generator.tokenizer(answer, add_special_tokens=False)["input_ids"]
    heard = parse_answer(generator, prompt, said, WORDS, LABELS)
    assert list(heard.tags) == [0, 0]
    ids, mask = generator.encode_prompts([prompt.render(WORDS, LABELS, causal=generator.causal)])
    with torch.inference_mode():
        assert [len(row) for row in word_log_probs(generator, ids, mask, [said], [heard])] == [2]


TEXT = ["Marie", "Curie", "won", "the", "Nobel", "Prize", "in", "Paris", "."]
ENTITIES = [(0, 2, "person"), (4, 6, "award (prize)"), (7, 8, "city")]


@pytest.mark.parametrize(
    "prompt",
    [prompt for prompt in PROMPTS if prompt.max_types is None],
    ids=lambda prompt: f"{type(prompt).__name__} {prompt.target}",
)
@pytest.mark.parametrize("kind", ["t5", "bert"])
def test_right_answers_are_heard_whatever_the_tokenizer_does_to_spaces_and_case(kind, prompt):
    source = ", a kind of thing" if isinstance(prompt, LARAnswerPrompt) else ""
    labels, tags = [label + source for *_, label in ENTITIES], ["O"] * len(TEXT)
    for start, end, label in ENTITIES:
        tags[start:end] = [f"B-{label}{source}"] + [f"I-{label}{source}"] * (end - start - 1)
    answer = prompt.answer(TEXT, tags)
    tokenizer = tiny.generator_tokenizer(kind, [answer] * 2)
    if kind == "bert":
        # All pieces that the answer takes.
        found = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(answer.lower())
        tokenizer.add_tokens([piece for piece, _ in found])
    generator = make_generator(tiny.generator_network(kind, tokenizer), tokenizer)
    said = tokenizer(answer, add_special_tokens=False)["input_ids"]
    assert [prompt.tags(labels)[tag] for tag in parse_answer(generator, prompt, said, TEXT, labels).tags] == tags
