"""Writers that are killed at any change of files or at any byte, that meet a full disk, or a place for no directory."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import spacy
import torch
from spacy.tokens import Doc, DocBin, Span

from spacy_openner.bulk.run import run_corpus
from spacy_openner.data.convert import convert
from spacy_openner.data.docbin import write_annotated
from spacy_openner.lar.table import AlignmentTable
from spacy_openner.llm.cache import Cache
from tests.support import tiny_models as tiny
from tests.support.processes import in_child

NLP = spacy.blank("en")


class Writer(NamedTuple):
    """Writes an old and a new state of something below a directory, and reads which of the two is there."""

    write: Callable[[Path, str], Any]
    read: Callable[[Path], str]


def _write_table(path, state):
    AlignmentTable.from_dict({state: "person"}, "here").save(path / "table.json")


def _read_table(path):
    (target,) = AlignmentTable.load(path / "table.json").targets
    return target


def _write_docs(path, state):
    doc = Doc(NLP.vocab, words=["Ada"] * 500)
    doc.spans["openner"] = [Span(doc, 0, 1, label=state)]
    write_annotated([doc], path / "docs.spacy", [state])


def _read_docs(path):
    (doc,) = DocBin().from_disk(path / "docs.spacy").get_docs(NLP.vocab)
    assert len(doc) == 500
    return _of_its_types(doc, path / "docs.labels.json")


def _of_its_types(doc, listing):
    """The label of a doc; a list of types beside it, if there is one, knows it."""
    label = doc.spans["openner"][0].label_
    assert not listing.exists() or label in json.loads(listing.read_text())
    return label


def _convert(path, state):
    source = path / f"{state}.jsonl"
    source.write_text(json.dumps({"tokens": ["Ada"] * 500, "spans": [[0, 1, state]]}) + "\n")
    convert(source, path / "converted.spacy")


def _read_converted(path):
    (doc,) = DocBin().from_disk(path / "converted.spacy").get_docs(NLP.vocab)
    return _of_its_types(doc, path / "converted.labels.json")


STATIC: dict[str, Path] = {}
PIPES: dict[str, Any] = {}


def _pipe(state):
    """A type filter whose weights and settings say which of the two it is."""
    threshold = {"old": -0.5, "new": 0.5}[state]
    config = {"model": {"name": str(STATIC[state])}, "labels": ["person"], "threshold": threshold}
    return NLP.create_pipe("type_filter", config=config)


def _save_component(path, state):
    PIPES[state].to_disk(path / "component")


def _load_component(path):
    pipe = _pipe("old").from_disk(path / "component")
    state = "old" if pipe.threshold < 0 else "new"
    table, wanted = pipe.model.shims[0].network.encoder.tokens, PIPES[state].model.shims[0].network.encoder.tokens
    assert torch.equal(table, wanted), "settings of one and weights of the other"
    return state


WRITERS = {
    "table": Writer(_write_table, _read_table),
    "docs": Writer(_write_docs, _read_docs),
    "convert": Writer(_convert, _read_converted),
    "component": Writer(_save_component, _load_component),
}
BYTES = (0, 10, 100, 1_000, 3_000)


@pytest.fixture(scope="module", autouse=True)
def static(tmp_path_factory):
    for seed, state in enumerate(("old", "new")):
        STATIC[state] = tiny.saved_types(tmp_path_factory.mktemp(state), seed=seed)
        PIPES[state] = _pipe(state)


@pytest.fixture(params=WRITERS)
def writer(request):
    return WRITERS[request.param]


def hidden(path):
    return [each.name for each in path.rglob(".*")]


def test_killed_at_any_change(writer, tmp_path):
    """All that it had written before is there, or all that it was to write; what it leaves goes with the next write."""
    writer.write(tmp_path, "old")
    states = []
    for nth in range(1, 200, 3 if writer is WRITERS["component"] else 1):
        outcome = in_child(lambda: writer.write(tmp_path, "new"), kill_at=nth, under=tmp_path)
        assert not outcome.raised, outcome
        states.append(writer.read(tmp_path))
        if not outcome.signal:
            break
        writer.write(tmp_path, "old")
        assert writer.read(tmp_path) == "old"
        assert not hidden(tmp_path)
    assert states[0] == "old"
    assert states[-1] == "new"
    assert len(states) > 2


def test_a_list_of_other_docs_goes(tmp_path):
    _write_docs(tmp_path, "old")
    doc = Doc(NLP.vocab, words=["Ada"])
    write_annotated([doc], tmp_path / "docs.spacy")
    assert not (tmp_path / "docs.labels.json").exists()


@pytest.mark.parametrize("deadly", [False, True], ids=["full", "killed"])
def test_at_any_byte(writer, deadly, tmp_path):
    """A disk that is full is said, with the name of the target; who dies while writing says nothing."""
    writer.write(tmp_path, "old")
    for size in BYTES:
        outcome = in_child(lambda: writer.write(tmp_path, "new"), file_size=size, deadly=deadly)
        if outcome == (None, 0, ""):
            # It fits.
            assert writer.read(tmp_path) == "new"
            break
        assert outcome.signal if deadly else outcome.is_coded or outcome.raised == "OSError", outcome
        assert writer.read(tmp_path) == "old"
    if not deadly:
        assert not hidden(tmp_path)


@pytest.mark.parametrize("name", ["table", "docs", "component"])
def test_a_file_where_a_directory_should_be(name, tmp_path):
    """Root may write to any directory, so that permissions do not do as a read-only place."""
    (tmp_path / "file").write_text("mine")
    outcome = in_child(lambda: WRITERS[name].write(tmp_path / "file", "new"))
    assert outcome.is_coded, outcome
    assert "O407" in outcome.value
    assert (tmp_path / "file").read_text() == "mine"


def test_a_file_where_a_component_should_be(tmp_path):
    (tmp_path / "component").write_text("mine")
    with pytest.raises(ValueError, match=r"O407.*it is a file"):
        _save_component(tmp_path, "new")
    assert (tmp_path / "component").read_text() == "mine"


@pytest.mark.parametrize("exclude", [["model"], ["cfg"]])
def test_what_is_excluded_stays(exclude, tmp_path):
    _save_component(tmp_path, "old")
    _pipe("new").to_disk(tmp_path / "component", exclude=exclude)
    pipe = _pipe("old").from_disk(tmp_path / "component")
    assert (pipe.threshold < 0) is (exclude == ["cfg"])
    table = pipe.model.shims[0].network.encoder.tokens
    kept = _pipe("old" if exclude == ["model"] else "new").model.shims[0].network.encoder.tokens
    assert torch.equal(table, kept)


@pytest.mark.parametrize("size", [None, 5_000, 20_000])
def test_answers_that_were_kept_stay(size, tmp_path):
    """The cache of a killed process has what was kept before, and takes more."""

    def keep_answers():
        cache = Cache(tmp_path)
        for i in range(50):
            cache.put(f"later {i}", "m", "x" * 1_000)

    cache = Cache(tmp_path)
    cache.put("first", "m", "kept")
    cache.close()
    outcome = in_child(keep_answers, file_size=size, deadly=True)
    assert bool(outcome.signal) is (size is not None)
    after = Cache(tmp_path)
    assert after.get("first") == "kept"
    after.put("next", "m", "kept, too")
    assert after.get("next") == "kept, too"
    assert after.problem is None
    after.close()


def test_a_bulk_run_that_is_killed_goes_on(tmp_path):
    """Whenever it is killed, the next run ends with the same bytes."""
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "person", "pattern": "Ada"}])
    nlp.to_disk(tmp_path / "rules")
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"text": f"Ada wrote {i}."}) + "\n" for i in range(6)))

    def run(dest):
        return run_corpus(source, tmp_path / dest, tmp_path / "rules", shard_size=2)

    def output(dest):
        files = sorted((tmp_path / dest).glob("part-*"))
        return [(file.name, file.read_bytes()) for file in files]

    whole = run("whole")
    kills = 0
    for nth in range(1, 40, 5):
        dest = f"killed-{nth}"
        outcome = in_child(lambda dest=dest: run(dest) and None, kill_at=nth, under=tmp_path / dest)
        kills += bool(outcome.signal)
        assert run(dest).counts == whole.counts
        assert output(dest) == output("whole")
        if not outcome.signal:
            break
    assert kills > 2
