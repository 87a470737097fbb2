"""One very long doc: time by length, peak memory, and whether the very end is read.

python -m benchmarks.long_doc --words 10000 30000 100000 --output long_doc.json
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import BenchmarkParser, report, run_benchmark

SENTENCES = (
    "The committee met on Tuesday in Vienna to discuss the budget of the coming year . ",
    "It was raining , and nobody had brought an umbrella . ",
    "Professor Ada Lovelace presented her paper on analytical engines to the Royal Society . ",
)
END = "Finally , Marie Curie moved to Warsaw ."


def text_of(words: int) -> str:
    """A text of about as many words, whose last sentence names a person."""
    text = "".join(SENTENCES) * (words // sum(len(s.split()) for s in SENTENCES) + 1)
    return " ".join(text.split()[: words - len(END.split())]) + " " + END


def measure(words: int) -> dict[str, object]:
    """Annotate one doc in this process."""
    import spacy
    import torch

    torch.set_num_threads(2)
    nlp = spacy.blank("en")
    nlp.max_length = 10_000_000
    nlp.add_pipe("open_ner_span", config={"labels": ["person", "location", "organization"], "threshold": 0.3})
    nlp("Warm up .")
    doc = nlp.make_doc(text_of(words))
    begun = time.perf_counter()
    doc = nlp(doc)
    seconds = time.perf_counter() - begun
    ends = [ent.text for ent in doc.ents if ent.start >= len(doc) - 8]
    return {
        "words": len(doc),
        "seconds": seconds,
        "seconds per 1,000 words": 1000 * seconds / len(doc),
        "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "entities": len(doc.ents),
        "found at the end": ", ".join(ends),
    }


def main() -> None:
    """Measure each length in a process of its own: peak memory never falls within one."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--words", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one)))
        return
    rows = []
    for words in args.words:
        command = [sys.executable, "-m", "benchmarks.long_doc", "--one", str(words)]
        rows.append(
            json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        )
    report(rows, args.output)


if __name__ == "__main__":
    run_benchmark(main)
