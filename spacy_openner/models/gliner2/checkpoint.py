"""Read and write checkpoints of the GLiNER2 family: `config.json`, the encoder's own config, weights, tokenizer.

Parts that entities do not need (classifiers, records, relations) are kept as they are, so that what is saved here,
the `gliner2` package loads, and the other way round.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ...errors import error, warn
from ...json_files import load_json
from ...nn.backbones import build_encoder, embedding_rows, hidden_size, load_tokenizer
from ...nn.sizes import check_network, check_numbers, shapes_of
from ...nn.weights import KeyTable, load_strictly, part_of, read_weights, rename, write_weights
from ...prompts.gliner2 import MARKERS, TASK_MARKER
from ..gliner.config import numbers_in_range, read_json
from ..words import WordMode
from .boundary_head import BoundaryHead
from .network import SchemaHead, SchemaNetwork
from .span_head import GatedSpanHead
from .tokenization import SchemaPlanner, SchemaTokenizer
from .type_networks import TYPE_NETWORKS

CONFIG_FILE = "config.json"
ENCODER_CONFIG = Path("encoder_config") / "config.json"
MODEL_TYPE = "extractor"
SPAN, BOUNDARY = "span", "boundary"
MAX_TYPES = "openner_max_types"

SPAN_KEYS: KeyTable = (
    ("span_rep.span_rep_layer.project_start.", "head.start."),
    ("span_rep.span_rep_layer.project_end.", "head.end."),
    ("span_rep.span_rep_layer.out_project.", "head.out."),
    ("count_pred.", "head.gate."),
    ("count_embed.pos_embedding.", "head.prompt.steps."),
    ("count_embed.gru.weight_ih_l0", "head.prompt.cell.weight_ih"),
    ("count_embed.gru.weight_hh_l0", "head.prompt.cell.weight_hh"),
    ("count_embed.gru.bias_ih_l0", "head.prompt.cell.bias_ih"),
    ("count_embed.gru.bias_hh_l0", "head.prompt.cell.bias_hh"),
    ("count_embed.projector.", "head.prompt.out."),
    ("count_embed.transformer.in_projector.", "head.prompt.inner."),
    ("count_embed.transformer.out_projector.", "head.prompt.last."),
    ("count_embed.transformer.transformer.", "head.prompt.transformer."),
    ("count_embed.router.", "head.prompt.router."),
    ("count_embed.w", "head.prompt.w"),
    ("count_embed.b", "head.prompt.b"),
)
BOUNDARY_KEYS: KeyTable = (
    ("boundary_head.boundary_encoder.bos_state", "head.encoder.before"),
    ("boundary_head.boundary_encoder.eos_state", "head.encoder.after"),
    ("boundary_head.boundary_encoder.left_projection.", "head.encoder.left."),
    ("boundary_head.boundary_encoder.right_projection.", "head.encoder.right."),
    ("boundary_head.boundary_encoder.output_projection.", "head.encoder.out."),
    ("boundary_head.boundary_encoder.layer_norm.", "head.encoder.norm."),
    ("boundary_head.boundary_encoder.attention_blocks.", "head.encoder.attending."),
    ("boundary_head.boundary_encoder.refinement_blocks.", "head.encoder.refining."),
    ("boundary_head.boundary_query_head.start_boundary_projection.", "head.evidence.start."),
    ("boundary_head.boundary_query_head.start_query_projection.", "head.evidence.start_type."),
    ("boundary_head.boundary_query_head.end_boundary_projection.", "head.evidence.end."),
    ("boundary_head.boundary_query_head.end_query_projection.", "head.evidence.end_type."),
    ("boundary_head.boundary_query_head.inside_text_projection.", "head.evidence.inside."),
    ("boundary_head.boundary_query_head.inside_query_projection.", "head.evidence.inside_type."),
    ("boundary_head.shared_pool_builder.start_projection.", "head.pool.start."),
    ("boundary_head.shared_pool_builder.end_projection.", "head.pool.end."),
    ("boundary_head.shared_pool_scorer.start_projection.", "head.scorer.start."),
    ("boundary_head.shared_pool_scorer.end_projection.", "head.scorer.end."),
    ("boundary_head.shared_pool_scorer.length_projection.", "head.scorer.length."),
    ("boundary_head.shared_pool_scorer.prior_projection.", "head.scorer.match."),
    ("boundary_head.shared_pool_scorer.content_pooler.value_projection.", "head.scorer.content.value."),
    ("boundary_head.shared_pool_scorer.content_pooler.layer_norm.", "head.scorer.content.norm."),
    ("boundary_head.shared_pool_scorer.content_projection.", "head.scorer.content_out."),
    ("boundary_head.shared_pool_scorer.candidate_norm.", "head.scorer.norm."),
    ("boundary_head.shared_pool_scorer.candidate_layers.", "head.scorer.candidate_layers."),
    ("boundary_head.shared_pool_scorer.query_projection.", "head.scorer.query."),
    ("boundary_head.shared_pool_scorer.query_layers.", "head.scorer.query_layers."),
    ("boundary_head.shared_pool_scorer.film.", "head.scorer.film."),
    ("boundary_head.shared_pool_scorer.film_output.", "head.scorer.film_out."),
    ("boundary_head.null_projection.", "head.absence."),
)
OTHER_TASKS = (
    "classifier.",
    "boundary_head.boundary_proposer.",
    "boundary_head.pair_scorer.",
    "boundary_head.candidate_encoder.",
    "boundary_head.count_head.",
    "record_decoder.",
    "relation_scorer.",
    "relation_pair_generator.",
)
"""Parts that entities do not need."""


@dataclass
class SchemaCheckpoint:
    """A loaded checkpoint: everything that prediction needs, and everything that saving writes.

    config: The content of `config.json`, as found.
    network: The network, float32, on the CPU, in evaluation mode.
    tokenizer: The fast tokenizer, markers included.
    other_tasks: Weights of other tasks, by published name.
    labels_tokenizer: None: types are in the prompt.
    """

    config: dict[str, Any]
    network: SchemaNetwork
    tokenizer: Any
    other_tasks: dict[str, torch.Tensor] = field(default_factory=dict)
    labels_tokenizer: Any = None

    @property
    def max_types(self) -> int | None:
        """The types in one prompt that it is trained with, where its files say so; others are split."""
        return self.config.get(MAX_TYPES)

    @property
    def is_bi_encoder(self) -> bool:
        """Tell whether types are encoded apart from texts."""
        return False

    @property
    def fixed_types(self) -> tuple[str, ...]:
        """None: any types are read."""
        return ()

    @property
    def word_mode(self) -> WordMode:
        """The words that it is trained with."""
        return "gliner2"

    def planner(self, limit: int, overlap: int, max_types: int | None) -> SchemaPlanner:
        """Make what lays windows over texts; see `gliner.checkpoint.Checkpoint.planner`."""
        tokenizer = SchemaTokenizer(self.tokenizer, limit, max_types=max_types or self.max_types)
        return SchemaPlanner(tokenizer, self.max_words, overlap)

    def save(self, path: Path) -> None:
        """Write the checkpoint; see `save`."""
        save(self, path)

    @property
    def max_words(self) -> int:
        """The words in one window: what the config says, or what `gliner2` reads of a long text at once."""
        return self.config.get("max_len") or 384


def is_checkpoint(path: Path) -> bool:
    """Tell whether a directory holds a checkpoint of the family, whole or not."""
    file = path / CONFIG_FILE
    if not file.is_file():
        return False
    try:
        config = load_json(file)
    except ValueError:
        return False
    return isinstance(config, dict) and config.get("model_type") == MODEL_TYPE


def load(path: Path) -> SchemaCheckpoint:
    """Load a checkpoint from a directory.

    path (Path): Holds `config.json`, `encoder_config/config.json`, weights and tokenizer files.
    RETURNS (SchemaCheckpoint): In float32, whatever the files hold.
    RAISES (CheckpointError): When files are missing, damaged, of an unsupported kind, or do not fit.
    """
    config = read_config(path)
    refuse_unsupported(path, config)
    weights = read_weights(path)
    other_tasks = {key: value for key, value in weights.items() if key.startswith(OTHER_TASKS)}
    own = {key: value for key, value in weights.items() if key not in other_tasks}
    own = rename(own, key_table(config), to_network=True)
    of_encoder = part_of(own, "encoder.")
    encoder = build_encoder(path, {"encoder_config": _encoder_config(path)}, "encoder_config", "", of_encoder)
    network = SchemaNetwork(encoder, _head_of_size(path, config, hidden_size(encoder), part_of(own, "head.")))
    load_strictly(path, network, own)
    tokenizer = load_tokenizer(path, path, config.get("model_name"))
    add_markers(path, tokenizer, embedding_rows(of_encoder))
    return SchemaCheckpoint(config, network.eval(), tokenizer, other_tasks)


def save(checkpoint: SchemaCheckpoint, path: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write a checkpoint so that this package and `gliner2` can load it with no network.

    path (Path): The directory; made if missing.
    dtype (torch.dtype | None): Floating-point type on disk; float32 if None.
    """
    (path / ENCODER_CONFIG).parent.mkdir(parents=True, exist_ok=True)
    own = rename(checkpoint.network.state_dict(), key_table(checkpoint.config), to_network=False)
    write_weights(path, {**own, **checkpoint.other_tasks}, dtype)
    encoder = checkpoint.network.encoder.config.to_dict()
    encoder.pop("_name_or_path", None)
    for file, content in ((CONFIG_FILE, checkpoint.config), (ENCODER_CONFIG, encoder)):
        (path / file).write_text(json.dumps(content, indent=2) + "\n", encoding="utf8")
    checkpoint.tokenizer.save_pretrained(path)


