"""The likelihood that a text holds a type: the cosine of two vectors (ToNER, section 3.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from .text_encoders import TextEncoder

MIN_SCORE = -1.0
# Vectors that are compared with all types at once: it bounds the table of cosines.
AT_ONCE = 8192


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
        """Encode texts.

        RETURNS (tuple): Vectors of length 1, *Shape:* (vectors, width), and the text of each, *Shape:* (vectors,).
        """
        if self.projection is not None:
            vectors = self.projection(windows)
        elif self.encoder.pooling == "max":
            states = self.encoder.states(windows, batch_tokens)  # type: ignore[arg-type]
            owners = [owner for owner, rows in zip(owners, states, strict=True) for _ in rows]
            vectors = torch.cat(states)
        else:
            vectors = self.encoder(windows, batch_tokens)
        return normalize(vectors, dim=-1), torch.tensor(owners, device=vectors.device)

    def encode_types(self, texts: Sequence[str], batch_tokens: int) -> Tensor:
        """Encode types: vectors of length 1, the mean over the windows of one with several. *Shape:* (texts, width)."""
        windows = self.encoder.windows_of(texts)
        vectors = self.encoder([window for of_text in windows for window in of_text], batch_tokens)
        owners = torch.tensor([i for i, of_text in enumerate(windows) for _ in of_text], device=vectors.device)
        sums = torch.zeros(len(texts), vectors.shape[1], device=vectors.device)
        return normalize(sums.index_add(0, owners, vectors), dim=-1)

    @staticmethod
    def compare(vectors: Tensor, owners: Tensor, types: Tensor, rows: Tensor) -> Tensor:
        """Score texts by the best of their vectors; by `MIN_SCORE` where they have none.

        vectors, types (Tensor): *Shape:* (vectors, width) and (types, width).
        owners (Tensor): The text of each vector.
        rows (Tensor): The types of each text. *Shape:* (texts, types of a text).
        RETURNS (Tensor): Cosines. *Shape:* as `rows`.
        """
        best = vectors.new_full((len(rows), len(types)), MIN_SCORE)
        for part, owner in zip(vectors.split(AT_ONCE), owners.split(AT_ONCE), strict=True):
            cosines = part @ types.T
            best = best.scatter_reduce(0, owner[:, None].expand_as(cosines), cosines, "amax")
        return best.gather(1, rows)
