"""Compare two runs of `benchmarks.run`: what changed, and what chance alone would explain.

    python -m benchmarks.compare metrics/old.json metrics/benchmarks.json

Quality: the difference of micro F1 on each set, with a 95 % confidence interval by paired bootstrap over its texts. Speed:
how many times as fast, with an interval by bootstrap over the rounds of each run.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import BenchmarkParser, report, run_benchmark
from spacy_openner.errors import error

DRAWS = 2000


def interval(draw: Callable[[np.random.Generator], float], seed: int = 0) -> tuple[float, float]:
    """Give the central 95 % of what a statistic is on resampled data."""
    chance = np.random.default_rng(seed)
    low, high = np.percentile([draw(chance) for _ in range(DRAWS)], [2.5, 97.5])
    return float(low), float(high)


def micro_f1(counts: np.ndarray) -> float:
    """Score counts of right, predicted and gold entities. *Shape:* (texts, 3)."""
    right, predicted, gold = counts.sum(0)
    return float(200 * right / max(predicted + gold, 1))


def compare_f1(old: np.ndarray, new: np.ndarray) -> tuple[float, float, float]:
    """Compare two runs on the same texts. RETURNS: The difference of F1, and the ends of its interval."""

    def draw(chance: np.random.Generator) -> float:
        rows = chance.integers(0, len(old), len(old))
        return micro_f1(new[rows]) - micro_f1(old[rows])

    return micro_f1(new) - micro_f1(old), *interval(draw)


def compare_seconds(old: np.ndarray, new: np.ndarray) -> tuple[float, float, float]:
    """Compare the rounds of two runs. RETURNS: How many times as fast the new one is, and the ends of its interval."""

    def draw(chance: np.random.Generator) -> float:
        return float(np.median(chance.choice(old, len(old))) / np.median(chance.choice(new, len(new))))

    return float(np.median(old) / np.median(new)), *interval(draw)


def quality_rows(old: dict[str, Any], new: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each set that both runs scored, and one for all of them together."""
    pairs = {}
    for name in old["sets"]:
        if name in new["sets"]:
            before, after = (np.array(run["sets"][name]["counts"]) for run in (old, new))
            # The same texts have the same gold entities.
            if len(before) == len(after) and (before[:, 2] == after[:, 2]).all():
                pairs[name] = before, after
    if len(pairs) > 1:
        pairs["all"] = tuple(np.concatenate(side) for side in zip(*pairs.values(), strict=True))
    rows = []
    for name, (before, after) in pairs.items():
        change, low, high = compare_f1(before, after)
        chance = "" if low > 0 or high < 0 else "may be chance"
        figures = {"old F1": micro_f1(before), "new F1": micro_f1(after), "change": change}
        rows.append({"set": name, **figures, "95 % from": low, "to": high, "": chance})
    return rows


def speed_rows(old: dict[str, Any], new: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each system that both runs timed on as many texts."""
    if old["texts"] != new["texts"] or old["types"] != new["types"]:
        return []
    rows = []
    for name in (name for name in old["seconds"] if name in new["seconds"]):
        ratio, low, high = compare_seconds(np.array(old["seconds"][name]), np.array(new["seconds"][name]))
        rows.append({"system": name, "times as fast": ratio, "95 % from": low, "to": high})
    return rows


def compare(old: dict[str, Any], new: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Compare what both runs measured: benchmark -> rows."""
    kinds = {"quality": quality_rows, "span_speed": speed_rows}
    both = {name: make for name, make in kinds.items() if name in old["benchmarks"] and name in new["benchmarks"]}
    rows_per_benchmark = {name: make(old["benchmarks"][name], new["benchmarks"][name]) for name, make in both.items()}
    return {name: rows for name, rows in rows_per_benchmark.items() if rows}


def read_run(path: Path) -> dict[str, Any]:
    """Read what `benchmarks.run` wrote.

    RAISES (DataError): For another file.
    """
    try:
        run: dict[str, Any] = json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError) as problem:
        raise error("O403", path=str(path), reason=problem) from problem
    if not isinstance(run, dict) or "benchmarks" not in run:
        raise error(
            "O404", path=str(path), expected="a run, as benchmarks.run --output writes it", found="something else"
        )
    return run


def main() -> None:
    """Print what changed."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    args = parser.parse_args()
    old, new = read_run(args.old), read_run(args.new)
    for name, run in (("old", old), ("new", new)):
        print(f"{name}: {run['date']}, {run['machine']}")
    for name, rows in compare(old, new).items():
        print(f"\n{name}")
        report(rows, None)


if __name__ == "__main__":
    run_benchmark(main)
