"""The worth of ToNER's parts to a generator (ToNER, table 6).

    python -m benchmarks.toner CORPUS --set SET --encoder ENCODER --steps 300 --encoder-scale 0.5 --filter-steps 150

CORPUS and ENCODER are those of `benchmarks.targets`. The same new decoder on --encoder (or a small T5) is trained with ToNER's
prompt on the same texts in the same order: alone; with the types that a filter thinks likely, in training and after, all
types allowed; with the classification of types by the encoder, too; with the recognition of types, too. The filter is
the default one, trained on the same texts before, with the threshold that keeps --recall of their types. Strict F1 of
answers that are written freely, and of the gold entities how many were not found, found with another type, found with
other bounds (percent); mean and standard deviation over the seeds.
"""

import tempfile
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.training import Example
from spacy.util import fix_random_seed

from benchmarks.common import Mixed, machine, report, run_benchmark, spread, train
from benchmarks.shaped import tokenizer_of
from benchmarks.targets import VOCABULARY, options, pipeline, read, scales, score
from spacy_openner.calibration.types import calibrate_types

MATCHING = {"label_hints": "hint"}
CLASSIFICATION = {**MATCHING, "type_classification_weight": 0.1}
RECOGNITION = {**CLASSIFICATION, "type_recognition_ratio": 0.2}
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "+ matching": MATCHING,
    "+ type_classification_weight": CLASSIFICATION,
    "+ type_recognition_ratio": RECOGNITION,
}
LONGEST = 60


def hint(taught: list[Example], dev: list[Example], steps: int, recall: float) -> dict[str, float]:
    """Train a filter, and write the types that it keeps to the docs that are going to be read.

    RETURNS (dict[str, float]): Its recall and the share of types that it keeps on the dev texts, in percent.
    """
    fix_random_seed(0)
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe(
        "type_filter", config={"loss": {"@misc": "spacy-openner.TypeLoss.v1", "classification_weight": 1.0}}
    )
    pipe.initialize(lambda: taught, nlp=nlp)
    train(nlp, Mixed(taught), steps, 64, 1e-3)
    calibrate_types(nlp, taught[:1000], recall=recall).apply(nlp)
    scores = nlp.evaluate(dev)
    for example in [*taught, *dev]:
        example.predicted._.openner_labels = None
    pipe.set_annotations(docs := [eg.predicted for eg in [*taught, *dev]], pipe.predict(docs))
    return {"types_r": 100 * scores["types_r"], "types_kept": 100 * scores["types_kept"]}


def main() -> None:
    """Train, score, print."""
    parser = options(__doc__)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--filter-steps", type=int, default=300)
    parser.add_argument("--recall", type=float, default=0.95, help="of types in the training texts")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train_file, dev_file = (args.corpus / split / f"{args.set}.spacy" for split in ("train", "dev"))
    taught = [eg for eg in read(train_file) if len(eg.reference) <= LONGEST]
    dev = read(dev_file, limit=args.dev)
    types = taught[0].reference._.openner_labels
    print({"filter": hint(taught, dev, args.filter_steps, args.recall)}, flush=True)
    scratch = tempfile.TemporaryDirectory()
    tokenizer_of(train_file, VOCABULARY).save_pretrained(scratch.name)
    rows: list[dict[str, Any]] = []
    for name in args.variants:
        runs = []
        for seed in range(args.seeds):
            fix_random_seed(seed)
            settings = {"labels": types, **VARIANTS[name]}
            nlp = pipeline(args, Path(scratch.name), {"@misc": "spacy-openner.ToNERPrompt.v1"}, **settings)
            train(nlp, Mixed(taught), args.steps, args.batch, args.rate, scales(args))
            runs.append(score(nlp, dev))
        rows.append({"generator": name, **{key: spread([run[key] for run in runs]) for key in runs[0]}})
        print(rows[-1], flush=True)
    print(machine())
    report(rows, args.output, steps=args.steps, batch=args.batch, set=args.set)


if __name__ == "__main__":
    run_benchmark(main)
