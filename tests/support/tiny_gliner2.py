"""Small random checkpoints of the GLiNER2 family, made without the `gliner2` package."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer

from spacy_openner.models.gliner2 import checkpoint as gliner2
from spacy_openner.models.gliner2.network import SchemaNetwork
from spacy_openner.prompts.gliner2 import MARKERS
from tests.support import tiny_models as tiny

COUNTING_LAYERS = ("count_lstm", "count_lstm_v2", "count_lstm_moe")
BOUNDARY = {"candidate_pool": "shared", "pool_size": 24, "pool_boundary_top_k": 8, "min_pool_per_query": 2}


def config(architecture: str, **options: Any) -> dict[str, Any]:
    """The content of `config.json`, as the reference writes it."""
    own = {"model_type": "extractor", "architecture": architecture, "token_pooling": "first", "max_len": None}
    if architecture == "span":
        layer = options.pop("counting_layer", "count_lstm")
        head = {"max_width": 8, "span_mode": "markerV0", "dropout": 0.1, **options}
        return {**own, "architectures": ["SpanExtractor"], "counting_layer": layer, "span_head": head}
    return {**own, "architectures": ["BoundaryExtractor"], "boundary_head": {**BOUNDARY, **options}}


def checkpoint(
    architecture: str, path: Path, kind: str = "bert", *, scale: float = 2.0, **options: Any
) -> gliner2.SchemaCheckpoint:
    """A random checkpoint on a random backbone, whose scores differ and whose gate is open."""
    backbone = tiny.backbone(kind, path / "backbone")
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    tokenizer.add_special_tokens({"additional_special_tokens": list(MARKERS)})
    encoder = AutoModel.from_pretrained(backbone)
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    settings = config(architecture, **options)
    head = gliner2.build_head(settings, encoder.config.hidden_size)
    with torch.no_grad():
        for name, value in head.named_parameters():
            if value.dim() > 1:
                value.mul_(scale)
            elif name == "gate.2.bias":
                value[1] += 50.0
    return gliner2.SchemaCheckpoint(settings, SchemaNetwork(encoder, head).eval(), tokenizer, classifier(head.width))


def classifier(width: int) -> dict[str, torch.Tensor]:
    """Weights of the classifier of texts, which checkpoints have too and entities do not need."""
    shapes = {"0.weight": (2 * width, width), "0.bias": (2 * width,), "2.weight": (1, 2 * width), "2.bias": (1,)}
    return {f"classifier.{name}": torch.randn(shape) for name, shape in shapes.items()}


def saved(architecture: str, path: Path, kind: str = "bert", **options: Any) -> Path:
    """As `checkpoint`, saved."""
    gliner2.save(checkpoint(architecture, path, kind, **options), path / "checkpoint")
    return path / "checkpoint"


def edit(path: Path, **changes: Any) -> None:
    """Change fields of `config.json`; a field that is `...` goes."""
    file = path / gliner2.CONFIG_FILE
    content = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))
