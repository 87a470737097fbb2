"""Small random type-cache models, and pipelines with them."""

from pathlib import Path

import spacy
import torch
from spacy.language import Language

from spacy_openner.models.type_cache import checkpoint as checkpoints
from spacy_openner.models.type_cache.new_network import from_encoder
from tests.support.tiny_models import backbone

ARCHITECTURE = "spacy-openner.TypeCacheSpanMatcher.v1"
KINDS = ("bert", "roberta", "mpnet", "modernbert")


def saved_type_cache(kind: str, path: Path, seed: int = 0, **head) -> Path:
    """Save a random model; weights are spread out, so that scores differ."""
    torch.manual_seed(seed)
    made = from_encoder(backbone(kind, path / "backbone", seed=seed), **{"width": 24, "max_width": 4, **head})
    with torch.no_grad():
        for name, value in made.network.named_parameters():
            if not name.startswith("encoder.") and value.dim() == 2:
                value.mul_(1.5)
    checkpoints.save(made, path / "type_cache")
    return path / "type_cache"


def pipeline(name: Path | str, labels=(), model=None, **settings) -> Language:
    """A blank pipeline with one matcher."""
    nlp = spacy.blank("en")
    config = {"model": {"@architectures": ARCHITECTURE, "name": str(name), "precision": "float32", **(model or {})}}
    nlp.add_pipe("open_ner_span", config={**config, "labels": list(labels), "threshold": 0.0, **settings})
    return nlp
