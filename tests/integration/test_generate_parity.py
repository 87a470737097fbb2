"""On a thousand real sentences, constrained decoding answers what `generate` under the same constraint does, id for id."""

import random

import pytest
import spacy
import torch
from spacy.tokens import Doc, Span
from spacy.training import Example
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from spacy_openner.decoding.copy_constrained import decode
from spacy_openner.decoding.tag_trie import Tagset
from spacy_openner.models.generator import checkpoint as generators
from spacy_openner.models.generator.free_decoding import generate
from spacy_openner.prompts.gner import GNERPrompt_v1
from spacy_openner.training.optimizer import LayerwiseAdam_v1
from tests.support import tiny_models as tiny
from tests.support.annotated_sets import labels_of, read_set
from tests.support.generator_case import answer_subwords

INSTRUCTION = "{labels} and O: {sentence}"
PROMPT = GNERPrompt_v1(INSTRUCTION)
SETS = {"conll2003": 500, "wnut17": 400, "crossner_politics": 60, "crossner_science": 60}


@pytest.fixture(scope="module")
def rows(data_dir):
    """News, social media, encyclopaedia; shorter sentences, so that `generate` is done in minutes."""
    found = []
    for name, count in SETS.items():
        short = [row for row in read_set(name, "dev", data_dir) if 4 <= len(row["tokens"]) <= 30]
        found += random.Random(0).sample(short, count)
    return sorted(found, key=lambda row: len(row["tokens"]))


def network_of(kind, tok):
    ids = {"vocab_size": len(tok), "pad_token_id": 0, "eos_token_id": 1}
    if kind == "t5":
        sizes = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
        return T5ForConditionalGeneration(T5Config(**sizes, **ids, decoder_start_token_id=0))
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(**sizes, **ids, bos_token_id=2, max_position_embeddings=2048))


def trained(path, rows, labels, steps):
    """Teach the tags of real sentences, a little: enough for answers of all kinds."""
    nlp = spacy.blank("en")
    prompt = {"@misc": "spacy-openner.GNERPrompt.v1", "instruction": INSTRUCTION}
    sampler = {"@misc": "spacy-openner.TypeSampler.v1", "negative_ratio": 1.0, "positive_dropout": 0.0}
    config = {"model": {"name": str(path)}, "labels": labels, "prompt": prompt, "sampler": sampler}
    nlp.add_pipe("gner_generator", config=config)
    optimizer = LayerwiseAdam_v1(3e-3)
    for _ in range(steps):
        batch = []
        for row in random.sample(rows, 16):
            gold = Doc(nlp.vocab, words=row["tokens"])
            gold.ents = [Span(gold, a, b, label=label) for a, b, label in row["spans"] if label in labels]
            gold._.openner_labels = labels
            batch.append(Example(Doc(nlp.vocab, words=row["tokens"]), gold))
        nlp.update(batch, sgd=optimizer, drop=0.0)
    return nlp.get_pipe("gner_generator").model.shims[0].generator


def both(generator, rows, labels, drafts):
    """The engine's answers and those of `generate`, for one batch. RETURNS: pieces, pieces, tags."""
    texts, tags = [row["tokens"] for row in rows], PROMPT.tags(labels)
    words = [generator.chunks.encode_words(text, tags, PROMPT.chunk, generator.causal) for text in texts]
    ids, mask = generator.encode_prompts([PROMPT.render(text, labels, causal=generator.causal) for text in texts])
    with torch.inference_mode():
        decoder = generator.start_decoder(ids, mask)
        answers = decode(decoder, words, [len(labels)] * len(rows), generator.start_subwords(ids), drafts, 512)
        said = generate(generator, ids, mask, words, 1, [Tagset(len(labels))] * len(rows))
    return [answer_subwords(w, a.tags) for w, a in zip(words, answers, strict=True)], said, [a.tags for a in answers]


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("steps", [0, 300])
@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_a_thousand_real_sentences(kind, steps, rows, data_dir, tmp_path):
    labels = labels_of(read_set("conll2003", "dev", data_dir))
    tok = tiny.generator_tokenizer(kind, [" ".join(row["tokens"]) for row in rows])
    network = network_of(kind, tok)
    if not steps:
        tiny.spread(network)
    network.save_pretrained(tmp_path)
    tok.save_pretrained(tmp_path)
    generator = trained(tmp_path, rows, labels, steps) if steps else generators.load(tmp_path)
    # In double precision two ways to add the same numbers do not choose differently.
    generator.network.eval().double()
    chance, different, entities = random.Random(0), 0, 0
    for size, part in ((1, rows[::20]), (7, rows), (16, rows)):
        for start in range(0, len(part), size):
            batch = part[start : start + size]
            drafts = [[chance.randint(0, 2 * len(labels)) for _ in row["tokens"]] for row in batch]
            own, said, tags = both(generator, batch, labels, drafts if size == 7 else None)
            different += sum(a != b for a, b in zip(own, said, strict=True))
            entities += sum(tag != 0 for each in tags for tag in each)
    print(f"{kind}, {steps} updates: {len(rows)} sentences, {entities} tags of entities, {different} answers differ")
    assert not different
    assert entities > 100
