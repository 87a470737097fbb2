"""Hugging Face encoders and tokenizers: built from a config, loaded by name, asked for their limits."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import error

# Backbones that number positions from the padding index on, so that two rows of their table are never used.
OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "longformer", "mpnet", "xlm-roberta-xl"}
# Backbones without a table of positions: they read any length, and this is far enough to be worth its cost.
RELATIVE_LIMIT = 1024
T5_FAMILY = ("t5", "mt5", "umt5")
SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def in_float32() -> dict[str, torch.dtype]:
    """Return the argument that has `transformers` build a network in float32; its name changed with a release."""
    from transformers import PretrainedConfig

    return {"dtype" if hasattr(PretrainedConfig(), "dtype") else "torch_dtype": torch.float32}


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Let `transformers` say nothing but errors. What matters of its reports is checked by whoever calls it."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def build_encoder(path: Path, config: dict[str, Any], key: str, name_key: str, rows: int) -> nn.Module:
    """Build a backbone with random values from the checkpoint's own config, or from its name's.

    key (str): Where `config` holds the backbone's config.
    name_key (str): Where `config` holds the backbone's name, for checkpoints without one.
    rows (int): Rows of the embedding in the weights; they outrank every `vocab_size`.
    """
    from transformers import AutoConfig, AutoModel, T5EncoderModel

    values = config.get(key)
    try:
        if values:
            values = {**values}
            backbone = AutoConfig.for_model(values.pop("model_type", None) or "deberta-v2", **values)
        else:
            backbone = AutoConfig.from_pretrained(config.get(name_key), trust_remote_code=False)
    except (OSError, ValueError) as problem:
        raise error("O101", path=str(path), reason=f"its backbone's config: {problem}") from problem
    backbone.vocab_size = rows
    if backbone.model_type in T5_FAMILY:
        return T5EncoderModel(backbone)
    return AutoModel.from_config(backbone, trust_remote_code=False)


def load_tokenizer(path: Path, directory: Path, name: str | None) -> Any:
    """Load a fast tokenizer from a directory, or by name where the directory has none.

    RAISES (CheckpointError): When there is neither, or it is not a fast one.
    """
    from transformers import AutoTokenizer

    source = str(directory) if (directory / "tokenizer_config.json").is_file() else name
    try:
        settings = _tokenizer_settings(source)
        if _is_of_release_5(settings):
            tokenizer = _from_tokenizer_file(source, settings)
        else:
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as problem:
        raise error("O120", path=str(path), source=source, reason=str(problem).strip() or repr(problem)) from problem
    if not tokenizer.is_fast:
        raise error("O107", path=str(path), kind=type(tokenizer).__name__)
    return tokenizer


def _tokenizer_settings(source: str | None) -> dict[str, Any]:
    """Read `tokenizer_config.json` of a directory or hub name."""
    from transformers.utils import cached_file

    file = cached_file(source, "tokenizer_config.json", _raise_exceptions_for_missing_entries=False)
    settings = json.loads(Path(file).read_text(encoding="utf8")) if file else {}
    return settings if isinstance(settings, dict) else {}


def _is_of_release_5(settings: dict[str, Any]) -> bool:
    """Tell whether transformers 5 wrote a tokenizer in a way that release 4 cannot read."""
    more = settings.get("extra_special_tokens")
    return settings.get("tokenizer_class") == "TokenizersBackend" or isinstance(more, list)


def _from_tokenizer_file(source: str | None, settings: dict[str, Any]) -> Any:
    """Load `tokenizer.json`, which every release reads, and take the names of special tokens from the settings."""
    from transformers import PreTrainedTokenizerFast
    from transformers.utils import cached_file

    names = {key: _content(settings[key]) for key in SPECIAL_TOKENS if settings.get(key)}
    more = settings.get("extra_special_tokens") or []
    options = {key: settings[key] for key in ("model_max_length", "padding_side") if key in settings}
    return PreTrainedTokenizerFast(
        tokenizer_file=cached_file(source, "tokenizer.json"),
        additional_special_tokens=[_content(token) for token in more],
        **names,
        **options,
    )


def _content(token: Any) -> str:
    """The text of a token, which may be written with its properties."""
    return str(token["content"] if isinstance(token, dict) else token)


def embedding_rows(weights: dict[str, torch.Tensor], prefix: str) -> int:
    """Count the rows of a backbone's word embedding, whatever the backbone calls it."""
    names = (
        "word_embeddings.weight",
        "tok_embeddings.weight",
        "embed_tokens.weight",
        "shared.weight",
        "wte.weight",
    )
    found = [value for key, value in weights.items() if key.startswith(prefix) and key.endswith(names)]
    if found:
        return found[0].shape[0]
    return max(
        (v.shape[0] for k, v in weights.items() if k.startswith(prefix) and "embed" in k and v.dim() == 2),
        default=0,
    )


def hidden_size(encoder: Any) -> int:
    """Width of a backbone's output."""
    return int(encoder.config.hidden_size)


def piece_limit(config: Any) -> int:
    """The most pieces that a backbone reads at once, from its Hugging Face config."""
    limit = getattr(config, "max_position_embeddings", None)
    absolute = getattr(config, "position_biased_input", True) and config.model_type not in T5_FAMILY
    if not limit or not absolute:
        return RELATIVE_LIMIT
    if config.model_type in OFFSET_POSITIONS:
        limit -= (config.pad_token_id or 0) + 1
    return min(int(limit), RELATIVE_LIMIT)
