"""Run units on a Ray cluster: Ray Data places them, and replaces workers and nodes that die.

Units are small descriptions, so nothing large goes through Ray's object store: actors read the corpus and write the
output themselves. All nodes must see both under the same path or URL.
"""

import logging
import os
import socket
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

import numpy as np

from ..errors import error
from .annotator import LOST, RunSettings, UnitAnnotator, UnitResult
from .journal import Counts
from .records import Unit

# Ray replaces actors without end. A unit that was begun so often, and never ended, is given up.
MAX_ATTEMPTS = 3
# Of a cluster that is started here. Descriptions of units and their results take next to nothing.
OBJECT_STORE_BYTES = 200 * 2**20
ADDRESS_VARIABLE = "RAY_ADDRESS"
# For the cluster at that address to answer.
REACH_SECONDS = 20.0


Results = Generator[UnitResult, None, None]


class _Actor:
    """A worker of Ray's: loads the pipeline once, annotates many units."""

    def __init__(self, settings: RunSettings) -> None:
        self._annotate = UnitAnnotator(settings)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        results = [self._try(Unit(**unit)) for unit in batch["unit"]]
        return {"result": [asdict(result) | {"counts": list(result.counts)} for result in results]}

    def _try(self, unit: Unit) -> UnitResult:
        # Where nothing can be written, annotating says so better.
        with suppress(OSError):
            if self._annotate.journal.count_attempt(unit.name) > MAX_ATTEMPTS:
                return UnitResult(unit.name, Counts(), LOST)
        return self._annotate(unit)


def run_on_ray(units: Sequence[Unit], settings: RunSettings, workers: int, gpus: float = 0.0) -> Results:
    """Annotate units.

    A cluster that this process is connected to is used, or else one that the environment or this machine names; where
    there is none, one is started here, and ended.

    workers (int): Actors, each with a pipeline of its own.
    gpus (float): What part of a GPU each actor takes.
    YIELDS (UnitResult): As they are done, in any order.
    RAISES (MissingExtra): Where Ray is not installed.
    RAISES (DataError): O612, where it does not start, or the cluster does not answer.
    """
    if not units:
        return
    try:
        import ray
        import ray.data
    except ImportError as problem:
        raise error("O604", package="ray[data]", extra="ray") from problem
    with _cluster(ray), _quiet_data(ray.data.DataContext.get_current()):
        data = ray.data.from_items([{"unit": asdict(unit)} for unit in units], override_num_blocks=len(units))
        results = data.map_batches(
            _Actor,
            fn_constructor_args=(settings,),
            batch_size=1,
            # A unit takes seconds, and what waits with an actor is not with an idle one.
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
            num_cpus=settings.threads,
            num_gpus=gpus,
        )
        left = {unit.name for unit in units}
        for row in results.iter_rows():
            result = row["result"]
            left.remove(result["unit"])
            yield UnitResult(**{**result, "counts": Counts(*result["counts"])})
        yield from (UnitResult(name, Counts(), LOST) for name in sorted(left))


@contextmanager
def _cluster(ray: Any) -> Iterator[None]:
    """Connect to a cluster, or start one for as long as the block takes.

    RAISES (DataError): O612, where neither can be done.
    """
    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    # Workers of a cluster that is started here are as urgent as those of the local engine; Ray's own choice is 15.
    with _environment(RAY_BACKEND_LOG_LEVEL="fatal", RAY_worker_niceness="0"), _log_level("ray"):
        try:
            _check_reach(os.environ.get(ADDRESS_VARIABLE, ""))
            try:
                ray.init(address="auto", **quiet)
            except ConnectionError:
                # A cluster that was named is not to be replaced by this machine.
                if os.environ.get(ADDRESS_VARIABLE):
                    raise
                ray.init(address="local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
        # Ray has many ways to say that it cannot start or connect.
        except Exception as problem:
            raise error("O612", reason=problem, variable=ADDRESS_VARIABLE) from problem
    try:
        yield
    finally:
        ray.shutdown()


def _check_reach(address: str) -> None:
    """Try whether anybody listens at a cluster's address: Ray itself tries for many minutes.

    RAISES (OSError): Where nobody does.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()


@contextmanager
def _quiet_data(context: Any) -> Iterator[None]:
    """Leave progress to the bar of the run itself, and failed units to its report."""
    wanted = {"enable_progress_bars": False, "print_on_execution_start": False, "max_errored_blocks": -1}
    before = {name: getattr(context, name) for name in wanted if hasattr(context, name)}
    try:
        for name in before:
            setattr(context, name, wanted[name])
        with _log_level("ray.data"):
            yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)


@contextmanager
def _log_level(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set variables that are not set, for as long as the block takes."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
