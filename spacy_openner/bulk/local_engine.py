"""Run units in a pool of processes on this machine."""

import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from .annotator import RunSettings, UnitAnnotator, UnitResult
from .journal import Counts
from .records import Unit

# Units that wait for a free worker, for each worker: enough to keep it busy, few enough to stay small.
WAITING_PER_WORKER = 2
# A unit that is under way whenever workers die is what kills them.
MAX_ATTEMPTS = 3

_annotator: UnitAnnotator | None = None


def run_locally(units: Sequence[Unit], settings: RunSettings, workers: int) -> Iterator[UnitResult]:
    """Annotate units.

    workers (int): Processes, each with a pipeline of its own; with one, this process does the work.
    YIELDS (UnitResult): As they are done, in any order.
    """
    if workers == 1:
        yield from map(UnitAnnotator(settings), units)
        return
    waiting, attempts = deque(units), dict.fromkeys((unit.index for unit in units), 0)
    while waiting:
        yield from _run_pool(waiting, attempts, settings, workers)


def _run_pool(
    waiting: deque[Unit], attempts: dict[int, int], settings: RunSettings, workers: int
) -> Iterator[UnitResult]:
    """Work until all is done or a worker dies. Units that were under way then wait again, ahead of the others."""
    # Threads of PyTorch do not survive a fork.
    spawn = multiprocessing.get_context("spawn")
    running: dict[Future[UnitResult], Unit] = {}
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start, initargs=(settings,)) as pool:
        while waiting or running:
            while waiting and len(running) < workers * (1 + WAITING_PER_WORKER):
                unit = waiting.popleft()
                try:
                    running[pool.submit(_annotate, unit)] = unit
                except BrokenProcessPool:
                    waiting.appendleft(unit)
                    break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            lost = [future for future in done if isinstance(future.exception(), BrokenProcessPool)]
            for future in done.difference(lost):
                unit = running.pop(future)
                yield future.result()
            if lost:
                yield from _requeue(list(running.values()), waiting, attempts)
                return


def _requeue(lost: Sequence[Unit], waiting: deque[Unit], attempts: dict[int, int]) -> Iterator[UnitResult]:
    """Put units back that were under way when a worker died; give up those that were so too often."""
    for unit in sorted(lost, key=lambda unit: -unit.index):
        attempts[unit.index] += 1
        if attempts[unit.index] < MAX_ATTEMPTS:
            waiting.appendleft(unit)
        else:
            reason = f"a worker process died while it was annotated, {MAX_ATTEMPTS} times (out of memory, or killed)"
            yield UnitResult(unit.index, Counts(), reason)


def _start(settings: RunSettings) -> None:
    global _annotator
    _annotator = UnitAnnotator(settings)


def _annotate(unit: Unit) -> UnitResult:
    assert _annotator is not None
    return _annotator(unit)
