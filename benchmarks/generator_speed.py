"""Speed of gner_generator's constrained decoding beside plain `generate` and matching: one run, same weights and texts.

    python -m benchmarks.generator_speed MODEL --batches 1 4 16 --sentences 32 --output generator_speed.json

MODEL is a directory of a generative model whose tags are plausible (`benchmarks.shaped`). Seconds a sentence. `generate`
is held to the length of the right answer, and that answer is matched: what little trained models write does not end
where it should. "drafted" has the model's own answers as drafts, which is the best that an earlier component could give.
Passes and pieces fed are counted for each sentence. Peak memory is that of a process that decodes in this way alone,
weights and packages included, loading not.
"""

import argparse
import ctypes
import multiprocessing
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import BenchmarkParser, interleaved, machine, ratio, report, run_benchmark
from spacy_openner.models.generator import checkpoint as generators
from spacy_openner.models.generator import interface as tagging
from spacy_openner.models.generator.free_decoding import parse_answer
from spacy_openner.models.generator.model import Generator
from spacy_openner.models.generator.prompt_windows import DecodingSettings, TaggingQuery
from spacy_openner.models.words import Words
from spacy_openner.prompts.gner import GNERPrompt, GNERPrompt_v1
from tests.support.annotated_sets import DATA, drawn, labels_of, read_or_sample

Rows = list[dict[str, Any]]


def questions_of(rows: Rows, labels: list[str]) -> list[TaggingQuery]:
    """One question a sentence."""
    queries = []
    for row in rows:
        n = len(row["tokens"])
        words = Words(row["tokens"], np.arange(n), np.arange(1, n + 1), np.zeros(n, dtype=bool))
        queries.append(TaggingQuery(words, labels))
    return queries


def in_batches(questions: list[TaggingQuery], batch: int) -> list[list[int]]:
    """Batches of a fixed number, in the order of their lengths."""
    order = sorted(range(len(questions)), key=lambda i: len(questions[i].words))
    return [order[start : start + batch] for start in range(0, len(order), batch)]


def constrained(
    generator: Generator, prompt: GNERPrompt, questions: list[TaggingQuery], batch: int, tally: tagging.DecodingStats
) -> list[Any]:
    """Tag sentences as the component does."""
    wide = DecodingSettings(batch_tokens=10**9)
    answers_in_order: list[Any] = [None] * len(questions)
    for rows in in_batches(questions, batch):
        answers = tagging.tag_texts(generator, prompt, [questions[i] for i in rows], wide, tally)
        for i, answer in zip(rows, answers, strict=True):
            answers_in_order[i] = answer
    return answers_in_order


def plainly(
    generator: Generator, prompt: GNERPrompt, questions: list[TaggingQuery], batch: int, answers: list[list[int]]
) -> None:
    """Tag sentences by plain `generate`, as many pieces as the right answers have, and match these with the text."""
    for rows in in_batches(questions, batch):
        texts = [(questions[i].words.texts, list(questions[i].types)) for i in rows]
        ids, mask = generator.encode_prompts([prompt.render(*text) for text in texts])
        longest = max(len(answers[i]) for i in rows)
        with torch.inference_mode():
            generator.network.generate(
                input_ids=ids,
                attention_mask=mask,
                min_new_tokens=longest,
                max_new_tokens=longest,
                do_sample=False,
                num_beams=1,
            )
        for i, text in zip(rows, texts, strict=True):
            parse_answer(generator, prompt, answers[i][:-1], *text)


