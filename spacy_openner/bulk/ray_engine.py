"""Run units on a Ray cluster: Ray Data places them, and replaces workers and nodes that die.

Units are small descriptions, so nothing large goes through Ray's object store: actors read the corpus and write the
output themselves. All nodes must see both under the same path or URL.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..errors import error
from .annotator import RunSettings, UnitAnnotator, UnitResult
from .journal import Counts
from .records import Unit

# Units that an actor takes at a time. A lost actor's units are asked again; what it had finished is skipped then.
UNITS_PER_BLOCK = 1


class _Actor:
    """A worker of Ray's: loads the pipeline once, annotates many units."""

    def __init__(self, settings: RunSettings) -> None:
        self._annotate = UnitAnnotator(settings)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        results = [self._annotate(Unit(**unit)) for unit in batch["unit"]]
        return {"result": [asdict(result) | {"counts": list(result.counts)} for result in results]}


def run_on_ray(units: Sequence[Unit], settings: RunSettings, workers: int, gpus: float = 0.0) -> Iterator[UnitResult]:
    """Annotate units.

    workers (int): Actors, each with a pipeline of its own.
    gpus (float): What part of a GPU each actor takes.
    YIELDS (UnitResult): As they are done, in any order.
    RAISES (MissingExtra): Where Ray is not installed.
    """
    if not units:
        return
    try:
        import ray
        import ray.data
    except ImportError as problem:
        raise error("O604", package="ray[data]", extra="ray") from problem
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    blocks = -(-len(units) // UNITS_PER_BLOCK)
    data = ray.data.from_items([{"unit": asdict(unit)} for unit in units], override_num_blocks=blocks)
    results = data.map_batches(
        _Actor,
        fn_constructor_args=(settings,),
        batch_size=UNITS_PER_BLOCK,
        concurrency=workers,
        num_cpus=settings.threads,
        num_gpus=gpus,
    )
    for row in results.iter_rows():
        found = row["result"]
        yield UnitResult(found["unit"], Counts(*found["counts"]), found["problem"])
