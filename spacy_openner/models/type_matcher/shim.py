"""A type matcher as part of a thinc model: its weights, and how a batch is scored."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from thinc.api import Optimizer
from thinc.util import get_torch_default_device
from torch import Tensor

from ...errors import error
from ...nn import hub
from ...nn.dropout import set_dropout
from ...nn.mixed_precision import mixed_precision
from ...nn.shim import ModelShim
from ...nn.tok2vec import TOK2VEC
from ...nn.vector_cache import VectorCache, index_texts
from ...nn.weights import unusable
from . import text_encoders
from .network import TypeNetwork
from .text_encoders import TextEncoder

PROJECTION_FILE = "projection.safetensors"

SubwordWindows = Sequence[Sequence[int]]


class TypeRequest(NamedTuple):
    """Texts and types for the model to score.

    windows: The windows of all texts: their subwords, or their vectors. *Shape of these:* (windows, width).
    owners: The text of each window.
    type_texts: What describes the types of each text.
    batch_tokens: The most subwords that are computed at once.
    """

    windows: SubwordWindows | Tensor
    owners: Sequence[int]
    type_texts: Sequence[Sequence[str]]
    batch_tokens: int


class TypeMatcherShim(ModelShim):
    """The network, loaded at first use, and the vectors of types that it has met.

    name (str): What the encoder is loaded from; see `architectures.TypeMatcher_v1`.
    revision (str | None): Commit or tag of a hub name.
    reads_texts (bool): Whether the encoder reads texts too. Else the network has to be built or loaded.
    pooling (str | None): See `TextEncoder`; None for what the weights were trained with.
    mixed_precision (bool): Train with bfloat16 products (`nn.mixed_precision`); weights stay float32.
    """

    def __init__(
        self,
        name: str,
        revision: str | None,
        reads_texts: bool,
        pooling: str | None = None,
        mixed_precision: bool = False,
    ) -> None:
        super().__init__(name, revision, mixed_precision)
        self.reads_texts, self.pooling = reads_texts, pooling

    def _renew(self) -> None:
        super()._renew()
        self._type_vectors = VectorCache()

    @property
    def network(self) -> TypeNetwork:
        """The network, loaded now if it was not and can be.

        RAISES (CheckpointError): When it is not there yet.
        """
        if self._model is None:
            if not self.reads_texts:
                raise error("O111")
            with self.lock:
                if self._model is None:
                    self.use(TypeNetwork(self.named_encoder()))
        network: TypeNetwork = self._model
        return network

    def use(self, network: TypeNetwork) -> None:
        """Take a network, replacing what was there."""
        network.encoder.pooling = self.pooling or network.encoder.pooling
        self._model = network.to(get_torch_default_device())
        self._type_vectors.reset()

    def named_encoder(self) -> TextEncoder:
        """Load the encoder that the settings name."""
        return text_encoders.load(hub.find(self.name, self.revision, hub.TYPE_MATCHER))

    def predict(self, inputs: TypeRequest) -> Tensor:
        """Score texts; may be called from several threads.

        RETURNS (Tensor): Cosines; short rows repeat their first type. *Shape:* (texts, types).
        """
        network = self._ready()
        with torch.inference_mode():
            texts, rows = index_texts(inputs.type_texts)
            types = self._type_vectors(texts, lambda chunk: network.encode_types(chunk, inputs.batch_tokens))
            return self._compare(network, inputs, types, rows)

    def begin_update(self, inputs: TypeRequest) -> tuple[Tensor, Callable[[Tensor], None]]:
        """Score texts for training.

        RETURNS (tuple): Cosines, and a callback that takes the gradient of the loss by them.
        """
        network = self.network.train()
        texts, rows = index_texts(inputs.type_texts)
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
            self.apply_gradients(self.network, optimizer)
            self._type_vectors.reset()

    def set_dropout(self, rate: float) -> None:
        """Set the dropout of static vectors; a transformer keeps what its own config says."""
        if isinstance(self.network.encoder, text_encoders.StaticEncoder):
            set_dropout(self.network.encoder, rate)

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the weights, if they are there."""
        super().to_device(device_type, device_id)
        self._type_vectors.reset()

    def write(self, path: Path) -> None:
        """Write the weights; those of the encoder are loaded now if they were not. Nothing where there are none."""
        if not self.is_loaded and not self.reads_texts:
            return
        self.network.encoder.save(path)
        if self.network.projection is not None:
            state = {key: value.cpu() for key, value in self.network.projection.state_dict().items()}
            save_file(state, path / PROJECTION_FILE)

    def read(self, path: Path) -> None:
        """Read what `write` wrote.

        RAISES (CheckpointError): When something is missing, damaged or of another size.
        """
        if not self.reads_texts and {file.name for file in path.iterdir()} <= {TOK2VEC}:
            return
        encoder = text_encoders.load(path)
        if self.reads_texts:
            self.use(TypeNetwork(encoder))
            return
        try:
            weights = load_file(path / PROJECTION_FILE)
            if bad := unusable(weights):
                raise ValueError(f"its weights are no finite numbers in {bad}")
            network = TypeNetwork(encoder, weights["weight"].shape[1])
            assert network.projection is not None
            network.projection.load_state_dict(weights)
        except (SafetensorError, OSError, KeyError, IndexError, ValueError, RuntimeError) as problem:
            raise error("O105", path=str(path / PROJECTION_FILE), reason=str(problem)) from problem
        self.use(network)

    def _ready(self) -> TypeNetwork:
        """Return the network, ready to predict in this process."""
        self._enter_process()
        network = self.network
        if network.training:
            network.eval()
        return network
