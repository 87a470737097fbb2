"""Full disks, damaged files and killed processes: a clear message, and a run that can go on."""

import errno
import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import spacy
import torch
from spacy.tokens import DocBin

from spacy_openner.bulk.annotator import LOST, RunSettings, UnitAnnotator
from spacy_openner.bulk.journal import Counts, Journal
from spacy_openner.bulk.plan import find_sources, plan_units
from spacy_openner.bulk.run import run_corpus
from spacy_openner.errors import DataError
from tests.support.corpora import all_bytes, make_records, write_jsonl
from tests.support.forked_python import run_python


@pytest.fixture
def folder(tmp_path):
    """A corpus of two small files and a larger one between them."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, n in (("a", 20), ("b", 400), ("c", 20)):
        write_jsonl(folder / f"{name}.jsonl", make_records(n))
    return folder


def run_command(source, dest, pipeline, **options):
    return run_python(["-m", "spacy_openner", "run", source, dest, "--pipeline", pipeline], **options)


def limit_files(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_run_that_cannot_write_goes_on_later(folder, pipeline, tmp_path):
    whole = run_corpus(folder, tmp_path / "whole", pipeline)
    run = run_command(folder, tmp_path / "out", pipeline, preexec_fn=partial(limit_files, 30_000))
    assert run.returncode == 1
    assert "O610" in run.stderr
    assert "File too large" in run.stderr
    assert "1 of 3 units are finished and kept" in run.stderr
    assert "Traceback" not in run.stderr
    assert run_corpus(folder, tmp_path / "out", pipeline) == whole
    assert all_bytes(tmp_path / "out") == all_bytes(tmp_path / "whole")


@pytest.mark.slow
def test_a_full_disk(folder, pipeline, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        run = run_command(folder, disk / "out", pipeline)
        assert run.returncode == 1
        assert "O610" in run.stderr
        assert "No space left on device" in run.stderr
        assert not list((disk / "out").rglob(".*.part"))
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        whole = run_corpus(folder, tmp_path / "whole", pipeline)
        assert run_corpus(folder, disk / "out", pipeline) == whole
        assert all_bytes(disk / "out") == all_bytes(tmp_path / "whole")
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("name", ["run.json", "sources.json", "000001-00000-00000.json", "000001-00000.json"])
def test_a_disk_that_is_full_for_the_journal(folder, pipeline, tmp_path, monkeypatch, name):
    """For each of its files; what was written of it is gone, and what was finished before is kept."""
    rename = Path.replace

    def refuse(path, target):
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        return rename(path, target)

    whole = run_corpus(folder, tmp_path / "whole", pipeline)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", refuse)
        with pytest.raises(DataError, match=r"O(407|610).*No space left on device"):
            run_corpus(folder, tmp_path / "out", pipeline)
    assert not list((tmp_path / "out" / "_run").rglob(f"*{name}*"))
    assert run_corpus(folder, tmp_path / "out", pipeline) == whole
    assert all_bytes(tmp_path / "out") == all_bytes(tmp_path / "whole")


ALONE = """
import sys
import spacy_openner.bulk.plan as plan
from spacy_openner.bulk.run import run_corpus

