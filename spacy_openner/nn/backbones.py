"""Hugging Face encoders and tokenizers: built from a config, loaded by name, asked for their limits."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import error
from ..json_files import NotJSON, load_json
from .sizes import MOST_LAYERS, check_network, check_numbers, shapes_of
from .trust import check_trust

# Backbones that number positions from the padding index on, so that two rows of their table are never used.
OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "longformer", "mpnet", "xlm-roberta-xl"}
# Backbones without a table of positions: they read any length, and this is far enough to be worth its cost.
RELATIVE_LIMIT = 1024
T5_FAMILY = ("t5", "mt5", "umt5")
SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
CONFIG_FILE = "config.json"
TOKENIZER_FILES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
# Numbers of layers in the name of a weight.
_LAYER = re.compile(r"(?<![^.])(\d+)(?=\.)")


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


def build_encoder(
    path: Path, config: Mapping[str, Any], key: str, name_key: str, weights: Mapping[str, torch.Tensor]
) -> nn.Module:
    """Build a backbone with random values from the checkpoint's own config, or from its name's.

    Sizes are held against the weights before memory is taken for them: a config may say anything.

    key (str): Where `config` holds the backbone's config.
    name_key (str): Where `config` holds the backbone's name, for checkpoints without one.
    weights (Mapping[str, torch.Tensor]): The backbone's, by its own names. The rows of its embedding outrank every
        `vocab_size`.
    RAISES (CheckpointError): When there is no config, nothing can be built of it, or the weights are of other sizes.
    """
    backbone = _encoder_config(path, config.get(key), config.get(name_key), key)
    backbone.vocab_size = embedding_rows(weights)
    try:
        check_layers(backbone, weights)
        check_network(lambda: from_config(backbone), shapes_of(weights))
        encoder = from_config(backbone)
        try_encoder(encoder)
    # Values that do not go together fail in as many ways as there are architectures.
    except Exception as problem:
        raise error("O105", path=str(path), reason=f"its {key}: {first_line(problem)}") from problem
    return encoder


def _encoder_config(path: Path, values: Any, name: str | None, key: str) -> Any:
    from transformers import AutoConfig

    if not values and not name:
        raise error("O105", path=str(path), reason=f"its config has no {key}")
    try:
        if values:
            check_numbers(values)
            check_trust(values)
            # Networks are built in float32, and releases write types of numbers in words that others cannot read.
            values = {name: value for name, value in values.items() if name not in ("dtype", "torch_dtype")}
            values = with_rope_of_release_4(values)
            return AutoConfig.for_model(values.pop("model_type", None) or "deberta-v2", **values)
    except Exception as problem:
        raise error("O105", path=str(path), reason=f"its {key}: {first_line(problem)}") from problem
    try:
        check_trust(_json_of(name, CONFIG_FILE))
        return AutoConfig.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as problem:
        raise error("O118", path=str(path), what=key, name=name, reason=first_line(problem)) from problem


def with_rope_of_release_4(values: dict[str, Any]) -> dict[str, Any]:
    """Write the rotary positions of a config as transformers 4 reads them too, which knows no `rope_parameters` and
    would take its own defaults without a word. Release 5 reads either.

    values (dict[str, Any]): A backbone's config, in either release's words.
    RETURNS (dict[str, Any]): With the old names beside the new ones.
    RAISES (ValueError): For kinds of positions that cannot be said in the old words.
    """
    rope = values.get("rope_parameters")
    if not isinstance(rope, dict) or not rope:
        return values
    kinds = rope if all(isinstance(kind, dict) for kind in rope.values()) else {"": rope}
    scaled = {settings.get("rope_type", "default") for settings in kinds.values()} - {"default"}
    if scaled and _release() < 5:
        raise ValueError(f"rope_parameters of type {sorted(scaled)} need transformers 5 or newer")
    names = {"full_attention": "global_rope_theta", "sliding_attention": "local_rope_theta", "": "rope_theta"}
    old = {
        names[kind]: settings["rope_theta"]
        for kind, settings in kinds.items()
        if kind in names and "rope_theta" in settings
    }
    layers = values.get("layer_types") or []
    whole = [i for i, kind in enumerate(layers) if kind == "full_attention"]
    if "global_rope_theta" in old and whole:
        every = whole[1] if len(whole) > 1 else max(len(layers), 1)
        if whole != list(range(0, len(layers), every)) and _release() < 5:
            raise ValueError(f"layer_types {layers} need transformers 5 or newer")
        old["global_attn_every_n_layers"] = every
    return {**old, **values} if _release() < 5 else values


def _release() -> int:
    """Return the installed release of transformers."""
    import transformers

    return int(transformers.__version__.split(".")[0])


def check_layers(config: Any, weights: Iterable[str]) -> None:
    """Check that a config has no more layers than the weights are of, before a loop runs over them.

    RAISES (ValueError): When it has more.
    """
    # Layers that share their weights (ALBERT) are counted in groups.
    groups = getattr(config, "num_hidden_groups", None)
    layers = getattr(config, "num_hidden_layers", None)
    stored = len({tuple(_LAYER.findall(name)) for name in weights} - {()})
    most = MOST_LAYERS if groups is not None else stored
    if isinstance(layers, int) and layers > most:
        raise ValueError(f"it says {layers} layers, and the weights allow {most}")


def from_config(config: Any) -> nn.Module:
    """Build an encoder with random values; of models of two halves the first one."""
    from transformers import AutoModel, T5EncoderModel

    if config.model_type in T5_FAMILY:
        return T5EncoderModel(config)
    # Else the config would say, and it may say half precision.
    return AutoModel.from_config(config, **in_float32(), trust_remote_code=False)


def try_encoder(encoder: nn.Module) -> None:
    """Encode two subwords: some values of a config are only looked at then."""
    ids = torch.zeros(1, 2, dtype=torch.long)
    with torch.inference_mode():
        encoder.eval()(input_ids=ids, attention_mask=torch.ones_like(ids))


def load_tokenizer(path: Path, directory: Path, name: str | None) -> Any:
    """Load a fast tokenizer from a directory, or by name where the directory has none.

    RAISES (CheckpointError): When there is neither, it is damaged, or it is not a fast one.
    """
    from transformers import AutoTokenizer

    is_here = any((directory / file).is_file() for file in ("tokenizer_config.json", "tokenizer.json"))
    source = str(directory) if is_here else name
    if not source:
        raise error("O120", path=str(path), source=str(directory), reason="no tokenizer there")
    try:
        check_json(directory, TOKENIZER_FILES)
        settings = _json_of(source, "tokenizer_config.json")
        check_trust(settings)
        if _is_of_release_5(settings):
            tokenizer = _from_tokenizer_file(source, settings)
        else:
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        if not isinstance(tokenizer.model_max_length, int | float):
            raise ValueError(f"model_max_length is {tokenizer.model_max_length!r}, not a number")
    # Damaged files end in bare exceptions of the tokenizers library, too.
    except Exception as problem:
        raise error("O120", path=str(path), source=source, reason=first_line(problem)) from problem
    if not tokenizer.is_fast:
        raise error("O107", path=str(path), kind=type(tokenizer).__name__)
    return tokenizer


def check_ids(path: Path, tokenizer: Any, encoder: Any) -> None:
    """Check that a tokenizer knows words, and an encoder all of its ids.

    RAISES (CheckpointError): When it does not: predicting would end in an IndexError, or in nonsense.
    """
    vocabulary = tokenizer.get_vocab()
    rows = encoder.get_input_embeddings().num_embeddings
    # `gliner` adds markers to the tokenizers of bi-encoders, whose inputs have none, and no rows for them.
    markers = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    highest = max((i for i in vocabulary.values() if i not in markers), default=-1)
    if highest >= rows or len(vocabulary) <= len(tokenizer.all_special_ids):
        raise error("O119", path=str(path), known=len(vocabulary), highest=highest, rows=rows)


def check_json(directory: Path, names: Iterable[str]) -> None:
    """Check small files beside a model: `transformers` passes over some that it cannot read, without a word.

    RAISES (ValueError): Naming the file.
    """
    for name in names:
        try:
            if (directory / name).is_file():
                check_trust(load_json(directory / name))
        except (NotJSON, ValueError) as problem:
            raise ValueError(f"{name}: {problem}") from problem


def _json_of(source: str | None, name: str) -> dict[str, Any]:
    """Read a JSON object of a directory or hub name; empty where there is none."""
    from transformers.utils import cached_file

    file = cached_file(source, name, _raise_exceptions_for_missing_entries=False)
    content = load_json(file) if file else {}
    return content if isinstance(content, dict) else {}


def _is_of_release_5(settings: dict[str, Any]) -> bool:
    """Tell whether transformers 5 wrote a tokenizer in a way that release 4 cannot read."""
    more = settings.get("extra_special_tokens")
    return settings.get("tokenizer_class") == "TokenizersBackend" or isinstance(more, list)


def _from_tokenizer_file(source: str, settings: dict[str, Any]) -> Any:
    """Load `tokenizer.json`, which every release reads, and take the names of special tokens from the settings."""
    from transformers import PreTrainedTokenizerFast
    from transformers.utils import cached_file

    names = {key: content_of_token(settings[key]) for key in SPECIAL_TOKENS if settings.get(key)}
    more = settings.get("extra_special_tokens") or []
    options = {key: settings[key] for key in ("model_max_length", "padding_side", "chat_template") if key in settings}
    template = cached_file(source, "chat_template.jinja", _raise_exceptions_for_missing_entries=False)
    files = {} if template is None else {"default": Path(template)}
    files |= {file.stem: file for file in (Path(source) / "additional_chat_templates").glob("*.jinja")}
    if files:
        templates = {name: file.read_text(encoding="utf8") for name, file in files.items()}
        options["chat_template"] = templates["default"] if [*templates] == ["default"] else templates
    return PreTrainedTokenizerFast(
        tokenizer_file=cached_file(source, "tokenizer.json"),
        additional_special_tokens=[content_of_token(token) for token in more],
        **names,
        **options,
    )


def content_of_token(token: Any) -> str:
    """Return the text of a token, which may be written with its properties."""
    return str(token["content"] if isinstance(token, dict) else token)


def embedding_rows(weights: Mapping[str, torch.Tensor]) -> int:
    """Count the rows of a backbone's word embedding, whatever the backbone calls it."""
    names = (
        "word_embeddings.weight",
        "tok_embeddings.weight",
        "embed_tokens.weight",
        "shared.weight",
        "wte.weight",
    )
    tables = [value for key, value in weights.items() if key.endswith(names)]
    if tables:
        # One that is no table is found by its shape.
        return tables[0].shape[0] if tables[0].dim() else 1
    return max((value.shape[0] for key, value in weights.items() if "embed" in key and value.dim() == 2), default=0)


def first_line(problem: Exception) -> str:
    """Return the first line of what a problem says, or its kind."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]


def hidden_size(encoder: Any) -> int:
    """Width of a backbone's output."""
    return int(encoder.config.hidden_size)


def subword_limit(config: Any) -> int:
    """Return the most subwords that a backbone reads at once, from its Hugging Face config."""
    limit = getattr(config, "max_position_embeddings", None)
    absolute = getattr(config, "position_biased_input", True) and config.model_type not in T5_FAMILY
    if not limit or not absolute:
        return RELATIVE_LIMIT
    if config.model_type in OFFSET_POSITIONS:
        limit -= (config.pad_token_id or 0) + 1
    return min(int(limit), RELATIVE_LIMIT)
