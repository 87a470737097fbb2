"""Make T5s of the published sizes whose answers are plausible, to measure speed on.

    python -m benchmarks.shaped CORPUS/train/conll2003.spacy TARGET
    python -m benchmarks.generator_speed TARGET/t5-small

Speed hangs on the size of a model and on what it answers: random weights answer noise, which drafts never guess. So a
small T5 is trained, and then widened to each size: the same answers, at the cost of that size. The tokenizer is trained
on the corpus. What little a small T5 learns in minutes is not enough to find the entities of other texts, so at last it
is shown the sentences that speed is measured on, until it answers them as a good model would. It is of no other use.
"""

import argparse
from pathlib import Path

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.util import fix_random_seed
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from benchmarks.common import BenchmarkParser, Mixed, gold_doc, machine, run_benchmark, train
from spacy_openner.models.generator import checkpoint as generators
from spacy_openner.models.generator.model import Generator
from spacy_openner.prompts.gner import INSTRUCTION
from spacy_openner.training.corpus import OpenNERCorpus_v1
from tests.support.annotated_sets import DATA, drawn, labels_of, read_set
from tests.support.widened_t5 import widened

SIZES = {
    "t5-small": {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
    "t5-base": {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
}
TRAINED = {"d_model": 128, "d_kv": 64, "d_ff": 512, "num_layers": 2, "num_heads": 4}
VOCABULARY = 32_128


def tokenizer_of(path: Path, size: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """A Unigram tokenizer as T5 has one, trained on the texts of a corpus and the words of the prompt."""
    texts = [doc.text for doc in DocBin().from_disk(path).get_docs(spacy.blank("en").vocab)]
    tags = "B-person I-person B-organization I-organization B-location I-location B-miscellaneous I-miscellaneous O"
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    specials = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=specials, unk_token="<unk>")
    tokenizer.train_from_iterator(
        [*texts, *[INSTRUCTION, tags, " ".join(f"({tag})" for tag in tags.split())] * 50], trainer
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def shown(nlp: Language, args: argparse.Namespace) -> list[Example]:
    """The sentences that speed is measured on, annotated."""
    labels = labels_of(read_set(args.set, "dev", args.data))
    examples = []
    for row in drawn(args.set, 64, args.data):
        gold = gold_doc(nlp, row, labels)
        gold._.openner_labels = labels
        examples.append(Example(Doc(nlp.vocab, words=row["tokens"]), gold))
    return examples


def trained(args: argparse.Namespace) -> Generator:
    """A small T5 that answers the sentences as it should."""
    tokenizer_of(args.corpus).save_pretrained(args.target / "tokenizer")
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("gner_generator")
    ids = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}
    config = {"model_type": "t5", **TRAINED, **ids}
    pipe.initialize(list, nlp=nlp, labels=[], config=config, tokenizer=args.target / "tokenizer")
    train(nlp, OpenNERCorpus_v1({"all": {"path": args.corpus}}, max_words=60), args.steps, args.batch, args.rate)
    examples = shown(nlp, args)
    train(nlp, Mixed(examples), args.shown, args.batch, args.rate)
    pipe.labels = examples[0].reference._.openner_labels
    print(f"F1 on the {len(examples)} sentences that were shown: {100 * nlp.evaluate(examples)['openner_f']:.1f}")
    return pipe.model.shims[0].generator


def main() -> None:
    """Train, widen, save."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="a .spacy file with its list of types")
    parser.add_argument("target", type=Path)
    parser.add_argument("--set", default="conll2003", help="what speed is measured on")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--shown", type=int, default=350, help="steps on what speed is measured on")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    fix_random_seed(0)
    generator = trained(args)
    print(machine())
    for name, sizes in SIZES.items():
        wide = widened(generator.network, {**sizes, "vocab_size": VOCABULARY})
        generators.save(generators.of(wide, generator.tokenizer), args.target / name)
        print(f"{name}: {sum(parameter.numel() for parameter in wide.parameters()) / 1e6:.0f} million parameters")


if __name__ == "__main__":
    run_benchmark(main)
