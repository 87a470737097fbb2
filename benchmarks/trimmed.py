"""Make a small encoder of a BERT: its first layers, and the subwords alone that a corpus takes.

    python -m benchmarks.trimmed MINILM TARGET CORPUS/train/mit_restaurant.spacy CORPUS/dev/mit_restaurant.spacy

A decoder that starts as its layers learns to write freely within minutes: the pretrained word vectors are there, and there
is little to choose each subword from. Used by `benchmarks.targets` and `benchmarks.toner`.
"""

import json
import string
from collections.abc import Iterator
from pathlib import Path

import spacy
import torch
from spacy.tokens import DocBin
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast

from benchmarks.common import BenchmarkParser, run_benchmark
from spacy_openner.prompts import gner, lar, toner

PROMPTS = (gner.INSTRUCTION, lar.INSTRUCTION, toner.QUESTION, toner.HINTS, toner.RECOGNITION, "O B I E S a kind of")


def texts_of(files: list[Path]) -> Iterator[str]:
    """All that a generator reads and writes: texts, types, prompts, and every letter by itself."""
    yield from (*PROMPTS, *string.printable)
    for file in files:
        for doc in DocBin(store_user_data=True).from_disk(file).get_docs(spacy.blank("en").vocab):
            yield " ".join(token.text for token in doc)
            yield " ".join(span.label_ for span in doc.spans["openner"])


def trimmed_tokenizer(tokenizer: PreTrainedTokenizerFast, kept: list[int]) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer of some of its subwords, numbered anew."""
    numbers = {subword: i for i, subword in enumerate(tokenizer.convert_ids_to_tokens(kept))}
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    content["model"]["vocab"] = numbers
    for token in content["added_tokens"]:
        token["id"] = numbers[token["content"]]
    for token in content["post_processor"].get("special_tokens", {}).values():
        token["ids"] = [numbers[subword] for subword in token["tokens"]]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)), **tokenizer.special_tokens_map
    )


def main() -> None:
    """Trim, save."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--layers", type=int, default=3)
    args = parser.parse_args()
    tokenizer, network = AutoTokenizer.from_pretrained(args.encoder), AutoModel.from_pretrained(args.encoder)
    subwords = {subword for text in texts_of(args.files) for subword in tokenizer(text)["input_ids"]}
    kept = sorted(subwords | set(tokenizer.all_special_ids))
    new_tokenizer = trimmed_tokenizer(tokenizer, kept)
    vectors = network.embeddings.word_embeddings.weight.detach()[kept]
    network.embeddings.word_embeddings = torch.nn.Embedding.from_pretrained(
        vectors, padding_idx=new_tokenizer.pad_token_id
    )
    network.encoder.layer = network.encoder.layer[: args.layers]
    settings = {"vocab_size": len(kept), "pad_token_id": new_tokenizer.pad_token_id, "num_hidden_layers": args.layers}
    network.config.update(settings)
    network.save_pretrained(args.target)
    new_tokenizer.save_pretrained(args.target)
    print(f"{args.target}: {len(kept)} subwords, {args.layers} layers")


if __name__ == "__main__":
    run_benchmark(main)
