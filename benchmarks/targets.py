"""What a generator should answer: entities alone, with words around them, or a tag for every word (GNER, table 1).

    python -m benchmarks.targets CORPUS --encoder ENCODER --steps 500 --output targets.json

CORPUS is what scripts/convert_sets.py makes. The same new decoder on ENCODER (a BERT, or a span matcher on one) is
trained on each kind of answer, all pieces of the answer in the loss, the same texts in the same order, asked in the
layout that a span matcher reads; then it answers freely, and is matched with the text. The last row decodes the tags under constraints. Strict F1, and of the gold
entities how many were not found, found with another type, found with other bounds (percent).
"""

import argparse
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.util import fix_random_seed

from benchmarks.common import machine, report, train
from spacy_openner.data.corpus import OpenNERCorpus_v1

TARGETS: dict[str, dict[str, Any]] = {
    "entities": {"target": "entities"},
    "context 1": {"target": "context", "context": 1},
    "context 5": {"target": "context", "context": 5},
    "whole text": {"target": "context"},
    "BIO": {"target": "bio"},
    "BIOES": {"target": "bioes"},
}
INSTRUCTION = "<<ENT>> {labels: <<ENT>> } <<SEP>> {sentence}"
ERRORS = ("unlabelled", "noisy", "boundary")


def pipeline(encoder: Path, target: dict[str, Any], layers: int) -> Language:
    """A new decoder, in a pipeline that answers in this way."""
    nlp = spacy.blank("en")
    config = {
        "prompt": {"@misc": "spacy-openner.GNERPrompt.v1", "instruction": INSTRUCTION, **target},
        "sampler": {"@misc": "spacy-openner.TypeSampler.v1", "ratio": 1.0, "drop": 0.0},
        "scorer": {"@scorers": "spacy-openner.entity_scorer.v1", "spans_key": "openner"},
        "loss": "answer",
        "decoding": "free",
    }
    pipe = nlp.add_pipe("gner_generator", config=config)
    pipe.initialize(list, nlp=nlp, labels=[], encoder=encoder, layers=layers)
    return nlp


def score(nlp: Language, path: Path, limit: int) -> dict[str, float]:
    """Strict F1 and the kinds of error, in percent."""
    dev = OpenNERCorpus_v1({"all": {"path": path, "limit": limit}}, shuffle=False)
    examples = list(dev(nlp))
    scores = nlp.evaluate(examples)
    gold = sum(len(eg.reference.spans["openner"]) for eg in examples)
    errors = {kind: 100 * scores["openner_errors"][kind]["fn"] / gold for kind in ERRORS}
    return {"F": 100 * (scores["openner_f"] or 0.0), **errors}


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--set", default="conll2003")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--encoder-scale", type=float, default=0.3, help="of its rate; 0 to leave it as it is")
    parser.add_argument("--dev", type=int, default=300, help="texts that are scored")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train_file, dev_file = (args.corpus / split / f"{args.set}.spacy" for split in ("train", "dev"))
    scales = {"encoder.embeddings": 0.0, "encoder.": args.encoder_scale, "decoder.bert.embeddings": 0.0}
    rows: list[dict[str, Any]] = []
    for name in args.targets:
        fix_random_seed(0)
        nlp = pipeline(args.encoder, TARGETS[name], args.layers)
        corpus = OpenNERCorpus_v1({"all": {"path": train_file}}, max_words=60)
        train(nlp, corpus, args.steps, args.batch, args.rate, scales)
        rows.append({"answer": name, **score(nlp, dev_file, args.dev)})
        if name == "BIO":
            nlp.get_pipe("gner_generator").decoding = "constrained"
            rows.append({"answer": "BIO, constrained", **score(nlp, dev_file, args.dev)})
        print(rows[-1], flush=True)
    print(machine())
    report(rows, args.output, steps=args.steps, batch=args.batch, set=args.set)


if __name__ == "__main__":
    main()
