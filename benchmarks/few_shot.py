"""Few-shot learning: the default weights against assets/default and a bare encoder; what is forgotten, and with replay.

    python -m benchmarks.few_shot CORPUS --encoder DIRECTORY_OF_MINILM
    python -m benchmarks.few_shot CORPUS --starts default assets/default

CORPUS is what scripts/convert_sets.py makes: train/crossner_politics.spacy, dev/crossner_politics.spacy, and
for the replay any set that the default weights were trained on (train/ and dev/ of `--old`). Strict F1, each text
asked for the types of its own set, threshold 0.5, `miscellaneous` left out.
"""

from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.util import fix_random_seed

from benchmarks.common import BenchmarkParser, report, run_benchmark, train
from spacy_openner.training.corpus import OpenNERCorpus, OpenNERCorpus_v1

MISCELLANEOUS = ["miscellaneous"]
STARTS = ["encoder", "assets/default", "default", "default, replay"]


def corpus(path: Path, limit: int = 0, seed: int = 0, **options: Any) -> OpenNERCorpus:
    """One set, a fixed random part of it."""
    return OpenNERCorpus_v1(
        {"main": {"path": path, "limit": limit}}, exclude_labels=MISCELLANEOUS, seed=seed, **options
    )


def new_pipeline(encoder: Path | None = None, model: dict[str, str] | None = None) -> Language:
    """A pipeline with the default weights, a new head on an encoder, or another model."""
    nlp = spacy.blank("en")
    scorer = {"@scorers": "spacy-openner.entity_scorer.v1", "spans_key": "openner"}
    sampler = {"@misc": "spacy-openner.TypeSampler.v1", "negative_ratio": 1.0, "positive_dropout": 0.0}
    pipe = nlp.add_pipe(
        "open_ner_span", config={"scorer": scorer, "sampler": sampler, **({"model": model} if model else {})}
    )
    head = {"width": 192, "dropout": 0.1}
    pipe.initialize(list, nlp=nlp, labels=[], encoder=str(encoder) if encoder else None, head=head)
    return nlp


def score(nlp: Language, data: OpenNERCorpus) -> float:
    """Strict F1, in percent."""
    return 100 * (nlp.evaluate(list(data(nlp)))["openner_f"] or 0.0)


def main() -> None:
    """Train, score, print."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--starts", nargs="+", default=STARTS, choices=STARTS)
    parser.add_argument("--encoder", type=Path, help="for the start of that name")
    parser.add_argument("--set", default="crossner_politics")
    parser.add_argument("--old", default="wnut17", help="a set that the default weights know")
    parser.add_argument("--sizes", default="50,100,200")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--replay-share", type=float, default=0.3)
    parser.add_argument("--dev", type=int, default=200, help="texts that are scored")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    if "encoder" in args.starts and args.encoder is None:
        parser.error("the start 'encoder' needs --encoder: the directory of a Hugging Face encoder")
    torch.set_num_threads(args.threads)

    def file(split: str, name: str) -> Path:
        return args.corpus / split / f"{name}.spacy"

    new, old = (corpus(file("dev", name), args.dev, shuffle=False) for name in (args.set, args.old))
    prompts = {"@architectures": "spacy-openner.SpanMatcher.v1", "name": "assets/default"}
    untrained = {"default": new_pipeline(), "assets/default": new_pipeline(model=prompts)}
    rows = [
        {"start": name, "sentences": 0, "new set F": score(nlp, new), "old set F": score(nlp, old)}
        for name, nlp in untrained.items()
    ]
    replayed = {"replay": {"old": {"path": file("train", args.old)}}, "replay_share": args.replay_share}
    for size in map(int, args.sizes.split(",")):
        for start, pipeline, options in (
            ("encoder", {"encoder": args.encoder}, {}),
            ("assets/default", {"model": prompts}, {}),
            ("default", {}, {}),
            ("default, replay", {}, replayed),
        ):
            if start not in args.starts:
                continue
            fix_random_seed(0)
            nlp = new_pipeline(**pipeline)
            train(nlp, corpus(file("train", args.set), size, **options), args.steps, args.batch, args.rate)
            scores = {"new set F": score(nlp, new), "old set F": score(nlp, old)}
            rows.append({"start": start, "sentences": size, **scores})
            print(rows[-1], flush=True)
    report(rows, args.output, steps=args.steps, batch=args.batch, set=args.set, old=args.old)


if __name__ == "__main__":
    run_benchmark(main)
