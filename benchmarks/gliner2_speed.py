"""Speed of open_ner_span beside `gliner2` on one checkpoint of its family: one run, same texts, same threads, in turn.

    pip install 'gliner2[local]'
    python -m benchmarks.gliner2_speed --architecture boundary --encoder deberta-v2 --layers 12 --width 768

The checkpoint is random, of a given size, and made by `gliner2`: speed does not depend on what weights hold, but for the
number of spans that pass, and the threshold is that which about two spans a text pass. `gliner2` runs its own batch
method at the batch sizes given; the best of them is what the others are compared with. Medians of interleaved rounds.
"""

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import spacy
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from benchmarks.common import BenchmarkParser, machine, ratio, report, run_benchmark, span_matcher
from spacy_openner.nn import hub
from spacy_openner.nn.precision import has_fast_bfloat16
from tests.support.annotated_sets import CROSSNER, DATA, labels_of, sentences

Run = Callable[[], Any]
SPANS_A_TEXT = 2
ENCODERS: dict[str, dict[str, Any]] = {
    "bert": {},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 256,
        "max_relative_positions": -1,
        "position_biased_input": False,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "type_vocab_size": 0,
    },
}


def make_checkpoint(path: Path, args: argparse.Namespace) -> Path:
    """Let `gliner2` make a random checkpoint, with the tokenizer of the default weights."""
    from gliner2 import AutoExtractor, ExtractorConfig

    tokenizer = AutoTokenizer.from_pretrained(hub.default_directory())
    width = args.width
    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": args.layers}
    sizes |= {"num_attention_heads": width // args.head, "vocab_size": len(tokenizer), "max_position_embeddings": 512}
    torch.manual_seed(0)
    config = AutoConfig.for_model(args.encoder, **sizes, **ENCODERS[args.encoder])
    AutoModel.from_config(config).save_pretrained(path / "backbone")
    tokenizer.save_pretrained(path / "backbone")
    head = {"boundary_head": {"candidate_pool": "shared", "pool_size": 192}} if args.architecture == "boundary" else {}
    extractor = ExtractorConfig(
        model_name=str(path / "backbone"), architecture=args.architecture, counting_layer=args.counting_layer, **head
    )
    model = AutoExtractor.from_config(extractor)
    with torch.no_grad():
        for name, value in model.named_parameters():
            # The gate lets all texts through.
            if name == "count_pred.2.bias":
                value[1] += 50.0
    model.save_pretrained(str(path / "checkpoint"))
    return path / "checkpoint"


def ours(path: Path, labels: list[str], texts: list[str], threshold: float, **model: str) -> Run:
    """`open_ner_span` in a blank pipeline."""
    nlp = spacy.blank("en")
    settings = {"labels": labels, "threshold": threshold, "overlap": "all"}
    nlp.add_pipe("open_ner_span", config={**settings, "model": span_matcher(path, words="gliner", **model)})
    return lambda: list(nlp.pipe(texts, batch_size=1000))


def theirs(path: Path, labels: list[str], texts: list[str], threshold: float, size: int, dtype: str) -> Run:
    """The `gliner2` package's own batch method."""
    from gliner2 import AutoExtractor

    model = AutoExtractor.from_pretrained(str(path)).eval().to(getattr(torch, dtype))
    options = {"batch_size": size, "threshold": threshold, "overlap_policy": "allow"}
    return lambda: model.batch_extract_entities(texts, labels, include_confidence=True, include_spans=True, **options)


def fitting_threshold(path: Path, labels: list[str], texts: list[str]) -> float:
    """The score that about two spans a text reach."""
    nlp = spacy.blank("en")
    config = {"labels": labels, "threshold": 0.0, "overlap": "all", "annotate_ents": False}
    nlp.add_pipe("open_ner_span", config={**config, "model": span_matcher(path, words="gliner", precision="float32")})
    scores = np.concatenate([doc.spans["openner"].attrs["scores"] for doc in nlp.pipe(texts)])
    return float(np.sort(scores)[-SPANS_A_TEXT * len(texts)])


def same_entities(docs: list[Any], results: list[Any], texts: list[str]) -> tuple[int, int, int, float]:
    """Compare entities by characters. What ends behind a text, at the full stop that `gliner2` adds, is none.

    RETURNS (tuple): Entities here, there, in both, and the largest gap of their scores.
    """
    counts, gap = [0, 0, 0], 0.0
    for doc, result, text in zip(docs, results, texts, strict=True):
        group = doc.spans["openner"]
        here = {
            (s.start_char, s.end_char, s.label_): float(p) for s, p in zip(group, group.attrs["scores"], strict=True)
        }
        there = {}
        for label, entities in (result.get("entities") or {}).items():
            for entity in entities:
                if entity["end"] <= len(text):
                    span = doc.char_span(entity["start"], entity["end"], alignment_mode="expand")
                    there[span.start_char, span.end_char, label] = entity["confidence"]
        both = here.keys() & there.keys()
        counts = [a + b for a, b in zip(counts, (len(here), len(there), len(both)), strict=True)]
        gap = max([gap, *(abs(here[key] - there[key]) for key in both)])
    return counts[0], counts[1], counts[2], gap


def timed(systems: dict[str, Run], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Time systems in turn after a warm-up of each: seconds by the clock, and of the processor."""
    for run in systems.values():
        run()
    seconds: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": []} for name in systems}
    for _ in range(rounds):
        for name, run in systems.items():
            begun, spent = time.perf_counter(), time.process_time()
            run()
            seconds[name]["wall"].append(time.perf_counter() - begun)
            seconds[name]["cpu"].append(time.process_time() - spent)
    return seconds


def measure(args: argparse.Namespace, path: Path) -> None:
    """Measure, compare, print."""
    drawn, source = sentences(args.texts, args.data, tuple(f"crossner_{name}" for name in CROSSNER))
    texts = [" ".join(row["tokens"]) for row in drawn]
    labels = labels_of(drawn)[: args.types]
    threshold = fitting_threshold(path, labels, texts[:64])
    systems: dict[str, Run] = {
        f"gliner2 float32, batch {size}": theirs(path, labels, texts, threshold, size, "float32")
        for size in args.batch_sizes
    }
    if has_fast_bfloat16():
        size = args.batch_sizes[0]
        systems[f"gliner2 bfloat16, batch {size}"] = theirs(path, labels, texts, threshold, size, "bfloat16")
    systems["open_ner_span float32"] = ours(path, labels, texts, threshold, precision="float32")
    systems["open_ner_span auto"] = ours(path, labels, texts, threshold)
    first = f"gliner2 float32, batch {args.batch_sizes[0]}"
    here, there, both, gap = same_entities(systems["open_ner_span float32"](), systems[first](), texts)
    print(f"float32: {here} entities here, {there} there, {both} in both, largest gap of scores {gap:.1e}")
    seconds = timed(systems, args.rounds)
    floats = [name for name in seconds if name.startswith("gliner2 float32")]
    best = min(floats, key=lambda name: median(seconds[name]["cpu"]))
    rows = [
        {
            "system": name,
            "texts/s": len(texts) / median(times["wall"]),
            "processor ms a text": 1e3 * median(times["cpu"]) / len(texts),
            "x best gliner2 float32": ratio(seconds[best]["cpu"], times["cpu"]),
        }
        for name, times in seconds.items()
    ]
    size = f"{args.encoder} {args.layers} x {args.width}, {args.architecture}"
    print(f"{size}: {len(texts)} texts of {source}, {len(labels)} types, {args.rounds} rounds; {machine()}")
    report(rows, args.output, checkpoint=size, texts=len(texts), types=len(labels), seconds=seconds)


def main() -> None:
    """Read the arguments, make the checkpoint, measure."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--architecture", choices=("span", "boundary"), default="span")
    parser.add_argument("--encoder", choices=tuple(ENCODERS), default="deberta-v2")
    parser.add_argument("--counting-layer", default="count_lstm_v2")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--head", type=int, default=64, help="width of an attention head")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--types", type=int, default=8)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        measure(args, make_checkpoint(Path(scratch), args))


if __name__ == "__main__":
    run_benchmark(main)