def systems_of(
    generator: Generator, prompt: GNERPrompt, questions: list[TaggingQuery], batch: int
) -> tuple[dict[str, Callable[[], Any]], dict[str, tagging.DecodingStats]]:
    """The ways to decode, and where they count."""
    tagged = constrained(generator, prompt, questions, batch, tagging.DecodingStats())
    drafted = [
        q._replace(draft=[(a.first, a.last, a.type) for a in answers])
        for q, answers in zip(questions, tagged, strict=True)
    ]
    answers = [generator.spell(prompt.answer(q.words.texts, tags_of(q))) for q in drafted]
    tallies = {name: tagging.DecodingStats() for name in ("generate and match", "constrained", "constrained, drafted")}
    return {
        "generate and match": lambda: plainly(generator, prompt, questions, batch, answers),
        "constrained": lambda: constrained(generator, prompt, questions, batch, tallies["constrained"]),
        "constrained, drafted": lambda: constrained(generator, prompt, drafted, batch, tallies["constrained, drafted"]),
    }, tallies


def tags_of(question: TaggingQuery) -> list[str]:
    """The tags of a question's draft."""
    tags = ["O"] * len(question.words)
    for first, last, label in question.draft:
        name = question.types[label]
        tags[first:last] = [f"B-{name}"] + [f"I-{name}"] * (last - first - 1)
    return tags


def row_of(
    batch: int, name: str, seconds: dict[str, list[float]], tally: tagging.DecodingStats, n: int, peak: float | None
) -> dict[str, Any]:
    """One line of the table."""
    return {
        "batch": batch,
        "system": name,
        "s/sentence": statistics.median(seconds[name]) / n,
        "x generate": ratio(seconds["generate and match"], seconds[name]),
        "passes": tally.n_passes / max(1, tally.n_windows),
        "subwords fed": tally.n_fed / max(1, tally.n_windows),
        "peak MB": "" if peak is None else peak,
    }


class Task:
    """A model and what it is asked. Made anew in each process that measures memory.

    args (argparse.Namespace): See `main`.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        torch.set_num_threads(args.threads)
        self.generator = generators.load(args.model)
        if args.bfloat16:
            self.generator.network.to(torch.bfloat16)
        self.prompt = GNERPrompt_v1(args.instruction).with_defaults(self.generator.prompt_defaults)
        self.labels = labels_of(read_or_sample(args.set, args.data))
        self.questions = questions_of(drawn(args.set, args.sentences, args.data), self.labels)

    def systems(self, batch: int) -> tuple[dict[str, Callable[[], Any]], dict[str, tagging.DecodingStats]]:
        """Implement `systems_of`."""
        return systems_of(self.generator, self.prompt, self.questions, batch)


def peak_of(args: argparse.Namespace, batch: int, name: str) -> float:
    """The most memory that a process takes that decodes in one way, in MB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_here, (args, batch, name))


def _peak_here(args: argparse.Namespace, batch: int, name: str) -> float:
    systems, _ = Task(args).systems(batch)
    # Linux: what is free goes back, and the mark of the highest level is set to the level of now.
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    systems[name]()
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(peak) / 1024


def main() -> None:
    """Measure, compare, print."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--instruction", help="what the model's files name, else the published one, if not given")
    parser.add_argument("--set", default="conll2003")
    parser.add_argument("--sentences", type=int, default=32)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--memory", action="store_true", help="measure the peak of each way, each in a process; Linux")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    task = Task(args)
    table = []
    for batch in args.batches:
        systems, tallies = task.systems(batch)
        seconds = interleaved(systems, args.rounds)
        n = len(task.questions)
        for name in seconds:
            peak = peak_of(args, batch, name) if args.memory else None
            table.append(row_of(batch, name, seconds, tallies[name], n, peak))
        print(
            f"batch {batch}: {table[-3]['s/sentence']:.2f} s a sentence by generate, then {table[-2]['x generate']:.1f}x",
            flush=True,
        )
    tagged = constrained(task.generator, task.prompt, task.questions, 4, tagging.DecodingStats())
    print(
        f"{n} sentences of {args.set} with {sum(map(len, tagged))} entities found, {len(task.labels)} types; {machine()}"
    )
    report(table, args.output, sentences=n, model=args.model.name, bfloat16=args.bfloat16)


if __name__ == "__main__":
    run_benchmark(main)