def read_config(path: Path) -> dict[str, Any]:
    """Read `config.json`.

    RAISES (CheckpointError): When it is no JSON object, or a number is out of its range.
    """
    file = path / CONFIG_FILE
    config = numbers_in_range(file, read_json(file))
    for part in ("boundary_head", "span_head"):
        if isinstance(config.get(part), dict):
            config[part] = numbers_in_range(file, config[part])
        elif config.get(part) is not None:
            raise error("O105", path=str(file), reason=f"{part} is no object")
    return config


def refuse_unsupported(path: Path, config: dict[str, Any]) -> None:
    """Refuse by name what a config asks for and this network cannot do.

    RAISES (CheckpointError): With the reason.
    """
    architecture = config.get("architecture") or SPAN
    head = head_settings(config)
    unsupported = None
    if architecture not in (SPAN, BOUNDARY):
        unsupported = f"architecture {architecture!r}"
    elif (config.get("token_pooling") or "first") != "first":
        unsupported = f"token_pooling {config['token_pooling']!r}"
    elif architecture == SPAN and head.get("span_mode", "markerV0") != "markerV0":
        unsupported = f"span_mode {head['span_mode']!r}"
    elif architecture == SPAN and counting_layer(config) not in TYPE_NETWORKS:
        unsupported = f"counting_layer {config['counting_layer']!r}"
    elif architecture == BOUNDARY and head.get("candidate_pool", "per_query") != "shared":
        unsupported = f"candidate_pool {head.get('candidate_pool', 'per_query')!r}"
    if unsupported is not None:
        raise error("O121", path=str(path), found=unsupported, classes=config.get("architectures"))
    if architecture == BOUNDARY and head.get("adaptive_threshold"):
        warn("W120", path=str(path))


