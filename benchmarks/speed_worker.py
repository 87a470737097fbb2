"""The process of one system for `benchmarks.speed_by_types`: reads tasks and answers, line by line of JSON.

It imports nothing of this checkout but the package, so that it runs where another release is installed.
"""

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

SYSTEMS = ("default", "type-cache", "baseline", "gliner", "gliner-spacy")
Run = Callable[[list[str]], None]
Prepare = Callable[[list[str]], Run]


def blank_pipeline(model: dict[str, Any]) -> Prepare:
    """`open_ner_span` with settings of its model, to be asked for types."""
    import spacy

    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("open_ner_span", config={"model": model} if model else {})

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


def system(name: str, args: argparse.Namespace) -> Prepare:
    """Load one system."""
    if name in ("default", "baseline"):
        return blank_pipeline({})
    if name == "gliner":
        return gliner_reference(args.model)
    if name == "gliner-spacy":
        return gliner_spacy_reference(args.model)
    path = args.type_cache or _untrained(args.model)
    return blank_pipeline({"@architectures": "spacy-openner.TypeCacheSpanMatcher.v1", "name": str(path)})


def _untrained(path: Path) -> Path:
    """The default weights' encoder and head as a type cache: right sizes, wrong scores."""
    from spacy_openner.models.type_cache import checkpoint
    from spacy_openner.models.type_cache.new_network import from_encoder

    target = Path(tempfile.mkdtemp()) / "type_cache"
    checkpoint.save(from_encoder(path), target)
    return target


def work(args: argparse.Namespace) -> None:
    """Be the process of one system: read tasks, answer with seconds and megabytes, line by line."""
    import torch

    warnings.simplefilter("ignore")
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
        print(json.dumps({**seconds, "mb": _peak() - before}), flush=True)


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
