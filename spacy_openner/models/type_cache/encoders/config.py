"""Configs of encoders, as `transformers` writes them: the values that a network is built of, each checked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...gliner.config import Range


class ConfigValues:
    """The values of a config by name. What is absent has the default that `transformers` gives it.

    values (Mapping): JSON content.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def whole(self, name: str, default: int, least: int = 1, most: int = 1 << 20) -> int:
        """Read a whole number.

        RAISES (ValueError): For anything else.
        """
        return int(self._number(name, default, Range(least, most)))

    def number(self, name: str, default: float, most: float = 1.0) -> float:
        """Read a number from 0 on.

        RAISES (ValueError): For anything else.
        """
        return float(self._number(name, default, Range(0, most, whole=False)))

    def flag(self, name: str, default: bool) -> bool:
        """Read a truth value.

        RAISES (ValueError): For anything else.
        """
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {value!r}, not a truth value")
        return value

    def choice(self, name: str, default: str, allowed: Mapping[str, Any] | list[str]) -> str:
        """Read one of some words.

        RAISES (ValueError): For anything else.
        """
        value = self.values.get(name, default)
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{name} is {value!r}, not one of {', '.join(allowed)}")
        return value

    def index(self, name: str, default: int | None, size: int) -> int | None:
        """Read an index of a table, or null.

        RAISES (ValueError): For anything else.
        """
        return None if self.values.get(name, default) is None else self.whole(name, default or 0, 0, size - 1)

    def _number(self, name: str, default: float, allowed: Range) -> float:
        value = self.values.get(name, default)
        if not allowed.holds(value) or not math.isfinite(value):
            raise ValueError(f"{name} is {value!r}, not {allowed}")
        return float(value)


@dataclass(frozen=True)
class EncoderConfig:
    """The settings that all encoders have.

    model_type: The kind of encoder, as `transformers` calls it.
    vocab_size: Rows of the embedding of subwords.
    hidden_size: Width of its vectors.
    num_hidden_layers: Number of layers.
    num_attention_heads: Heads of each layer.
    intermediate_size: Width inside of feed-forward blocks.
    max_position_embeddings: How many positions it knows; RoBERTa and its like never use the first ones.
    pad_token_id: The subword of padding.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    pad_token_id: int | None


def read_sizes(values: ConfigValues, vocab_size: int, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Read the fields of `EncoderConfig`.

    vocab_size (int): The rows of the embedding that is there, whatever the config says.
    defaults (Mapping): Of the kind of encoder, by name.
    RAISES (ValueError): For values that no encoder has.
    """
    sizes: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": values.whole("hidden_size", 768),
        "num_hidden_layers": values.whole("num_hidden_layers", defaults["num_hidden_layers"], most=256),
        "num_attention_heads": values.whole("num_attention_heads", 12),
        "intermediate_size": values.whole("intermediate_size", defaults["intermediate_size"]),
        "max_position_embeddings": values.whole("max_position_embeddings", defaults["max_position_embeddings"]),
        "pad_token_id": values.index("pad_token_id", defaults["pad_token_id"], vocab_size),
    }
    if sizes["hidden_size"] % sizes["num_attention_heads"]:
        heads = sizes["num_attention_heads"]
        raise ValueError(f"hidden_size is {sizes['hidden_size']}, which {heads} heads cannot share alike")
    return {"model_type": values.values["model_type"], **sizes}
