"""Does alignment help a model of one domain to learn another (LAR, tables 2 and 5)?

    python -m benchmarks.lar SOURCE --targets mit_movie mit_restaurant --shares 0.01 0.05 0.1 --seeds 5
    python -m benchmarks.lar SOURCE --targets crossner_ai crossner_music --shares 1 --seeds 1 --reassign
    python -m benchmarks.lar SOURCE --targets crossner_ai crossner_music --shares 1 --seeds 1 --continual
    python -m benchmarks.lar SOURCE --targets mit_movie --shares 0.05 --generator ENCODER

SOURCE is a pipeline of a span matcher on CoNLL-2003 (`configs/finetune.cfg`). It is trained on a share of the target's
training texts, asked for the types by name ("direct"), or, after alignment by what it predicts there, by both types
("aligned": "actor, a kind of person"). Mean and standard deviation of strict F1 over the seeds, which draw the texts.

--reassign adds what SOURCE finds, each entity reassigned by the aligned model ("reassigned") or by a server that answers
as the annotation does ("by oracle"); and what the aligned model finds, its types asked of that server again
("aligned, then oracle").

--continual learns the targets in turn instead, each from the weights that the one before it left, and tells after each
what is left of the source: F1 on CoNLL-2003 (LAR, figure 3). --replay mixes that share of source texts in.

--generator trains a generator that writes LAR's lines, a new decoder on ENCODER (`benchmarks.trimmed` makes a small one),
on CoNLL-2003 first, and then it learns the targets; SOURCE still aligns them.
"""

import argparse
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import fix_random_seed

from benchmarks.alignment import SOURCES
from benchmarks.common import (
    BenchmarkParser,
    Mixed,
    gold_doc,
    machine,
    report,
    run_benchmark,
    span_matcher,
    spread,
    train,
)
from benchmarks.llm_reassigner import answers_of, ask_llm
from spacy_openner.labels import LabelSet
from spacy_openner.lar.alignment import PseudoLabelAlignment_v1, align_labels
from spacy_openner.lar.table import AlignmentTable
from tests.support.annotated_sets import DATA, read_set
from tests.support.fake_chat_server import Server, serve

Rows = list[dict[str, Any]]
SCALES = {"encoder.embeddings": 0.0, "encoder.": 0.2}
GENERATOR_SCALES = {"encoder.embeddings": 0.0, "encoder.": 0.5, "decoder.bert.embeddings": 0.0}
LINES = {"@misc": "spacy-openner.LARAnswerPrompt.v1"}


class Target:
    """A target set: what may be trained on, and what is scored.

    name (str): Of the set. Without a dev split, the last texts of a shuffled training split are scored.
    limit (int): Texts that are scored at most.
    """

    def __init__(self, name: str, data: Path, limit: int) -> None:
        rows = read_set(name, "train", data)
        random.Random(0).shuffle(rows)
        if any((data / name).glob("dev.jsonl*")):
            self.train, self.dev = rows, read_set(name, "dev", data)
            random.Random(0).shuffle(self.dev)
        else:
            self.train, self.dev = rows[:-1000], rows[-1000:]
        self.dev = self.dev[:limit]
        everything = {label for row in rows for *_, label in row["spans"]}
        self.labels = sorted(everything - {"miscellaneous"})

    def drawn(self, share: float, seed: int) -> Rows:
        """A share of the training texts."""
        return random.Random(seed).sample(self.train, max(1, round(share * len(self.train))))

    def examples(self, nlp: Language, rows: Rows, texts: dict[str, str] | None = None) -> list[Example]:
        """Annotated docs that say which types they are annotated with, and how these are put into words."""
        examples = []
        for row in rows:
            gold = gold_doc(nlp, row, self.labels)
            gold._.openner_labels = texts or self.labels
            blank = Doc(nlp.vocab, words=row["tokens"])
            blank._.openner_labels = texts or self.labels
            examples.append(Example(blank, gold))
        return examples


@Language.factory("benchmark_generalise", default_config={"sources": {}})
def generalise(nlp: Language, name: str, sources: dict[str, str]) -> Callable[[Doc], Doc]:
    """Entities get the source types that their own come from."""

    def component(doc: Doc) -> Doc:
        doc.ents = [Span(doc, ent.start, ent.end, label=sources[ent.label_]) for ent in doc.ents]
        return doc

    return component


