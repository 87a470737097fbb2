"""Bulk annotation: every format, whole resumption, records set aside, the same output whatever happened meanwhile."""

import csv
import gzip
import json
import os
import signal
import time
from contextlib import suppress

import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from spacy_openner.bulk.journal import Journal
from spacy_openner.bulk.plan import choose_unit_bytes, find_sources, plan_units
from spacy_openner.bulk.reading import read_records
from spacy_openner.bulk.records import Record, RecordFields
from spacy_openner.bulk.run import run_corpus
from spacy_openner.errors import DataError, SettingError
from tests.support.corpora import NAMES, all_bytes, make_records, read_output, write_jsonl
from tests.support.forked_python import start_python


def test_json_lines(pipeline, tmp_path):
    records = make_records(25)
    report = run_corpus(write_jsonl(tmp_path / "in.jsonl", records), tmp_path / "out", pipeline, shard_size=10)
    assert report.counts == (25, 25, 0)
    assert report.is_complete
    output = read_output(tmp_path / "out")
    assert [{k: v for k, v in record.items() if k != "entities"} for record in output] == records
    for record in output:
        (entity,) = record["entities"]
        assert record["text"][entity["start"] : entity["end"]] == entity["text"] == NAMES[record["id"] % 4]
        assert entity["label"] == "person"
    assert len(list((tmp_path / "out").glob("part-*.jsonl"))) == 3


def test_fields_pass_through_to_the_byte(pipeline, tmp_path):
    line = '{"n": 1.10, "big": 123456789012345678901234567890, "text": "Niels Bohr", "x":1e5 }'
    (tmp_path / "in.jsonl").write_text(line + "\r\n", encoding="utf8")
    run_corpus(tmp_path / "in.jsonl", tmp_path / "out", pipeline)
    (path,) = (tmp_path / "out").glob("part-*")
    entity = '{"start": 0, "end": 10, "text": "Niels Bohr", "label": "person"}'
    assert path.read_text(encoding="utf8") == line[:-2] + f', "entities": [{entity}]}}\n'


def test_every_format(pipeline, tmp_path):
    texts = [f"{name} called." for name in NAMES]
    (tmp_path / "a.txt").write_text("\n\n".join(texts), encoding="utf8")
    with (tmp_path / "b.csv").open("w", newline="", encoding="utf8") as stream:
        writer = csv.writer(stream)
        writer.writerows([["text", "note"], *[[text, "two\nlines, and a comma"] for text in texts]])
    with gzip.open(tmp_path / "c.jsonl.gz", "wt", encoding="utf8") as stream:
        stream.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    blank = spacy.blank("en")
    DocBin(docs=[blank(text) for text in texts], store_user_data=True).to_disk(tmp_path / "d.spacy")
    report = run_corpus(tmp_path, tmp_path.parent / f"{tmp_path.name}-out", pipeline)
    assert report.counts == (16, 16, 0)
    output = read_output(tmp_path.parent / f"{tmp_path.name}-out")
    assert [record["text"] for record in output] == texts * 4
    assert {record.get("note") for record in output[4:8]} == {"two\nlines, and a comma"}


def test_parquet_keeps_columns(pipeline, tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {
        "text": [f"{name} called." for name in NAMES],
        "small": arrow.array([1, None, 3, 4], type=arrow.int8()),
        "when": arrow.array([0, 1, 2, None], type=arrow.timestamp("us")),
    }
    parquet.write_table(arrow.table(columns), tmp_path / "in.parquet", row_group_size=3)
    report = run_corpus(tmp_path / "in.parquet", tmp_path / "out", pipeline, format="parquet", shard_size=2)
    assert (report.units, report.counts.records) == (2, 4)
    paths = sorted((tmp_path / "out").glob("part-*.parquet"))
    assert len(paths) == 3
    table = arrow.concat_tables([parquet.read_table(path) for path in paths])
    assert table.drop_columns(["entities"]).equals(arrow.table(columns))
    assert [row[0]["text"] for row in table["entities"].to_pylist()] == NAMES


def test_numbers_that_json_has_not(pipeline, tmp_path):
    """In JSON, the record is set aside. A table may hold them, and what is written is JSON."""
    lines = [f'{{"text": "Ada called.", "x": {x}}}' for x in ("1", "NaN", "-Infinity", '{"y": [Infinity]}', "1e999")]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    report = run_corpus(tmp_path / "in.jsonl", tmp_path / "out", pipeline)
    assert (report.counts.records, report.counts.set_aside) == (2, 3)
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"text": ["Ada called."] * 3, "x": [float("nan"), float("inf"), 1.5], "y": [[float("nan")]] * 3}
    parquet.write_table(arrow.table(columns), tmp_path / "in.parquet")
    run_corpus(tmp_path / "in.parquet", tmp_path / "table", pipeline)
    (path,) = (tmp_path / "table").glob("part-*.jsonl")
    rows = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
    assert [(row["x"], row["y"]) for row in rows] == [(None, [None]), ("inf", [None]), (1.5, [None])]


