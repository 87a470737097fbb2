"""Teach an uncased span matcher to see capitals: every subword of its vocabulary gets capitalised forms.

    python scripts/cased.py training/model-best/open_ner_span/model cased

"Paris" and "PARIS" were read as "paris"; now they are subwords of their own, whose vectors are that of "paris" and a
small step aside, the same for all capitalised subwords, and another one for those in capitals. What the weights know
stays; some hundred updates on texts with capitals (`configs/finetune.cfg`, its `model.name` the new directory) teach what
these mean.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from tokenizers import Tokenizer
from torch.nn import Embedding
from torch.nn.functional import normalize
from transformers import PreTrainedTokenizerFast

from spacy_openner.models.gliner import checkpoint as gliner_checkpoint
from spacy_openner.models.gliner.checkpoint import Checkpoint

CONTINUES = "##"
# Of the mean length of a vector: enough to be seen, too little to hide the subword.
STEP = 0.3


def forms(subword: str) -> dict[str, int]:
    """The capitalised forms of a subword, and which step each takes.

    RETURNS (dict[str, int]): 0 for capitalised subwords, 1 for those in capitals.
    """
    body = subword.removeprefix(CONTINUES)
    if not (body.isascii() and body.isalpha() and body.islower()):
        return {}
    if subword != body:
        return {CONTINUES + body.upper(): 1}
    # A single letter is capitalised and in capitals.
    return {body.upper(): 1, body.capitalize(): 0}


def cased_tokenizer(content: dict[str, Any], new: Collection[str], marks: dict[str, str]) -> PreTrainedTokenizerFast:
    """The same WordPiece tokenizer with more subwords, before those that were added to it; it leaves capitals alone.

    content (dict): The content of `tokenizer.json`, uncased.
    """
    size = len(content["model"]["vocab"])
    content["model"]["vocab"] |= {form: size + i for i, form in enumerate(new)}
    for added in content["added_tokens"]:
        added["id"] += len(new) if added["id"] >= size else 0
    content["normalizer"] |= {"lowercase": False, "strip_accents": True}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(content)), **marks)


def add_capitals(checkpoint: Checkpoint) -> int:
    """Add subwords and their vectors.

    RETURNS (int): How many.
    RAISES (ValueError): When it is not an uncased model with the vocabulary of BERT.
    """
    encoder, tokenizer = checkpoint.network.encoder, checkpoint.tokenizer
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    old = encoder.get_input_embeddings().weight.detach()
    uncased = content["model"]["type"] == "WordPiece" and (content["normalizer"] or {}).get("lowercase")
    if not uncased or checkpoint.is_bi_encoder or len(tokenizer) != len(old):
        raise ValueError("not a uni-encoder with an uncased WordPiece vocabulary")
    vocabulary = content["model"]["vocab"]
    size = len(vocabulary)
    capitalised = {form: (i, step) for subword, i in vocabulary.items() for form, step in forms(subword).items()}
    new = {form: origin for form, origin in capitalised.items() if form not in vocabulary}
    torch.manual_seed(0)
    steps = normalize(torch.randn(2, old.shape[1]), dim=1) * STEP * old.norm(dim=1).mean()
    rows = torch.stack([old[i] + steps[step] for i, step in new.values()])
    table = torch.cat([old[:size], rows, old[size:]])
    encoder.set_input_embeddings(Embedding.from_pretrained(table, freeze=False, padding_idx=tokenizer.pad_token_id))
    encoder.config.vocab_size = len(table)
    checkpoint.tokenizer = cased_tokenizer(content, new, tokenizer.special_tokens_map)
    checkpoint.entity_id += len(new)
    checkpoint.separator_id += len(new)
    return len(new)


def main(
    source: Annotated[Path, typer.Argument(exists=True, file_okay=False)], target: Annotated[Path, typer.Argument()]
) -> None:
    """Load a span matcher, add capitals, save it elsewhere."""
    checkpoint = gliner_checkpoint.load(source)
    try:
        count = add_capitals(checkpoint)
    except ValueError as problem:
        raise typer.BadParameter(f"{source} is {problem}") from problem
    gliner_checkpoint.save(checkpoint, target)
    typer.echo(f"{target}: {count} more subwords")


if __name__ == "__main__":
    typer.run(main)