def source_pipeline(source: Path, described: bool = False, mixed_precision: bool = False) -> Language:
    """A pipeline of the source model's weights alone."""
    nlp = spacy.blank("en")
    sampler = {
        "@misc": "spacy-openner.TypeSampler.v1",
        "negative_ratio": 1.0,
        "positive_dropout": 0.0,
        "description_ratio": float(described),
    }
    model = span_matcher(source / "open_ner_span" / "model", mixed_precision=mixed_precision)
    config = {"model": model, "sampler": sampler, "use_descriptions": described}
    nlp.add_pipe("open_ner_span", config=config)
    return nlp


def generator_pipeline(described: bool = False, **settings: Any) -> Language:
    """A pipeline of a generator that writes LAR's lines."""
    nlp = spacy.blank("en")
    sampler = {
        "@misc": "spacy-openner.TypeSampler.v1",
        "negative_ratio": 1.0,
        "positive_dropout": 0.0,
        "description_ratio": float(described),
    }
    config = {"sampler": sampler, "use_descriptions": described, "prompt": LINES, "attention_weight": 1.0, **settings}
    nlp.add_pipe("gner_generator", config={**config, "loss": "answer", "decoding": "free"})
    return nlp


def source_generator(args: argparse.Namespace) -> None:
    """Train a generator on the source domain, and save it."""
    fix_random_seed(0)
    nlp = generator_pipeline(model={"mixed_precision": args.mixed_precision})
    source = Target("conll2003", args.data, args.dev)
    pipe = nlp.get_pipe("gner_generator")
    pipe.initialize(list, nlp=nlp, labels=source.labels, encoder=args.generator, layers=2)
    train(nlp, Mixed(source.examples(nlp, source.train)), args.generator_steps, args.batch, 1e-3, GENERATOR_SCALES)
    print({"generator, source": score(nlp, source.examples(nlp, source.dev))}, flush=True)
    pipe.to_disk(args.scratch / "generator")


def learner(args: argparse.Namespace, described: bool) -> Language:
    """A pipeline of what has learnt the source domain, and learns the target next."""
    if args.generator is None:
        return source_pipeline(args.source, described, args.mixed_precision)
    name = str(args.scratch / "generator" / "model")
    return generator_pipeline(described, model={"name": name, "mixed_precision": args.mixed_precision})


def teach(
    nlp: Language,
    target: Target,
    rows: Rows,
    table: AlignmentTable | None,
    args: argparse.Namespace,
    replay: Rows | None = None,
) -> Language:
    """Go on training a pipeline, on target texts.

    replay (Rows | None): Source texts that are trained on, too.
    """
    fix_random_seed(0)
    texts = table.described() if table is not None else None
    examples = target.examples(nlp, rows, texts)
    if replay:
        examples += Target("conll2003", args.data, 0).examples(nlp, replay)
    scales = SCALES if args.generator is None else GENERATOR_SCALES
    train(nlp, Mixed(examples), args.steps, args.batch, args.rate, scales)
    return nlp


def aligned_types(source: Path, target: Target, rows: Rows) -> AlignmentTable:
    """Align each type of the target with the source model's."""
    nlp = source_pipeline(source)
    nlp.get_pipe("open_ner_span").labels = list(SOURCES)
    gold = [example.reference for example in target.examples(nlp, rows)]
    targets = LabelSet(target.labels)
    return align_labels(nlp, gold, PseudoLabelAlignment_v1(), sources=LabelSet(SOURCES), targets=targets)


def score(nlp: Language, examples: list[Example]) -> float:
    """Strict F1, in percent."""
    return 100 * (nlp.evaluate(examples)["openner_f"] or 0.0)


def reassigned(source: Language, target: Target, table: AlignmentTable, reassigner: dict[str, Any]) -> float:
    """F1 of entities that a pipeline finds, reassigned."""
    config = {"labels": table.described(), "reassigner": reassigner, "on_unmapped": "drop"}
    pipe = source.add_pipe("lar_reassigner", config=config)
    pipe.table = table
    pipe.reassigner.start()
    examples = target.examples(source, target.dev)
    for example in examples:
        # Each component has the types that it needs.
        example.predicted._.openner_labels = None
    return score(source, examples)


