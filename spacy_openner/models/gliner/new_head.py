"""New networks on top of any Hugging Face encoder, in the published format from the start."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from ...errors import error
from .checkpoint import Checkpoint
from .config import MAX_TYPES, NUMBERS, Range
from .network import Head, Network
from .pretrained import encoder_for_head
from .span_head import MarkerHead, MarkerV0Head
from .token_head import TokenHead

SpanMode = Literal["markerV0", "marker", "token_level"]
MARKERS = ("[FLERT]", "<<ENT>>", "<<SEP>>")
# What the config of every new checkpoint says.
COMMON_CONFIG = {
    "fine_tune": True,
    "subtoken_pooling": "first",
    "words_splitter_type": "whitespace",
    "embed_ent_token": True,
    "ent_token": MARKERS[1],
    "sep_token": MARKERS[2],
}
# Heads by kind, made from a width, the most words in a span, and a dropout.
HEADS: dict[str, Callable[[int, int, float], Head]] = {
    "markerV0": MarkerV0Head,
    "marker": MarkerHead,
    "token_level": lambda width, _, dropout: TokenHead(width, dropout),
}
ALLOWED_NUMBERS = {
    "width": NUMBERS["hidden_size"],
    "max_width": NUMBERS["max_width"],
    "max_len": NUMBERS["max_len"],
    "lstm_layers": Range(0, 16),
    "dropout": NUMBERS["dropout"],
    "max_types": NUMBERS[MAX_TYPES],
}
MAY_BE_NONE = ("width", "max_types")


def from_encoder(
    encoder: str | Path,
    *,
    width: int | None = None,
    span_mode: SpanMode = "markerV0",
    max_width: int = 12,
    max_len: int = 384,
    lstm_layers: int = 0,
    dropout: float = 0.4,
    labels_encoder: str | Path | None = None,
    max_types: int | None = None,
) -> Checkpoint:
    """Put a new head on a pretrained encoder.

    encoder (str | Path): A directory or hub name that `transformers` loads.
    width (int | None): Width of the head; the encoder's own if None.
    span_mode (str): The kind of head.
    max_width (int): Most words in a span.
    max_len (int): Most words that one window shows.
    lstm_layers (int): Layers of a bidirectional LSTM over words.
    dropout (float): Of the head, in training.
    labels_encoder (str | Path | None): A second encoder makes it a bi-encoder.
    max_types (int | None): Types in one prompt, if nobody asks for another number: not more than it is trained with.
    RETURNS (Checkpoint): With pretrained encoders and a random head.
    RAISES (SettingError): For an unknown `span_mode`, or a number out of its range.
    RAISES (CheckpointError): When an encoder cannot be loaded.
    """
    _check_numbers(
        width=width, max_width=max_width, max_len=max_len, lstm_layers=lstm_layers, dropout=dropout, max_types=max_types
    )
    if span_mode not in HEADS:
        raise error("O001", name="span_mode", value=span_mode, allowed=", ".join(HEADS))
    tokenizer, backbone = encoder_for_head(encoder)
    head = HEADS[span_mode](width or backbone.config.hidden_size, max_width, dropout)
    config: dict[str, Any] = {
        "model_name": str(encoder),
        "span_mode": span_mode,
        "max_width": max_width,
        "max_len": max_len,
        "dropout": dropout,
        **COMMON_CONFIG,
        **({} if max_types is None else {MAX_TYPES: max_types}),
    }
    if labels_encoder is not None:
        labels_tokenizer, labels_backbone = encoder_for_head(labels_encoder)
        network = Network(
            backbone,
            head,
            backbone.config.hidden_size,
            lstm_layers=lstm_layers,
            label_encoder=labels_backbone,
            label_width=labels_backbone.config.hidden_size,
        )
        config["labels_encoder"] = str(labels_encoder)
        return Checkpoint(config, network.eval(), tokenizer, labels_tokenizer=labels_tokenizer)
    tokenizer.add_tokens(list(MARKERS), special_tokens=True)
    backbone.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    network = Network(backbone, head, backbone.config.hidden_size, lstm_layers=lstm_layers)
    ids = tokenizer.convert_tokens_to_ids(list(MARKERS))
    return Checkpoint(config, network.eval(), tokenizer, entity_id=ids[1], separator_id=ids[2])


def _check_numbers(**numbers: float | None) -> None:
    for name, value in numbers.items():
        allowed = ALLOWED_NUMBERS[name]
        if not (allowed.holds(value) or (value is None and name in MAY_BE_NONE)):
            raise error("O001", name=name, value=value, allowed=allowed)
