"""New type-cache networks, on any encoder with an adapter or on a span matcher that reads prompts."""

from pathlib import Path
from typing import Any, NamedTuple

from ...arguments import as_whole
from ...errors import OpenNERError, error
from ...nn.fast_tokenizer import FastTokenizer
from ..gliner import checkpoint as gliner
from ..gliner.config import CONFIG_FILE
from ..gliner.new_head import MARKERS
from ..gliner.pretrained import encoder_for_head
from ..gliner.span_head import MarkerV0Head
from .checkpoint import RANGES, TypeCacheCheckpoint, TypeCacheConfig
from .encoders.base import Encoder
from .encoders.kinds import from_transformers
from .network import TypeCacheNetwork

MAY_BE_NONE = ("width", "max_width")


def from_encoder(
    encoder: str | Path,
    *,
    layers: int | None = None,
    width: int | None = None,
    max_width: int | None = None,
    max_words: int = 384,
    dropout: float = 0.1,
    markers_only: bool = False,
    blind_layers: int = 0,
    alike: float = 1.0,
) -> TypeCacheCheckpoint:
    """Make a network to be trained.

    encoder (str | Path): A directory or hub name of a Hugging Face encoder; or a directory of a GLiNER checkpoint with
        a `markerV0` head, whose head is taken, too, where `width` and `max_width` do not say otherwise.
    layers (int | None): How many of the encoder's layers are kept, the first ones; all if None. Encoders trained for
        vectors of sentences know less of single words in their last layers.
    width (int | None): Width of the head; the encoder's own if None.
    max_width (int | None): Most words in a span; 12 if None.
    max_words (int): Most words that one window shows.
    dropout (float): Of the head, in training.
    markers_only (bool): Let texts attend to the markers of types alone: names and descriptions of any length cost one
        key each, and texts see them by what the marker has read.
    blind_layers (int): In how many of the first layers texts see no types. With half of the layers long lists cost half
        of what they cost otherwise, and types beside a type matter less.
    alike (float): Of types of a list that are more alike than this cosine, by what texts read of them, texts see the
        first alone, in the order of their names; spans are scored for all. 1 for all: names for one thing ("writer",
        "novelist") then share what each would get alone.
    RETURNS (TypeCacheCheckpoint): With pretrained weights where there are some, and the rest random.
    RAISES (SettingError): For a kind of encoder without an adapter, another number of layers than it has, or where no
        layer would see types.
    RAISES (CheckpointError): When the encoder cannot be loaded.
    """
    numbers = {"width": width, "max_width": max_width, "max_words": max_words, "dropout": dropout, "alike": alike}
    for name, value in numbers.items():
        if not RANGES[name].holds(value) and (value is not None or name not in MAY_BE_NONE):
            raise error("O001", name=name, value=value, allowed=RANGES[name])
    if not isinstance(markers_only, bool):
        raise error("O001", name="markers_only", value=markers_only, allowed="True or False")
    rest = Rest(layers, max_words, dropout, markers_only, blind_layers, alike)
    if (Path(encoder) / CONFIG_FILE).is_file():
        return _from_gliner(Path(encoder), width, max_width, rest)
    tokenizer, backbone = encoder_for_head(encoder)
    if MARKERS[1] not in tokenizer.get_vocab():
        tokenizer.add_tokens([MARKERS[1]], special_tokens=True)
        backbone.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    head = MarkerV0Head(width or backbone.config.hidden_size, max_width or 12, dropout)
    return _checkpoint(encoder, backbone, head, tokenizer, rest)


class Rest(NamedTuple):
    """The settings that do not shape the head; see `from_encoder`."""

    layers: int | None
    max_words: int
    dropout: float
    markers_only: bool
    blind_layers: int
    alike: float


def _from_gliner(path: Path, width: int | None, max_width: int | None, rest: Rest) -> TypeCacheCheckpoint:
    start = gliner.load(path)
    old = start.network.head
    reusable = isinstance(old, MarkerV0Head) and width in (None, old.width) and max_width in (None, old.max_width)
    head_width = width or old.width
    head = MarkerV0Head(head_width, max_width or getattr(old, "max_width", 0) or 12, rest.dropout)
    if reusable:
        head.load_state_dict(old.state_dict())
    new = _checkpoint(path, start.network.encoder, head, start.tokenizer, rest)
    projection = new.network.projection
    if reusable and projection is not None and start.network.projection is not None:
        projection.load_state_dict(start.network.projection.state_dict())
    return new


def _checkpoint(
    source: str | Path, backbone: Any, head: MarkerV0Head, tokenizer: Any, rest: Rest
) -> TypeCacheCheckpoint:
    """Put a head on an encoder of `transformers`, with its tokenizer."""
    try:
        encoder = from_transformers(backbone)
    except ValueError as problem:
        if isinstance(problem, OpenNERError):
            raise
        raise error("O124", name=str(source), reason=problem) from problem
    config = {key: value for key, value in backbone.config.to_dict().items() if key != "_name_or_path"}
    if rest.layers is not None:
        _keep_layers(encoder, config, rest.layers)
    if not RANGES["blind_layers"].holds(rest.blind_layers) or not encoder.sees_types(rest.blind_layers):
        most = len(encoder.stack) - 1
        allowed = f"a whole number from 0 to at most {most}, so that a layer behind them sees types"
        raise error("O001", name="blind_layers", value=rest.blind_layers, allowed=allowed)
    network = TypeCacheNetwork(
        encoder, head, markers_only=rest.markers_only, blind_layers=rest.blind_layers, alike=rest.alike
    ).eval()
    settings = TypeCacheConfig(
        config,
        head.width,
        head.max_width,
        rest.max_words,
        rest.dropout,
        markers_only=rest.markers_only,
        blind_layers=rest.blind_layers,
        alike=rest.alike,
        marker=MARKERS[1],
    )
    return TypeCacheCheckpoint(settings, network, FastTokenizer.of(tokenizer))


def _keep_layers(encoder: Encoder, config: dict[str, Any], count: int) -> None:
    """Cut an encoder, and its config, behind the first layers."""
    as_whole(count, "layers", 1, len(encoder.stack))
    del encoder.stack[count:]
    config["num_hidden_layers"] = count
    if config.get("layer_types"):
        config["layer_types"] = config["layer_types"][:count]
