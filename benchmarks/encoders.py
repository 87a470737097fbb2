"""What encoders learn about entities in equal processor time, as a choice of one for a new network.

    python -m benchmarks.encoders MINILM:6 MINILM:4 MPNET:6 MPNET:4 --seconds 420 --output encoders.json

Each is the directory of an encoder and how many of its first layers are kept. A tag for each word (BIO, the first
subword's) is learnt by one linear layer on the last layer kept, fixed types, frozen word vectors: open types would take a
bare encoder far longer, and the encoder's part is the same. All have the same sentences in the same order, and stop after
so many seconds of the processor, prediction left out; the rate falls to zero by then. Measured are strict F1 in percent on
sentences of another split, the words read, and milliseconds of the processor a sentence in prediction, batches of like length.
"""

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from benchmarks.common import BenchmarkParser, machine, report, run_benchmark
from spacy_openner.nn.batching import batch_by_length
from tests.support.annotated_sets import DATA, Row, labels_of, read_set

BATCH_TOKENS = 512
IGNORED = -100


class Tagger(nn.Module):
    """The first layers of an encoder, and a linear layer.

    path (Path): The encoder's directory.
    layers (int): How many are kept.
    labels (Sequence[str]): Types of entities.
    """

    def __init__(self, path: Path, layers: int, labels: Sequence[str]) -> None:
        super().__init__()
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        self.encoder = AutoModel.from_pretrained(path, num_hidden_layers=layers, add_pooling_layer=False)
        self.encoder.embeddings.word_embeddings.requires_grad_(False)
        self.tags = ["O", *(f"{mark}-{label}" for label in labels for mark in "BI")]
        self.output = nn.Linear(self.encoder.config.hidden_size, len(self.tags))

    def inputs(self, rows: Sequence[Row]) -> tuple[dict[str, Tensor], Tensor]:
        """Lay sentences out; and where each word's first subword stands. *Shape of that:* (rows, words), -1 for none."""
        made = self.tokenizer(
            [row["tokens"] for row in rows],
            is_split_into_words=True,
            truncation=True,
            max_length=256,
            padding=True,
            return_tensors="pt",
        )
        places = torch.full((len(rows), max(len(row["tokens"]) for row in rows)), -1)
        for i in range(len(rows)):
            for place, word in enumerate(made.word_ids(i)):
                if word is not None and places[i, word] < 0:
                    places[i, word] = place
        return dict(made), places

    def forward(self, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
        """Score the tags of words. *Shapes:* (rows, words, tags), and which words are real: (rows, words)."""
        inputs, places = self.inputs(rows)
        hidden = self.encoder(**inputs).last_hidden_state
        return self.output(hidden[torch.arange(len(rows))[:, None], places.clamp(min=0)]), places >= 0

    def gold(self, rows: Sequence[Row], shape: torch.Size) -> Tensor:
        """Tags of words, by number. *Shape:* (rows, words)."""
        index = {tag: i for i, tag in enumerate(self.tags)}
        tags = torch.zeros(shape, dtype=torch.long)
        for i, row in enumerate(rows):
            for start, end, label in row["spans"]:
                tags[i, start] = index[f"B-{label}"]
                tags[i, start + 1 : end] = index[f"I-{label}"]
        return tags


def spans_of(tags: Sequence[str]) -> set[tuple[int, int, str]]:
    """Read spans off tags; an I without a beginning of its type begins one."""
    spans, start, open_type = set(), 0, ""
    for i, tag in enumerate([*tags, "O"]):
        mark, _, label = tag.partition("-")
        if open_type and (mark != "I" or label != open_type):
            spans.add((start, i, open_type))
            open_type = ""
        if mark != "O" and not open_type:
            start, open_type = i, label
    return spans


def endless(rows: list[Row], seed: int) -> Iterator[list[Row]]:
    """Batches of the sentences, mixed anew in each pass."""
    drawn = random.Random(seed)
    while True:
        mixed = drawn.sample(rows, len(rows))
        yield from batch_by_length(mixed, lambda row: 2 * len(row["tokens"]), BATCH_TOKENS, buffer=64)


def learn(tagger: Tagger, rows: list[Row], args: argparse.Namespace) -> int:
    """Train for so many processor seconds; the words read."""
    groups = [
        {"params": [p for p in tagger.encoder.parameters() if p.requires_grad], "lr": args.rate},
        {"params": list(tagger.output.parameters()), "lr": 10 * args.rate},
    ]
    optimizer = torch.optim.AdamW(groups)
    rates = [group["lr"] for group in optimizer.param_groups]
    tagger.train()
    words, begun = 0, time.process_time()
    for batch in endless(rows, args.seed):
        spent = (time.process_time() - begun) / args.seconds
        if spent >= 1:
            return words
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min(1, spent / 0.05) * (1 - spent)
        scores, real = tagger(batch)
        gold = tagger.gold(batch, real.shape).masked_fill(~real, IGNORED)
        nn.functional.cross_entropy(scores.flatten(0, 1), gold.flatten(), ignore_index=IGNORED).backward()
        nn.utils.clip_grad_norm_(tagger.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        words += sum(len(row["tokens"]) for row in batch)
    return words


def score(tagger: Tagger, rows: list[Row]) -> dict[str, float]:
    """Strict F1, and milliseconds a sentence."""
    right = found = annotated = 0
    begun = time.process_time()
    tagger.eval()
    with torch.inference_mode():
        for batch in batch_by_length(rows, lambda row: len(row["tokens"]), 2048, buffer=512):
            scores, real = tagger(batch)
            best = scores.argmax(dim=2).masked_fill(~real, 0).tolist()
            for row, numbers in zip(batch, best, strict=True):
                spans = spans_of([tagger.tags[n] for n in numbers])
                gold = {tuple(span) for span in row["spans"]}
                right, found, annotated = right + len(spans & gold), found + len(spans), annotated + len(gold)
    spent = time.process_time() - begun
    return {"F1": 200 * right / max(found + annotated, 1), "ms a sentence": 1e3 * spent / len(rows)}


def main() -> None:
    """Train each, score it, print."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("encoders", nargs="+", metavar="DIRECTORY:LAYERS")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--set", default="few_nerd_inter_part")
    parser.add_argument("--splits", nargs=2, default=["train_a", "train_b"], help="to learn from, to be scored on")
    parser.add_argument("--limit", type=int, default=600, help="sentences to be scored on")
    parser.add_argument("--seconds", type=float, default=420, help="of the processor, for each")
    parser.add_argument(
        "--rate", type=float, default=1e-4, help="of the encoder; ten times as much for the layer on it"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train, dev = (read_set(args.set, split, args.data) for split in args.splits)
    labels = labels_of([*train, *dev])
    rows: list[dict[str, Any]] = []
    for name in args.encoders:
        path, _, layers = name.rpartition(":")
        torch.manual_seed(args.seed)
        tagger = Tagger(Path(path), int(layers), labels)
        words = learn(tagger, train, args)
        rows.append(
            {"encoder": Path(path).name, "layers": int(layers), "words": words, **score(tagger, dev[: args.limit])}
        )
        print(rows[-1], flush=True)
    print(machine())
    report(rows, args.output, texts=args.set, seconds=args.seconds)


if __name__ == "__main__":
    run_benchmark(main)