def head_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the head, wherever a config has them."""
    if config.get("architecture") == BOUNDARY:
        return dict(config.get("boundary_head") or {})
    old = {"max_width": config["max_width"]} if config.get("max_width") is not None else {}
    return {**old, **(config.get("span_head") or {})}


def counting_layer(config: dict[str, Any]) -> str:
    """Return the name of the type network."""
    return str(config.get("counting_layer") or "count_lstm")


def key_table(config: dict[str, Any]) -> KeyTable:
    """Choose the table of an architecture."""
    if config.get("architecture") == BOUNDARY:
        return BOUNDARY_KEYS
    return SPAN_KEYS


def build_head(config: dict[str, Any], width: int) -> SchemaHead:
    """Build the head that a config describes, with random values."""
    settings = head_settings(config)
    if config.get("architecture") == BOUNDARY:
        return BoundaryHead(width, settings)
    return GatedSpanHead(width, settings.get("max_width", 8), counting_layer(config), settings.get("dropout", 0.1))


def _head_of_size(path: Path, config: dict[str, Any], width: int, weights: Mapping[str, torch.Tensor]) -> SchemaHead:
    """Build the head, once the config's numbers are plausible and its weights of the sizes that they say.

    RAISES (CheckpointError): When they are not.
    """
    try:
        check_numbers(head_settings(config), "head")
        check_network(lambda: build_head(config, width), shapes_of(weights))
        head = build_head(config, width).eval()
        with torch.inference_mode():
            # Some values are only looked at then.
            head(torch.zeros(1, 2, width), torch.zeros(1, 2, width), torch.tensor([2]))
        return head
    # Values that do not go together fail in as many ways as there are layers.
    except Exception as problem:
        reason = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise error("O105", path=str(path / CONFIG_FILE), reason=reason) from problem


def add_markers(path: Path, tokenizer: Any, rows: int) -> None:
    """Add the markers to a tokenizer without them, as `gliner2` does.

    RAISES (CheckpointError): When the embedding has no rows for them.
    """
    missing = [marker for marker in MARKERS if marker not in tokenizer.get_vocab()]
    if missing:
        tokenizer.add_tokens(missing, special_tokens=True)
    ids: Iterable[int] = tokenizer.convert_tokens_to_ids(list(MARKERS))
    if max(ids) >= rows:
        raise error("O106", path=str(path), known=len(tokenizer) - len(missing), marker=TASK_MARKER, rows=rows)


def _encoder_config(path: Path) -> dict[str, Any]:
    file = path / ENCODER_CONFIG
    if not file.is_file():
        raise error("O123", path=str(path), writer="gliner2", missing=ENCODER_CONFIG.as_posix())
    return read_json(file)
