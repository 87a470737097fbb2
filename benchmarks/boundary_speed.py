"""The cost of `boundaries`: one pipeline with and without, on the same texts in turn.

    python -m benchmarks.boundary_speed

Texts are the sentences of the sample corpus: one by one; 12 of them as one paragraph; as 12 paragraphs behind blank lines; as
12 items of a list. The last two are what boundaries change. Milliseconds of processor time for a sentence, one thread.
"""

import statistics
import time
from collections.abc import Iterable

import spacy
import torch
from spacy.language import Language

from benchmarks.common import BenchmarkParser, run_benchmark
from spacy_openner.types import DEFAULT_BOUNDARIES
from tests.support.annotated_sets import labels_of, sample

TOGETHER = 12


def shaped(sentences: list[str]) -> dict[str, list[str]]:
    """Lay sentences out in each way."""
    groups = [sentences[i : i + TOGETHER] for i in range(0, len(sentences), TOGETHER)]
    return {
        "sentences": sentences,
        "paragraphs": [" ".join(group) for group in groups],
        "behind blank lines": ["\n\n".join(group) for group in groups],
        "items": ["\n".join(f"- {sentence}" for sentence in group) for group in groups],
    }


def seconds(nlp: Language, texts: list[str], boundaries: Iterable[str]) -> float:
    """Return the processor time that a pipeline takes."""
    nlp.get_pipe("open_ner_span").settings = nlp.get_pipe("open_ner_span").settings.replace(boundaries=[*boundaries])
    begun = time.process_time()
    for _ in nlp.pipe(texts):
        pass
    return time.process_time() - begun


def main() -> None:
    """Print a row for each shape."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--types", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = sample()
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span", config={"labels": labels_of(rows)[: args.types]})
    texts = shaped([" ".join(row["tokens"]) for row in rows])
    for shape, own_texts in texts.items():
        seconds(nlp, own_texts, ())
        pairs = [(seconds(nlp, own_texts, ()), seconds(nlp, own_texts, DEFAULT_BOUNDARIES)) for _ in range(args.rounds)]
        without, with_them = (1000 * statistics.median(column) / len(rows) for column in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"{shape:20} without {without:6.2f} ms, with {with_them:6.2f} ms, ratio {ratio:.3f}", flush=True)


if __name__ == "__main__":
    run_benchmark(main)
