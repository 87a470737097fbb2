"""Teach an uncased span matcher to see capitals: every piece of its vocabulary gets capitalised forms.

    python scripts/cased.py training/model-best/open_ner_span/model cased

"Paris" and "PARIS" were read as "paris"; now they are pieces of their own, whose vectors are that of "paris" and a small
step aside, the same for all capitalised pieces, and another one for those in capitals. What the weights know stays; some
hundred updates on texts with capitals (`configs/finetune.cfg`, its `model.name` the new directory) teach what these mean.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import torch
import typer
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from spacy_openner.models import gliner_checkpoint

CONTINUES = "##"
# Of the mean length of a vector: enough to be seen, too little to hide the piece.
STEP = 0.3


def forms(piece: str) -> dict[str, int]:
    """The capitalised forms of a piece, and which step each takes.

    RETURNS (dict[str, int]): 0 for capitalised pieces, 1 for those in capitals.
    """
    body = piece.removeprefix(CONTINUES)
    if not (body.isascii() and body.isalpha() and body.islower()):
        return {}
    if piece != body:
        return {CONTINUES + body.upper(): 1}
    # A single letter is capitalised and in capitals.
    return {body.upper(): 1, body.capitalize(): 0}


def cased_tokenizer(tokenizer: PreTrainedTokenizerFast, new: Collection[str]) -> PreTrainedTokenizerFast:
    """The same WordPiece tokenizer with more pieces, before those that were added to it; it leaves capitals alone."""
    made = json.loads(tokenizer.backend_tokenizer.to_str())
    size = len(made["model"]["vocab"])
    made["model"]["vocab"] |= {form: size + i for i, form in enumerate(new)}
    for added in made["added_tokens"]:
        added["id"] += len(new) if added["id"] >= size else 0
    made["normalizer"] |= {"lowercase": False, "strip_accents": True}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(made)), **tokenizer.special_tokens_map
    )


def main(
    source: Annotated[Path, typer.Argument(exists=True, file_okay=False)], target: Annotated[Path, typer.Argument()]
) -> None:
    """Add pieces and their vectors, and save."""
    checkpoint = gliner_checkpoint.load(source)
    encoder, tokenizer = checkpoint.network.encoder, checkpoint.tokenizer
    old = encoder.get_input_embeddings().weight.detach()
    if len(tokenizer) != len(old) or not tokenizer.backend_tokenizer.normalizer or "##s" not in tokenizer.vocab:
        raise typer.BadParameter(f"{source} has no uncased WordPiece vocabulary of the size of its table")
    vocabulary = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
    found = {form: (i, step) for piece, i in vocabulary.items() for form, step in forms(piece).items()}
    size = len(vocabulary)
    new = {form: each for form, each in found.items() if form not in vocabulary}
    torch.manual_seed(0)
    steps = torch.nn.functional.normalize(torch.randn(2, old.shape[1]), dim=1) * STEP * old.norm(dim=1).mean()
    rows = torch.stack([old[i] + steps[step] for i, step in new.values()])
    table = torch.nn.Embedding.from_pretrained(
        torch.cat([old[:size], rows, old[size:]]), freeze=False, padding_idx=tokenizer.pad_token_id
    )
    encoder.set_input_embeddings(table)
    encoder.config.vocab_size = len(table.weight)
    checkpoint.tokenizer = cased_tokenizer(tokenizer, new)
    checkpoint.entity_id += len(new)
    checkpoint.separator_id += len(new)
    gliner_checkpoint.save(checkpoint, target)
    typer.echo(f"{target}: {len(old)} pieces, and {len(new)} capitalised ones")


if __name__ == "__main__":
    typer.run(main)
