"""New networks on top of any Hugging Face encoder, in the published format from the start."""

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
    numbers = {
        "width": (width, NUMBERS["hidden_size"]),
        "max_width": (max_width, NUMBERS["max_width"]),
        "max_len": (max_len, NUMBERS["max_len"]),
        "lstm_layers": (lstm_layers, Range(0, 16)),
        "dropout": (dropout, NUMBERS["dropout"]),
        "max_types": (max_types, NUMBERS[MAX_TYPES]),
    }
    for name, (value, allowed) in numbers.items():
        if not (allowed.holds(value) or (value is None and name in ("width", "max_types"))):
            raise error("O001", name=name, value=value, allowed=allowed)
    tokenizer, backbone = encoder_for_head(encoder)
    head_width = width or backbone.config.hidden_size
    heads: dict[str, Any] = {
        "markerV0": lambda: MarkerV0Head(head_width, max_width, dropout),
        "marker": lambda: MarkerHead(head_width, max_width, dropout),
        "token_level": lambda: TokenHead(head_width, dropout),
    }
    if span_mode not in heads:
        raise error("O001", name="span_mode", value=span_mode, allowed=", ".join(heads))
    head: Head = heads[span_mode]()
    config = {
        "model_name": str(encoder),
        "span_mode": span_mode,
        "max_width": max_width,
        "max_len": max_len,
        "dropout": dropout,
        "fine_tune": True,
        "subtoken_pooling": "first",
        "words_splitter_type": "whitespace",
        "embed_ent_token": True,
        "ent_token": MARKERS[1],
        "sep_token": MARKERS[2],
    }
    if max_types is not None:
        config[MAX_TYPES] = max_types
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
