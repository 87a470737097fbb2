"""Write the checkpoint of a trained pipeline in float16, as the package ships it.

    python scripts/save_weights.py training/model-last assets/default

Files that lie there beside the checkpoint (the model card, the notice) are left alone.
"""

from pathlib import Path
from typing import Annotated

import spacy
import torch
import typer

from spacy_openner.models import gliner_checkpoint

# What the encoder was called on the machine that trained it says nothing elsewhere.
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


def main(
    pipeline: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    target: Annotated[Path, typer.Argument(help="The directory to write to.")],
    component: Annotated[str, typer.Option()] = "open_ner_span",
    encoder: Annotated[str, typer.Option(help="Public name of the encoder it was trained from.")] = ENCODER,
) -> None:
    """Write a checkpoint."""
    checkpoint = spacy.load(pipeline).get_pipe(component).model.shims[0].checkpoint  # type: ignore[attr-defined]
    checkpoint.config["model_name"] = encoder
    gliner_checkpoint.save(checkpoint, target, dtype=torch.float16)
    size = sum(file.stat().st_size for file in target.iterdir())
    typer.echo(f"{target}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    typer.run(main)
