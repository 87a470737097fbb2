"""Answers of a generator, compared: entities alone, with words around them, or a tag for every word (GNER, table 1).

    python -m benchmarks.targets CORPUS --set SET --encoder ENCODER --steps 300 --encoder-scale 0.5 --output targets.json

CORPUS is what scripts/convert_sets.py makes. The same new decoder on --encoder (`benchmarks.trimmed` makes a small one), or
without one the same small T5, is trained on each kind of answer, all pieces of the answer in the loss, the same texts in
the same order, guided to what it copies; then it answers freely, and is matched with the text. BIO's tags are decoded under
constraints, too. Strict F1, and of the gold entities how many were not found, found with another type, found with other
bounds (percent).
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.training import Example
from spacy.util import fix_random_seed

from benchmarks.common import BenchmarkParser, machine, report, run_benchmark, train
from benchmarks.shaped import TRAINED, tokenizer_of
from spacy_openner.training.corpus import OpenNERCorpus_v1

TARGETS: dict[str, dict[str, Any]] = {
    "entities": {"target": "entities"},
    "context 1": {"target": "context", "context": 1},
    "context 5": {"target": "context", "context": 5},
    "whole text": {"target": "context"},
    "BIO": {"target": "bio"},
    "BIOES": {"target": "bioes"},
}
INSTRUCTION = "{labels}: {sentence}"
VOCABULARY = 8000
SMALL = {"model_type": "t5", **TRAINED, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}
ERRORS = ("unlabelled", "noisy", "boundary")


def options(description: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """Arguments of benchmarks of small generators."""
    parser = BenchmarkParser(description=description)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--set", default="conll2003")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--attention-weight", type=float, default=1.0)
    parser.add_argument("--encoder-scale", type=float, default=0.3, help="of its rate; 0 to leave it as it is")
    parser.add_argument("--dev", type=int, default=300, help="texts that are scored")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    parser.set_defaults(**defaults)
    return parser


def pipeline(args: argparse.Namespace, tokenizer: Path, prompt: dict[str, Any], **settings: Any) -> Language:
    """A new model, in a pipeline that answers freely."""
    nlp = spacy.blank("en")
    config = {
        "prompt": prompt,
        "sampler": {"@misc": "spacy-openner.TypeSampler.v1", "negative_ratio": 1.0, "positive_dropout": 0.0},
        "scorer": {"@scorers": "spacy-openner.entity_scorer.v1", "spans_key": "openner"},
        "loss": "answer",
        "decoding": "free",
        "attention_weight": args.attention_weight,
        **settings,
    }
    pipe = nlp.add_pipe("gner_generator", config=config)
    weights = (
        {"encoder": args.encoder, "layers": args.layers} if args.encoder else {"config": SMALL, "tokenizer": tokenizer}
    )
    pipe.initialize(list, nlp=nlp, labels=pipe.labels, **weights)
    return nlp


def scales(args: argparse.Namespace) -> dict[str, float] | None:
    """Rates of the parts of a model that is partly trained already."""
    return (
        {"encoder.embeddings": 0.0, "encoder.": args.encoder_scale, "decoder.bert.embeddings": 0.0}
        if args.encoder
        else None
    )


def read(path: Path, **limits: int) -> list[Example]:
    """The texts of a corpus, asked for their own types."""
    return list(OpenNERCorpus_v1({"all": {"path": path, **limits}}, shuffle=False)(spacy.blank("en")))


def score(nlp: Language, examples: list[Example]) -> dict[str, float]:
    """Strict F1 and the kinds of error, in percent."""
    scores = nlp.evaluate(examples)
    gold = sum(len(eg.reference.spans["openner"]) for eg in examples)
    errors = {kind: 100 * scores["openner_errors"][kind]["fn"] / gold for kind in ERRORS}
    return {"F": 100 * (scores["openner_f"] or 0.0), **errors}


def main() -> None:
    """Train, score, print."""
    parser = options(__doc__)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--instruction", default=INSTRUCTION)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train_file, dev_file = (args.corpus / split / f"{args.set}.spacy" for split in ("train", "dev"))
    rows: list[dict[str, Any]] = []
    scratch = tempfile.TemporaryDirectory()
    tokenizer_of(train_file, VOCABULARY).save_pretrained(scratch.name)
    dev = read(dev_file, limit=args.dev)
    for name in args.targets:
        fix_random_seed(0)
        prompt = {"@misc": "spacy-openner.GNERPrompt.v1", "instruction": args.instruction, **TARGETS[name]}
        nlp = pipeline(args, Path(scratch.name), prompt)
        corpus = OpenNERCorpus_v1({"all": {"path": train_file}}, max_words=60)
        train(nlp, corpus, args.steps, args.batch, args.rate, scales(args))
        scores = [{"answer": name, **score(nlp, dev)}]
        if name == "BIO":
            nlp.get_pipe("gner_generator").decoding = "constrained"
            scores.append({"answer": "BIO, constrained", **score(nlp, dev)})
        print(*scores, sep="\n", flush=True)
        rows += scores
    print(machine())
    report(rows, args.output, steps=args.steps, batch=args.batch, set=args.set)


if __name__ == "__main__":
    run_benchmark(main)
