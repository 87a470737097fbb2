"""Odd files, tables and places: what can be read is annotated with all that it came with, and the rest is told."""

import gzip
import json

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_openner.bulk.run import run_corpus
from spacy_openner.errors import DataError, SettingError
from tests.support.corpora import all_bytes, make_records, read_output, write_jsonl

LINE = b'{"text": "Marie Curie called."}\n'


def dead_letters(dest):
    return [json.loads(line) for path in sorted((dest / "dead_letters").iterdir()) for line in path.open()]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "A.JSONL.GZ", "a.ndjson.Gz"])
def test_compressed_files(pipeline, tmp_path, name):
    # Two members, as `cat` puts them together.
    (tmp_path / name).write_bytes(gzip.compress(LINE) * 2)
    assert run_corpus(tmp_path / name, tmp_path / "out", pipeline).counts == (2, 2, 0)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt", "a.jsonl.gz"])
def test_an_empty_file_holds_no_records(pipeline, tmp_path, name):
    (tmp_path / name).touch()
    report = run_corpus(tmp_path / name, tmp_path / "out", pipeline)
    assert report.is_complete
    assert report.counts == (0, 0, 0)


def test_long_fields_and_odd_bytes_of_a_csv_file(pipeline, tmp_path):
    """Longer than the bound of Python's `csv`, and a row in Latin-1: each costs nothing but itself."""
    long = "Niels Bohr " * 20_000
    rows = [b"Niels Bohr,1", b"M\xe9 Niels Bohr,2", long.encode() + b",3", b"Niels Bohr,4"]
    (tmp_path / "a.csv").write_bytes(b"text,n\n" + b"\n".join(rows))
    report = run_corpus(tmp_path / "a.csv", tmp_path / "out", pipeline)
    assert report.problems == []
    assert [record["n"] for record in read_output(tmp_path / "out")] == ["1", "3", "4"]
    assert read_output(tmp_path / "out")[1]["text"] == long
    (letter,) = dead_letters(tmp_path / "out")
    assert (letter["reason"], letter["raw"]) == ("not UTF-8", "M\ufffd Niels Bohr,2")
    assert letter["where"].endswith("a.csv:3")


@pytest.mark.parametrize(
    ("header", "code", "named"),
    [
        ("text,n,n", "O602", "'n'"),
        ("text,text", "O602", "'text'"),
        ("id;text", "O603", "id;text"),
        ("\n", "O603", "none"),
    ],
)
def test_headers_that_are_refused(pipeline, tmp_path, header, code, named):
    (tmp_path / "a.csv").write_text(f"{header}\na,b,c\n")
    ((_, reason),) = run_corpus(tmp_path / "a.csv", tmp_path / "out", pipeline).problems
    assert code in reason
    assert named in reason
    assert "\x03" not in reason


def test_a_header_that_is_not_utf8(pipeline, tmp_path):
    (tmp_path / "a.csv").write_bytes("text,n\nNiels Bohr,1\n".encode("utf-16"))
    ((_, reason),) = run_corpus(tmp_path / "a.csv", tmp_path / "out", pipeline).problems
    assert "not UTF-8" in reason


def columns(arrow):
    """Nulls, nested and compressed columns, and values that Python has not."""
    return {
        "text": arrow.array(["Niels Bohr", None, "Ada Lovelace"]).dictionary_encode(),
        "kind": arrow.array(["a", "b", "a"]).dictionary_encode(),
        "nested": [{"a": [1, None], "b": {"c": "x"}}, None, {"a": None, "b": None}],
        "map": arrow.array([[("k", 1), ("k", 2)], None, []], type=arrow.map_(arrow.string(), arrow.int32())),
        "bytes": [b"\xff", None, b""],
        "pair": arrow.array([[1, 2], None, [3, None]], type=arrow.list_(arrow.int8(), 2)),
        "nothing": arrow.nulls(3),
        "moment": arrow.array([1, None, 2**62], type=arrow.timestamp("ns")),
        "far": arrow.array([2**62, None, -(2**62)], type=arrow.timestamp("us")),
    }


