"""How likely a text holds a type: the cosine of two vectors (ToNER, section 3.2). The network, and its thinc shim."""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from thinc.api import Optimizer
from thinc.shims import PyTorchShim
from thinc.util import get_torch_default_device
from torch import Tensor, nn
from torch.nn.functional import normalize

from ...errors import error
from ...nn import hub as sources
from ...nn.dropout import set_dropout
from ...nn.mixed_precision import mixed_precision
from ...nn.vector_cache import VectorCache
from ..gliner.shim import apply_gradients, pack, unpack
from . import text_encoders
from .text_encoders import TextEncoder

PROJECTION_FILE = "projection.safetensors"
LEAST = -1.0
# Vectors that are compared with all types at once: it bounds the table of cosines.
AT_ONCE = 8192


class TypeRequest(NamedTuple):
    """What the model scores.

    windows: The windows of all texts: their pieces, or their vectors. *Shape of these:* (windows, width).
    owners: The text of each window.
    type_texts: What describes the types of each text.
    batch_tokens: The most pieces that are computed at once.
    """

    windows: Sequence[Sequence[int]] | Tensor
    owners: Sequence[int]
    type_texts: Sequence[Sequence[str]]
    batch_tokens: int


class TypeNetwork(nn.Module):
    """An encoder of types, which reads texts too, unless these come as vectors of another layer.

    encoder (TextEncoder): Reads types, and texts.
    text_width (int): Width of the other layer's vectors; 0 where the encoder reads texts.
    """

    def __init__(self, encoder: TextEncoder, text_width: int = 0) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = nn.Linear(text_width, encoder.width) if text_width else None

    def encode_texts(
        self, windows: Sequence[Sequence[int]] | Tensor, owners: Sequence[int], batch_tokens: int
    ) -> tuple[Tensor, Tensor]:
        """What stands for texts.

        RETURNS (tuple): Vectors of length 1, *Shape:* (vectors, width), and the text of each, *Shape:* (vectors,).
        """
        if self.projection is not None:
            vectors = self.projection(windows)
        elif self.encoder.pooling == "max":
            states = self.encoder.states(windows, batch_tokens)  # type: ignore[arg-type]
            owners = [owner for owner, each in zip(owners, states, strict=True) for _ in each]
            vectors = torch.cat(states)
        else:
            vectors = self.encoder(windows, batch_tokens)
        return normalize(vectors, dim=-1), torch.tensor(owners, device=vectors.device)

    def encode_types(self, texts: Sequence[str], batch_tokens: int) -> Tensor:
        """Vectors of length 1; the mean over its windows where a text has several. *Shape:* (texts, width)."""
        windows = self.encoder.windows_of(texts)
        vectors = self.encoder([window for each in windows for window in each], batch_tokens)
        owners = torch.tensor([i for i, each in enumerate(windows) for _ in each], device=vectors.device)
        sums = torch.zeros(len(texts), vectors.shape[1], device=vectors.device)
        return normalize(sums.index_add(0, owners, vectors), dim=-1)

    @staticmethod
    def compare(vectors: Tensor, owners: Tensor, types: Tensor, rows: Tensor) -> Tensor:
        """Score texts by the best of their vectors; by `LEAST` where they have none.

        vectors, types (Tensor): *Shape:* (vectors, width) and (types, width).
        owners (Tensor): The text of each vector.
        rows (Tensor): The types of each text. *Shape:* (texts, types of a text).
        RETURNS (Tensor): Cosines. *Shape:* as `rows`.
        """
        best = vectors.new_full((len(rows), len(types)), LEAST)
        for part, owner in zip(vectors.split(AT_ONCE), owners.split(AT_ONCE), strict=True):
            cosines = part @ types.T
            best = best.scatter_reduce(0, owner[:, None].expand_as(cosines), cosines, "amax")
        return best.gather(1, rows)


