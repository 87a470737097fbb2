"""Files are written whole or not at all."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spacy_openner import files
from spacy_openner.errors import DataError, SettingError
from spacy_openner.files import (
    as_path,
    refuse_overwriting,
    replaced_directory,
    replaced_file,
    write_bytes,
    write_text,
)


def names(path):
    return sorted(each.name for each in path.iterdir())


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    write_text(path, "é")
    assert path.read_bytes() == "é".encode()
    write_bytes(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert names(tmp_path) == ["a.txt"]


def test_a_failing_block_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write():
        with replaced_file(path) as beside:
            beside.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match=r"\[O407\].*No space left"):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "link"
    path.symlink_to("/dev/full")
    with pytest.raises(DataError, match="O407"):
        write_text(path, "new")


def test_permissions_stay_and_new_files_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "new", "x")
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
        (tmp_path / "new").chmod(0o600)
        write_text(tmp_path / "new", "y")
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(old)


def test_links_are_followed(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "real").read_text() == "new"
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("target", ["nowhere/a.txt", "."])
def test_what_cannot_be_written_is_said(tmp_path, target):
    with pytest.raises(DataError, match="O407"):
        write_text(tmp_path / target, "x")


def test_text_that_is_no_utf8(tmp_path):
    with pytest.raises(DataError, match="O407"):
        write_text(tmp_path / "a", "\ud800")


def test_a_directory_is_swapped_whole(tmp_path):
    path = tmp_path / "d"
    path.mkdir()
    (path / "stale").write_text("old")
    with replaced_directory(path, ["stale"]) as beside:
        (beside / "fresh").write_text("new")
        assert names(path) == ["stale"]
    assert names(path) == ["fresh"]
    assert names(tmp_path) == ["d"]


def test_a_failing_block_leaves_the_old_directory(tmp_path):
    path = tmp_path / "d"
    path.mkdir()
    (path / "stale").write_text("old")

    def write():
        with replaced_directory(path, ["stale"]) as beside:
            (beside / "fresh").write_text("new")
            raise KeyError("x")

    with pytest.raises(KeyError):
        write()
    assert names(path) == ["stale"]
    assert names(tmp_path) == ["d"]


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.json"
    path.write_text("old")
    program = (
        "import sys, time\nfrom spacy_openner.files import replaced_file\n"
        "with replaced_file(sys.argv[1]) as beside:\n"
        "    beside.write_text('half'); print('ready', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"


KILLED = """
import sys, time
from spacy_openner.files import replaced_{kind}
with replaced_{kind}(sys.argv[1]{holds}) as beside:
    ({path}).write_text("half")
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize(("kind", "path"), [("file", "beside"), ("directory", "beside / 'a'")])
def test_what_a_killed_writer_left_is_cleared_up_by_the_next_one(tmp_path, kind, path):
    target = tmp_path / "target"

    holds = [["a"]] if kind == "directory" else []

    def write(text):
        with getattr(files, f"replaced_{kind}")(target, *holds) as beside:
            (beside if kind == "file" else beside / "a").write_text(text)

    def read():
        return (target if kind == "file" else target / "a").read_text()

    write("old")
    code = KILLED.format(kind=kind, path=path, holds=', ["a"]' if holds else "")
    with subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        write("new")
        assert len(names(tmp_path)) == 2, "the other one still runs"
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert read() == "new"
    write("newer")
    assert (read(), names(tmp_path)) == ("newer", ["target"])


def test_others_of_a_directory_can_be_left_to_the_caller(tmp_path):
    left = tmp_path / ".data.999999999@host.0.part"
    left.touch()
    os.utime(left, (0, 0))
    with replaced_file(tmp_path / "data", clear=False) as beside:
        beside.write_text("new")
    assert left.exists()
    with replaced_file(tmp_path / "data") as beside:
        beside.write_text("newer")
    assert not left.exists()


