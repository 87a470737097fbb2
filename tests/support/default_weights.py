"""Pipelines with the default weights, which are read from disk once in a process."""

from functools import cache
from typing import Any

import spacy
from spacy.language import Language

from spacy_openner.models.span_model import span_model
from spacy_openner.models.type_cache import checkpoint as checkpoints
from spacy_openner.models.type_cache.checkpoint import TypeCacheCheckpoint
from spacy_openner.nn import hub


@cache
def _checkpoint() -> TypeCacheCheckpoint:
    return checkpoints.load(hub.default_directory(hub.TYPE_CACHE))


def default_pipeline(
    labels: Any = (), lang: str = "en", model: dict[str, Any] | None = None, **config: Any
) -> Language:
    """Build a blank pipeline with `open_ner_span`, in float32 wherever it runs. For predictions alone: all pipelines
    share one network."""
    nlp = spacy.blank(lang)
    pipe = nlp.add_pipe("open_ner_span", config={"model": {"precision": "float32", **(model or {})}, **config})
    pipe.labels = labels
    span_model(pipe.model).use(_checkpoint())
    return nlp
