"""Training throughput beside the `gliner` package's own trainer: sentences a second, in one run, taking turns.

    python -m benchmarks.train_speed

Both start from the same checkpoint, read the same sentences in batches of the same size, ask each for the same
types, and take the same number of optimizer steps in the same precision. Needs the extra `bench`.
"""

import logging
import statistics
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.tokens import Doc, Span
from spacy.training import Example

from benchmarks.common import BenchmarkParser, interleaved, machine, ratio, report, run_benchmark, span_matcher
from spacy_openner.nn import hub as sources
from spacy_openner.training.optimizer import LayerwiseAdam_v1
from tests.support.annotated_sets import DATA, labels_of, sentences

Rows = list[dict[str, Any]]
RATES = {"encoder": 1e-5, "others": 5e-5}


def ours(path: Path, rows: Rows, types: list[str], batch: int, bf16: bool, frozen: bool) -> Callable[[], Any]:
    """Update open_ner_span in a blank pipeline."""
    nlp = spacy.blank("en")
    model = span_matcher(path, mixed_precision=bf16)
    sampler = {
        "@misc": "spacy-openner.TypeSampler.v1",
        "negative_ratio": 1.0,
        "positive_dropout": 0.0,
        "max_types": len(types),
    }
    nlp.add_pipe("open_ner_span", config={"labels": types, "model": model, "sampler": sampler})
    nlp.initialize()
    examples = [_example(nlp, row) for row in rows]
    scales = {"encoder.": RATES["encoder"] / RATES["others"]} | ({"encoder.embeddings": 0.0} if frozen else {})
    optimizer = LayerwiseAdam_v1(RATES["others"], scales=scales)

    def run() -> None:
        for i in range(0, len(examples), batch):
            nlp.update(examples[i : i + batch], sgd=optimizer, drop=0.1)

    return run


def _example(nlp: Any, row: dict[str, Any]) -> Example:
    reference = Doc(nlp.vocab, row["tokens"])
    reference.spans["openner"] = [Span(reference, *span[:2], label=span[2]) for span in row["spans"]]
    return Example(Doc(nlp.vocab, row["tokens"]), reference)


def reference(path: Path, rows: Rows, types: list[str], batch: int, bf16: bool, scratch: str) -> Callable[[], Any]:
    """Train with the `gliner` package."""
    from gliner import GLiNER

    model = GLiNER.from_pretrained(str(path))
    data = [
        {
            "tokenized_text": row["tokens"],
            "ner": [[start, end - 1, label] for start, end, label in row["spans"]],
            "ner_label": types,
        }
        for row in rows
    ]
    arguments = model.create_training_args(
        scratch,
        learning_rate=RATES["encoder"],
        others_lr=RATES["others"],
        per_device_train_batch_size=batch,
        max_steps=-(-len(data) // batch),
        use_cpu=True,
        bf16=bf16,
        dataloader_num_workers=0,
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    return lambda: model.train_model(data, None, arguments)


def main() -> None:
    """Measure, compare, print."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", type=Path, default=sources.default_directory())
    parser.add_argument("--sentences", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(args.threads)

    rows, kind = sentences(args.sentences, args.data)
    print(f"Texts: {kind}")
    types = labels_of(rows)
    with tempfile.TemporaryDirectory() as scratch:
        systems = {
            "gliner": reference(args.model, rows, types, args.batch, args.bfloat16, scratch),
            "open_ner_span": ours(args.model, rows, types, args.batch, args.bfloat16, frozen=False),
            "open_ner_span, embeddings frozen": ours(args.model, rows, types, args.batch, args.bfloat16, frozen=True),
        }
        seconds = interleaved(systems, args.rounds)
    table = [
        {
            "system": name,
            "sentences/s": len(rows) / statistics.median(times),
            "x gliner": ratio(seconds["gliner"], times),
        }
        for name, times in seconds.items()
    ]
    print(f"{len(rows)} sentences in batches of {args.batch}, {len(types)} types; {machine()}")
    report(table, args.output, sentences=len(rows), batch=args.batch, bfloat16=args.bfloat16)


if __name__ == "__main__":
    run_benchmark(main)
