"""Average the weights of two type-cache models of one shape, which were trained one from the other.

    python scripts/average_weights.py BEFORE AFTER OUTPUT --share 0.8

What further training taught, and what it made the model forget, both grow with the share of the later weights.
"""

from pathlib import Path
from typing import Annotated

import typer

from spacy_openner.models.type_cache import checkpoint as checkpoints


def main(
    before: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    after: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Its settings are kept.")],
    output: Annotated[Path, typer.Argument(help="Gets the average, in int8 rows.")],
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of the later weights.")] = 0.5,
) -> None:
    """Load, average, write."""
    first, second = checkpoints.load(before), checkpoints.load(after)
    weights, later = first.network.state_dict(), second.network.state_dict()
    second.network.load_state_dict(
        {
            name: value.lerp(weights[name], 1 - share) if value.is_floating_point() else value
            for name, value in later.items()
        }
    )
    checkpoints.save_int8(second, output)


if __name__ == "__main__":
    typer.run(main)