def test_spacy_output(pipeline, tmp_path):
    run_corpus(write_jsonl(tmp_path / "in.jsonl", make_records(5)), tmp_path / "out", pipeline, format="spacy")
    (path,) = (tmp_path / "out").glob("part-*.spacy")
    docs = list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))
    assert [[ent.text for ent in doc.ents] for doc in docs] == [[NAMES[i % 4]] for i in range(5)]
    assert json.loads(docs[3].user_data["record"])["id"] == 3


def test_scores_come_along(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("open_ner_span", config={"labels": ["person"]})
    nlp.to_disk(tmp_path / "pipeline")
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": "Marie Curie lived in Paris."}])
    run_corpus(source, tmp_path / "out", tmp_path / "pipeline", labels=["city"])
    ((entity,),) = [record["entities"] for record in read_output(tmp_path / "out")]
    assert (entity["text"], entity["label"]) == ("Paris", "city")
    assert 0.5 < entity["score"] <= 1


def test_what_fails_is_set_aside(pipeline, tmp_path):
    good = json.dumps({"text": "Niels Bohr"})
    bad = ['{"text": ', "[1]", '{"txt": "x"}', '{"text": 3}', '{"text": "x", "entities": []}']
    (tmp_path / "in.jsonl").write_bytes("\n".join([good, *bad, good]).encode() + b'\n{"text": "\xff"}\n')
    report = run_corpus(tmp_path / "in.jsonl", tmp_path / "out", pipeline)
    assert report.counts == (2, 2, 6)
    (path,) = (tmp_path / "out" / "dead_letters").iterdir()
    letters = [json.loads(line) for line in path.open(encoding="utf8")]
    assert [letter["where"].rsplit(":", 1)[-1] for letter in letters] == ["2", "3", "4", "5", "6", "8"]
    assert "no JSON" in letters[0]["reason"]
    assert "'text'" in letters[2]["reason"]


def test_a_text_that_the_pipeline_refuses_is_set_aside(pipeline, tmp_path):
    records = make_records(5)
    records[2]["text"] = "x" * 1_000_001
    report = run_corpus(write_jsonl(tmp_path / "in.jsonl", records), tmp_path / "out", pipeline, id_field="id")
    assert report.counts == (4, 4, 1)
    (path,) = (tmp_path / "out" / "dead_letters").iterdir()
    letter = json.loads(path.read_text(encoding="utf8"))
    assert letter["id"] == 2
    assert "E088" in letter["reason"]


@pytest.mark.parametrize("size", [1, 7, 40, 100_000])
def test_units_cover_every_line_once(tmp_path, monkeypatch, size):
    monkeypatch.setattr("spacy_openner.bulk.plan.UNIT_BYTES", size)
    texts = [f"line {i} é 日本" for i in range(50)]
    (tmp_path / "in.txt").write_text("\n".join(texts), encoding="utf8")
    files = find_sources(str(tmp_path / "in.txt"))
    units = plan_units(files, choose_unit_bytes(files))
    vocab = Vocab()
    found = [record.text for unit in units for record in read_records(unit, RecordFields(), vocab)]
    assert found == texts


def test_what_a_killed_worker_has_half_written_is_gone_at_the_end(tmp_path):
    with Journal(tmp_path / "out").opened({}):
        (tmp_path / "out" / ".part-000000-00000-00000.jsonl.123@host.abcd.part").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["_run"]


@pytest.mark.parametrize(("own", "given", "sizes"), [(7, None, [7, 3, 7, 3]), (7, 4, [4, 4, 2, 4, 4, 2])])
def test_records_are_taken_together_as_the_pipeline_says(tmp_path, own, given, sizes):
    taken = []

    class Noting:
        def __call__(self, doc):
            return doc

        def pipe(self, stream, batch_size):
            for docs in spacy.util.minibatch(stream, batch_size):
                taken.append(len(docs))
                yield from docs

    @spacy.Language.factory("noting")
    def make_noting(nlp, name):
        return Noting()

    nlp = spacy.blank("en", config={"nlp": {"batch_size": own}})
    nlp.add_pipe("noting")
    nlp.to_disk(tmp_path / "noting")
    source = write_jsonl(tmp_path / "in.jsonl", make_records(20))
    run_corpus(source, tmp_path / "out", tmp_path / "noting", shard_size=10, batch_size=given)
    assert taken == sizes


def test_limit(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr("spacy_openner.bulk.plan.UNIT_BYTES", 200)
    source = write_jsonl(tmp_path / "in.jsonl", make_records(30))
    assert run_corpus(source, tmp_path / "out", pipeline, limit=11).counts.records == 11
    assert [record["id"] for record in read_output(tmp_path / "out")] == list(range(11))


def test_two_workers_write_the_same(pipeline, tmp_path, monkeypatch, forked_workers):
    monkeypatch.setattr("spacy_openner.bulk.plan.UNIT_BYTES", 1000)
    source = write_jsonl(tmp_path / "in.jsonl", make_records(60))
    one = run_corpus(source, tmp_path / "one", pipeline, shard_size=7)
    two = run_corpus(source, tmp_path / "two", pipeline, shard_size=7, workers=2)
    assert one == two
    assert one.units > 3
    assert all_bytes(tmp_path / "one") == all_bytes(tmp_path / "two")


def test_a_worker_that_is_spawned_writes_the_same(pipeline, own_plugins, tmp_path):
    """As users' are. One unit keeps one worker busy, and a second one is not begun: it would import everything anew."""
    source = write_jsonl(tmp_path / "in.jsonl", make_records(10))
    run_corpus(source, tmp_path / "here", pipeline)
    assert run_corpus(source, tmp_path / "there", pipeline, workers=2).counts.records == 10
    assert all_bytes(tmp_path / "here") == all_bytes(tmp_path / "there")


def test_a_finished_run_does_nothing_again(pipeline, tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", make_records(10))
    first = run_corpus(source, tmp_path / "out", pipeline)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.json*")}
    assert run_corpus(source, tmp_path / "out", pipeline) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.json*")} == times


@pytest.mark.parametrize(
    ("change", "named"), [({"labels": ["city"]}, "labels"), ({"shard_size": 3}, "shard_size"), ({"limit": 2}, "limit")]
)
def test_other_settings_are_refused(pipeline, tmp_path, change, named):
    source = write_jsonl(tmp_path / "in.jsonl", make_records(10))
    run_corpus(source, tmp_path / "out", pipeline)
    with pytest.raises(DataError, match=named):
        run_corpus(source, tmp_path / "out", pipeline, **change)


def test_another_corpus_is_refused(pipeline, tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", make_records(10))
    run_corpus(source, tmp_path / "out", pipeline)
    write_jsonl(source, make_records(11))
    with pytest.raises(DataError, match="sources"):
        run_corpus(source, tmp_path / "out", pipeline)


def test_a_folder_of_other_files_is_refused(pipeline, tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", make_records(1))
    with pytest.raises(DataError, match="no run has written"):
        run_corpus(source, tmp_path, pipeline)


@pytest.mark.parametrize("change", [{"engine": "spark"}, {"format": "xml"}, {"workers": 0}, {"limit": True}])
def test_wrong_arguments(pipeline, tmp_path, change):
    source = write_jsonl(tmp_path / "in.jsonl", make_records(1))
    with pytest.raises(SettingError, match=next(iter(change))):
        run_corpus(source, tmp_path / "out", pipeline, **change)


def test_an_unreadable_file_costs_only_itself(pipeline, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    write_jsonl(folder / "a.jsonl", make_records(3))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "Niels Bohr"}\n' * 500)[:-20])
    write_jsonl(folder / "c.jsonl", make_records(4))
    report = run_corpus(folder, tmp_path / "out", pipeline)
    assert (report.units, report.finished) == (3, 2)
    ((path, reason),) = report.problems
    assert path.endswith("b.jsonl.gz")
    assert "O602" in reason
    assert run_corpus(folder, tmp_path / "out", pipeline).problems == report.problems


KILLED = """
import sys
from spacy.language import Language
from spacy_openner.bulk.run import run_corpus
import spacy_openner.bulk.plan as plan
plan.UNIT_BYTES = 3000
run_corpus(sys.argv[1], sys.argv[2], sys.argv[3], shard_size=5, workers=int(sys.argv[4]))
"""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.usefixtures("forked_workers")
def test_a_killed_run_goes_on(pipeline, tmp_path, monkeypatch, workers):
    monkeypatch.setattr("spacy_openner.bulk.plan.UNIT_BYTES", 3000)
    source = write_jsonl(tmp_path / "in.jsonl", make_records(400))
    whole = run_corpus(source, tmp_path / "whole", pipeline, shard_size=5)
    process = start_python(["-c", KILLED, source, tmp_path / "out", pipeline, workers], start_new_session=True)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "out").glob("part-*"))) < 10 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # Its workers hold the lock of the run until they are gone, too.
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.01)
    assert run_corpus(source, tmp_path / "out", pipeline, shard_size=5) == whole
    assert all_bytes(tmp_path / "out") == all_bytes(tmp_path / "whole")


def test_records_of_docs_keep_their_annotation(tmp_path):
    nlp = spacy.blank("en")
    doc = Doc(nlp.vocab, words=["Niels", "Bohr", "called"], ents=["B-chemist", "I-chemist", "O"])
    DocBin(docs=[doc]).to_disk(tmp_path / "in.spacy")
    (unit,) = plan_units(find_sources(str(tmp_path / "in.spacy")), 1)
    (record,) = read_records(unit, RecordFields(), nlp.vocab)
    assert isinstance(record, Record)
    assert [(ent.text, ent.label_) for ent in record.doc.ents] == [("Niels Bohr", "chemist")]