def with_reassignment(
    source: Path, aligned: Language, target: Target, table: AlignmentTable, folder: Path, server: Server
) -> dict[str, float]:
    """F1 of the ways to reassign."""
    aligned.to_disk(folder)
    oracle = ask_llm(server.url, concurrency=8, timeout=60.0)
    server.behaviour.gold = answers_of(target.examples(aligned, target.dev))
    own = {
        "@misc": "spacy-openner.SpanTypeReassigner.v1",
        "model": span_matcher(folder / "open_ner_span" / "model"),
        "use_descriptions": True,
    }
    scores = {}
    for name, reassigner in (("reassigned", own), ("by oracle", oracle)):
        nlp = source_pipeline(source)
        nlp.get_pipe("open_ner_span").labels = list(SOURCES)
        scores[name] = reassigned(nlp, target, table, reassigner)
    aligned.get_pipe("open_ner_span").labels = table.described()
    sources = {name: alignment.sources[0] for name, alignment in table.targets.items()}
    aligned.add_pipe("benchmark_generalise", config={"sources": sources})
    scores["aligned, then oracle"] = reassigned(aligned, target, table, oracle)
    return scores


def measure(args: argparse.Namespace, target: Target, share: float, seed: int, server: Server) -> dict[str, float]:
    """F1 of one draw."""
    rows = target.drawn(share, seed)
    direct = teach(learner(args, described=False), target, rows, None, args)
    scores = {"direct": score(direct, target.examples(direct, target.dev))}
    table = aligned_types(args.source, target, rows)
    aligned = teach(learner(args, described=True), target, rows, table, args)
    scores["aligned"] = score(aligned, target.examples(aligned, target.dev, table.described()))
    if args.reassign:
        folder = args.scratch / f"{share}-{seed}"
        scores |= with_reassignment(args.source, aligned, target, table, folder, server)
    return scores


def continual(args: argparse.Namespace, share: float, seed: int) -> dict[str, dict[str, float]]:
    """F1 on the source before and after each target that is learnt, without and with alignment."""
    source = Target("conll2003", args.data, args.dev)
    scores: dict[str, dict[str, float]] = {}
    for way in ("direct", "aligned"):
        nlp = learner(args, described=way == "aligned")
        scores[way] = {"nothing": score(nlp, source.examples(nlp, source.dev))}
        for name in args.targets:
            target = Target(name, args.data, args.dev)
            rows = target.drawn(share, seed)
            table = aligned_types(args.source, target, rows) if way == "aligned" else None
            replay = random.Random(seed).sample(source.train, round(args.replay * len(rows)))
            teach(nlp, target, rows, table, args, replay)
            scores[way][name] = score(nlp, source.examples(nlp, source.dev))
    return scores


def compare_continual(args: argparse.Namespace) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """One row for each set in its turn, and the runs that it sums up."""
    rows, raw = [], []
    for share in args.shares:
        runs = [continual(args, share, seed) for seed in range(args.seeds)]
        raw.append({"share": share, "runs": runs})
        for name in runs[0]["direct"]:
            columns = {f"source, {way}": spread([run[way][name] for run in runs]) for way in runs[0]}
            rows.append({"learnt": name, "share": share, **columns})
    return rows, raw


def compare(args: argparse.Namespace) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """One row for each set and share, and the runs that it sums up."""
    rows, raw = [], []
    with serve() as server:
        for name in args.targets:
            target = Target(name, args.data, args.dev)
            for share in args.shares:
                runs = [measure(args, target, share, seed, server) for seed in range(args.seeds)]
                raw.append({"target": name, "share": share, "runs": runs})
                columns = {way: spread([run[way] for run in runs]) for way in runs[0]}
                gains = spread([run["aligned"] - run["direct"] for run in runs])
                rows.append({"target": name, "share": share, **columns, "gain": gains})
                print(rows[-1], flush=True)
    return rows, raw


def main() -> None:
    """Draw, train, score, print."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--targets", nargs="+", default=["mit_movie", "mit_restaurant"])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.01, 0.05, 0.1])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--dev", type=int, default=300, help="texts that are scored")
    parser.add_argument("--reassign", action="store_true")
    parser.add_argument("--continual", action="store_true")
    parser.add_argument("--replay", type=float, default=0.0, help="source texts for each target text (--continual)")
    parser.add_argument("--generator", type=Path, metavar="ENCODER", help="let a generator learn")
    parser.add_argument("--generator-steps", type=int, default=600, help="on the source")
    parser.add_argument("--mixed-precision", action="store_true", help="faster where a CPU has bfloat16")
    parser.add_argument("--scratch", type=Path, default=Path("lar-benchmark"), help="for models")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter("once")
    args.scratch.mkdir(parents=True, exist_ok=True)
    if args.generator is not None:
        source_generator(args)
    rows, raw = compare_continual(args) if args.continual else compare(args)
    print(machine())
    report(rows, args.output, runs=raw, steps=args.steps, batch=args.batch)


if __name__ == "__main__":
    run_benchmark(main)