def test_partial_files_of_other_machines_go_after_a_day(tmp_path):
    fresh, old = (tmp_path / f".a.12@elsewhere.{i}.part" for i in (1, 2))
    for path in (fresh, old):
        path.touch()
    os.utime(old, (time.time() - 90_000,) * 2)
    write_text(tmp_path / "a", "x")
    assert names(tmp_path) == [fresh.name, "a"]


def test_a_directory_that_was_moved_away_comes_back(tmp_path):
    (tmp_path / ".d.999999999@gone.1.old").mkdir()
    (tmp_path / ".d.999999999@gone.1.old" / "a").write_text("old")
    os.utime(tmp_path / ".d.999999999@gone.1.old", (1, 1))

    def fail():
        with replaced_directory(tmp_path / "d", ["a"]):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (tmp_path / "d" / "a").read_text() == "old"


def test_a_directory_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("mine")
    with (
        pytest.raises(DataError, match=r"O407.*would be lost \(thesis.txt\)"),
        replaced_directory(tmp_path / "d", ["a"]),
    ):
        raise AssertionError("nothing was to be written")
    assert names(tmp_path / "d") == ["thesis.txt"]


@pytest.mark.parametrize("below", ["", "sub"])
def test_the_current_directory_stays_the_one_we_are_in(below, tmp_path, monkeypatch):
    directory = tmp_path / "d"
    (directory / below).mkdir(parents=True)
    (directory / "a").write_text("old")
    monkeypatch.chdir(directory / below)
    with replaced_directory(directory, ["a", "sub"]) as beside:
        (beside / "a").write_text("new")
    assert Path.cwd() == directory / below
    assert (directory / "a").read_text() == "new"


@pytest.mark.parametrize("odd", [None, "", 5, b"a", "a\0b", ["a"], True, "x" * 300, "x/" * 3_000, "\ud800"])
def test_what_is_no_path_is_refused(odd):
    with pytest.raises(SettingError, match=r"O001.*`path`"):
        as_path(odd)


def test_other_names_in_a_directory_can_be_kept(tmp_path):
    (tmp_path / "d" / "part").mkdir(parents=True)
    (tmp_path / "d" / "part" / "stale").write_text("old")
    (tmp_path / "d" / "own").write_text("mine")
    with replaced_directory(tmp_path / "d", keep_others=True) as beside:
        (beside / "part").mkdir()
        (beside / "part" / "fresh").write_text("new")
        (beside / "x").write_text("new")
    assert names(tmp_path / "d") == ["own", "part", "x"]
    assert names(tmp_path / "d" / "part") == ["fresh"], "nothing of the old part is left"
    assert names(tmp_path) == ["d"]


def test_missing_directories_are_made_where_that_is_asked_for(tmp_path):
    with replaced_file(tmp_path / "x" / "y" / "a", parents=True) as beside:
        beside.write_text("a")
    with replaced_directory(tmp_path / "z" / "d", parents=True) as beside:
        (beside / "b").write_text("b")
    assert (tmp_path / "x" / "y" / "a").read_text() + (tmp_path / "z" / "d" / "b").read_text() == "ab"


def test_outputs_that_are_inputs_are_refused(tmp_path):
    (tmp_path / "in.txt").write_text("a")
    (tmp_path / "link").symlink_to("in.txt")
    refuse_overwriting([tmp_path / "in.txt", None], [tmp_path / "out.txt", None])
    for output in (tmp_path / "in.txt", tmp_path / "link", tmp_path / "x" / ".." / "in.txt"):
        with pytest.raises(SettingError, match="O409"):
            refuse_overwriting([tmp_path / "in.txt"], [output])
    with pytest.raises(SettingError, match="O409"):
        refuse_overwriting([tmp_path], [tmp_path / "in.txt"])
    with pytest.raises(SettingError, match="O415"):
        refuse_overwriting([], [tmp_path / "out", None, None, tmp_path / "x" / ".." / "out"])
