"""Small random models of every supported kind, and the sentences that they are tried on."""

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModel,
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    EncoderDecoderConfig,
    EncoderDecoderModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
)

from spacy_openner.models.architectures import SPAN_MATCHER
from spacy_openner.models.gliner import checkpoint as gliner_checkpoint
from spacy_openner.models.gliner.new_head import from_encoder
from spacy_openner.models.type_matcher import text_encoders

SENTENCES = [
    "Marie Curie won the Nobel Prize for discovering polonium in Paris.",
    "The band The Mad Capsule Markets released 'Osc-Dis' on 3 May 1999!",
    "Dr. Zhang (Peking University, Beijing) e-mailed john_doe-smith@example.org about $1,200.50.",
    "Ich wohne in Zürich, naïve café – “déjà vu” … 😀 ok.",
    "北京大学的张伟教授访问了巴黎。",
    "Hi",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "state-of-the-art COVID-19 vaccines by Pfizer/BioNTech cut deaths by 90%",
]
LABELS = ["person", "award", "chemical element", "city, town (populated place)", "音乐"]
KINDS = ("bert", "deberta-v2", "modernbert", "t5", "roberta")
_SIZE = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_hidden_layers": 2}


def _word_pieces(text: str) -> list[str]:
    """Characters, and words cut after three letters: made by rule, since trainers order pieces by chance."""
    words = sorted(set(re.findall(r"\w+", text)))
    parts = {word[:3] for word in words} | {"##" + word[3:] for word in words if word[3:]}
    letters = set(text) - {" "}
    return sorted(letters | {"##" + c for c in letters} | parts)


def _unigram(text: list[str], specials: list[str], unknown: str) -> Tokenizer:
    """Pieces as `_word_pieces` makes them, the longer the likelier; no two alike, so that there is one best way to cut."""
    pieces = {p.removeprefix("##") for p in _word_pieces(" ".join(text))}
    pieces |= {"▁" + p for p in pieces} | {"▁"}
    ordered = sorted(pieces - set(specials), key=lambda piece: (-len(piece), piece))
    scored = [(piece, -5.0 - i * (i + 1) / 1e5) for i, piece in enumerate(ordered)]
    made = Tokenizer(models.Unigram([*((s, 0.0) for s in specials), *scored], unk_id=specials.index(unknown)))
    made.add_special_tokens(specials)
    return made


def tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """A tokenizer of the backbone's own style, trained on a few sentences."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    text = SENTENCES * 2 + LABELS
    if kind in ("bert", "mpnet"):
        pieces = {**dict.fromkeys(specials), **dict.fromkeys(_word_pieces(" ".join(text).lower()))}
        made = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer(lowercase=True)
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.add_special_tokens(specials)
    elif kind in ("modernbert", "roberta"):
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        made.train_from_iterator(
            text, trainers.BpeTrainer(vocab_size=400, special_tokens=specials, initial_alphabet=alphabet)
        )
    else:
        made = _unigram(text, specials, "[UNK]")
        # Deliberately the scheme that treats the first word of a list unlike the others.
        scheme = "first" if kind == "t5" else "always"
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
        made.decoder = decoders.Metaspace()
    ids = [(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    if kind == "t5":
        made.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[ids[1]])
    else:
        made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ids)
    names = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=512, **names)


def backbone(kind: str, path: Path, *, seed: int = 0) -> Path:
    """Save a random backbone with its tokenizer; weights are spread out, so that scores differ."""
    torch.manual_seed(seed)
    tok = tokenizer(kind)
    options = {**_SIZE, "vocab_size": len(tok), "pad_token_id": 0}
    if kind == "t5":
        options = {
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 48,
            "num_layers": 2,
            "num_heads": 4,
            "vocab_size": len(tok),
            "pad_token_id": 0,
        }
    elif kind == "deberta-v2":
        options |= {
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
        }
        options |= {
            "max_relative_positions": -1,
            "position_buckets": 32,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
        }
    elif kind == "modernbert":
        options |= {
            "max_position_embeddings": 512,
            "cls_token_id": 2,
            "sep_token_id": 3,
            "bos_token_id": 2,
            "eos_token_id": 3,
        }
        options |= {"reference_compile": False, "attn_implementation": "eager"}
    elif kind in ("roberta", "mpnet"):
        options |= {"max_position_embeddings": 514, "pad_token_id": 1}
        tok.pad_token_id = 0
    config = AutoConfig.for_model(kind, **options)
    model = T5EncoderModel(config) if kind == "t5" else AutoModel.from_config(config)
    spread(model)
    model.save_pretrained(path)
    tok.save_pretrained(path)
    return path


def spread(module: torch.nn.Module, factor: float = 8.0) -> None:
    """Enlarge the matrices of a fresh network: nearly equal scores would hide mistakes."""
    with torch.no_grad():
        for name, value in module.named_parameters():
            if value.dim() == 2 and "norm" not in name.lower():
                value.mul_(factor if value.std() < 0.05 else 1.0)


def checkpoint(kind: str, path: Path, *, seed: int = 0, **options) -> gliner_checkpoint.Checkpoint:
    """A random checkpoint on a random backbone, built by this package."""
    made = from_encoder(backbone(kind, path / "backbone", seed=seed), **{"width": 24, **options})
    with torch.no_grad():
        for name, value in made.network.named_parameters():
            if not name.startswith(("encoder.", "label_encoder.")) and value.dim() == 2:
                value.mul_(1.5)
    return made


def saved(kind: str, path: Path, **options) -> Path:
    """As `checkpoint`, saved."""
    gliner_checkpoint.save(checkpoint(kind, path, **options), path / "checkpoint")
    return path / "checkpoint"


def span_matcher(path: Path | str, **settings: Any) -> dict[str, Any]:
    """The settings of a model that reads a checkpoint of the GLiNER family; `open_ner_span` takes another by default."""
    return {"@architectures": SPAN_MATCHER, "name": str(path), **settings}


def long_text(n_words: int, seed: int = 0) -> str:
    """Words drawn from the sentences."""
    rng = random.Random(seed)
    words = [word for sentence in SENTENCES[:3] for word in sentence.split()]
    return " ".join(rng.choice(words) for _ in range(n_words))


def found(doc, key: str = "openner") -> list[tuple[int, int, str, float]]:
    """The spans of a doc with their scores."""
    group = doc.spans[key]
    scores = group.attrs["scores"]
    assert len(scores) == len(group)
    return [(s.start, s.end, s.label_, float(p)) for s, p in zip(group, scores, strict=True)]


def same(left, right, atol: float = 2e-5) -> None:
    """Assert that two lists of spans are equal but for float noise."""
    left, right = sorted(left, key=lambda x: x[:3]), sorted(right, key=lambda x: x[:3])
    assert [x[:3] for x in left] == [x[:3] for x in right]
    assert np.allclose([x[3] for x in left], [x[3] for x in right], rtol=0, atol=atol)


GENERATORS = ("t5", "bert", "bart", "llama", "gpt2")
_HEADS = {"num_attention_heads": 4, "num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 48}


def generator_tokenizer(kind: str, more: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A tokenizer of the generator's own style, trained on a few sentences and answers, and on more texts."""
    if kind == "bert":
        return tokenizer("bert")
    specials = ["<pad>", "</s>", "<s>", "<unk>"]
    tags = ["O", "B-person", "I-person", "B-award", "I-city", "B-city, town (populated place)", "S-person", "E-city"]
    answers = [" ".join(f"{w}({t})" for w, t in zip(text.split(), tags * 9, strict=False)) for text in SENTENCES]
    text = SENTENCES * 2 + LABELS + answers + ["[INST] Use the specific entity tags: a, b and O. Sentence: [/INST]"]
    text += more
    if kind == "gpt2":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        made.train_from_iterator(
            text, trainers.BpeTrainer(vocab_size=500, special_tokens=specials, initial_alphabet=alphabet)
        )
    else:
        made = _unigram(text, specials, "<unk>") if kind == "t5" else Tokenizer(models.BPE(unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.decoder = decoders.Metaspace()
        if kind != "t5":
            made.train_from_iterator(text, trainers.BpeTrainer(vocab_size=400, special_tokens=specials))
        single = "<s> $A" if kind == "llama" else "$A </s>"
        ids = [("<s>", 2)] if kind == "llama" else [("</s>", 1)]
        made.post_processor = processors.TemplateProcessing(single=single, special_tokens=ids)
    names = {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


def generator_network(kind: str, tok: PreTrainedTokenizerFast, seed: int = 0, layers: int = 2) -> PreTrainedModel:
    """A random generative model; weights are spread out, so that choices differ."""
    torch.manual_seed(seed)
    ids = {"vocab_size": len(tok), "pad_token_id": 0, "eos_token_id": 1}
    if kind == "bert":
        own = {**_HEADS, "num_hidden_layers": layers, "vocab_size": len(tok), "pad_token_id": 0}
        parts = BertConfig(**own), BertConfig(**own, is_decoder=True, add_cross_attention=True)
        config = EncoderDecoderConfig.from_encoder_decoder_configs(*parts)
        ends = {"decoder_start_token_id": tok.cls_token_id, "eos_token_id": tok.sep_token_id, "pad_token_id": 0}
        for name, value in ends.items():
            setattr(config, name, value)
        network = EncoderDecoderModel(config)
        for name, value in ends.items():
            setattr(network.generation_config, name, value)
    elif kind == "t5":
        sizes = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": layers, "num_heads": 4}
        network = T5ForConditionalGeneration(T5Config(**sizes, **ids, decoder_start_token_id=0))
    elif kind == "bart":
        sizes = {
            f"{part}_{name}": n for part in ("encoder", "decoder") for name, n in {**_BART, "layers": layers}.items()
        }
        ids |= {"decoder_start_token_id": 1, "forced_eos_token_id": None, "bos_token_id": 2}
        network = BartForConditionalGeneration(BartConfig(d_model=32, max_position_embeddings=400, **sizes, **ids))
    elif kind == "llama":
        options = {"num_key_value_heads": 2, "bos_token_id": 2, "max_position_embeddings": 1024}
        network = LlamaForCausalLM(LlamaConfig(**{**_HEADS, "num_hidden_layers": layers}, **ids, **options))
    else:
        sizes = {"n_embd": 32, "n_layer": layers, "n_head": 4, "n_positions": 1024, "bos_token_id": 2}
        network = GPT2LMHeadModel(GPT2Config(**sizes, **ids))
    spread(network)
    return network.eval()


_BART = {"attention_heads": 4, "ffn_dim": 48}


def saved_generator(kind: str, path: Path, seed: int = 5, layers: int = 2) -> Path:
    """A random generative model, saved as `transformers` saves it; with seed 5, every kind answers with several tags."""
    tok = generator_tokenizer(kind)
    generator_network(kind, tok, seed, layers).save_pretrained(path)
    tok.save_pretrained(path)
    return path


def saved_types(path: Path, kind: str = "static", width: int = 16, seed: int = 0) -> Path:
    """A type matcher of random vectors, or a random transformer as one."""
    encoder = text_encoders.load(backbone("bert", path / "encoder", seed=seed))
    if kind == "static":
        torch.manual_seed(seed)
        encoder = text_encoders.StaticEncoder(encoder.tokenizer, torch.randn(encoder.tokenizer.get_vocab_size(), width))
    encoder.save(path / kind)
    return path / kind
