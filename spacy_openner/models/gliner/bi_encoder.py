"""A span head on word vectors of any origin, with types encoded apart: the network, and its shim inside thinc."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from thinc.api import Optimizer
from thinc.util import get_torch_default_device
from torch import nn

from ...errors import error
from ...nn.dropout import set_dropout, use_fast_dropout
from ...nn.vector_cache import index_texts
from ...nn.weights import unusable
from ..queries import GoldTargets
from ..span_model import SpanModel
from . import label_encoder
from .label_encoder import LabelEncoder
from .span_head import MarkerV0Head

HEAD_FILE = "head.safetensors"
ENCODER_FOLDER = "label_encoder"


class WordRequest(NamedTuple):
    """Word vectors and types for the model to score.

    words: Word vectors, padded. *Shape:* (batch, words, their width).
    type_texts: The types of each row.
    """

    words: torch.Tensor
    type_texts: Sequence[Sequence[str]]


class BiEncoderNetwork(nn.Module):
    """The part that is trained: two projections and a head.

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


class BiEncoderShim(SpanModel):
    """The network and the label encoder as part of a thinc model. The word vectors come from another layer of it.

    name (str): Directory or hub name of the label encoder; see `label_encoder.load`.
    revision (str | None): Commit or tag of a hub name.
    width, max_width (int): See `BiEncoderNetwork`.
    """

    _labels: LabelEncoder | None = None

    def __init__(self, name: str, revision: str | None, width: int, max_width: int) -> None:
        super().__init__(name, revision)
        self.width, self._max_width = width, max_width

    def _renew(self) -> None:
        super()._renew()
        if self._labels is not None:
            self._labels.reset()

    @property
    def max_width(self) -> int:
        """Words of the widest span."""
        return self._max_width

    def targets(self, logits: torch.Tensor, gold: GoldTargets) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the scores should be, and which are known; see `SpanHead.targets`."""
        return self.network.head.targets(logits, gold)

    @property
    def network(self) -> BiEncoderNetwork:
        """The part that is trained.

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
            scores = network.score_spans(starts.to(self.device), ends.to(self.device), self.labels(type_texts))
            return scores.cpu()

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
            self.apply_gradients(self.network, optimizer)

    def set_dropout(self, rate: float) -> None:
        """Set the dropout of the head."""
        set_dropout(self.network.head, rate)

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the weights, if they are there."""
        super().to_device(device_type, device_id)
        if self.is_loaded:
            self.labels.to(self.device)

    def write(self, path: Path) -> None:
        """Write the weights and the label encoder; nothing where there are none yet."""
        if self.is_loaded:
            save_file({key: value.cpu() for key, value in self.network.state_dict().items()}, path / HEAD_FILE)
            self.labels.save(path / ENCODER_FOLDER)

    def read(self, path: Path) -> None:
        """Read what `write` wrote.

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
            if bad := unusable(weights):
                raise ValueError(f"its weights are no finite numbers in {bad[:5]}")
        except (SafetensorError, OSError, KeyError, ValueError) as problem:
            raise error("O105", path=str(path / HEAD_FILE), reason=str(problem)) from problem
        network = BiEncoderNetwork(*widths, self.width, self.max_width)
        try:
            network.load_state_dict(weights)
        except RuntimeError as problem:
            raise error("O104", path=str(path), missing="nothing", unknown=str(problem)) from problem
        self._use(network, label_encoder.load(path / ENCODER_FOLDER))

    def _ready(self) -> BiEncoderNetwork:
        """Return the network, ready to predict in this process."""
        self._enter_process()
        network = self.network
        if network.training:
            network.eval()
        return network

    def _types(self, type_texts: Sequence[Sequence[str]]) -> torch.Tensor:
        """Return the vectors of the types of each row. *Shape:* (batch, types, width)."""
        texts, rows = index_texts(type_texts)
        return self.labels(texts)[rows.to(self.device)]
