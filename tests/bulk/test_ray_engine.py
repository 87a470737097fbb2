"""The Ray engine: the same output as the local one, whatever happens to actors and nodes meanwhile."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from spacy_openner.bulk.annotator import LOST
from spacy_openner.bulk.run import run_corpus
from spacy_openner.errors import DataError
from tests.support.corpora import all_bytes, make_records, write_jsonl

ray = pytest.importorskip("ray", reason="ray is not installed")
pytest.importorskip("ray.data", reason="ray[data] is not installed")
# Ray's own modules and their dependencies warn of one another. An actor takes as long to start as all that the environment
# hangs on spaCy takes to import, and a unit that kills its actor has four start.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(1800)]


@pytest.fixture(autouse=True)
def patient_ray(monkeypatch):
    """Let a busy machine take its time to start a node."""
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")


@pytest.fixture
def small_units(monkeypatch):
    monkeypatch.setattr("spacy_openner.bulk.plan.UNIT_BYTES", 3000)


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_output_is_that_of_the_local_engine(pipeline, tmp_path, small_units, workers, capfd):
    source = write_jsonl(tmp_path / "in.jsonl", make_records(300))
    source.write_text(source.read_text() + "no record\n")
    expected = run_corpus(source, tmp_path / "local", pipeline, shard_size=7)
    assert expected.counts == (300, 300, 1)
    capfd.readouterr()
    report = run_corpus(source, tmp_path / "ray", pipeline, shard_size=7, engine="ray", workers=workers)
    shown = capfd.readouterr()
    assert report == expected
    assert all_bytes(tmp_path / "ray") == all_bytes(tmp_path / "local")
    assert not ray.is_initialized()
    assert shown.out == ""
    assert "Dataset" not in shown.err
    assert len(shown.err.splitlines()) <= 1


def test_a_unit_that_kills_its_actor_costs_no_other(faulty, tmp_path, monkeypatch):
    monkeypatch.setattr("spacy_openner.bulk.plan.UNIT_BYTES", 1000)
    records = make_records(60)
    records[25]["text"] = "Niels Bohr did not die here."
    source = write_jsonl(tmp_path / "in.jsonl", records)
    report = run_corpus(source, tmp_path / "out", faulty, workers=1, engine="ray")
    assert report.problems == [(str(source), LOST)]
    assert report.finished == report.units - 1 > 3


def test_a_failure_of_all_ends_the_run(tmp_path, small_units):
    source = write_jsonl(tmp_path / "in.jsonl", make_records(100))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.cfg").write_text("[nlp]\nlang = 3\n")
    with pytest.raises(DataError, match="O610"):
        run_corpus(source, tmp_path / "out", tmp_path / "broken", engine="ray")


def test_a_cluster_that_does_not_answer_is_told(pipeline, tmp_path, monkeypatch):
    """Soon, and this machine does not take its place."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{unused.getsockname()[1]}")
        source = write_jsonl(tmp_path / "in.jsonl", make_records(10))
        with pytest.raises(DataError, match=r"O612.*refused.*RAY_ADDRESS"):
            run_corpus(source, tmp_path / "out", pipeline, engine="ray")
    assert not ray.is_initialized()


def test_relative_paths_hold_on_a_cluster_that_began_elsewhere(pipeline, tmp_path, monkeypatch):
    """Also where its machines have fewer cores than the run has workers."""
    from ray.cluster_utils import Cluster

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 * 2**20})
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "in.jsonl", make_records(100))
    shutil.copytree(pipeline, "rules")
    try:
        report = run_corpus("in.jsonl", "out", "rules", shard_size=7, engine="ray", workers=3)
    finally:
        cluster.shutdown()
    assert report == run_corpus("in.jsonl", "whole", "rules", shard_size=7)
    assert all_bytes(tmp_path / "out") == all_bytes(tmp_path / "whole")


def wait_for_parts(dest, n):
    deadline = time.monotonic() + 500
    while len(list(dest.glob("part-*"))) < n:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_a_killed_actor_is_replaced(faulty, tmp_path, small_units):
    source = write_jsonl(tmp_path / "in.jsonl", make_records(400, " before sleep"))
    pids = tmp_path / "faulty" / "pids"

    def kill():
        wait_for_parts(tmp_path / "out", 5)
        os.kill(int(next(pids.iterdir()).name), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    report = run_corpus(source, tmp_path / "out", faulty, shard_size=5, engine="ray")
    killer.join()
    assert len(list(pids.iterdir())) == 2
    assert report == run_corpus(source, tmp_path / "whole", faulty, shard_size=5, workers=2)
    assert report.is_complete
    assert all_bytes(tmp_path / "out") == all_bytes(tmp_path / "whole")


DRIVER = """
import sys
import spacy_openner.bulk.plan as plan
from spacy_openner.bulk.run import run_corpus

plan.UNIT_BYTES = 3000
run_corpus(sys.argv[1], sys.argv[2], sys.argv[3], shard_size=5, engine="ray")
"""


@pytest.mark.slow
def test_a_killed_driver_leaves_nobody_at_work_and_a_run_that_goes_on(faulty, tmp_path, small_units):
    source = write_jsonl(tmp_path / "in.jsonl", make_records(400, " before sleep"))
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, source, tmp_path / "out", faulty])
    wait_for_parts(tmp_path / "out", 10)
    driver.kill()
    assert driver.wait() == -signal.SIGKILL
    (actor,) = (tmp_path / "faulty" / "pids").iterdir()
    deadline = time.monotonic() + 200
    while Path(f"/proc/{actor.name}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert 10 <= len(list((tmp_path / "out").glob("part-*"))) < 80
    report = run_corpus(source, tmp_path / "out", faulty, shard_size=5, engine="ray")
    assert report == run_corpus(source, tmp_path / "whole", faulty, shard_size=5)
    assert report.is_complete
    assert all_bytes(tmp_path / "out") == all_bytes(tmp_path / "whole")


@pytest.mark.slow
def test_a_killed_node_costs_nothing(faulty, tmp_path, small_units):
    from ray.cluster_utils import Cluster

    source = write_jsonl(tmp_path / "in.jsonl", make_records(600, " before sleep"))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 * 2**20})
    node = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False)

    def kill():
        wait_for_parts(tmp_path / "out", 10)
        cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        report = run_corpus(source, tmp_path / "out", faulty, shard_size=5, engine="ray", workers=2)
        killer.join()
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert report.is_complete
    assert report == run_corpus(source, tmp_path / "whole", faulty, shard_size=5, workers=2)
    assert all_bytes(tmp_path / "out") == all_bytes(tmp_path / "whole")
