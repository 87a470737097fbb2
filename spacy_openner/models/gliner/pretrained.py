"""Pretrained encoders, with nothing of them left to chance: those of `transformers`, and those of span models."""

from pathlib import Path
from typing import Any

from ...errors import error
from ...json_files import load_json
from ...nn import hub, int8
from ...nn.backbones import (
    T5_FAMILY,
    TOKENIZER_FILES,
    build_encoder,
    check_ids,
    check_json,
    from_config,
    in_float32,
    load_tokenizer,
    quiet_transformers,
    try_encoder,
)
from ...nn.sizes import check_directory, check_numbers
from ...nn.trust import check_trust
from ...nn.weights import OPTIONAL_PARTS, load_strictly, part_of, read_weights, unusable
from .checkpoint import load
from .config import CONFIG_FILE


def pretrained(name: str | Path, revision: str | None = None) -> tuple[Any, Any]:
    """Load a Hugging Face encoder in float32; of a model of two halves, its encoder, and of a span model, too.

    name (str | Path): A directory or hub name; a span model of either family in a directory only.
    revision (str | None): Commit or tag of a hub name.
    RETURNS (tuple): Its tokenizer and the network.
    RAISES (ValueError): When it cannot be loaded; when weights that its output depends on are missing, of
        another shape, or not finite.
    RAISES (CheckpointError): When its tokenizer does not fit.
    """
    if (Path(name) / CONFIG_FILE).is_file():
        checkpoint = load(Path(name))
        return checkpoint.tokenizer, checkpoint.network.encoder
    if (Path(name) / hub.TYPE_CACHE.config).is_file():
        return _of_type_cache(Path(name))
    try:
        tokenizer, network, info = _from_pretrained(name, revision)
    # Damaged files and odd configs fail in as many ways as there are architectures and releases.
    except Exception as problem:
        raise ValueError(" ".join(str(problem).split())[:200] or type(problem).__name__) from problem
    missing = [key for key in info["missing_keys"] if not any(part in key for part in OPTIONAL_PARTS)]
    problems = {
        "lack": sorted(missing),
        "have another shape in": sorted(str(key) for key in info["mismatched_keys"]),
        "are no finite numbers in": unusable(network.state_dict()),
    }
    faults = [f"{problem} {names[:5]}" for problem, names in problems.items() if names]
    if faults:
        raise ValueError(f"its weights {', '.join(faults)}")
    check_ids(Path(name), tokenizer, network)
    return tokenizer, network


def encoder_for_head(name: str | Path) -> tuple[Any, Any]:
    """Load an encoder that is to get a new head, as `pretrained` does.

    RAISES (CheckpointError): When it cannot be loaded, or its tokenizer is not a fast one.
    """
    try:
        tokenizer, encoder = pretrained(name)
    except ValueError as problem:
        raise error("O124", name=str(name), reason=str(problem)) from problem
    if not tokenizer.is_fast:
        raise error("O107", path=str(name), kind=type(tokenizer).__name__)
    return tokenizer, encoder


def _of_type_cache(path: Path) -> tuple[Any, Any]:
    """Load the encoder of a type cache, which lies in `models/type_cache`, by the parts that all families share."""
    tensors = int8.load(path) if int8.is_chosen(path) else read_weights(path)
    weights = part_of(tensors, "encoder.")
    encoder = build_encoder(path, load_json(path / hub.TYPE_CACHE.config), "encoder", "", weights)
    load_strictly(path, encoder, weights)
    return load_tokenizer(path, path, str(path)), encoder.eval()


def _from_pretrained(name: str | Path, revision: str | None) -> tuple[Any, Any, dict[str, Any]]:
    from transformers import AutoConfig, AutoModel, AutoTokenizer, T5EncoderModel
    from transformers.utils import CONFIG_NAME, cached_file

    options = {"revision": revision or "main", "trust_remote_code": False}
    file = cached_file(name, CONFIG_NAME, revision=options["revision"])
    # Numbers come first: some make loading a config endless.
    values = load_json(file)
    check_numbers(values)
    check_trust(values)
    config = AutoConfig.from_pretrained(name, **options)
    loader = T5EncoderModel if config.model_type in T5_FAMILY else AutoModel
    if Path(name).is_dir():
        check_directory(Path(name), lambda: from_config(config))
    check_json(Path(name), TOKENIZER_FILES)
    settings = cached_file(
        name, TOKENIZER_FILES[0], revision=options["revision"], _raise_exceptions_for_missing_entries=False
    )
    check_trust(load_json(settings) if settings else {})
    tokenizer = AutoTokenizer.from_pretrained(name, **options)
    # What a missing pooler makes it say is untrue here: no score depends on it.
    with quiet_transformers():
        network, info = loader.from_pretrained(name, **in_float32(), output_loading_info=True, **options)
    try_encoder(network)
    return tokenizer, network, info
