"""A checkpoint of the GLiNER family as part of a thinc model.

The float32 network is what is trained and saved; the runtime that predicts is derived from it (another precision,
another backend) and made anew when the weights change.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from thinc.api import Model, Optimizer
from thinc.util import get_torch_default_device

from ...errors import error, warn
from ...nn import hub, lora, onnx
from ...nn.backbones import subword_limit
from ...nn.dropout import set_dropout, use_fast_dropout
from ...nn.mixed_precision import mixed_precision
from ...nn.precision import Precision
from ...nn.vector_cache import VectorCache, index_texts
from ..queries import GoldTargets
from ..span_model import SpanModel
from ..splitters import SPLITTERS
from ..words import WordMode
from . import adapters
from .adapters import Adapters
from .network import Batch, Network
from .runtime import Backend, Runtime, build
from .span_checkpoint import CheckpointLoader, SpanCheckpoint
from .windows import WindowPlanner


@dataclass(frozen=True)
class PromptSettings:
    """Settings of a model that reads types in a prompt; see `architectures.SpanMatcher_v1`."""

    words: WordMode = "spacy"
    precision: Precision = "auto"
    backend: Backend = "torch"
    window: int | None = None
    overlap: int = 32
    max_types: int | None = None
    mixed_precision: bool = False


@dataclass(frozen=True)
class WindowRequest:
    """Windows for the model to score.

    batch: Padded windows.
    type_texts: The types of each row, for a bi-encoder and for fixed types; empty where the prompt holds them.
    """

    batch: Batch
    type_texts: Sequence[Sequence[str]] = ()


class CheckpointShim(SpanModel):
    """A checkpoint, loaded at first use, and the runtime derived from it.

    name (str): Directory or hub name; "" for the one in the package.
    revision (str | None): Commit or tag of a hub name.
    settings (PromptSettings): How it reads texts, and how it is run.
    load_checkpoint (CheckpointLoader): Loads checkpoints, of all families.
    """

    TRANSIENT: ClassVar[tuple[str, ...]] = ("_runtime", "_type_vectors", "_planner")
    _checkpoint: SpanCheckpoint | None = None
    _adapters: Adapters | None = None
    _planner: WindowPlanner | None = None

    def __init__(
        self, name: str, revision: str | None, settings: PromptSettings, load_checkpoint: CheckpointLoader
    ) -> None:
        super().__init__(name, revision, settings.mixed_precision)
        self.settings = settings
        self.load_checkpoint = load_checkpoint
        self._exported = onnx.ExportedFiles()

    def _renew(self) -> None:
        super()._renew()
        self._reset_runtime()

    def _reset_runtime(self) -> None:
        self._runtime: Runtime | None = None
        self._type_vectors = VectorCache()

    @property
    def word_mode(self) -> WordMode:  # type: ignore[override]
        """The words that the model sees: the doc's tokens, or what its checkpoint is trained with (loaded now)."""
        return "spacy" if self.settings.words == "spacy" else self.checkpoint.word_mode

    @property
    def checkpoint(self) -> SpanCheckpoint:
        """The checkpoint, loaded now if it was not."""
        with self.lock:
            if self._checkpoint is None:
                directory = hub.find(self.name, self.revision)
                self.use(self.load_checkpoint(directory), directory / onnx.FOLDER)
            assert self._checkpoint is not None
            return self._checkpoint

    def use(self, checkpoint: SpanCheckpoint, onnx_files: Path | None = None) -> None:
        """Take a checkpoint, replacing what was there.

        onnx_files (Path | None): Where its exported encoders may lie.
        """
        with self.lock:
            self._reset_runtime()
            self._planner = None
            self._adapters = None
            use_fast_dropout(checkpoint.network)
            self._checkpoint = checkpoint
            self._model = checkpoint.network
            if self.settings.words == "spacy" and checkpoint.word_mode in SPLITTERS:
                warn("W123", path=self.name, splitter=checkpoint.word_mode)
            self._exported = onnx.ExportedFiles(onnx_files)

    @property
    def adapters(self) -> Adapters:
        """Low-rank adapters of the checkpoint; none at first. To be changed through the methods of this class."""
        with self.lock:
            if self._adapters is None:
                self._adapters = Adapters(self.checkpoint.network)
            return self._adapters

    def adapt(self, options: Mapping[str, Any]) -> None:
        """Train adapters instead of the encoder from now on; see `nn.lora.adapt`."""
        self.adapters.add(lora.DEFAULT, options)
        self._forget_derived()

    def load_adapters(self, name: str, path: Path) -> None:
        """Read adapters and use them; see `Adapters.load`."""
        self.adapters.load(name, path)
        self._forget_derived()

    def use_adapters(self, name: str | None) -> None:
        """Use the adapters of a name, or none; see `Adapters.use`."""
        self.adapters.use(name)
        self._forget_derived()

    def save_adapters(self, path: Path) -> None:
        """Write the adapters in use; see `Adapters.save`."""
        self.adapters.save(path)

    def _plain(self) -> SpanCheckpoint:
        """Return the checkpoint with the adapters in use added to its weights."""
        checkpoint = self.checkpoint
        if not lora.is_adapted(checkpoint.network):
            return checkpoint
        plain: Any = copy.copy(checkpoint)
        plain.network = lora.merged_copy(checkpoint.network)
        return plain

    @property
    def max_width(self) -> int:
        """Words of the widest span; 0 for a token-level head."""
        return self.checkpoint.network.head.max_width

    def targets(self, logits: torch.Tensor, gold: GoldTargets) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the scores should be, and which are known; see the heads' `targets`."""
        return self.checkpoint.network.head.targets(logits, gold)

    @property
    def planner(self) -> WindowPlanner:
        """The planner of windows over texts, made once for each checkpoint."""
        if self._planner is None:
            with self.lock:
                if self._planner is None:
                    self._planner = self._make_planner()
        return self._planner

    def _make_planner(self) -> WindowPlanner:
        checkpoint, settings = self.checkpoint, self.settings
        own = subword_limit(checkpoint.network.encoder.config)
        overlap = max(settings.overlap, self.max_width - 1)
        return checkpoint.planner(min(settings.window or own, own), overlap, settings.max_types)

    @property
    def runtime(self) -> Runtime:
        """The network that predicts; built now if it was not, and anew in a forked process."""
        self._enter_process()
        if self._runtime is None:
            with self.lock:
                if self._runtime is None:
                    self._runtime = self._build_runtime()
        return self._runtime

    def _build_runtime(self) -> Runtime:
        settings = self.settings
        self.checkpoint.network.eval()
        checkpoint = self._plain()
        files = Path()
        if settings.backend == "onnx":
            files = self._exported.directory(checkpoint.network.encoder, int8=settings.precision == "int8")
        return build(checkpoint, settings.precision, settings.backend, get_torch_default_device(), files)

    def predict(self, inputs: WindowRequest) -> torch.Tensor:
        """Score a batch; may be called from several threads.

        RETURNS (torch.Tensor): The head's logits, on the device that computed them.
        """
        runtime = self.runtime
        with torch.inference_mode():
            types = self._types(runtime.network, inputs.type_texts)
            return runtime.network(inputs.batch.to(runtime.device), types, runtime.encode)

    def score_in_window(self, inputs: WindowRequest, starts: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """Score given spans of a batch of one row.

        starts, ends (torch.Tensor): First and last word of each span, both included. *Shape:* (spans,).
        RETURNS (torch.Tensor): Probabilities, on the CPU. *Shape:* (spans, types).
        """
        runtime = self.runtime
        with torch.inference_mode():
            words, own = runtime.network.represent(inputs.batch.to(runtime.device), runtime.encode)
            types = self._types(runtime.network, inputs.type_texts)
            head = runtime.network.head
            return head.score_spans(words, own if types is None else types, starts, ends).float().cpu()

    def begin_update(self, inputs: WindowRequest) -> tuple[torch.Tensor, Callable[[torch.Tensor], None]]:
        """Score a batch for training.

        RETURNS (tuple): Logits, and a callback that takes the gradient of the loss by them.
        """
        network = self.checkpoint.network.train()
        # The runtime may share these modules, which are now in training mode.
        self._forget_derived()
        with mixed_precision(self.device, self.mixed_precision):
            types = None
            if inputs.type_texts:
                unique, rows = index_texts(inputs.type_texts)
                types = self._encode_types(network, unique)[rows]
            logits = network(inputs.batch.to(self.device), types).float()
        return logits, lambda gradient: torch.autograd.backward(logits, gradient)

    def finish_update(self, optimizer: Optimizer) -> None:
        """Apply the gradients; the runtime is stale then."""
        network = self.checkpoint.network
        if lora.is_adapted(network):
            self.apply_gradients(network, optimizer, adapters.learns)
        else:
            self.apply_gradients(network, optimizer)
        self._forget_derived()

    def set_dropout(self, rate: float) -> None:
        """Set the dropout of the head; the encoder keeps what its own config says."""
        set_dropout(self.checkpoint.network.head, rate)

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the weights, if they are loaded; the runtime follows spaCy's device when it is built anew."""
        super().to_device(device_type, device_id)
        self._reset_runtime()

    def save(self, model: Model, path: Path) -> None:
        """Write the checkpoint, and the encoders that were exported from it (which `pack` leaves out: they are made
        again where they are needed)."""
        super().save(model, path)
        self._exported.copy_to(self._plain().network.encoder, path / onnx.FOLDER)

    def write(self, path: Path) -> None:
        """Write the checkpoint."""
        self._plain().save(path)

    def read(self, path: Path) -> None:
        """Read what `write` wrote."""
        self.use(self.load_checkpoint(path), path / onnx.FOLDER)

    def _forget_derived(self) -> None:
        """Forget all that was derived from weights that change now."""
        self._reset_runtime()
        self._exported = onnx.ExportedFiles()

    def _types(self, network: Network, type_texts: Sequence[Sequence[str]]) -> torch.Tensor | None:
        """Look up type vectors, encoding those not met before. *Shape:* (batch, types, width)."""
        if not type_texts:
            return None
        unique, rows = index_texts(type_texts)
        return self._type_vectors(unique, lambda texts: self._encode_types(network, texts))[rows]

    def _encode_types(self, network: Network, texts: Sequence[str]) -> torch.Tensor:
        """Encode types with the second encoder, or look them up where they are fixed. *Shape:* (texts, width)."""
        if network.fixed_types is not None:
            return network.fixed_types[self._rows_of(texts)]
        tokenizer = self.checkpoint.labels_tokenizer
        device = next(network.parameters()).device
        encoded = tokenizer(list(texts), return_tensors="pt", padding=True).to(device)
        limit = subword_limit(network.label_encoder.config)
        for text, length in zip(texts, encoded["attention_mask"].sum(1).tolist(), strict=True):
            if length > limit:
                raise error("O006", label=text, size=length, budget=limit)
        return network.encode_types(encoded["input_ids"], encoded["attention_mask"])

    def _rows_of(self, types: Sequence[str]) -> list[int]:
        """Find the rows of types among the fixed ones.

        RAISES (SettingError): For a type that is not among them.
        """
        known = self.checkpoint.fixed_types
        if unknown := [label for label in types if label not in known]:
            raise error("O126", path=self.name, unknown=unknown, known=", ".join(known))
        return [known.index(label) for label in types]