class TypeMatcherShim(PyTorchShim):
    """The network as part of a thinc model.

    name (str): What the encoder is loaded from at first use; see `architectures.TypeMatcher_v1`.
    revision (str | None): Commit or tag of a hub name.
    reads_texts (bool): Whether the encoder reads texts too. Else the network has to be built or loaded.
    pooling (str | None): See `TextEncoder`; None for what the weights were trained with.
    mixed_precision (bool): Train with bfloat16 products (`models.mixed_precision`); weights stay float32.
    """

    def __init__(
        self,
        name: str,
        revision: str | None,
        reads_texts: bool,
        pooling: str | None = None,
        mixed_precision: bool = False,
    ) -> None:
        super().__init__(None)
        self.name, self.revision, self.reads_texts = name, revision, reads_texts
        self.pooling, self.mixed_precision = pooling, mixed_precision
        self._types = VectorCache()
        self._reset()

    def _reset(self) -> None:
        """Make what no other process can share."""
        self._owner, self._loading = os.getpid(), threading.RLock()

    @property
    def is_loaded(self) -> bool:
        """Whether the weights are there."""
        return self._model is not None

    @property
    def network(self) -> TypeNetwork:
        """The network, loaded now if it was not and can be.

        RAISES (CheckpointError): When it is not there yet.
        """
        if self._model is None:
            if not self.reads_texts:
                raise error("O111")
            with self._loading:
                if self._model is None:
                    self.use(TypeNetwork(self.named_encoder()))
        network: TypeNetwork = self._model
        return network

    def use(self, network: TypeNetwork) -> None:
        """Take a network, replacing what was there."""
        network.encoder.pooling = self.pooling or network.encoder.pooling
        self._model = network.to(get_torch_default_device())
        self._types.reset()

    def named_encoder(self) -> TextEncoder:
        """Load the encoder that the settings name."""
        return text_encoders.load(sources.find(self.name, self.revision, sources.TYPE_MATCHER))

    def predict(self, inputs: TypeRequest) -> Tensor:
        """Score texts; may be called from several threads.

        RETURNS (Tensor): Cosines; short rows repeat their first type. *Shape:* (texts, types).
        """
        network = self._ready()
        with torch.inference_mode():
            texts, rows = _index(inputs.type_texts)
            types = self._types(texts, lambda chunk: network.encode_types(chunk, inputs.batch_tokens))
            return self._compare(network, inputs, types, rows)

    def begin_update(self, inputs: TypeRequest) -> tuple[Tensor, Callable[[Tensor], None]]:
        """Score texts for training.

        RETURNS (tuple): Cosines, and a callback that takes the gradient of the loss by them.
        """
        network = self.network.train()
        texts, rows = _index(inputs.type_texts)
        with mixed_precision(self.device, self.mixed_precision):
            types = network.encode_types(texts, inputs.batch_tokens)
            cosines = self._compare(network, inputs, types, rows).float()
        return cosines, lambda gradient: torch.autograd.backward(cosines, gradient)

    def _compare(self, network: TypeNetwork, inputs: TypeRequest, types: Tensor, rows: Tensor) -> Tensor:
        windows = inputs.windows.to(self.device) if isinstance(inputs.windows, Tensor) else inputs.windows
        vectors, owners = network.encode_texts(windows, inputs.owners, inputs.batch_tokens)
        return network.compare(vectors, owners, types, rows.to(vectors.device))

    def finish_update(self, optimizer: Optimizer) -> None:
        """Apply the gradients; what was remembered of types is stale then."""
        if self.is_loaded:
            apply_gradients(self.id, self.network, optimizer)
            self._types.reset()

    def set_dropout(self, rate: float) -> None:
        """Set the dropout of static vectors; a transformer keeps what its own config says."""
        if isinstance(self.network.encoder, text_encoders.StaticEncoder):
            set_dropout(self.network.encoder, rate)

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the weights, if they are there."""
        if self.is_loaded:
            super().to_device(device_type, device_id)
            self._types.reset()

    def save(self, path: Path) -> None:
        """Write the weights; those of the encoder are loaded now if they were not. Nothing where there are none."""
        path.mkdir(parents=True, exist_ok=True)
        if not self.is_loaded and not self.reads_texts:
            return
        self.network.encoder.save(path)
        if self.network.projection is not None:
            save_file(
                {key: value.cpu() for key, value in self.network.projection.state_dict().items()},
                path / PROJECTION_FILE,
            )

    def load(self, path: Path) -> None:
        """Read what `save` wrote.

        RAISES (CheckpointError): When something is missing, damaged or of another size.
        """
        if not any(path.iterdir()) and not self.reads_texts:
            return None
        encoder = text_encoders.load(path)
        if self.reads_texts:
            return self.use(TypeNetwork(encoder))
        try:
            weights = load_file(path / PROJECTION_FILE)
            network = TypeNetwork(encoder, weights["weight"].shape[1])
            assert network.projection is not None
            network.projection.load_state_dict(weights)
        except (SafetensorError, OSError, KeyError, RuntimeError) as problem:
            raise error("O105", path=str(path / PROJECTION_FILE), reason=str(problem)) from problem
        return self.use(network)

    def to_bytes(self) -> bytes:
        """Pack the files that `save` writes."""
        return pack(self.save)

    def from_bytes(self, bytes_data: bytes) -> "TypeMatcherShim":
        """Read what `to_bytes` packed."""
        unpack(bytes_data, self.load)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_loading"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def _ready(self) -> TypeNetwork:
        """The network, ready to predict in this process."""
        network = self.network
        if self._owner != os.getpid():
            # Thread pools do not survive a fork, and a lock may have been held by a thread that did not either.
            self._reset()
            torch.set_num_threads(1)
            self._types.reset()
        if network.training:
            network.eval()
        return network


def _index(type_texts: Sequence[Sequence[str]]) -> tuple[list[str], Tensor]:
    """The distinct texts, and each row's places among them; short rows repeat their first one."""
    place: dict[str, int] = {}
    rows = [[place.setdefault(text, len(place)) for text in texts] for texts in type_texts]
    longest = max(len(row) for row in rows)
    return list(place), torch.tensor([row + [row[0]] * (longest - len(row)) for row in rows])
