"""Generative models: loaded from a directory or hub, kept behind a thinc shim, run in a chosen precision."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file, save_file
from thinc.api import Optimizer
from thinc.util import get_torch_default_device
from torch import nn

from ...errors import error, warn
from ...nn import hub as sources
from ...nn import int8 as int8_rows
from ...nn import lora
from ...nn.backbones import T5_FAMILY, in_float32, load_tokenizer
from ...nn.dropout import set_dropout, use_fast_dropout
from ...nn.mixed_precision import mixed_precision
from ...nn.precision import Precision, prepared, resolve
from ...nn.shim import ModelShim
from .decoder_cache import CachedDecoder
from .decoders import decoder_class
from .tag_chunks import Chunks

# Positions of T5 are relative, so that no limit is built in; this is how it was trained (GNER, appendix B).
T5_LIMIT = 640
CAUSAL_LIMIT = 1280
SHARD = "2GB"
CONFIG_FILE = "config.json"
# Not called "model...": what is called so are the network's own weights.
CLASSIFIER = "type_classifier.safetensors"


@dataclass(frozen=True)
class Generator:
    """A generative model with its tokenizer."""

    network: Any
    tokenizer: Any
    chunks: Chunks

    @property
    def causal(self) -> bool:
        """Whether it goes on with its prompt, instead of answering from a decoder of its own."""
        return not self.network.config.is_encoder_decoder

    @property
    def instruction(self) -> str | None:
        """What it was trained to be asked, if its files say so; see `prompts.gner`."""
        return getattr(self.network.config, "openner_instruction", None)

    @property
    def end(self) -> int:
        """The piece that ends an answer."""
        config = self.network.generation_config
        ids = config.eos_token_id if config.eos_token_id is not None else self.tokenizer.eos_token_id
        return int(ids[0] if isinstance(ids, list) else ids)

    @property
    def vocabulary(self) -> range:
        """All pieces that may be said."""
        return range(int(self.network.get_output_embeddings().weight.shape[0]))

    def spell(self, answer: str) -> list[int]:
        """A whole answer in pieces, its end included."""
        # After a causal prompt, byte-level tokenizers read the answer's first word with the space before it.
        lead = " " if self.causal and self.chunks.spaced else ""
        return [*self.tokenizer(lead + answer, add_special_tokens=False)["input_ids"], self.end]

    @property
    def limit(self) -> int:
        """The most pieces of a prompt, and of an answer; of both together for a causal model."""
        config = self.network.config
        if config.model_type in T5_FAMILY:
            return T5_LIMIT
        parts = [getattr(config, name) for name in ("encoder", "decoder") if hasattr(config, name)] or [config]
        found = [getattr(part, "max_position_embeddings", None) for part in parts]
        own = min([n for n in found if n], default=CAUSAL_LIMIT)
        return min(own, CAUSAL_LIMIT) if self.causal else own

    def read(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode prompts, padded on the side that generation needs. *Shapes:* (prompts, pieces)."""
        encoded = [self.tokenizer(prompt)["input_ids"] for prompt in prompts]
        # An end that the tokenizer appends would end the conversation.
        ends = {self.end, self.tokenizer.eos_token_id} if self.causal else set()
        encoded = [ids[:-1] if ids[-1] in ends else ids for ids in encoded]
        longest = max(map(len, encoded))
        ids = torch.zeros(len(encoded), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, each in enumerate(encoded):
            place = slice(longest - len(each), None) if self.causal else slice(0, len(each))
            ids[row, place] = torch.tensor(each)
            mask[row, place] = 1
        pad = self.tokenizer.pad_token_id
        return ids.masked_fill(mask == 0, pad if pad is not None else 0), mask

    def start(self, ids: torch.Tensor, mask: torch.Tensor) -> CachedDecoder:
        """Let the network read prompts; what comes back decodes the answers."""
        kind = decoder_class(self.network)
        device = self.network.device
        return kind(self.network, ids.to(device), mask.to(device))

    def first(self, ids: torch.Tensor) -> list[int]:
        """The piece that starts each answer."""
        if self.causal:
            return [int(piece) for piece in ids[:, -1]]
        config = self.network.generation_config
        start = config.decoder_start_token_id
        return [int(self.network.config.decoder_start_token_id if start is None else start)] * len(ids)


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
    _check_finite(directory, network)
    return of(network, load_tokenizer(directory, directory, None))


def _load_network(directory: Path) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    if (directory / int8_rows.FILE).is_file():
        return _filled(kind, config, int8_rows.load(directory))
    if getattr(config, "shared_embeddings", False):
        files = sorted(directory.glob("model*.safetensors"))
        return _filled(kind, config, {name: value for file in files for name, value in load_file(file).items()})
    # Without safetensors, transformers reads pickles with weights_only=True.
    network, report = kind.from_pretrained(directory, **in_float32(), trust_remote_code=False, output_loading_info=True)
    # transformers fills what is missing with random values.
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(f"the weights lack {missing[:3]}" + (f" and {len(missing) - 3} more" * (len(missing) > 3)))
    return network


def _filled(kind: Any, config: Any, state: dict[str, torch.Tensor]) -> Any:
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


def _check_finite(directory: Path, network: nn.Module) -> None:
    """Refuse weights that are NaN or infinite: a network with some answers nonsense, or nothing."""
    for name, value in network.named_parameters():
        if not torch.isfinite(value).all():
            raise error("O113", path=str(directory), reason=f"{name} holds numbers that are not finite")


def of(network: Any, tokenizer: Any) -> Generator:
    """Put a network and its tokenizer together."""
    # Set once: changing them at call time is what makes fast tokenizers unsafe between threads.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    use_fast_dropout(network)
    chunks = Chunks(tokenizer, leads=not network.config.is_encoder_decoder)
    return Generator(network.eval(), tokenizer, chunks)


def share_embeddings(network: Any) -> None:
    """Give both halves of an `EncoderDecoderModel` of BERTs, and the output, one table of word vectors.

    The encoder's pooler, which nothing reads, goes.
    """
    network.encoder.pooler = None
    table = network.encoder.embeddings.word_embeddings
    network.decoder.bert.embeddings.word_embeddings = table
    network.decoder.cls.predictions.decoder.weight = table.weight


def save(generator: Generator, path: Path) -> None:
    """Write what `load` reads: safetensors in shards, config, tokenizer. Adapters become part of the weights."""
    path.mkdir(parents=True, exist_ok=True)
    network = generator.network
    state = lora.merged(network)
    if getattr(network.config, "shared_embeddings", False):
        state = _without_shared(state)
    network.save_pretrained(path, state_dict=state, max_shard_size=SHARD)
    # Rounded weights of an earlier save would come first.
    (path / int8_rows.FILE).unlink(missing_ok=True)
    generator.tokenizer.save_pretrained(path)


def _without_shared(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keep the first name of each tensor that has several; safetensors refuses to write one twice."""
    first = {value.data_ptr(): name for name, value in reversed(state.items())}
    return {name: value for name, value in state.items() if first[value.data_ptr()] == name}


def save_int8(generator: Generator, path: Path) -> None:
    """Write what `load` reads in a quarter of the size, rounded; see `int8_rows`."""
    path.mkdir(parents=True, exist_ok=True)
    network = generator.network
    network.config.save_pretrained(path)
    generator.tokenizer.save_pretrained(path)
    int8_rows.save(lora.merged(network), path)
    for file in path.glob("model*.safetensors"):
        if file.name != int8_rows.FILE:
            file.unlink()


class GeneratorShim(ModelShim):
    """A generative model as part of a thinc model.

    name (str): Directory or hub name; "" for the default weights of the package.
    revision (str | None): Commit or tag of a hub name.
    precision (str): See `nn.precision`.
    mixed_precision (bool): Train with bfloat16 products (`nn.mixed_precision`); weights stay float32.
    """

    TRANSIENT: ClassVar[tuple[str, ...]] = ("_runtime",)

    def __init__(self, name: str, revision: str | None, precision: Precision, mixed_precision: bool = False) -> None:
        super().__init__(name, revision, mixed_precision)
        self.precision = precision
        self._generator: Generator | None = None
        # An aid of training alone; see `classify`.
        self.classifier: nn.Linear | None = None

    def _renew(self) -> None:
        super()._renew()
        self._runtime: Generator | None = None

    @property
    def generator(self) -> Generator:
        """The model in float32, loaded now if it was not."""
        with self.lock:
            if self._generator is None:
                self.use(load(sources.find(self.name, self.revision, sources.GENERATOR)))
            assert self._generator is not None
            return self._generator

    def use(self, generator: Generator) -> None:
        """Take a model, replacing what was there."""
        with self.lock:
            if not generator.chunks.independent:
                warn("W010", kind=type(generator.tokenizer).__name__)
            self._generator, self._model, self._runtime = generator, generator.network, None

    @property
    def runtime(self) -> Generator:
        """What predicts, in the wanted precision; made now if it was not, and anew in a forked process."""
        self._enter_process()
        with self.lock:
            if self._runtime is None:
                self._runtime = self._prepare(self.generator)
            return self._runtime

    def _prepare(self, generator: Generator) -> Generator:
        device = get_torch_default_device()
        network = prepared(generator.network.eval(), resolve(self.precision, device), device)
        return Generator(network, generator.tokenizer, generator.chunks)

    def begin_update(self, inputs: Any) -> tuple[list[torch.Tensor], Callable[[list[torch.Tensor]], None]]:
        """Make the choices of an exercise (`teaching.Exercise`) for training.

        RETURNS (tuple): Logits, and a callback that takes the gradients of the loss by them.
        """
        generator = self.generator
        generator.network.train()
        self._runtime = None
        with mixed_precision(self.device, self.mixed_precision):
            logits = inputs.scores(generator, self.classifier)
        return logits, lambda gradients: torch.autograd.backward(logits, gradients)

    def classify(self, n_types: int) -> None:
        """Learn from now on, beside the answers, which of some types a prompt's text holds (ToNER, section 3.3).

        A classifier that is there already, of as many types, goes on learning.
        RAISES (SettingError): For a causal model, which has no encoder.
        """
        generator = self.generator
        if generator.causal:
            raise error("O001", name="classification", value="on", allowed="0 for a causal model, which has no encoder")
        if self.classifier is None or self.classifier.out_features != n_types:
            with torch.inference_mode():
                pooled = generator.start(*generator.read(["a"])).pooled
            self.classifier = nn.Linear(pooled.shape[1], n_types, device=generator.network.device)

    def adapt(self, options: Mapping[str, Any]) -> None:
        """Train adapters instead of the weights from now on; see `lora.adapt`."""
        lora.adapt(self.generator.network, options)

    def set_dropout(self, rate: float) -> None:
        """Set the rate of all dropout layers."""
        set_dropout(self.generator.network, rate)

    def finish_update(self, optimizer: Optimizer) -> None:
        """Apply the gradients; the runtime is stale then."""
        network = self.generator.network
        if lora.is_adapted(network):
            self.apply_gradients(network, optimizer, lora.learns)
        else:
            self.apply_gradients(network, optimizer)
        if self.classifier is not None:
            self.apply_gradients(self.classifier, optimizer)
        self._runtime = None

    def write(self, path: Path) -> None:
        """Write the model, and what helped to train it."""
        save(self.generator, path)
        if self.classifier is not None:
            save_file(
                {name: value.contiguous() for name, value in self.classifier.state_dict().items()}, path / CLASSIFIER
            )

    def read(self, path: Path) -> None:
        """Read what `write` wrote."""
        self.use(load(path))
        self.classifier = None
        if (path / CLASSIFIER).is_file():
            state = load_file(path / CLASSIFIER)
            self.classifier = nn.Linear(state["weight"].shape[1], state["weight"].shape[0])
            self.classifier.load_state_dict(state)
