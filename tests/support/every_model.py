"""One small random model of each kind that a component reads, and pipelines around them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language

from spacy_openner.models.architectures import SPAN_MATCHER
from tests.support import tiny_gliner2
from tests.support import tiny_models as tiny
from tests.support.generator_case import PROMPT
from tests.support.type_cache import ARCHITECTURE, saved_type_cache

LABELS = ["person", "award", "city, town (populated place)"]


def _bi_encoder(path: Path) -> Path:
    return tiny.saved("bert", path, labels_encoder=tiny.backbone("bert", path / "labels", seed=1))


MODELS: dict[str, Callable[[Path], Path]] = {
    "span": lambda path: tiny.saved("bert", path),
    "token": lambda path: tiny.saved("deberta-v2", path, span_mode="token_level"),
    "bi": _bi_encoder,
    "gliner2-span": lambda path: tiny_gliner2.saved("span", path),
    "gliner2-boundary": lambda path: tiny_gliner2.saved("boundary", path),
    "type-cache": lambda path: saved_type_cache("bert", path),
    "types-static": lambda path: tiny.saved_types(path),
    "types-transformer": lambda path: tiny.saved_types(path, "transformer"),
    "generator-t5": lambda path: tiny.saved_generator("t5", path / "model"),
    "generator-bert": lambda path: tiny.saved_generator("bert", path / "model"),
    "generator-bart": lambda path: tiny.saved_generator("bart", path / "model"),
    "generator-llama": lambda path: tiny.saved_generator("llama", path / "model"),
    "generator-gpt2": lambda path: tiny.saved_generator("gpt2", path / "model"),
}
"""Name -> a function that saves one below a directory, and says where."""


def pipeline(kind: str, path: Path | str, labels: Any = LABELS, **settings: Any) -> Language:
    """Build a blank pipeline with the component that reads a kind of model."""
    nlp = spacy.blank("en")
    factory, config = component(kind, path)
    nlp.add_pipe(factory, config={**config, "labels": labels, **settings})
    return nlp


def component(kind: str, path: Path | str) -> tuple[str, dict[str, Any]]:
    """Name the factory of the component that reads a kind of model, and its config but for labels."""
    model: dict[str, Any] = {"name": str(path)}
    if kind.startswith("types"):
        return "type_filter", {"model": model, "threshold": -1.0}
    model["precision"] = "float32"
    if kind.startswith("generator"):
        return "gner_generator", {"model": model, "prompt": PROMPT}
    model["@architectures"] = ARCHITECTURE if kind == "type-cache" else SPAN_MATCHER
    return "open_ner_span", {"model": model, "threshold": 0.3, "overlap": "all"}
