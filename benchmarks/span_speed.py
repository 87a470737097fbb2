"""Speed of open_ner_span beside `gliner` and `gliner-spacy`: one run, same texts, same threads.

    pip install -e '.[bench]'
    python -m benchmarks.span_speed --rounds 5 --output span_speed.json

Texts per second of every system, and its speed relative to the others. All read the same checkpoint (`--model`), but
for "type cache", which is the default weights of open_ner_span. "encoder alone" is the bare transformer on the very
batches that open_ner_span makes of texts behind prompts; nothing built on it can be faster at its precision.
"""

import json
import logging
import shutil
import statistics
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy
import torch

from benchmarks.common import BenchmarkParser, interleaved, machine, ratio, report, run_benchmark, span_matcher
from spacy_openner.models.gliner.windows import batch_windows, pad
from spacy_openner.models.span_model import span_model
from spacy_openner.models.words import doc_words
from spacy_openner.nn import hub as sources
from spacy_openner.nn import precision as precisions
from tests.support.annotated_sets import DATA, labels_of, sentences


def texts_of(data: Path, count: int, articles: int) -> tuple[list[str], list[str], list[str]]:
    """CrossNER politics sentences, articles made by joining others, and the types to ask for.

    Of the sample corpus, which has more types, the first eight are asked for.
    """
    rows, kind = sentences(max(count, 741), data)
    texts = [" ".join(row["tokens"]) for row in rows]
    size = len(texts) // articles
    joined = [" ".join(texts[i * size : (i + 1) * size]) for i in range(articles)]
    print(f"Texts: {kind}")
    return texts[:count], joined, labels_of(rows)[:8]


def ours(path: Path | None, labels: list[str], texts: list[str], **model: str) -> Callable[[], Any]:
    """open_ner_span in a blank pipeline, with a GLiNER checkpoint or else the default weights."""
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span", config={"labels": labels, "model": span_matcher(path, words="gliner", **model)})
    return lambda: list(nlp.pipe(texts, batch_size=1000))


def bare_encoder(path: Path, labels: list[str], texts: list[str], precision: str) -> Callable[[], Any]:
    """The transformer alone on the batches that open_ner_span makes: no words, no head, no tokenisation."""
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("open_ner_span", config={"labels": labels, "model": span_matcher(path, precision=precision)})
    words = [doc_words(nlp.make_doc(text), "gliner") for text in texts]
    maker = span_model(pipe.model).planner
    batches = [
        pad(windows, 0) for windows in batch_windows(maker.plan(words, [labels] * len(words)), pipe.batch_tokens)
    ]
    encoder = span_model(pipe.model).runtime.network.encoder

    def run() -> None:
        with torch.inference_mode():
            for batch in batches:
                encoder(input_ids=batch.input_ids, attention_mask=batch.attention_mask)

    return run


def reference(
    path: Path, labels: list[str], texts: list[str], batch: int, packed: bool, bf16: bool
) -> Callable[[], Any]:
    """The `gliner` package."""
    from gliner import GLiNER
    from gliner.infer_packing import InferencePackingConfig

    model = GLiNER.from_pretrained(str(path))
    packing = InferencePackingConfig(max_length=512, streams_per_batch=8) if packed else None

    def run() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            model.inference(texts, labels, batch_size=batch, packing_config=packing)

    return run


def gliner_spacy(path: Path, labels: list[str], texts: list[str]) -> Callable[[], Any]:
    """The `gliner-spacy` package, in its only mode.

    It looks for the tokenizer under the backbone's name, not beside the weights: the name is made a directory.
    """
    nlp = spacy.blank("en")
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copytree(path, Path(scratch) / "checkpoint"))
        config = json.loads((copy / "gliner_config.json").read_text(encoding="utf8"))
        (copy / "gliner_config.json").write_text(json.dumps({**config, "model_name": str(copy)}), encoding="utf8")
        (copy / "config.json").write_text(json.dumps(config["encoder_config"]), encoding="utf8")
        nlp.add_pipe("gliner_spacy", config={"gliner_model": str(copy), "labels": labels})
    return lambda: list(nlp.pipe(texts))


def main() -> None:
    """Measure, compare, print."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", type=Path, default=sources.default_directory())
    parser.add_argument("--sentences", type=int, default=512)
    parser.add_argument("--articles", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", action="store_true", help="measure the articles instead of the sentences")
    parser.add_argument("--bfloat16", action="store_true", help="also where the CPU only emulates it")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(args.threads)

    single, articles, labels = texts_of(args.data, args.sentences, args.articles)
    texts = articles if args.long else single
    path = args.model
    systems: dict[str, Callable[[], Any]] = {
        "gliner-spacy": gliner_spacy(path, labels, texts),
        "encoder alone, float32": bare_encoder(path, labels, texts, "float32"),
        "open_ner_span type cache float32": ours(None, labels, texts, precision="float32"),
        "open_ner_span torch float32": ours(path, labels, texts, precision="float32"),
        "open_ner_span onnx float32": ours(path, labels, texts, backend="onnx", precision="float32"),
        "open_ner_span onnx int8": ours(path, labels, texts, backend="onnx", precision="int8"),
    }
    for size in (8, 32):
        for packed in (False, True):
            name = f"gliner float32, batch {size}{', packed' if packed else ''}"
            try:
                reference(path, labels, texts[:8], size, packed, bf16=False)()
            except ValueError as problem:
                print(f"{name}: left out, it does not run with this backbone ({problem})")
            else:
                systems[name] = reference(path, labels, texts, size, packed, bf16=False)
    if args.bfloat16 or precisions.has_fast_bfloat16():
        systems["gliner bfloat16 autocast, batch 8"] = reference(path, labels, texts, 8, packed=False, bf16=True)
        systems["encoder alone, bfloat16"] = bare_encoder(path, labels, texts, "bfloat16")
        systems["open_ner_span type cache bfloat16"] = ours(None, labels, texts, precision="bfloat16")
        systems["open_ner_span torch bfloat16"] = ours(path, labels, texts, precision="bfloat16")
    else:
        print("bfloat16 is left out: this CPU has no instructions for it (--bfloat16 measures its emulation)")

    seconds = interleaved(systems, args.rounds)
    best = min((n for n in seconds if n.startswith("gliner float32")), key=lambda n: statistics.median(seconds[n]))
    rows = [
        {
            "system": name,
            "texts/s": len(texts) / statistics.median(times),
            "x gliner-spacy": ratio(seconds["gliner-spacy"], times),
            "x best gliner float32": ratio(seconds[best], times),
            "x encoder float32": ratio(seconds["encoder alone, float32"], times),
        }
        for name, times in seconds.items()
    ]
    print(f"{len(texts)} texts, {len(labels)} types, medians of {args.rounds} rounds; {machine()}")
    extra = {"texts": len(texts), "types": len(labels), "rounds": args.rounds, "long": args.long}
    report(rows, args.output, **extra, seconds=seconds)


if __name__ == "__main__":
    run_benchmark(main)
