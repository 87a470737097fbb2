"""Links in directories that are written to: what they lead to is somebody else's, and stays as it is."""

import json
import os
import shutil
import time

import pytest
import spacy

from spacy_openner.bulk.run import run_corpus
from spacy_openner.errors import DataError
from spacy_openner.files import replaced_directory, replaced_file
from tests.support import tiny_models as tiny
from tests.support.corpora import rules


@pytest.fixture
def mine(tmp_path):
    """A directory with files that no save may touch."""
    path = tmp_path / "mine"
    path.mkdir()
    for name in ("cfg", "model.safetensors", "notes"):
        (path / name).write_text("mine")
    return path


def is_untouched(mine):
    return {file.name: file.read_text() for file in mine.iterdir()} == dict.fromkeys(
        ("cfg", "model.safetensors", "notes"), "mine"
    )


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    config = {"model": {"name": str(tiny.saved_types(tmp_path_factory.mktemp("types")))}, "labels": ["person"]}
    return spacy.blank("en").add_pipe("type_filter", config=config)


@pytest.mark.parametrize("exclude", [[], ["cfg"], ["model"]])
@pytest.mark.parametrize("inner", [False, True], ids=["the part", "a file of it"])
@pytest.mark.parametrize("part", ["cfg", "model", "vocab"])
def test_a_component_is_saved_over_links(part, inner, exclude, pipe, mine, tmp_path):
    pipe.to_disk(tmp_path / "component")
    place, target = tmp_path / "component" / part, mine if part != "cfg" else mine / "cfg"
    if inner and place.is_dir():
        place = sorted(file for file in place.rglob("*") if file.is_file())[0]
        target = mine / "notes"
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    place.symlink_to(target)
    pipe.to_disk(tmp_path / "component", exclude=exclude)
    assert is_untouched(mine)
    assert place.is_symlink() is (part in exclude)
    assert not [each.name for each in tmp_path.rglob(".*")]


def test_a_link_that_is_named_is_followed(mine, tmp_path):
    """Its owner has put it there: to another disk, or to the newest of several."""
    (tmp_path / "link").symlink_to(mine)
    with replaced_file(tmp_path / "link" / "notes") as beside:
        beside.write_text("new")
    assert (mine / "notes").read_text() == "new"
    with replaced_directory(tmp_path / "link", ("cfg", "model.safetensors", "notes")) as beside:
        (beside / "cfg").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert [(file.name, file.read_text()) for file in mine.iterdir()] == [("cfg", "new")]


def test_what_killed_processes_left_is_removed_as_a_link(mine, tmp_path):
    left = tmp_path / ".table.json.999999@nowhere.ab.part"
    left.symlink_to(mine)
    day = time.time() - 48 * 3600
    os.utime(mine, (day, day))
    with replaced_file(tmp_path / "table.json") as beside:
        beside.write_text("new")
    assert is_untouched(mine)
    assert not left.is_symlink()


@pytest.mark.parametrize(
    "place", ["part-000000-00000-00000.jsonl", "dead_letters", "_run", "_run/000", "_run/000/000000-00000.json", "more"]
)
def test_a_run_does_not_go_on_through_links(place, mine, tmp_path):
    rules().to_disk(tmp_path / "rules")
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps({"text": "Niels Bohr wrote."}) + "\nno JSON\n")

    def run():
        return run_corpus(source, tmp_path / "out", tmp_path / "rules")

    assert run().is_complete
    path = tmp_path / "out" / place
    if path.is_dir():
        shutil.move(path, tmp_path / "moved")
        path.symlink_to(tmp_path / "moved")
    else:
        path.unlink(missing_ok=True)
        path.symlink_to(mine / "notes")
    with pytest.raises(DataError, match=r"O606.*links"):
        run()
    assert is_untouched(mine)
