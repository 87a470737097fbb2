"""Make a T5 of a published size with weights of its own, trained until its tags are plausible, to measure speed on.

    python -m benchmarks.shaped t5-small CORPUS/train/conll2003.spacy TARGET --steps 300
    python -m benchmarks.generator_speed TARGET/model

Speed hangs on the size of a model and on what it answers: random weights answer noise, which drafts never guess. The
tokenizer is trained on the corpus.
"""

import argparse
from pathlib import Path

import spacy
import torch
from spacy.tokens import DocBin
from spacy.util import fix_random_seed
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from benchmarks.common import machine, train
from spacy_openner.data.corpus import OpenNERCorpus_v1
from spacy_openner.models import generator as generators
from spacy_openner.prompts.gner import INSTRUCTION

SIZES = {
    "t5-small": {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
    "t5-base": {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
}
VOCABULARY = 32_128


def tokenizer_of(path: Path) -> PreTrainedTokenizerFast:
    """A Unigram tokenizer as T5 has one, trained on the texts of a corpus and the words of the prompt."""
    texts = [doc.text for doc in DocBin().from_disk(path).get_docs(spacy.blank("en").vocab)]
    tags = "B-person I-person B-organization I-organization B-location I-location B-miscellaneous I-miscellaneous O"
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    specials = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=VOCABULARY, special_tokens=specials, unk_token="<unk>")
    made.train_from_iterator([*texts, *[INSTRUCTION, tags, " ".join(f"({tag})" for tag in tags.split())] * 50], trainer)
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def main() -> None:
    """Build, train, save, show an answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("corpus", type=Path, help="a .spacy file with its list of types")
    parser.add_argument("target", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    fix_random_seed(0)
    tokenizer_of(args.corpus).save_pretrained(args.target / "tokenizer")
    nlp = spacy.blank("en")
    # Whole answers, so that plain `generate` writes what it should and ends where it should.
    pipe = nlp.add_pipe("gner_generator", config={"loss": "answer"})
    config = {
        "model_type": "t5",
        **SIZES[args.size],
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
    }
    pipe.initialize(list, nlp=nlp, labels=[], config=config, tokenizer=args.target / "tokenizer")
    corpus = OpenNERCorpus_v1({"all": {"path": args.corpus}}, max_words=60)
    train(nlp, corpus, args.steps, args.batch, args.rate)
    generator = pipe.model.shims[0].generator
    generators.save(generator, args.target / "model")
    size = sum(parameter.numel() for parameter in generator.network.parameters())
    print(machine(), f"{size / 1e6:.0f} million parameters", sep="\n")
    pipe.labels = ["person", "organization", "location"]
    doc = nlp("Peter Blackburn of Reuters met officials of the European Commission in Brussels on Thursday .")
    print([(span.text, span.label_) for span in doc.spans["openner"]])


if __name__ == "__main__":
    main()