@pytest.mark.parametrize("shard_size", [1, 1000])
def test_columns_of_every_kind(pipeline, tmp_path, shard_size):
    """A table stays what it was. As JSON, what Python has no value for is text."""
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = arrow.table(columns(arrow)).replace_schema_metadata({"made by": "hand"})
    parquet.write_table(table, tmp_path / "in.parquet")
    for format in ("parquet", "jsonl"):
        report = run_corpus(tmp_path / "in.parquet", tmp_path / format, pipeline, format=format, shard_size=shard_size)
        assert (report.problems, report.counts) == ([], (2, 2, 1))
    paths = sorted((tmp_path / "parquet").glob("part-*.parquet"))
    written = arrow.concat_tables([parquet.read_table(path) for path in paths], promote_options="none")
    before = parquet.read_table(tmp_path / "in.parquet").take([0, 2])
    assert written.drop_columns(["entities"]).cast(before.schema).equals(before)
    assert written.schema.metadata == {b"made by": b"hand"}
    assert str(written.schema.field("kind").type) == str(before.schema.field("kind").type)
    first, second = read_output(tmp_path / "jsonl")
    assert (first["nested"], second["nested"]) == ({"a": [1, None], "b": {"c": "x"}}, {"a": None, "b": None})
    assert first["moment"].startswith("1970-01-01 00:00:00.000000001")
    assert first["far"] == f"<value out of range: {2**62}>"
    assert (first["map"], second["pair"], second["nothing"]) == ([["k", 1], ["k", 2]], [3, None], None)


def test_columns_of_one_name_are_refused(pipeline, tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = arrow.Table.from_arrays(
        [arrow.array(["Niels Bohr"]), arrow.array([1]), arrow.array([2])], ["text", "a", "a"]
    )
    parquet.write_table(table, tmp_path / "in.parquet")
    ((_, reason),) = run_corpus(tmp_path / "in.parquet", tmp_path / "out", pipeline).problems
    assert "two columns are called 'a'" in reason


@pytest.mark.parametrize("format", ["jsonl", "parquet", "spacy"])
def test_docs_keep_what_they_came_with(pipeline, tmp_path, format):
    """Also the record of an earlier run, and names of records that are of more than one type."""
    blank = spacy.blank("en")
    docs = [blank("Niels Bohr"), blank("Ada Lovelace")]
    for doc, name in zip(docs, [7, "x"], strict=True):
        doc.user_data["id"] = name
    docs[0].user_data["record"] = '{"old": 1}'
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "in.spacy")
    report = run_corpus(tmp_path / "in.spacy", tmp_path / "out", pipeline, format=format, id_field="id")
    assert (report.problems, report.counts) == ([], (2, 2, 0))
    if format == "spacy":
        (path,) = (tmp_path / "out").glob("part-*")
        found = list(DocBin().from_disk(path).get_docs(blank.vocab))
        assert [doc.user_data["id"] for doc in found] == [7, "x"]
        assert found[0].user_data["record"] == '{"old": 1}'


@pytest.fixture
def places(tmp_path):
    """Files whose names hold what globs are made of, beside directories."""
    for name in ("in/a.jsonl", "in/sub/b[1].jsonl", "in/sub[2]/c.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(LINE)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "n"),
    [("in", 3), ("in/**", 3), ("in/*.jsonl", 1), ("in/sub/b[1].jsonl", 1), ("in/sub[2]", 1), ("in/sub*/*.jsonl", 2)],
)
def test_places(pipeline, places, source, n):
    assert run_corpus(places / source, places / "out", pipeline).counts.records == n


@pytest.mark.parametrize(
    ("source", "code"), [("in/*.doc", "O605"), ("nowhere", "O605"), ("in/x[1].jsonl", "O605"), ("foo://bar", "O611")]
)
def test_places_that_hold_nothing(pipeline, places, monkeypatch, source, code):
    monkeypatch.chdir(places)
    with pytest.raises(DataError, match=code):
        run_corpus(source, "out", pipeline)
    assert not (places / "out").exists()


