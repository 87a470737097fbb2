"""The whole GLiNER network: a text encoder, word vectors, an optional LSTM, type vectors, a head."""

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import nn

from ...nn import disentangled, last_layer
from ...nn.last_layer import TextEncoder, at
from .span_head import MarkerHead, MarkerV0Head
from .token_head import TokenHead

Head = MarkerV0Head | MarkerHead | TokenHead
Pooling = Literal["first", "last", "mean", "max"]
POOLINGS: tuple[Pooling, ...] = ("first", "last", "mean", "max")


@dataclass(frozen=True)
class Batch:
    """Padded input of the network.

    input_ids: Subword ids. *Shape:* (batch, subwords), int64.
    attention_mask: 1 for subwords, 0 for padding. *Shape:* (batch, subwords), int64.
    word_positions: Position of each word's first subword; -1 for padding and for words without any.
        *Shape:* (batch, words), int64.
    n_words: *Shape:* (batch,), int64.
    type_positions: Position of each type's vector; -1 for padding. *Shape:* (batch, types), int64.
        Without types of the text's own (bi-encoders) it has no columns.
    owners: Where words are averages or maxima of their subwords: the word of each of `word_positions`, which are then
        those of all subwords; -1 for padding. *Shape of both:* (batch, the words' subwords), int64.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    word_positions: torch.Tensor
    n_words: torch.Tensor
    type_positions: torch.Tensor
    owners: torch.Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """Move all tensors."""
        tensors = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Batch(**{name: tensor.to(device) for name, tensor in tensors.items() if tensor is not None})


class Network(nn.Module):
    """A GLiNER network of any supported kind. Its parts are named; checkpoints map onto them by name.

    encoder (nn.Module): A Hugging Face encoder: input_ids, attention_mask -> (batch, subwords, its width).
    head (Head): A span or token head of width `head.width`.
    encoder_width (int): Width of the encoder's output; projected where it is not the head's.
    lstm_layers (int): Layers of the bidirectional LSTM over words; 0 for none.
    label_encoder (nn.Module | None): The second encoder of a bi-encoder.
    label_width (int): Width of the second encoder's output.
    pooling (Pooling): How the vectors of a word's subwords become one, where batches have `owners`.
    fixed_types (int): Types whose vectors are weights of their own; 0 where prompts, or texts of types, make them.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: Head,
        encoder_width: int,
        *,
        lstm_layers: int = 0,
        label_encoder: nn.Module | None = None,
        label_width: int = 0,
        pooling: Pooling = "first",
        fixed_types: int = 0,
    ) -> None:
        super().__init__()
        self.pooling = pooling
        width = head.width
        # Any: what Hugging Face adds to a module (config, embeddings) has no static type.
        self.encoder: Any = encoder
        self._short = last_layer.ShortLastLayer(encoder) if last_layer.supports(encoder) else None
        self._quick = disentangled.DisentangledEncoder(encoder) if disentangled.supports(encoder) else None
        self.head = head
        self.projection = nn.Linear(encoder_width, width) if encoder_width != width else None
        self.lstm = _lstm(width, lstm_layers) if lstm_layers else None
        self.label_encoder: Any = label_encoder
        self.label_projection = None
        if label_encoder is not None and label_width != width:
            self.label_projection = nn.Linear(label_width, width)
        self.fixed_types = None
        if fixed_types:
            self.fixed_types = nn.Parameter(torch.zeros(fixed_types, width), requires_grad=False)

    def forward(
        self, batch: Batch, types: torch.Tensor | None = None, encode: TextEncoder | None = None
    ) -> torch.Tensor:
        """Score a batch.

        batch (Batch): The padded input.
        types (torch.Tensor | None): Type vectors that no prompt makes. *Shape:* (batch, types, width).
        encode (TextEncoder | None): Stands in for the network's own encoder (ONNX Runtime, say).
        RETURNS (torch.Tensor): The head's logits.
        """
        words, own_types = self.represent(batch, encode)
        return cast(torch.Tensor, self.head(words, own_types if types is None else types, batch.n_words))

    def represent(self, batch: Batch, encode: TextEncoder | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute word vectors, and type vectors where the prompt holds types.

        RETURNS (tuple): Words (batch, words, width) and types (batch, types, width).
        """
        wanted = torch.cat([batch.word_positions, batch.type_positions], dim=1)
        vectors = (encode or self.encode)(batch.input_ids, batch.attention_mask, wanted.clamp(min=0))
        vectors = vectors.to(next(self.head.parameters()).dtype)
        if self.projection is not None:
            vectors = self.projection(vectors)
        vectors = vectors * (wanted >= 0)[..., None].to(vectors.dtype)
        words, types = vectors.split([batch.word_positions.shape[1], batch.type_positions.shape[1]], dim=1)
        if batch.owners is not None:
            words = pool_subwords(words, batch.owners, int(batch.n_words.max()), self.pooling)
        # A bi-encoder's checkpoint may hold an LSTM, which the reference implementation never applies.
        if self.lstm is not None and self.label_encoder is None:
            words = self._run_lstm(words, batch.n_words)
        return words, types

    def encode(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Run the network's own text encoder (see `TextEncoder`)."""
        if self._short is not None:
            return self._short(input_ids, attention_mask, positions)
        if self._quick is not None and not self.training:
            return self._quick(input_ids, attention_mask, positions)
        return at(self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0], positions)

    def encode_types(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Encode type texts with the second encoder: projected, then averaged over subwords.

        RETURNS (torch.Tensor): *Shape:* (types, width).
        """
        assert self.label_encoder is not None
        vectors = self.label_encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        if self.label_projection is not None:
            vectors = self.label_projection(vectors)
        mask = attention_mask[..., None].to(vectors.dtype)
        return cast(torch.Tensor, (vectors * mask).sum(1) / mask.sum(1).clamp(min=1e-9))

    def _run_lstm(self, words: torch.Tensor, n_words: torch.Tensor) -> torch.Tensor:
        """Run the LSTM over the real words only, so that padding changes nothing."""
        packed = nn.utils.rnn.pack_padded_sequence(
            words, n_words.cpu().clamp(min=1), batch_first=True, enforce_sorted=False
        )
        assert self.lstm is not None
        output, _ = self.lstm(packed)
        return nn.utils.rnn.pad_packed_sequence(output, batch_first=True, total_length=words.shape[1])[0]


def pool_subwords(vectors: torch.Tensor, owners: torch.Tensor, n_words: int, pooling: Pooling) -> torch.Tensor:
    """Average or maximise the vectors of each word's subwords.

    vectors (torch.Tensor): *Shape:* (batch, subwords, width).
    owners (torch.Tensor): The word of each; -1 for padding. *Shape:* (batch, subwords).
    RETURNS (torch.Tensor): Zero for words without subwords. *Shape:* (batch, n_words, width).
    """
    batch, _, width = vectors.shape
    index = owners.clamp(min=0)[..., None].expand_as(vectors)
    present = (owners >= 0).to(vectors.dtype)
    counts = vectors.new_zeros(batch, n_words).scatter_add(1, owners.clamp(min=0), present)[..., None]
    if pooling == "mean":
        sums = vectors.new_zeros(batch, n_words, width).scatter_add(1, index, vectors * present[..., None])
        return sums / counts.clamp(min=1)
    vectors = vectors.masked_fill(owners[..., None] < 0, float("-inf"))
    most = vectors.new_full((batch, n_words, width), float("-inf")).scatter_reduce(1, index, vectors, "amax")
    return torch.where(counts > 0, most, torch.zeros_like(most))


def _lstm(width: int, layers: int) -> nn.LSTM:
    return nn.LSTM(width, width // 2, num_layers=layers, bidirectional=True, batch_first=True)
