"""Benchmarks start: each explains itself, and says what it needs where that is not there."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import spacy

from benchmarks import compare, html_report, quality, run
from benchmarks.common import run_benchmark
from benchmarks.encoders import spans_of
from benchmarks.type_filter import many_types
from spacy_openner.errors import DataError
from tests.support.annotated_sets import CROSSNER, find_split, read_or_sample, read_set, sentences

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(file.stem for file in (ROOT / "benchmarks").glob("*.py"))
COMMANDS = [name for name in MODULES if "def main(" in (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf8")]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_benchmark_explains_itself(name, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        importlib.import_module(f"benchmarks.{name}").main()
    assert end.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_every_benchmark_that_the_documentation_names_is_there():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "assets").glob("*/README.md")]
    named = {name for page in pages for name in re.findall(r"benchmarks\.(\w+)", page.read_text(encoding="utf8"))}
    assert named - {"json", "html", "md"} <= set(COMMANDS)


def test_tags_are_read_as_spans():
    tags = ["B-a", "I-a", "O", "I-b", "B-b", "I-a"]
    assert spans_of(tags) == {(0, 2, "a"), (3, 4, "b"), (4, 5, "b"), (5, 6, "a")}
    assert spans_of(["B-a", "B-a", "I-a"]) == {(0, 1, "a"), (1, 3, "a")}
    assert spans_of([]) == spans_of(["O"]) == set()


def test_a_missing_argument_is_explained_by_the_whole_help(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["lar"])
    with pytest.raises(SystemExit) as end:
        importlib.import_module("benchmarks.lar").main()
    assert end.value.code == 2
    text = capsys.readouterr().err
    assert "SOURCE is a pipeline of a span matcher" in text
    assert text.endswith("Error: the following arguments are required: source\n")


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (ModuleNotFoundError(name="matplotlib.pyplot"), r"'matplotlib'.*pip install '\.\[bench\]'"),
        (ModuleNotFoundError(name="gliner2"), r"'gliner2'.*pip install 'gliner2\[local\]'"),
        (OSError("no such pipeline"), "no such pipeline"),
    ],
)
def test_what_a_benchmark_lacks_is_said_in_a_line(problem, message):
    def main():
        raise problem

    with pytest.raises(SystemExit, match=f"^Error: .*{message}"):
        run_benchmark(main)


def test_a_missing_set_is_refused_with_a_code_and_a_way_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r"\[O403\].*spacy project assets.*--data"):
        read_set("crossner_none", "dev", tmp_path)


def test_types_are_taken_from_the_project_where_there_are_no_sets(tmp_path):
    assert len(set(many_types(tmp_path / "nowhere", 50))) == 50


def test_speed_is_measured_on_the_sample_corpus_where_there_is_no_other(tmp_path):
    rows, kind = sentences(500, tmp_path, ("mit_movie",))
    assert (len(rows), kind) == (500, "the sample corpus")
    assert read_or_sample("mit_movie", tmp_path)[0]["tokens"]


def test_crossner_is_read_as_the_project_fetches_it(tmp_path, monkeypatch):
    file = tmp_path / "crossner" / "music" / "dev.txt"
    file.parent.mkdir(parents=True)
    file.write_text("Kind\tB-album\nof\tI-album\nBlue\tI-album\nby\tO\nMiles\tB-musicalartist\n\n", encoding="utf8")
    monkeypatch.setattr("tests.support.annotated_sets.FETCHED", tmp_path / "crossner")
    assert find_split("crossner_music", "dev", tmp_path) == file
    (row,) = read_set("crossner_music", "dev", tmp_path)
    assert row == {
        "tokens": ["Kind", "of", "Blue", "by", "Miles"],
        "spans": [[0, 3, "album"], [4, 5, "musical artist"]],
    }


@pytest.mark.parametrize("domain", CROSSNER)
def test_each_domain_of_crossner_can_be_fetched_with_a_checksum(domain):
    import srsly

    assets = srsly.read_yaml(ROOT / "project.yml")["assets"]
    for split in ("train", "dev"):
        (asset,) = [each for each in assets if each["dest"] == f"assets/crossner/{domain}/{split}.txt"]
        assert re.fullmatch("[0-9a-f]{32}", asset["checksum"])
        assert asset["url"].endswith(f"/{domain}/{split}.txt")
    assert (ROOT / "configs" / "crossner" / f"{domain}.json").is_file()


@pytest.fixture(scope="module")
def measured():
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span", config={"model": {"precision": "float32"}})
    rows = [
        {
            "tokens": ["Marie", "Curie", "won", "the", "Nobel", "Prize", "."],
            "spans": [[0, 2, "person"], [4, 6, "award"]],
        },
        {"tokens": ["Rain", "fell", "in", "Oslo", "."], "spans": [[0, 1, "person"], [3, 4, "city"]]},
    ]
    return quality.measure(nlp, rows, 0.5)


def test_quality_counts_what_is_right_missed_and_wrong(measured):
    assert measured.labels == ["award", "city", "person"]
    assert measured.counts == [(2, 2, 2), (1, 1, 2)]
    assert measured.per_type == {"award": [1, 1, 1], "city": [1, 1, 1], "person": [1, 1, 2]}
    assert measured.errors["unlabelled"] == {"fp": 0, "fn": 1}
    assert (("person", quality.MISSED, 1)) in measured.confusion
    (example,) = measured.examples["unlabelled"]
    assert example["entity"] == {"start": 0, "end": 4, "label": "person"}
    assert sum(n for n, _, _ in measured.reliability) >= 3
    at_half = next(point for point in measured.curve if point[0] == 0.5)
    assert at_half == pytest.approx((0.5, 100.0, 75.0, 600 / 7))


def as_run(counts, seconds):
    sets = {"one": {"counts": counts}}
    speed = {"texts": 2, "types": 1, "seconds": {"ours": seconds}, "rows": [{"system": "ours"}], "command": "x"}
    return {"date": "today", "machine": {}, "benchmarks": {"quality": {"sets": sets}, "span_speed": speed}}


def test_a_run_compared_with_itself_is_the_same():
    run_ = as_run([[1, 2, 2], [2, 2, 3]] * 20, [1.0, 2.0, 3.0])
    changes = compare.compare(run_, run_)
    (row,) = changes["quality"]
    assert (row["change"], row["95 % from"], row["to"], row[""]) == (0.0, 0.0, 0.0, "may be chance")
    (row,) = changes["span_speed"]
    assert row["times as fast"] == 1.0
    assert row["95 % from"] < 1.0 < row["to"]


def test_a_better_run_is_told_from_chance_by_its_interval():
    old, new = np.array([[0, 1, 1], [1, 1, 1]] * 50), np.array([[1, 1, 1], [1, 1, 1]] * 50)
    change, low, high = compare.compare_f1(old, new)
    assert change == pytest.approx(50.0)
    # The share of texts that are better is 0.5, with a standard error of 0.05.
    assert low == pytest.approx(40, abs=2)
    assert high == pytest.approx(60, abs=2)


def test_other_texts_are_not_compared():
    changes = compare.compare(as_run([[1, 1, 1]], [1.0]), as_run([[1, 1, 2]], [1.0]))
    assert "quality" not in changes


def test_another_file_is_no_run(tmp_path):
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(DataError, match="O404"):
        compare.read_run(tmp_path / "run.json")


def test_tables_are_written_between_their_marks():
    page = (
        "before\n<!-- benchmark: long_doc -->\nold\n<!-- end -->\n<!-- benchmark: zero_shot -->\nkept\n<!-- end -->\n"
    )
    machine = {"cpu": "CPU", "vector instructions": "AVX2", "threads": 2, "torch": "2"}
    each = {"command": "python -m benchmarks.long_doc", "rows": [{"words": 10, "seconds": 1.25}]}
    new = run.rewrite(page, {"date": "2026-01-02", "machine": machine, "benchmarks": {"long_doc": each}})
    assert "old" not in new
    assert "kept" in new
    assert "| words | seconds |\n| --- | --- |\n| 10 | 1.2 |" in new
    assert "`python -m benchmarks.long_doc`, CPU (AVX2), 2 threads, torch 2, 2026-01-02" in new


def test_every_table_that_a_run_writes_is_marked_in_the_documentation():
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf8")
    assert set(re.findall(r"<!-- benchmark: (\w+) -->", page)) == set(run.ARGUMENTS) - {"quality"}
    assert set(run.QUICK) == set(run.ARGUMENTS)


def test_the_report_is_one_page_without_links(measured):
    pytest.importorskip("matplotlib")
    sets = {"a <set>": vars(measured)}
    whole = {"rows": [{"set": "a <set>", "F1": 85.7}], "sets": sets, "threshold": 0.5, "command": ""}
    page = html_report.render_report({"date": "today", "machine": {}, "benchmarks": {"quality": whole}, "left_out": {}})
    assert page.count("<svg") == 4
    assert "a &lt;set&gt;" in page
    assert not re.search(r'(src|href)="https?:', page)
    assert "unlabelled: a missed entity" in page
