"""Fixtures of the tests of bulk annotation."""

import multiprocessing
import os
import sys
from types import SimpleNamespace

import pytest

from tests.support.corpora import rules, save_faulty


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory):
    """A pipeline of rules: what is found is known, and nothing takes long."""
    path = tmp_path_factory.mktemp("pipeline") / "rules"
    rules().to_disk(path)
    return path


@pytest.fixture
def forked_workers(monkeypatch):
    """Workers that are forked: those that are spawned import everything anew."""
    forks = SimpleNamespace(get_context=lambda _: multiprocessing.get_context("fork"))
    monkeypatch.setattr("spacy_openner.bulk.local_engine.multiprocessing", forks)


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """The same with a component that sleeps or kills its process, on request; in other processes only."""
    path = save_faulty(tmp_path / "faulty")
    plugin = str(tmp_path / "faulty" / "plugin")
    monkeypatch.setenv("PYTHONPATH", plugin)
    # Processes that are spawned take over this one's.
    monkeypatch.setattr("sys.path", [plugin, *sys.path])
    monkeypatch.setenv("FAULTY_PIDS", str(tmp_path / "faulty" / "pids"))
    monkeypatch.setenv("FAULTY_PARENT", str(os.getpid()))
    return path
