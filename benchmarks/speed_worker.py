"""The process of one system for `benchmarks.speed_by_types`: reads tasks and answers, line by line of JSON.

It imports nothing of this checkout but the package, so that it runs where another release is installed.
"""

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

OURS = {
    "type-cache": {"precision": "float32"},
    "type-cache-bfloat16": {"precision": "bfloat16"},
    "type-cache-int8": {"backend": "onnx", "precision": "int8"},
    "prompts": {"precision": "float32"},
    "prompts-bfloat16": {"precision": "bfloat16"},
    "prompts-int8": {"backend": "onnx", "precision": "int8"},
}
SYSTEMS = (*OURS, "encoder", "baseline", "gliner", "gliner-spacy", "gliner2", "fast-gliner")
Run = Callable[[list[str]], None]
Prepare = Callable[[list[str]], Run]
# Of the pipeline of this process, if it keeps encoded types.
CACHES: list[Any] = []


def blank_pipeline(model: dict[str, Any]) -> Prepare:
    """`open_ner_span` with settings of its model, to be asked for types."""
    import spacy

    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("open_ner_span", config={"model": model})
    CACHES.append(getattr(pipe.model.shims[0], "cache", None))

    def prepare(labels: list[str]) -> Run:
        pipe.labels = labels
        return lambda texts: print(sum(len(doc.ents) for doc in nlp.pipe(texts, batch_size=1000)), file=sys.stderr)

    return prepare


def gliner_reference(path: Path) -> Prepare:
    """The `gliner` package in its batch size 8."""
    import torch
    from gliner import GLiNER

    model = GLiNER.from_pretrained(str(path)).eval()

    def prepare(labels: list[str]) -> Run:
        def run(texts: list[str]) -> None:
            with torch.inference_mode():
                model.inference(texts, labels, batch_size=8)

        return run

    return prepare


def gliner_spacy_reference(path: Path) -> Prepare:
    """The `gliner-spacy` package, which looks for the tokenizer under the backbone's name: that is made a directory."""
    import spacy

    copy = Path(shutil.copytree(path, Path(tempfile.mkdtemp()) / "checkpoint"))
    config = json.loads((copy / "gliner_config.json").read_text(encoding="utf8"))
    (copy / "gliner_config.json").write_text(json.dumps({**config, "model_name": str(copy)}), encoding="utf8")
    (copy / "config.json").write_text(json.dumps(config["encoder_config"]), encoding="utf8")

    def prepare(labels: list[str]) -> Run:
        nlp = spacy.blank("en")
        nlp.add_pipe("gliner_spacy", config={"gliner_model": str(copy), "labels": labels})
        return lambda texts: print(len(list(nlp.pipe(texts))), file=sys.stderr)

    return prepare


def encoder_alone(path: Path) -> Prepare:
    """The transformer under the default weights on the text alone, in batches of like length: no types, no head."""
    from spacy_openner.models.gliner import checkpoint
    from spacy_openner.nn.batching import batch_by_length

    loaded = checkpoint.load(path)
    encoder, tokenizer = loaded.network.encoder.eval(), loaded.tokenizer

    def run(texts: list[str]) -> None:
        import torch

        rows = tokenizer(texts)["input_ids"]
        with torch.inference_mode():
            for batch in batch_by_length(rows, len, 2048, buffer=512, split_unlike=True):
                encoder(**tokenizer.pad({"input_ids": batch}, return_tensors="pt"))

    return lambda labels: run


def gliner2_reference(path: Path) -> Prepare:
    """The `gliner2` package in batches of 8, on a random checkpoint with as large an encoder as the default weights'."""
    import logging

    from gliner2 import AutoExtractor, ExtractorConfig
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    logging.disable(logging.WARNING)
    target = Path(tempfile.mkdtemp())
    tokenizer = AutoTokenizer.from_pretrained(path)
    settings = json.loads((path / "gliner_config.json").read_text(encoding="utf8"))["encoder_config"]
    kind = settings.pop("model_type")
    AutoModel.from_config(AutoConfig.for_model(kind, **settings)).save_pretrained(target)
    tokenizer.save_pretrained(target)
    extractor = AutoExtractor.from_config(ExtractorConfig(model_name=str(target), architecture="span"))
    extractor.save_pretrained(str(target / "checkpoint"))
    model = AutoExtractor.from_pretrained(str(target / "checkpoint")).eval()
    # Above all scores of random weights: what is found costs nothing.
    return lambda labels: lambda texts: model.batch_extract_entities(texts, labels, batch_size=8, threshold=0.99)


def fast_gliner_reference(path: Path) -> Prepare:
    """The `fast-gliner` package in batches of 8, on what `gliner` exports of the default weights."""
    from fast_gliner import FastGLiNER

    model = FastGLiNER(str(path), "model.onnx")

    def run(texts: list[str], labels: list[str]) -> None:
        for i in range(0, len(texts), 8):
            model.predict_entities(texts[i : i + 8], labels)

    return lambda labels: lambda texts: run(texts, labels)


def system(name: str, args: argparse.Namespace) -> Prepare:
    """Load one system."""
    others: dict[str, Callable[[Path], Prepare]] = {
        "encoder": encoder_alone,
        "gliner": gliner_reference,
        "gliner-spacy": gliner_spacy_reference,
        "gliner2": gliner2_reference,
        "fast-gliner": fast_gliner_reference,
    }
    if name in others:
        return others[name](args.model)
    if name == "baseline":
        return blank_pipeline({"precision": "float32"})
    if name.startswith("prompts"):
        settings = {"@architectures": "spacy-openner.SpanMatcher.v1", "name": str(args.model)}
    else:
        path = args.type_cache or _untrained(args.model)
        settings = {"@architectures": "spacy-openner.TypeCacheSpanMatcher.v1", "name": str(path)}
    return blank_pipeline({**settings, **OURS[name]})


def _untrained(path: Path) -> Path:
    """The default weights' encoder and head as a type cache: right sizes, wrong scores."""
    from spacy_openner.models.type_cache import checkpoint
    from spacy_openner.models.type_cache.new_network import from_encoder

    target = Path(tempfile.mkdtemp()) / "type_cache"
    checkpoint.save(from_encoder(path), target)
    return target


def work(args: argparse.Namespace) -> None:
    """Be the process of one system: read tasks, answer with seconds and megabytes, line by line."""
    warnings.simplefilter("ignore")
    # Threads of systems that cannot be told their number share so many processors, too.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    if args.system != "fast-gliner":
        import torch

        torch.set_num_threads(args.threads)
    prepare = system(args.system, args)
    run: Run = lambda texts: None  # noqa: E731
    for line in sys.stdin:
        task = json.loads(line)
        if "labels" in task:
            run = prepare(task["labels"])
        before = _peak()
        begun, spent = time.perf_counter(), time.process_time()
        run(task["texts"])
        seconds = {"wall": time.perf_counter() - begun, "cpu": time.process_time() - spent}
        cached = sum(cache.size for cache in CACHES if cache is not None) / 2**20
        print(json.dumps({**seconds, "mb": _peak() - before, "cached": cached}), flush=True)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Read the arguments of one process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--type-cache", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    work(parser.parse_args())


if __name__ == "__main__":
    main()
