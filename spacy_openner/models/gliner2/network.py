"""The network of a GLiNER2 checkpoint: a text encoder, vectors of words and of the schema, a head."""

from typing import Any, cast

import torch
from torch import nn

from ...nn.last_layer import TextEncoder
from ..gliner.network import Batch, Head, Network
from .boundary_head import BoundaryHead
from .span_head import GatedSpanHead

SchemaHead = GatedSpanHead | BoundaryHead


class SchemaNetwork(Network):
    """A network whose batches have the task's marker in front of the types' (`Batch.type_positions`).

    encoder (nn.Module): A Hugging Face encoder.
    head (SchemaHead): As wide as the encoder.
    """

    def __init__(self, encoder: nn.Module, head: SchemaHead) -> None:
        super().__init__(encoder, cast(Head, head), head.width)

    def forward(self, batch: Batch, types: torch.Tensor | None = None, encode: TextEncoder | None = None) -> Any:
        """Score a batch.

        batch (Batch): The padded input; `n_words` counts what was added to the text too.
        types (torch.Tensor | None): Not used: the prompt holds the types.
        encode (TextEncoder | None): Stands in for the network's own encoder.
        RETURNS (Any): What the head's `select` takes.
        """
        words, own = self.represent(batch, encode)
        return self.head(words, own, batch.n_words, batch.type_positions >= 0)
