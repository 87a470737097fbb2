"""Benchmarks start: each explains itself, and says what it needs where that is not there."""

import importlib
import re
from pathlib import Path

import pytest

from spacy_openner.errors import DataError
from support.annotated_sets import CROSSNER, find_split, read_or_sample, read_set, sentences

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


def test_a_missing_set_is_refused_with_a_code_and_a_way_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r"\[O403\].*spacy project assets.*--data"):
        read_set("crossner_none", "dev", tmp_path)


def test_speed_is_measured_on_the_sample_corpus_where_there_is_no_other(tmp_path):
    rows, kind = sentences(500, tmp_path, ("mit_movie",))
    assert (len(rows), kind) == (500, "the sample corpus")
    assert read_or_sample("mit_movie", tmp_path)[0]["tokens"]


def test_crossner_is_read_as_the_project_fetches_it(tmp_path, monkeypatch):
    file = tmp_path / "crossner" / "music" / "dev.txt"
    file.parent.mkdir(parents=True)
    file.write_text("Kind\tB-album\nof\tI-album\nBlue\tI-album\nby\tO\nMiles\tB-musicalartist\n\n", encoding="utf8")
    monkeypatch.setattr("support.annotated_sets.FETCHED", tmp_path / "crossner")
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
