"""Files of generators: loaded from a directory strictly, saved whole or rounded to int8."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ...errors import error
from ...json_files import load_json
from ...nn import int8, lora
from ...nn.backbones import check_ids, check_json, in_float32, load_tokenizer
from ...nn.sizes import check_directory, check_numbers
from ...nn.trust import check_trust
from ...nn.weights import unusable
from ...prompts.gner import check_instruction
from .model import Generator, make_generator

SHARD = "2GB"
CONFIG_FILE, GENERATION_FILE = "config.json", "generation_config.json"


def load(directory: Path) -> Generator:
    """Load a model that `transformers` saved, in float32.

    RAISES (CheckpointError): O113, for a directory without one, of a kind that does not generate, damaged, without
        some of its weights, or with weights that are no numbers.
    """
    if not (directory / CONFIG_FILE).is_file():
        raise error("O113", path=str(directory), reason=f"no {CONFIG_FILE} there")
    try:
        network = _load_network(directory)
    except Exception as problem:  # damaged files fail in as many ways as there are libraries
        lines = str(problem).splitlines() or [type(problem).__name__]
        raise error("O113", path=str(directory), reason=lines[0]) from problem
    if bad := unusable(network.state_dict()):
        raise error("O113", path=str(directory), reason=f"its weights are no finite numbers in {bad[:3]}")
    tokenizer = load_tokenizer(directory, directory, None)
    check_ids(directory, tokenizer, network)
    generator = make_generator(network, tokenizer)
    try:
        _try(generator)
    # Values of a config fail in as many ways as there are architectures.
    except Exception as problem:
        lines = str(problem).splitlines() or [type(problem).__name__]
        raise error("O113", path=str(directory), reason=f"it does not answer: {lines[0]}") from problem
    return generator


def _try(generator: Generator) -> None:
    """Begin an answer: some values of a config are only looked at then."""
    ids, mask = generator.encode_prompts(["a"])
    with torch.inference_mode():
        generator.network.eval()
        generator.start_decoder(ids, mask)
    _ = generator.limit
    for what, subword in (("begin", generator.start_subwords(ids)[0]), ("end", generator.end)):
        if subword not in generator.vocabulary:
            raise ValueError(f"its answers would {what} with subword {subword} of {len(generator.vocabulary)}")
    check_instruction("openner_instruction", generator.prompt_defaults.instruction)


def save(generator: Generator, path: Path) -> None:
    """Write what `load` reads: safetensors in shards, config, tokenizer. Adapters become part of the weights."""
    path.mkdir(parents=True, exist_ok=True)
    network = generator.network
    state = lora.merged(network)
    if getattr(network.config, "shared_embeddings", False):
        state = _without_shared(state)
    network.save_pretrained(path, state_dict=state, max_shard_size=SHARD)
    # Rounded weights of an earlier save would come first.
    (path / int8.FILE).unlink(missing_ok=True)
    generator.tokenizer.save_pretrained(path)


def save_int8(generator: Generator, path: Path) -> None:
    """Write what `load` reads in a quarter of the size, rounded; see `nn.int8`."""
    path.mkdir(parents=True, exist_ok=True)
    network = generator.network
    network.config.save_pretrained(path)
    generator.tokenizer.save_pretrained(path)
    int8.save(lora.merged(network), path)
    for file in path.glob("model*.safetensors"):
        if file.name != int8.FILE:
            file.unlink()


def share_embeddings(network: Any) -> None:
    """Give both halves of an `EncoderDecoderModel` of BERTs, and the output, one table of word vectors.

    The encoder's pooler, which nothing reads, goes.
    """
    network.encoder.pooler = None
    table = network.encoder.embeddings.word_embeddings
    network.decoder.bert.embeddings.word_embeddings = table
    network.decoder.cls.predictions.decoder.weight = table.weight


def _load_network(directory: Path) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    check_json(directory, [GENERATION_FILE])
    # Numbers come first: some make loading a config endless.
    values = load_json(directory / CONFIG_FILE)
    check_numbers(values)
    check_trust(values)
    config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
    for name in ("num_hidden_layers", "num_layers", "num_decoder_layers"):
        # transformers builds a network without layers, and passes over the weights of those that the files hold.
        if isinstance(layers := getattr(config, name, None), int) and layers < 1:
            raise ValueError(f"{name} is {layers}, not a number from 1")
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    check_directory(directory, lambda: kind.from_config(config, trust_remote_code=False))
    if int8.is_chosen(directory):
        return _fill(kind, config, int8.load(directory))
    if getattr(config, "shared_embeddings", False):
        files = sorted(directory.glob("model*.safetensors"))
        return _fill(kind, config, {name: value for file in files for name, value in load_file(file).items()})
    # Without safetensors, transformers reads pickles with weights_only=True.
    network, report = kind.from_pretrained(directory, **in_float32(), trust_remote_code=False, output_loading_info=True)
    # transformers fills what is missing with random values.
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(f"the weights lack {missing[:3]}" + (f" and {len(missing) - 3} more" * (len(missing) > 3)))
    return network


def _fill(kind: Any, config: Any, state: dict[str, torch.Tensor]) -> Any:
    """Build a network and fill it with weights: strictly, and as `share_embeddings` lays it out where it does."""
    network = kind.from_config(config, **in_float32(), trust_remote_code=False)
    if getattr(config, "shared_embeddings", False):
        share_embeddings(network)
    missing, unknown = network.load_state_dict(state, strict=False)
    own = network.state_dict()
    filled = {own[name].data_ptr() for name in state if name in own}
    # A table under two names is stored once.
    missing = [name for name in missing if own[name].data_ptr() not in filled]
    if missing or unknown:
        raise ValueError(f"the weights do not fit {CONFIG_FILE}: missing {missing[:3]}, unknown {unknown[:3]}")
    return network


def _without_shared(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keep the first name of each tensor that has several; safetensors refuses to write one twice."""
    first = {value.data_ptr(): name for name, value in reversed(state.items())}
    return {name: value for name, value in state.items() if first[value.data_ptr()] == name}
