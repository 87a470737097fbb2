"""Types alike: which of a list texts see, so that names for one thing do not share what each would get."""

import numpy as np
from torch import Tensor
from torch.nn.functional import normalize

# So many vectors are compared with those that are kept at once: memory is bounded by it.
BLOCK = 256


def apart(vectors: Tensor, most: float) -> list[int]:
    """Keep, in order, each vector that is no more alike to any kept before it than a cosine.

    vectors (Tensor): *Shape:* (vectors, width).
    most (float): The greatest cosine between two that are kept.
    RETURNS (list[int]): Indices of those that are kept, in order.
    """
    directions = normalize(vectors.detach().float(), dim=1)
    kept: list[int] = []
    for start in range(0, len(directions), BLOCK):
        block = directions[start : start + BLOCK]
        new = (block @ directions[kept].T <= most).all(dim=1).cpu().numpy()
        alike = (block @ block.T > most).cpu().numpy()
        here: list[int] = []
        for i in np.flatnonzero(new):
            if not alike[i, here].any():
                here.append(int(i))
        kept += [start + i for i in here]
    return kept
