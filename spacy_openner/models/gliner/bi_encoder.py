"""A span head on word vectors of any origin, with types encoded apart: the network, and its shim inside thinc."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from thinc.api import Optimizer
from thinc.shims import PyTorchShim
from thinc.util import get_torch_default_device
from torch import nn

from ...errors import error
from ...nn.dropout import set_dropout, use_fast_dropout
from . import label_encoder
from .label_encoder import LabelEncoder
from .shim import apply_gradients, pack, unpack
from .span_head import MarkerV0Head

HEAD_FILE = "head.safetensors"
ENCODER_FOLDER = "label_encoder"


class WordRequest(NamedTuple):
    """What the model scores.

    words: Word vectors, padded. *Shape:* (batch, words, their width).
    type_texts: The types of each row.
    """

    words: torch.Tensor
    type_texts: Sequence[Sequence[str]]


class BiEncoderNetwork(nn.Module):
    """What is trained: two projections and a head.

    text_width (int): Width of word vectors.
    label_width (int): Width of the label encoder's vectors.
    width (int): Width of the head.
    max_width (int): Most words in a span.
    """

    def __init__(self, text_width: int, label_width: int, width: int, max_width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(text_width, width)
        self.label_projection = nn.Linear(label_width, width)
        self.head = MarkerV0Head(width, max_width, dropout=0.0)
        use_fast_dropout(self.head)

    def forward(self, words: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        """Score all spans; see `SpanHead.forward`.

        words (torch.Tensor): *Shape:* (batch, words, text_width).
        types (torch.Tensor): Vectors of the label encoder. *Shape:* (batch, types, label_width).
        """
        logits: torch.Tensor = self.head(self.projection(words), self.label_projection(types))
        return logits

    def score_spans(self, starts: torch.Tensor, ends: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        """Score given spans by the vectors of their first and last words.

        starts, ends (torch.Tensor): *Shape of each:* (spans, text_width).
        types (torch.Tensor): *Shape:* (types, label_width).
        RETURNS (torch.Tensor): Probabilities. *Shape:* (spans, types), float32.
        """
        words = self.projection(torch.cat([starts, ends]))[None]
        first, last = torch.arange(2 * len(starts), device=words.device).chunk(2)
        return self.head.score_spans(words, self.label_projection(types)[None], first, last)


class BiEncoderShim(PyTorchShim):
    """The network and the label encoder as part of a thinc model. The word vectors come from another layer of it.

    name (str): Directory or hub name of the label encoder; see `label_encoder.load`.
    revision (str | None): Commit or tag of a hub name.
    width, max_width (int): See `BiEncoderNetwork`.
    """

    def __init__(self, name: str, revision: str | None, width: int, max_width: int) -> None:
        super().__init__(None)
        self.name, self.revision = name, revision
        self.width, self.max_width = width, max_width
        self._labels: LabelEncoder | None = None
        self._owner = os.getpid()

    @property
    def is_loaded(self) -> bool:
        """Whether the weights are there."""
        return self._model is not None

    @property
    def network(self) -> BiEncoderNetwork:
        """What is trained.

        RAISES (CheckpointError): When it is not there yet.
        """
        if self._model is None:
            raise error("O111")
        network: BiEncoderNetwork = self._model
        return network

    @property
    def labels(self) -> LabelEncoder:
        """The encoder of types.

        RAISES (CheckpointError): When it is not there yet.
        """
        if self._labels is None:
            raise error("O111")
        return self._labels

    def build(self, text_width: int) -> None:
        """Make a new network on word vectors of a width, and load the label encoder that the settings name."""
        labels = label_encoder.load(self.name, self.revision)
        self._use(BiEncoderNetwork(text_width, labels.width, self.width, self.max_width), labels)

    def _use(self, network: BiEncoderNetwork, labels: LabelEncoder) -> None:
        device = get_torch_default_device()
        self._model, self._labels = network.to(device), labels.to(device)

    def predict(self, inputs: WordRequest) -> torch.Tensor:
        """Score a batch; may be called from several threads.

        RETURNS (torch.Tensor): The head's logits, on the device that computed them.
        """
        network = self._ready()
        with torch.inference_mode():
            return network(inputs.words.to(self.device), self._types(inputs.type_texts))

    def score_spans(self, starts: torch.Tensor, ends: torch.Tensor, type_texts: Sequence[str]) -> torch.Tensor:
        """Score given spans; see `BiEncoderNetwork.score_spans`.

        RETURNS (torch.Tensor): On the CPU.
        """
        network = self._ready()
        with torch.inference_mode():
            found = network.score_spans(starts.to(self.device), ends.to(self.device), self.labels(type_texts))
            return found.cpu()

    def begin_update(self, inputs: WordRequest) -> tuple[torch.Tensor, Callable[[torch.Tensor], None]]:
        """Score a batch for training.

        RETURNS (tuple): Logits, and a callback that takes the gradient of the loss by them. The gradient reaches
            whatever the word vectors were made of.
        """
        logits = self.network.train()(inputs.words.to(self.device), self._types(inputs.type_texts))
        return logits, lambda gradient: torch.autograd.backward(logits, gradient)

    def finish_update(self, optimizer: Optimizer) -> None:
        """Apply the gradients."""
        if self.is_loaded:
            apply_gradients(self.id, self.network, optimizer)

    def set_dropout(self, rate: float) -> None:
        """Set the dropout of the head."""
        set_dropout(self.network.head, rate)

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the weights, if they are there."""
        if self.is_loaded:
            super().to_device(device_type, device_id)
            self.labels.to(self.device)

    def save(self, path: Path) -> None:
        """Write the weights and the label encoder; nothing where there are none yet."""
        path.mkdir(parents=True, exist_ok=True)
        if self.is_loaded:
            save_file({key: value.cpu() for key, value in self.network.state_dict().items()}, path / HEAD_FILE)
            self.labels.save(path / ENCODER_FOLDER)

    def load(self, path: Path) -> None:
        """Read what `save` wrote.

        RAISES (CheckpointError): When something is missing, damaged or of another size than the settings say.
        """
        missing = [name for name in (HEAD_FILE, ENCODER_FOLDER) if not (path / name).exists()]
        if len(missing) == 2:
            return
        if missing:
            raise error("O105", path=str(path), reason=f"no {missing[0]} there")
        try:
            weights = load_file(path / HEAD_FILE)
            widths = weights["projection.weight"].shape[1], weights["label_projection.weight"].shape[1]
        except (SafetensorError, OSError, KeyError) as problem:
            raise error("O105", path=str(path / HEAD_FILE), reason=str(problem)) from problem
        network = BiEncoderNetwork(*widths, self.width, self.max_width)
        try:
            network.load_state_dict(weights)
        except RuntimeError as problem:
            raise error("O104", path=str(path), missing="nothing", unknown=str(problem)) from problem
        self._use(network, label_encoder.load(path / ENCODER_FOLDER))

    def to_bytes(self) -> bytes:
        """Pack the files that `save` writes."""
        return pack(self.save)

    def from_bytes(self, bytes_data: bytes) -> "BiEncoderShim":
        """Read what `to_bytes` packed."""
        unpack(bytes_data, self.load)
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _owner=os.getpid())

    def _ready(self) -> BiEncoderNetwork:
        """The network, ready to predict in this process."""
        network = self.network
        if self._owner != os.getpid():
            # Thread pools do not survive a fork, and a lock may have been held by a thread that did not either.
            self._owner = os.getpid()
            torch.set_num_threads(1)
            self.labels.reset()
        if network.training:
            network.eval()
        return network

    def _types(self, type_texts: Sequence[Sequence[str]]) -> torch.Tensor:
        """Vectors of the types of each row; short rows repeat their first one. *Shape:* (batch, types, width)."""
        place: dict[str, int] = {}
        rows = [[place.setdefault(text, len(place)) for text in texts] for texts in type_texts]
        longest = max(len(row) for row in rows)
        index = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        return self.labels(list(place))[index.to(self.device)]