@pytest.mark.parametrize("source", ["in", "in/**/*.jsonl"])
def test_the_output_may_lie_in_the_corpus(pipeline, places, source):
    """It is no part of it, neither now nor when the run goes on."""
    first = run_corpus(places / source, places / "in" / "out", pipeline)
    before = all_bytes(places / "in" / "out")
    assert first.counts.records == 3
    assert run_corpus(places / source, places / "in" / "out", pipeline) == first
    assert all_bytes(places / "in" / "out") == before


@pytest.mark.parametrize("dest", ["s3://bucket/out", "gs:/bucket/out", "file:///tmp/out"])
def test_output_goes_to_no_url(pipeline, places, monkeypatch, dest):
    monkeypatch.chdir(places)
    with pytest.raises(SettingError, match=r"O001.*dest"):
        run_corpus("in", dest, pipeline)
    assert [path.name for path in places.iterdir()] == ["in"]


def test_output_that_is_a_file_is_refused(pipeline, places):
    for dest in (places / "in" / "a.jsonl", places / "in" / "a.jsonl" / "out"):
        with pytest.raises(DataError, match="O407"):
            run_corpus(places / "in" / "sub", dest, pipeline)
    assert (places / "in" / "a.jsonl").read_bytes() == LINE


def test_relative_paths_hold_where_workers_are_elsewhere(pipeline, tmp_path, monkeypatch):
    """A worker of a cluster has a working directory of its own."""
    asked = []

    def elsewhere(units, settings, workers):
        asked.append((settings.pipeline, settings.dest, {unit.path for unit in units}))
        yield from ()

    write_jsonl(tmp_path / "in.jsonl", make_records(2))
    monkeypatch.chdir(tmp_path)
    spacy.load(pipeline).to_disk("rules")
    monkeypatch.setattr("spacy_openner.bulk.run.run_locally", elsewhere)
    run_corpus("in.jsonl", "out", "rules")
    assert asked == [(str(tmp_path / "rules"), str(tmp_path / "out"), {str(tmp_path / "in.jsonl")})]


@pytest.mark.parametrize(
    "change",
    [
        {"entities_field": "text"},
        {"entities_field": "id", "id_field": "id"},
        {"entities_field": "record", "format": "parquet"},
        {"entities_field": "text", "text_field": "body", "format": "parquet"},
    ],
)
def test_entities_take_the_place_of_nothing_else(pipeline, places, change):
    with pytest.raises(SettingError, match=r"O001.*entities_field"):
        run_corpus(places / "in", places / "out", pipeline, **change)


def test_labels_that_no_component_looks_for_are_refused(pipeline, places):
    """The pipeline of rules would find its own types, as if nothing had been asked."""
    with pytest.raises(DataError, match=r"O610.*O652"):
        run_corpus(places / "in", places / "out", pipeline, labels=["city"])


DAMAGED = {
    "b.jsonl.gz": b"junk",
    "b.parquet": b"PAR1xx",
    "b.spacy": b"junk",
    "b.csv": b"other\nAda\n",
    "b.jsonl": None,
    "b.txt": None,
}


@pytest.mark.parametrize("limit", [None, 5, 8])
@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_cannot_be_read_costs_no_other_one(pipeline, tmp_path, name, limit):
    """Nor one that cannot even be opened, as a link to nowhere; nor a run with a limit, which counts the records first."""
    folder = tmp_path / "in"
    folder.mkdir()
    for other in ("a", "c"):
        write_jsonl(folder / f"{other}.jsonl", make_records(5))
    if DAMAGED[name] is None:
        (folder / name).symlink_to(tmp_path / "nowhere")
    else:
        (folder / name).write_bytes(DAMAGED[name])
    call = (folder, tmp_path / "out", pipeline)
    report = run_corpus(*call, limit=limit)
    assert report.counts.records == (10 if limit is None else limit)
    assert [path for path, _ in report.problems] == ([] if limit == 5 else [str(folder / name)])
    if limit is None:
        (folder / name).unlink()
        (folder / name).write_bytes(b"" if name.endswith((".jsonl", ".txt")) else DAMAGED[name])
        after = run_corpus(*call)
        assert after.is_complete == (DAMAGED[name] is None)
