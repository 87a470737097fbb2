"""A system's process of benchmarks.speed_by_types, on a tiny model."""

import sys
from argparse import Namespace
from pathlib import Path

from benchmarks.speed_by_types import ROOT, Worker, open_types
from tests.support.type_cache import saved_type_cache


def test_a_system_runs_in_its_own_process(tmp_path, own_plugins):
    path = saved_type_cache("bert", tmp_path)
    worker = Worker("type-cache", Namespace(threads=1, type_cache=path), sys.executable, Path("unused"))
    first = worker(labels=["person", "city"], texts=["Marie Curie lives in Paris."])
    again = worker(texts=["Marie Curie lives in Paris."] * 2)
    assert first.keys() == {"wall", "cpu", "mb", "cached"}
    assert first["cached"] > 0
    assert 0 < again["cpu"] <= first["wall"]
    worker.end()
    assert worker.process.returncode == 0


def test_types_are_drawn_alike():
    types = open_types(ROOT / "assets" / "open_types")
    assert len(types) == len(set(types)) > 6000
    assert types == open_types(ROOT / "assets" / "open_types")
