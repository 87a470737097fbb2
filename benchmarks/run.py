"""Run the benchmarks that need neither a training nor a server, and write down what they say.

    python -m benchmarks.run --output metrics/benchmarks.json --report metrics/benchmarks.html
    python -m benchmarks.run --docs docs/benchmarks.md --output metrics/benchmarks.json
    python -m benchmarks.run --only quality --output new.json --against metrics/benchmarks.json

--docs writes the tables of a page anew, between `<!-- benchmark: NAME -->` and `<!-- end -->`. --against compares with an
earlier run (see `benchmarks.compare`). A benchmark that cannot run is left out, with what it needs; its table stays.
"""

import datetime
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import BenchmarkParser, machine, report, run_benchmark
from benchmarks.compare import compare, read_run
from spacy_openner.errors import error

ARGUMENTS: dict[str, list[str]] = {
    "span_speed": [],
    "long_doc": [],
    "zero_shot": [],
    "zero_shot_generator": ["--factory", "gner_generator", "--threshold", "0"],
    "type_filter": [],
    "many_types": ["--limit", "40", "--types", "25", "100", "1000", "--top-k", "25", "--most-unfiltered", "1000"],
    "quality": [],
}
# For a look in a minute or two; the figures are not for publishing.
QUICK: dict[str, list[str]] = {
    "span_speed": ["--sentences", "32", "--articles", "4", "--rounds", "1"],
    "long_doc": ["--words", "2000"],
    "zero_shot": ["--sample", "20"],
    "zero_shot_generator": ["--factory", "gner_generator", "--threshold", "0", "--sample", "20"],
    "type_filter": ["--limit", "20"],
    "many_types": ["--limit", "4", "--types", "25"],
    "quality": ["--limit", "30"],
}
# Where a benchmark is run in two ways.
MODULES = {"zero_shot_generator": "zero_shot"}
MARKED = r"(<!-- benchmark: {name} -->\n).*?(<!-- end -->)"


def measure(name: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Run one benchmark in a process of its own.

    RETURNS (dict[str, Any]): What it wrote, and its command.
    RAISES (RuntimeError): When it ends otherwise, with what it said last.
    """
    module = f"benchmarks.{MODULES.get(name, name)}"
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "rows.json"
        call = [sys.executable, "-m", module, *arguments, "--output", str(output)]
        done = subprocess.run(call, capture_output=True, text=True)
        if done.returncode or not output.is_file():
            raise RuntimeError((done.stderr.strip() or "it ended without a result").splitlines()[-1])
        measured: dict[str, Any] = json.loads(output.read_text(encoding="utf8"))
    return {"command": " ".join(["python -m", module, *arguments]), **measured}


def measure_all(names: Sequence[str], quick: bool, more: Sequence[str]) -> dict[str, Any]:
    """Run benchmarks one after the other.

    more (Sequence[str]): Arguments that all of them know.
    RETURNS (dict[str, Any]): "date", "machine", "benchmarks", and "left_out" with the reasons.
    """
    run: dict[str, Any] = {"date": datetime.date.today().isoformat(), "machine": machine(), "benchmarks": {}}
    run["left_out"] = {}
    for name in names:
        print(f"{name} ...", flush=True)
        arguments = [*(QUICK if quick else ARGUMENTS)[name], *(more if name != "long_doc" else [])]
        try:
            run["benchmarks"][name] = measure(name, arguments)
        except RuntimeError as problem:
            run["left_out"][name] = str(problem)
            print(f"{name} is left out: {problem}")
        else:
            report(run["benchmarks"][name]["rows"], None)
    return run


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Write rows as a Markdown table."""
    head = list(rows[0])
    cells = [[f"{value:.1f}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *cells))


def rewrite(page: str, run: dict[str, Any]) -> str:
    """Put the tables of a run between their marks."""
    cpu = run["machine"]
    threads = f"{cpu['threads']} thread{'s' * (cpu['threads'] != 1)}"
    where = f"{cpu['cpu']} ({cpu['vector instructions']}), {threads}, torch {cpu['torch']}, {run['date']}"
    for name, measured in run["benchmarks"].items():
        text = f"`{measured['command']}`, {where}\n\n{markdown(measured['rows'])}\n"
        page = re.sub(MARKED.format(name=name), lambda match, text=text: match[1] + text + match[2], page, flags=re.S)
    return page


def main() -> None:
    """Measure, write, compare."""
    parser = BenchmarkParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=ARGUMENTS, default=list(ARGUMENTS))
    parser.add_argument("--quick", action="store_true", help="few texts and rounds")
    parser.add_argument("--data", help="a directory of sets, for all benchmarks")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--docs", type=Path, metavar="PAGE.md", help="write its tables anew")
    parser.add_argument("--output", type=Path, metavar="RUN.json")
    parser.add_argument("--report", type=Path, metavar="PAGE.html")
    parser.add_argument("--against", type=Path, metavar="OLD.json")
    args = parser.parse_args()
    if args.docs and not args.docs.is_file():
        raise error("O403", path=str(args.docs), reason="there is no such page")
    old = read_run(args.against) if args.against else None
    more = ["--threads", str(args.threads), *(["--data", args.data] if args.data else [])]
    run = measure_all(args.only, args.quick, more)
    if not run["benchmarks"]:
        raise error("O406", path="benchmarks", kind=", ".join(args.only), skipped=run["left_out"])
    changes = compare(old, run) if old else None
    for name, rows in (changes or {}).items():
        print(f"\n{name}, against {args.against}")
        report(rows, None)
    for path in (args.output, args.report):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
    if args.output:
        args.output.write_text(json.dumps(run, ensure_ascii=False) + "\n", encoding="utf8")
    if args.report:
        from benchmarks.html_report import render_report

        args.report.write_text(render_report(run, changes), encoding="utf8")
    if args.docs:
        args.docs.write_text(rewrite(args.docs.read_text(encoding="utf8"), run), encoding="utf8")


if __name__ == "__main__":
    run_benchmark(main)
