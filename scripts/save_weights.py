"""Write the weights of a trained pipeline as the package ships them: `SpanMatcher` in float16, others in int8 rows.

    python scripts/save_weights.py training/model-last assets/default
    python scripts/save_weights.py training/model-last assets/generator --component gner_generator
    python scripts/save_weights.py training/model-last assets/type_filter --component type_filter

Files that lie there beside the checkpoint (the model card, the notice) are left alone.
"""

from pathlib import Path
from typing import Annotated

import spacy
import torch
import typer

from spacy_openner.models.generator.checkpoint import save_int8
from spacy_openner.models.generator.shim import GeneratorShim
from spacy_openner.models.gliner import checkpoint as gliner_checkpoint
from spacy_openner.models.type_cache import checkpoint as type_cache_checkpoint
from spacy_openner.models.type_cache.interface import TypeCacheSpanModel
from spacy_openner.models.type_matcher.shim import TypeMatcherShim
from spacy_openner.models.type_matcher.text_encoders import StaticEncoder
from spacy_openner.nn.permissions import as_new_files

# What the encoder was called on the machine that trained it says nothing elsewhere.
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


def main(
    pipeline: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    target: Annotated[Path, typer.Argument(help="The directory to write to.")],
    component: Annotated[str, typer.Option()] = "open_ner_span",
    encoder: Annotated[str, typer.Option(help="Public name of the encoder it was trained from.")] = ENCODER,
) -> None:
    """Write a checkpoint."""
    shim = spacy.load(pipeline).get_pipe(component).model.shims[0]  # type: ignore[attr-defined]
    if isinstance(shim, GeneratorShim):
        save_int8(shim.generator, target)
    elif isinstance(shim, TypeMatcherShim):
        vectors = shim.network.encoder
        if not isinstance(vectors, StaticEncoder):
            raise typer.BadParameter("only a type matcher of static vectors is small enough to ship")
        vectors.save_int8(target)
    elif isinstance(shim, TypeCacheSpanModel):
        type_cache_checkpoint.save_int8(shim.checkpoint, target)
    else:
        shim.checkpoint.config["model_name"] = encoder
        gliner_checkpoint.save(shim.checkpoint, target, dtype=torch.float16)
    as_new_files(target)
    size = sum(file.stat().st_size for file in target.iterdir())
    typer.echo(f"{target}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    typer.run(main)
