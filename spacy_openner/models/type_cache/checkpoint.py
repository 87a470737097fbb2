"""Files of a type-cache model: `type_cache.json`, weights, tokenizer."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ...errors import OpenNERError, error
from ...json_files import load_json
from ...nn import int8
from ...nn.backbones import check_layers, embedding_rows
from ...nn.fast_tokenizer import FastTokenizer
from ...nn.sizes import WithoutRandomValues, check_network, check_numbers, shapes_of
from ...nn.trust import check_trust
from ...nn.weights import WEIGHTS_FILE, load_strictly, part_of, read_weights, write_weights
from ..gliner.config import NUMBERS, Range
from ..gliner.span_head import MarkerV0Head
from .encoders.config import EncoderConfig
from .encoders.kinds import KINDS, build_encoder, read_encoder
from .network import TypeCacheNetwork
from .score_scale import LEAST, MOST, ScoreScale

CONFIG_FILE = "type_cache.json"
RANGES = {
    "width": NUMBERS["hidden_size"],
    "max_width": NUMBERS["max_width"],
    "max_words": NUMBERS["max_len"],
    "dropout": NUMBERS["dropout"],
    "blind_layers": Range(0, 1000),
    "alike": Range(0, 1, whole=False),
}
FACTORS = Range(LEAST, MOST, whole=False)
SCALES = {"above": FACTORS, "below": FACTORS, "crowd": Range(-1, 1, whole=False)}


@dataclass(frozen=True)
class TypeCacheConfig:
    """Settings that the weights do not tell.

    encoder (dict): The encoder's Hugging Face config.
    width (int): Width of the head.
    max_width (int): Most words in a span.
    max_words (int): Most words that one window shows.
    dropout (float): Of the head, in training.
    markers_only (bool): Whether texts attend to the markers of types alone.
    blind_layers (int): In how many of the first layers texts see no types.
    alike (float): Of types that are more alike than this cosine, texts see the first alone; 1 for all.
    marker (str): What stands before each type.
    score_scale (ScoreScale): How sure scores are; forgotten when the weights are trained further.
    """

    encoder: dict[str, Any]
    width: int
    max_width: int = 12
    max_words: int = 384
    dropout: float = 0.1
    markers_only: bool = False
    blind_layers: int = 0
    alike: float = 1.0
    marker: str = "<<ENT>>"
    score_scale: ScoreScale = field(default_factory=ScoreScale)


@dataclass
class TypeCacheCheckpoint:
    """A loaded checkpoint: all that prediction needs, and all that saving writes.

    config: See `TypeCacheConfig`.
    network: In float32.
    tokenizer: That of the encoder, the marker included.
    """

    config: TypeCacheConfig
    network: TypeCacheNetwork
    tokenizer: FastTokenizer

    @property
    def marker_id(self) -> int:
        """The id of what stands before each type; -1 where the tokenizer does not know it."""
        marker_id = self.tokenizer.token_to_id(self.config.marker)
        return -1 if marker_id is None else marker_id


def read_config(path: Path) -> TypeCacheConfig:
    """Read `type_cache.json`.

    RAISES (CheckpointError): When there is none, or it is not what `save` writes.
    """
    file = path / CONFIG_FILE
    if not file.is_file():
        raise error("O131", path=str(path), reason=f"no {CONFIG_FILE} there")
    try:
        values = load_json(file)
        config = TypeCacheConfig(**{**values, "score_scale": ScoreScale(**values.get("score_scale", {}))})
    except (ValueError, TypeError) as problem:
        raise error("O131", path=str(path), reason=f"{CONFIG_FILE}: {problem}") from problem
    # A list: what is no text is compared with it, where a dictionary could not look it up.
    if not isinstance(config.encoder, dict) or config.encoder.get("model_type") not in [*KINDS]:
        raise error("O131", path=str(path), reason=f"{CONFIG_FILE}: `encoder` must say one of {', '.join(KINDS)}")
    for name, allowed in RANGES.items():
        value = getattr(config, name)
        if not allowed.holds(value):
            raise error("O131", path=str(path), reason=f"{CONFIG_FILE}: `{name}` is {value!r}, not {allowed}")
    for name, allowed in SCALES.items():
        value = getattr(config.score_scale, name)
        if not allowed.holds(value):
            raise error(
                "O131", path=str(path), reason=f"{CONFIG_FILE}: `{name}` of `score_scale` is {value!r}, not {allowed}"
            )
    if not isinstance(config.markers_only, bool) or not isinstance(config.marker, str):
        raise error(
            "O131", path=str(path), reason=f"{CONFIG_FILE}: `markers_only` is no truth value, or `marker` no text"
        )
    numbers: dict[str, Any] = {name: allowed.kept(getattr(config, name)) for name, allowed in RANGES.items()}
    return replace(config, **numbers)


def load(path: Path) -> TypeCacheCheckpoint:
    """Load a checkpoint from a directory.

    RETURNS (TypeCacheCheckpoint): In float32, whatever the files hold.
    RAISES (CheckpointError): When files are missing, damaged, or do not fit together.
    """
    config = read_config(path)
    weights = _read_weights(path)
    of_encoder = part_of(weights, "encoder.")
    rows = embedding_rows(of_encoder)
    try:
        # They may be handed to `transformers` later, with the encoder.
        check_numbers(config.encoder)
        check_trust(config.encoder)
        encoder = read_encoder(config.encoder, rows)
        check_layers(encoder, of_encoder)
        check_network(lambda: _build(config, encoder), shapes_of(weights))
    except ValueError as problem:
        raise error("O131", path=str(path), reason=f"{CONFIG_FILE}: {problem}") from problem
    with WithoutRandomValues():
        network = _build(config, encoder)
    if not network.encoder.sees_types(config.blind_layers):
        reason = f"{CONFIG_FILE}: `blind_layers` is {config.blind_layers}, so that no layer would see types"
        raise error("O131", path=str(path), reason=reason)
    load_strictly(path, network, weights)
    checkpoint = TypeCacheCheckpoint(config, network.eval(), FastTokenizer.read(path))
    if not 0 <= checkpoint.marker_id < rows:
        raise error("O131", path=str(path), reason=f"its tokenizer does not know the marker {config.marker!r}")
    return checkpoint


def _build(config: TypeCacheConfig, encoder: EncoderConfig) -> TypeCacheNetwork:
    return TypeCacheNetwork(
        build_encoder(encoder),
        MarkerV0Head(config.width, config.max_width, config.dropout),
        markers_only=config.markers_only,
        blind_layers=config.blind_layers,
        alike=config.alike,
    )


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    try:
        return int8.load(path) if int8.is_chosen(path) else read_weights(path)
    # Damaged files fail in as many ways as safetensors knows.
    except (ValueError, SafetensorError) as problem:
        if isinstance(problem, OpenNERError):
            raise
        raise error("O131", path=str(path), reason=str(problem)) from problem


def save(checkpoint: TypeCacheCheckpoint, path: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write a checkpoint.

    path (Path): The directory; made if missing.
    dtype (torch.dtype | None): Floating-point type on disk; float32 if None.
    """
    path.mkdir(parents=True, exist_ok=True)
    write_weights(path, checkpoint.network.state_dict(), dtype)
    # Rounded weights of an earlier save would be as good as these.
    (path / int8.FILE).unlink(missing_ok=True)
    _save_rest(checkpoint, path)


def save_int8(checkpoint: TypeCacheCheckpoint, path: Path) -> None:
    """Write what `load` reads in a quarter of the size, rounded; see `nn.int8`."""
    path.mkdir(parents=True, exist_ok=True)
    int8.save(checkpoint.network.state_dict(), path)
    (path / WEIGHTS_FILE).unlink(missing_ok=True)
    _save_rest(checkpoint, path)


def write_config(config: TypeCacheConfig, path: Path) -> None:
    """Write `type_cache.json` into a directory."""
    (path / CONFIG_FILE).write_text(json.dumps(asdict(config), indent=2) + "\n", encoding="utf8")


def _save_rest(checkpoint: TypeCacheCheckpoint, path: Path) -> None:
    write_config(checkpoint.config, path)
    checkpoint.tokenizer.save(path)
