"""One place that holds everything of PyTorch and Hugging Face: a thinc shim around a checkpoint.

Weights are loaded at first use. The float32 network is what is trained and saved; the runtime that predicts
is derived from it (another precision, another backend) and made anew when the weights change.
"""

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import srsly
import torch
from thinc.api import Optimizer
from thinc.shims import PyTorchShim
from thinc.util import get_torch_default_device, torch2xp, xp2torch

from ...errors import error
from ...nn import hub as sources
from ...nn import memory
from ...nn.backbones import piece_limit
from ...nn.dropout import set_dropout, use_fast_dropout
from ...nn.mixed_precision import mixed_precision
from . import checkpoint as gliner_checkpoint
from . import onnx_encoder, runtime
from .checkpoint import Checkpoint
from .network import Batch
from .runtime import Backend, Precision, Runtime
from .tokenization import PromptTokenizer

ONNX_FILES = "onnx"
MSGPACK_LIMIT = 2**32 - 1


class Request(NamedTuple):
    """What the model scores.

    batch: Padded windows.
    type_texts: The types of each row, for a bi-encoder; empty where the prompt holds them.
    """

    batch: Batch
    type_texts: Sequence[Sequence[str]] = ()


class CheckpointShim(PyTorchShim):
    """A checkpoint as part of a thinc model.

    name (str): Directory or hub name; "" for the default weights of the package.
    revision (str | None): Commit or tag of a hub name.
    precision, backend: See `runtime`.
    mixed_precision (bool): Train with bfloat16 products (`models.mixed_precision`); weights stay float32.
    """

    def __init__(
        self, name: str, revision: str | None, precision: Precision, backend: Backend, mixed_precision: bool = False
    ) -> None:
        super().__init__(None)
        self.name, self.revision = name, revision
        self.precision, self.backend = precision, backend
        self.mixed_precision = mixed_precision
        self._checkpoint: Checkpoint | None = None
        self._reset()

    def _reset(self) -> None:
        self.lock = threading.RLock()
        self._runtime: Runtime | None = None
        self._owner = os.getpid()
        self._type_vectors: dict[str, torch.Tensor] = {}
        self._scratch: tempfile.TemporaryDirectory | None = None
        self._onnx_files: Path | None = None
        self.pieces: PromptTokenizer | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether the weights are there."""
        return self._checkpoint is not None

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint, loaded now if it was not."""
        with self.lock:
            if self._checkpoint is None:
                directory = sources.find(self.name, self.revision)
                self.use(gliner_checkpoint.load(directory), directory / ONNX_FILES)
            assert self._checkpoint is not None
            return self._checkpoint

    def use(self, checkpoint: Checkpoint, onnx_files: Path | None = None) -> None:
        """Take a checkpoint, replacing what was there.

        onnx_files (Path | None): Where its exported encoders may lie.
        """
        with self.lock:
            self._reset_runtime()
            self.pieces = None
            use_fast_dropout(checkpoint.network)
            self._checkpoint = checkpoint
            self._model = checkpoint.network
            self._onnx_files = onnx_files if onnx_files is not None and onnx_files.is_dir() else None

    @property
    def runtime(self) -> Runtime:
        """What predicts; built now if it was not, and anew in a forked process."""
        if self._runtime is not None and self._owner != os.getpid():
            # Thread pools of OpenMP and ONNX Runtime do not survive a fork: a parallel region would wait for ever.
            torch.set_num_threads(1)
            self.lock, self._runtime = threading.RLock(), None
        if self._runtime is None:
            with self.lock:
                checkpoint = self.checkpoint
                if self._runtime is None:
                    checkpoint.network.eval()
                    device = get_torch_default_device()
                    files = self._onnx_directory() if self.backend == "onnx" else Path()
                    self._owner = os.getpid()
                    self._runtime = runtime.build(checkpoint, self.precision, self.backend, device, files)
        assert self._runtime is not None
        return self._runtime

    def predict(self, inputs: Request) -> torch.Tensor:
        """Score a batch; may be called from several threads.

        RETURNS (torch.Tensor): The head's logits, on the device that computed them.
        """
        current = self.runtime
        with torch.inference_mode():
            types = self._types(current, inputs.type_texts)
            return current.network(inputs.batch.to(current.device), types, current.encode)

    def score_spans(self, inputs: Request, starts: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """Score given spans of a batch of one row.

        starts, ends (torch.Tensor): First and last word of each span, both included. *Shape:* (spans,).
        RETURNS (torch.Tensor): Probabilities, on the CPU. *Shape:* (spans, types).
        """
        current = self.runtime
        with torch.inference_mode():
            words, own = current.network.represent(inputs.batch.to(current.device), current.encode)
            types = self._types(current, inputs.type_texts)
            head = current.network.head
            return head.score_spans(words, own if types is None else types, starts, ends).float().cpu()

    def begin_update(self, inputs: Request) -> tuple[torch.Tensor, Callable[[torch.Tensor], None]]:
        """Score a batch for training.

        RETURNS (tuple): Logits, and a callback that takes the gradient of the loss by them.
        """
        network = self.checkpoint.network.train()
        # The runtime may share these modules, which are now in training mode.
        self._reset_runtime()
        with mixed_precision(self.device, self.mixed_precision):
            types = None
            if inputs.type_texts:
                unique, rows = _index(inputs.type_texts)
                types = self._encode_types(network, unique)[rows]
            logits = network(inputs.batch.to(self.device), types).float()
        return logits, lambda gradient: torch.autograd.backward(logits, gradient)

    def finish_update(self, optimizer: Optimizer) -> None:
        """Apply the gradients; the runtime is stale then."""
        apply_gradients(self.id, self.checkpoint.network, optimizer)
        self._reset_runtime()

    def set_dropout(self, rate: float) -> None:
        """Set the dropout of the head; the encoder keeps what its own config says."""
        set_dropout(self.checkpoint.network.head, rate)

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the weights, if they are loaded; the runtime follows spaCy's device when it is built anew."""
        if self._checkpoint is not None:
            super().to_device(device_type, device_id)
            self._runtime, self._type_vectors = None, {}

    def save(self, path: Path) -> None:
        """Write the checkpoint, and the encoders that were exported from it."""
        gliner_checkpoint.save(self.checkpoint, path)
        if self._onnx_files is not None:
            for file in self._onnx_files.glob("*.onnx*"):
                target = path / ONNX_FILES / file.name
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(file.read_bytes())

    def load(self, path: Path) -> None:
        """Read what `save` wrote."""
        self.use(gliner_checkpoint.load(path), path / ONNX_FILES)

    def to_bytes(self) -> bytes:
        """Pack the files of the checkpoint (exported encoders are made again where they are needed).

        RAISES (CheckpointError): When they pass the limit of msgpack: use `to_disk` then.
        """
        return pack(lambda path: gliner_checkpoint.save(self.checkpoint, path))

    def from_bytes(self, bytes_data: bytes) -> "CheckpointShim":
        """Read what `to_bytes` packed."""
        unpack(bytes_data, lambda path: self.use(gliner_checkpoint.load(path)))
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what cannot be copied or sent to another process; it is made again there."""
        made = ("lock", "_runtime", "_type_vectors", "_scratch", "_onnx_files", "pieces")
        return {key: value for key, value in self.__dict__.items() if key not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def _reset_runtime(self) -> None:
        self._runtime = None
        self._type_vectors = {}
        self._onnx_files = None

    def _onnx_directory(self) -> Path:
        """Where exported encoders are, if the wanted one came with the weights; else a directory of our own,
        since the one that the weights came from may be read-only."""
        int8 = self.precision == "int8"
        if self._onnx_files is None or not (self._onnx_files / onnx_encoder.FILES[int8]).is_file():
            self._scratch = tempfile.TemporaryDirectory(prefix="spacy-openner-")
            self._onnx_files = Path(self._scratch.name)
        return self._onnx_files

    def _types(self, current: Runtime, type_texts: Sequence[Sequence[str]]) -> torch.Tensor | None:
        """Look up type vectors, encoding those not met before. *Shape:* (batch, types, width)."""
        if not type_texts:
            return None
        unique, rows = _index(type_texts)
        cache = self._type_vectors
        if any(text not in cache for text in unique):
            with self.lock:
                missing = [text for text in unique if text not in cache]
                cache.update(zip(missing, self._encode_types(current.network, missing), strict=True))
        return torch.stack([cache[text] for text in unique])[rows]

    def _encode_types(self, network: Any, texts: list[str]) -> torch.Tensor:
        tokenizer = self.checkpoint.labels_tokenizer
        device = next(network.parameters()).device
        chunks = [texts[i : i + 64] for i in range(0, len(texts), 64)]
        # The lock of the callers matters: padding in a fast tokenizer is not safe between threads.
        encoded = [tokenizer(chunk, return_tensors="pt", padding=True).to(device) for chunk in chunks]
        room = piece_limit(network.label_encoder.config)
        lengths = [int(n) for e in encoded for n in e["attention_mask"].sum(1)]
        for text, pieces in zip(texts, lengths, strict=True):
            if pieces > room:
                raise error("O006", label=text, pieces=pieces, room=room)
        if not chunks:
            return torch.zeros(0, network.head.width, device=device)
        return torch.cat([network.encode_types(e["input_ids"], e["attention_mask"]) for e in encoded])


def _index(type_texts: Sequence[Sequence[str]]) -> tuple[list[str], torch.Tensor]:
    """The distinct texts, and each row's places among them; short rows repeat the first one."""
    place: dict[str, int] = {}
    rows = [[place.setdefault(text, len(place)) for text in texts] for texts in type_texts]
    longest = max(len(row) for row in rows)
    return list(place), torch.tensor([row + [0] * (longest - len(row)) for row in rows])


def apply_gradients(
    owner: int, network: torch.nn.Module, optimizer: Optimizer, learns: Callable[[str], bool] = lambda name: True
) -> None:
    """Update a network's parameters. What is left alone needs no gradient any more.

    owner (int): The id of the shim, which is part of each parameter's key.
    learns (Callable[[str], bool]): Whether a parameter of this name is trained, if the optimizer agrees.
    """
    scale_of = getattr(optimizer, "scale_of", lambda name: 1.0)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(learns(name) and scale_of(name) > 0)
        if parameter.grad is not None and parameter.requires_grad:
            values, gradient = torch2xp(parameter.data), torch2xp(parameter.grad)
            updated, _ = optimizer((owner, name), values, gradient)
            # An array that was updated in place is still the parameter's: wrapping it anew at every update would
            # build an endless chain of wrappers.
            if updated is not values:
                parameter.data = xp2torch(updated, device=parameter.device)
        parameter.grad = None
    memory.after_update()


def pack(save: Callable[[Path], None]) -> bytes:
    """Put the files that `save` writes into a directory into one object.

    RAISES (CheckpointError): When one of them passes the limit of msgpack: use `to_disk` then.
    """
    with tempfile.TemporaryDirectory() as scratch:
        save(Path(scratch))
        names = [file for file in Path(scratch).rglob("*") if file.is_file()]
        if any(file.stat().st_size > MSGPACK_LIMIT for file in names):
            raise error("O109")
        files = {file.relative_to(scratch).as_posix(): file.read_bytes() for file in names}
    packed: bytes = srsly.msgpack_dumps(files)
    return packed


def unpack(bytes_data: bytes, load: Callable[[Path], None]) -> None:
    """Lay out again what `pack` took, and call `load` with the directory."""
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in srsly.msgpack_loads(bytes_data).items():
            file = Path(scratch) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        load(Path(scratch))