if __name__ == "__main__":
    plan.UNIT_BYTES = 3000
    run_corpus(sys.argv[1], sys.argv[2], sys.argv[3], shard_size=5, workers=2)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_workers_end_with_a_run_that_is_ended(faulty, tmp_path, monkeypatch, how):
    """It alone gets the signal, as a service manager or the kernel sends it; they would wait for it for ever."""
    monkeypatch.setattr("spacy_openner.bulk.plan.UNIT_BYTES", 3000)
    source = write_jsonl(tmp_path / "in.jsonl", make_records(400, " before sleep"))
    program = tmp_path / "program.py"
    program.write_text(ALONE)
    process = subprocess.Popen([sys.executable, program, source, tmp_path / "out", faulty])
    await_files(tmp_path / "out", "part-*", 10, process)
    # On a busy machine the second worker may begin late.
    await_files(tmp_path / "faulty" / "pids", "*", 2, process)
    process.send_signal(how)
    assert process.wait(30) == -how
    workers = [int(path.name) for path in (tmp_path / "faulty" / "pids").iterdir()]
    deadline = time.monotonic() + 30
    while any(map(is_running, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert run_corpus(source, tmp_path / "out", faulty, shard_size=5).is_complete
    run_corpus(source, tmp_path / "whole", faulty, shard_size=5)
    assert all_bytes(tmp_path / "out") == all_bytes(tmp_path / "whole")


def await_files(folder, pattern, n, process):
    deadline = time.monotonic() + 200
    while len(list(folder.glob(pattern))) < n:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid):
    """A process that nobody has waited for yet is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def compressed(n):
    return gzip.compress("".join(json.dumps(record) + "\n" for record in make_records(n)).encode(), mtime=0)


@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_a_damaged_file_can_be_mended(folder, pipeline, tmp_path, damage):
    whole = compressed(3000)
    half = len(whole) // 2
    damaged = whole[:half] if damage == "cut" else whole[:half] + b"\xff" * 50 + whole[half + 50 :]
    (folder / "b.jsonl.gz").write_bytes(damaged)
    report = run_corpus(folder, tmp_path / "out", pipeline, shard_size=300)
    ((path, reason),) = report.problems
    assert path.endswith("b.jsonl.gz")
    assert "O602" in reason
    assert (report.units, report.finished) == (4, 3)
    (folder / "b.jsonl.gz").write_bytes(whole)
    expected = run_corpus(folder, tmp_path / "whole", pipeline, shard_size=300)
    assert run_corpus(folder, tmp_path / "out", pipeline, shard_size=300) == expected
    assert all_bytes(tmp_path / "out") == all_bytes(tmp_path / "whole")
    # Now all is finished, and the file is to stay as it is.
    (folder / "b.jsonl.gz").write_bytes(compressed(2))
    with pytest.raises(DataError, match=r"O608.*b\.jsonl\.gz"):
        run_corpus(folder, tmp_path / "out", pipeline, shard_size=300)


@pytest.mark.parametrize("change", ["new", "gone"])
def test_files_that_come_and_go_are_refused(folder, pipeline, tmp_path, change):
    run_corpus(folder, tmp_path / "out", pipeline)
    if change == "new":
        write_jsonl(folder / "d.jsonl", make_records(1))
    else:
        (folder / "c.jsonl").unlink()
    with pytest.raises(DataError, match=r"O608.*[cd]\.jsonl"):
        run_corpus(folder, tmp_path / "out", pipeline)


def test_a_pipeline_that_cannot_be_loaded_ends_the_run(folder, pipeline, tmp_path):
    nlp = spacy.load(pipeline)
    nlp.to_disk(tmp_path / "broken")
    (tmp_path / "broken" / "config.cfg").write_text("[nlp]\nlang = 3\n")
    with pytest.raises(DataError, match=r"O610.*cannot be loaded.* 0 of 3 units"):
        run_corpus(folder, tmp_path / "out", tmp_path / "broken")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_run_on_gpus_needs_one(folder, pipeline, tmp_path):
    with pytest.raises(DataError, match=r"O610.*GPU"):
        run_corpus(folder, tmp_path / "out", pipeline, gpus=0.5)


@pytest.mark.usefixtures("forked_workers")
def test_a_unit_that_kills_its_worker_costs_no_other(faulty, tmp_path, monkeypatch):
    monkeypatch.setattr("spacy_openner.bulk.plan.UNIT_BYTES", 1000)
    records = make_records(60)
    records[25]["text"] = "Niels Bohr did not die here."
    source = write_jsonl(tmp_path / "in.jsonl", records)
    report = run_corpus(source, tmp_path / "out", faulty, workers=2)
    assert report.problems == [(str(source), LOST)]
    assert report.finished == report.units - 1 > 3


@pytest.mark.slow
def test_killed_workers_are_replaced(faulty, tmp_path, monkeypatch):
    monkeypatch.setattr("spacy_openner.bulk.plan.UNIT_BYTES", 3000)
    source = write_jsonl(tmp_path / "in.jsonl", make_records(400, " before sleep"))
    pids, killed = tmp_path / "faulty" / "pids", []

    def kill_one():
        while not killed:
            for path in pids.iterdir():
                if len(list((tmp_path / "out").glob("part-*"))) > 5:
                    os.kill(int(path.name), signal.SIGKILL)
                    killed.append(path.name)
                    return
            time.sleep(0.01)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    report = run_corpus(source, tmp_path / "out", faulty, workers=2, shard_size=5)
    # On a busy machine one of two workers may begin when all is done.
    assert {*killed} < {path.name for path in pids.iterdir()}
    assert report == run_corpus(source, tmp_path / "whole", faulty, workers=2, shard_size=5)
    assert report.is_complete
    assert all_bytes(tmp_path / "out") == all_bytes(tmp_path / "whole")


def test_strings_of_docs_do_not_pile_up(pipeline, tmp_path):
    blank = spacy.blank("en")
    docs = [blank(f"Niels Bohr met word{i}") for i in range(20)]
    DocBin(docs=docs).to_disk(tmp_path / "in.spacy")
    (unit,) = plan_units(find_sources(str(tmp_path / "in.spacy")), 1)
    annotator = UnitAnnotator(RunSettings(str(pipeline), str(tmp_path / "out"), format="spacy", shard_size=5))
    (tmp_path / "out").mkdir()
    before = len(annotator.nlp.vocab.strings)
    assert annotator(unit).counts == (20, 20, 0)
    assert len(annotator.nlp.vocab.strings) == before
    (first, *_) = sorted((tmp_path / "out").glob("part-*"))
    assert [doc[-1].text for doc in DocBin().from_disk(first).get_docs(blank.vocab)] == [f"word{i}" for i in range(5)]


@pytest.mark.parametrize("odd", ["", "[]", "null", "5", "{}", '{"records": 1}', "{", '{"records": "x"}', "\ufeff"])
def test_a_journal_that_was_damaged_is_refused(odd, tmp_path):
    journal = Journal(tmp_path)
    counts = Counts(3, 2, 1)
    journal.finish_part("000000-00000", 0, counts)
    journal.finish_unit("000001-00000", counts)
    journal.write_sources({"unit_bytes": 10, "files": [["a.jsonl", 3, "digest"]]})
    assert journal.part_counts("000000-00000", 0) == journal.unit_counts("000001-00000") == counts
    for path in tmp_path.rglob("*.json"):
        path.write_text(odd, encoding="utf8")
    for read in (
        lambda: journal.part_counts("000000-00000", 0),
        lambda: journal.unit_counts("000001-00000"),
        journal.read_sources,
    ):
        with pytest.raises(DataError, match="O403"):
            read()


@pytest.mark.parametrize("value", [True, 1.5, -1, "1", None])
def test_counts_of_a_journal_are_whole_numbers(value, tmp_path):
    journal = Journal(tmp_path)
    journal.finish_unit("000000-00000", Counts(value, 0, 0))
    with pytest.raises(DataError, match="O403"):
        journal.unit_counts("000000-00000")
    journal.write_sources({"unit_bytes": value, "files": []})
    with pytest.raises(DataError, match="O403"):
        journal.read_sources()


@pytest.mark.parametrize("rest", ["\n3,Lee\n", ""])
def test_a_quotation_mark_that_is_not_closed_takes_no_records_along(rest, pipeline, tmp_path):
    """The rest of the file cannot be told apart from it, so it is set aside, and not one long text."""
    table = tmp_path / "a.csv"
    table.write_text('id,text\n1,"Kim\nleft"\n2,"Bo' + rest)
    counts = run_corpus(table, tmp_path / "out", pipeline).counts
    assert (counts.records, counts.set_aside) == (1, 1)
    (aside,) = (tmp_path / "out" / "dead_letters").rglob("part-*")
    assert "a quotation mark that is not closed" in aside.read_text()
    table.write_text('id,text\n1,"Kim\nleft"\n2,"Bo"')
    assert run_corpus(table, tmp_path / "again", pipeline).counts.records == 2
