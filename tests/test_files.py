import os
import signal
import subprocess
import sys

import pytest

from spacy_openner.errors import DataError
from spacy_openner.files import (
    read_json_strictly,
    replaced_directory,
    replaced_file,
    write_bytes,
    write_json,
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
    write_json(tmp_path / "a", {"x": "\ud800é"})
    assert read_json_strictly(tmp_path / "a") == {"x": "\ud800é"}


def test_a_directory_is_swapped_whole(tmp_path):
    path = tmp_path / "d"
    path.mkdir()
    (path / "stale").write_text("old")
    with replaced_directory(path) as beside:
        (beside / "fresh").write_text("new")
        assert names(path) == ["stale"]
    assert names(path) == ["fresh"]
    assert names(tmp_path) == ["d"]


def test_a_failing_block_leaves_the_old_directory(tmp_path):
    path = tmp_path / "d"
    path.mkdir()
    (path / "stale").write_text("old")

    def write():
        with replaced_directory(path) as beside:
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


def test_strict_json(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, "é"]})
    assert "é" in path.read_text(encoding="utf8")
    assert read_json_strictly(path) == {"b": [1, "é"]}
    for text, reason in (
        ('{"a": 1, "a": 2}', "more than one entry"),
        ("[1,]", "."),
        ("[1] x", "."),
        ("[" * 100000, "."),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=rf"\[O403\].*{reason}"):
            read_json_strictly(path)
    with pytest.raises(DataError, match="O403"):
        read_json_strictly(tmp_path / "none.json")
