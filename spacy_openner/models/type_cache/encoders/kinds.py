"""The kinds of encoders that the type cache knows: built from their configs, or taken over from `transformers`."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ....errors import error
from ....nn.weights import OPTIONAL_PARTS
from .base import Encoder
from .bert import BertConfig, BertEncoder
from .config import EncoderConfig
from .modernbert import ModernBertConfig, ModernBertEncoder
from .mpnet import MPNetConfig, MPNetEncoder


class Kind(NamedTuple):
    """How a config is read, and an encoder built of it."""

    read: Callable[[Mapping[str, Any], int], EncoderConfig]
    build: Callable[[Any], Encoder]


_BERT = Kind(BertConfig.read, BertEncoder)
KINDS = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "mpnet": Kind(MPNetConfig.read, MPNetEncoder),
    "modernbert": Kind(ModernBertConfig.read, ModernBertEncoder),
}
"""By the names that `transformers` has for them."""


def read_encoder(content: Mapping[str, Any], vocab_size: int) -> EncoderConfig:
    """Read a config of a known kind.

    content (Mapping): As `transformers` writes it.
    vocab_size (int): The rows of the embedding that is there, whatever the config says.
    RAISES (ValueError): For values that no encoder has.
    """
    return KINDS[content["model_type"]].read(content, vocab_size)


def build_encoder(config: EncoderConfig) -> Encoder:
    """Build an encoder with random values.

    RAISES (ValueError): For values that do not go together.
    """
    return KINDS[config.model_type].build(config)


def from_transformers(encoder: Any) -> Encoder:
    """Build an encoder of the same values as one of `transformers`. What no score depends on is left behind.

    RAISES (SettingError): For a kind that the type cache does not know.
    RAISES (ValueError): For one with parts that are not known here.
    """
    kind = encoder.config.model_type
    if kind not in KINDS:
        raise error("O001", name="the encoder's kind", value=kind, allowed=", ".join(KINDS))
    rows = encoder.get_input_embeddings().num_embeddings
    built = build_encoder(read_encoder(encoder.config.to_dict(), rows))
    weights = encoder.state_dict()
    known = {name: value for name, value in weights.items() if not any(part in name for part in OPTIONAL_PARTS)}
    missing, unknown = built.load_state_dict(known, strict=False)
    if missing or unknown:
        raise ValueError(f"it lacks {missing[:5]}, and has {unknown[:5]}, which is of no use here")
    return built.eval()
