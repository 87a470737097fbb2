"""Type networks of GLiNER2's span architecture: from the vectors at the type markers to those that spans are scored by.

The published networks make one vector for each type and each instance of a structure, one recurrent step an instance.
Entities use the first instance only, so that a single step is computed here. The embedding of the later steps is kept
for other readers of the file.
"""

import torch
from torch import nn

STEPS = 20
"""Rows of the published embedding of steps."""
SMALL_WIDTH, SMALL_HEADS, SMALL_LAYERS = 128, 4, 2
"""Sizes of the transformer over types (`count_lstm_v2`)."""
EXPERTS = 4


class TypeNetwork(nn.Module):
    """Base of the three: the first recurrent step. A subclass says what follows it.

    width (int): Width of the encoder's vectors.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.steps = nn.Embedding(STEPS, width)
        self.cell = nn.GRUCell(width, width)

    def forward(self, types: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Compute the vectors that spans are scored by.

        types (torch.Tensor): Vectors at the type markers. *Shape:* (batch, types, width).
        mask (torch.Tensor): Whether a row has the type. *Shape:* (batch, types), bool.
        RETURNS (torch.Tensor): *Shape:* (batch, types, width).
        """
        flat = types.flatten(0, 1)
        first = self.steps.weight[0].to(flat.dtype).expand_as(flat)
        return self.combine(self.cell(first, flat).view_as(types), types, mask)

    def combine(self, stepped: torch.Tensor, types: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Join what the step gives with the vectors at the markers."""
        raise NotImplementedError


class FeedForwardTypes(TypeNetwork):
    """`count_lstm`: a feed-forward network over both."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.out = nn.Sequential(nn.Linear(2 * width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))

    def combine(self, stepped: torch.Tensor, types: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Apply the network to each type."""
        vectors: torch.Tensor = self.out(torch.cat([stepped, types], dim=-1))
        return vectors


class AttendingTypes(TypeNetwork):
    """`count_lstm_v2`: a narrow transformer in which the types of a prompt see one another."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        layer = nn.TransformerEncoderLayer(SMALL_WIDTH, SMALL_HEADS, 2 * SMALL_WIDTH, batch_first=True)
        self.inner = nn.Linear(width, SMALL_WIDTH)
        self.transformer = nn.TransformerEncoder(layer, SMALL_LAYERS, enable_nested_tensor=False)
        self.last = nn.Sequential(
            nn.Linear(SMALL_WIDTH + width, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, width),
        )

    def combine(self, stepped: torch.Tensor, types: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Let the types of each row attend to one another."""
        joined = stepped + types
        # A row without types (a text that is only there to fill a batch) attends to its padding: nothing reads it.
        hidden = mask | ~mask.any(dim=1, keepdim=True)
        seen = self.transformer(self.inner(joined), src_key_padding_mask=~hidden)
        vectors: torch.Tensor = self.last(torch.cat([seen, joined], dim=-1))
        return vectors


class ExpertTypes(TypeNetwork):
    """`count_lstm_moe`: a mixture of feed-forward networks, weighed for each type."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.w1, self.b1 = (
            nn.Parameter(torch.empty(EXPERTS, width, 2 * width)),
            nn.Parameter(torch.zeros(EXPERTS, 2 * width)),
        )
        self.w2, self.b2 = (
            nn.Parameter(torch.empty(EXPERTS, 2 * width, width)),
            nn.Parameter(torch.zeros(EXPERTS, width)),
        )
        nn.init.xavier_uniform_(self.w1)
        nn.init.xavier_uniform_(self.w2)
        self.router = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, EXPERTS))

    def combine(self, stepped: torch.Tensor, types: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Weigh the experts' answers; the vectors at the markers count through the step alone."""
        weights = self.router(stepped).softmax(dim=-1)
        hidden = nn.functional.gelu(torch.einsum("btd,edh->bteh", stepped, self.w1) + self.b1)
        answers = torch.einsum("bteh,ehd->bted", hidden, self.w2) + self.b2
        return (weights[..., None] * answers).sum(dim=2)


TYPE_NETWORKS: dict[str, type[TypeNetwork]] = {
    "count_lstm": FeedForwardTypes,
    "count_lstm_v2": AttendingTypes,
    "count_lstm_moe": ExpertTypes,
}
"""By the name that checkpoints give (`counting_layer`)."""


def first_feed_forward(width: int, out: int) -> nn.Sequential:
    """Linear, ReLU, Linear, with the names that checkpoints have: "0" and "2"."""
    return nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, out))
