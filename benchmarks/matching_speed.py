"""Speed of matching free answers with the text, beside a plain quadratic table, in one run.

    python -m benchmarks.matching_speed --output matching_speed.json

Texts are runs of real sentences; answers are the texts with words left out, added and misspelt at random, as models
slip (GNER, appendix C). "equal" answers have no slip, as most have. Both find the same number of common words.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import BenchmarkParser, interleaved, machine, ratio, report, run_benchmark
from spacy_openner.decoding.word_matching import match_words
from tests.support.annotated_sets import DATA, read_or_sample

Pairs = list[tuple[list[str], list[str]]]


def table(words: list[str], answer: list[str]) -> list[int | None]:
    """The longest common subsequence by dynamic programming over all pairs of words, traced back."""
    a, b = [word.casefold() for word in words], [word.casefold() for word in answer]
    best = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            best[i + 1][j + 1] = best[i][j] + 1 if x == y else max(best[i][j + 1], best[i + 1][j])
    positions: list[int | None] = [None] * len(a)
    i, j = len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            positions[i] = j
        elif best[i - 1][j] >= best[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return positions


def slipped(words: list[str], share: float, chance: random.Random) -> list[str]:
    """A text as a model might repeat it: of `share` of the words a third each left out, doubled and misspelt."""
    answer = []
    for word in words:
        draw = chance.random() / share if share else 1.0
        answer += [] if draw < 1 / 3 else [word, word] if draw < 2 / 3 else [word[:-1] + "q"] if draw < 1 else [word]
    return answer


def texts_of(data: Path, name: str, lengths: range, count: int, chance: random.Random) -> list[list[str]]:
    """Runs of sentences of a set, cut to random lengths."""
    words = [word for row in read_or_sample(name, data) for word in row["tokens"]]
    starts = [chance.randrange(len(words) - lengths.stop) for _ in range(count)]
    return [words[start : start + chance.choice(lengths)] for start in starts]


def common(positions: list[int | None], words: list[str], answer: list[str]) -> int:
    """How many words have a counterpart that is the same word."""
    pairs = [(word, answer[position]) for word, position in zip(words, positions, strict=True) if position is not None]
    return sum(a.casefold() == b.casefold() for a, b in pairs)


def on_pairs(find: Callable[[list[str], list[str]], Any], pairs: Pairs) -> Callable[[], None]:
    """A run over all pairs."""

    def run() -> None:
        for words, answer in pairs:
            find(words, answer)

    return run


def main() -> None:
    """Measure, compare, print."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--set", default="crossner_science")
    parser.add_argument("--texts", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    chance, rows = random.Random(0), []
    for lengths in (range(10, 51), range(50, 101), range(100, 201)):
        texts = texts_of(args.data, args.set, lengths, args.texts, chance)
        for share in (0.0, 0.02, 0.2):
            pairs = [(words, slipped(words, share, chance)) for words in texts]
            for words, answer in pairs:
                assert common(match_words(words, answer).indices, words, answer) == common(
                    table(words, answer), words, answer
                )
            seconds = interleaved({"table": on_pairs(table, pairs), "match": on_pairs(match_words, pairs)}, args.rounds)
            milliseconds = {f"{k} ms": 1000 * min(v) / len(pairs) for k, v in seconds.items()}
            row = {"words": f"{lengths.start}-{lengths.stop - 1}", "errors": share, **milliseconds}
            rows.append({**row, "x faster": ratio(seconds["table"], seconds["match"])})
    print(machine())
    report(rows, args.output, texts=args.texts, set=args.set)


if __name__ == "__main__":
    run_benchmark(main)
