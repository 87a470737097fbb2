"""The output and the journal of a finished run that are cut, changed or removed: made anew or refused, never taken as whole."""

import json
import shutil

import pytest

from spacy_openner.bulk.journal import Counts, Journal
from spacy_openner.bulk.run import run_corpus
from spacy_openner.errors import DataError
from tests.support.corpora import all_bytes, rules

OUTPUT, ASIDE = "part-000000-00000-00001.jsonl", "dead_letters/part-000000-00000-00001.jsonl"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A source, a pipeline, and the output of a run of three parts, the second with a record set aside."""
    path = tmp_path_factory.mktemp("run")
    rules().to_disk(path / "rules")
    lines = [json.dumps({"text": f"Niels Bohr wrote {i}."}) + "\n" for i in range(6)]
    (path / "in.jsonl").write_text("".join([*lines[:3], "no JSON\n", *lines[3:]]))
    run(path, path / "whole")
    return path


def run(finished, dest):
    return run_corpus(finished / "in.jsonl", dest, finished / "rules", shard_size=3)


@pytest.fixture
def dest(finished, tmp_path):
    shutil.copytree(finished / "whole", tmp_path / "out")
    return tmp_path / "out"


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def change(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def grow(path):
    path.write_bytes(path.read_bytes() * 2)


DAMAGES = {"cut": cut, "changed": change, "longer": grow, "empty": lambda path: path.write_bytes(b"")}
DAMAGES["gone"] = lambda path: path.unlink()


@pytest.mark.parametrize("name", [OUTPUT, ASIDE])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_output_that_is_not_what_it_was_is_made_anew(name, damage, finished, dest):
    whole = run(finished, dest)
    assert (whole.counts, whole.remade, whole.is_complete) == (Counts(6, 6, 1), [], True)
    damage(dest / name)
    again = run(finished, dest)
    assert (again.counts, again.remade, again.is_complete) == (whole.counts, [name], True)
    assert all_bytes(dest) == all_bytes(finished / "whole")
    assert run(finished, dest).remade == []


def test_all_output_gone(finished, dest):
    for path in dest.glob("part-*"):
        path.unlink()
    shutil.rmtree(dest / "dead_letters")
    assert len(run(finished, dest).remade) == 4
    assert all_bytes(dest) == all_bytes(finished / "whole")


def test_what_an_attempt_left_goes_with_the_next(finished, dest, tmp_path):
    """A record that failed for want of memory, before its process died, may do so no more."""
    first = "part-000000-00000-00000.jsonl"
    for path in (dest / "_run").rglob("000000*"):
        path.unlink()
    (dest / "dead_letters" / first).write_text("{}\n")
    assert run(finished, dest).counts == Counts(6, 6, 1)
    assert all_bytes(dest) == all_bytes(finished / "whole")


@pytest.mark.parametrize("name", [OUTPUT, ASIDE, "a part of two"])
def test_a_file_that_is_cut_anywhere_is_noticed(name, tmp_path):
    journal, path = Journal(tmp_path), tmp_path / name
    path.parent.mkdir(exist_ok=True)
    data = bytes(range(256)) * 4
    other = tmp_path / "other"
    other.write_bytes(b"whole")
    for i in range(20):
        path.write_bytes(data)
        journal.finish_part("000000-00000", 0, Counts(1, 1, 0), [path, other])
        assert journal.part_counts("000000-00000", 0) == Counts(1, 1, 0)
        path.write_bytes(data[: len(data) * i // 20])
        assert journal.part_counts("000000-00000", 0) is None
        assert journal.take_changed() == [name]


@pytest.mark.parametrize("name", ["_run/run.json", "_run/sources.json", "_run/000/000000-00000.json"])
def test_a_journal_that_is_cut_or_changed_anywhere_is_refused(name, finished, dest):
    path = dest / name
    data = path.read_bytes()
    odd = [data[: len(data) * i // 20] for i in range(20)]
    # A digit that became another one would be a count that nobody made.
    changed = [
        bytes([*data[:i], data[i] ^ 1, *data[i + 1 :]]) for i in range(0, len(data), 7) if data[i : i + 1].isalnum()
    ]
    for each in (*odd, *changed, b"{}", b"null", data.replace(b'"seal"', b'"deal"')):
        path.write_bytes(each)
        with pytest.raises(DataError, match=r"O403.*json"):
            run(finished, dest)
    assert len(changed) > 5
    path.write_bytes(data)
    assert run(finished, dest).is_complete


def test_a_journal_without_its_sources_is_refused(finished, dest):
    """Else the files of now would be taken for those of then."""
    (dest / "_run" / "sources.json").unlink()
    with pytest.raises(DataError, match=r"O403.*sources\.json.*gone"):
        run(finished, dest)


def test_an_entry_that_is_gone_is_made_anew(finished, dest):
    (dest / "_run" / "000" / "000000-00000.json").unlink()
    assert run(finished, dest).is_complete
    assert all_bytes(dest) == all_bytes(finished / "whole")
