"""Run units in a pool of processes on this machine."""

import multiprocessing
import os
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from .annotator import LOST, RunSettings, UnitAnnotator, UnitResult
from .journal import Counts
from .records import Unit

# Units that wait for a free worker, for each worker: enough to keep it busy, few enough to be asked again.
WAITING_PER_WORKER = 1
# A unit that was with a pool so often when a worker of it died is tried by itself: it may be what kills them.
MAX_LOSSES = 2

_annotator: UnitAnnotator | None = None


def run_locally(units: Sequence[Unit], settings: RunSettings, workers: int) -> Generator[UnitResult, None, None]:
    """Annotate units.

    workers (int): Processes, each with a pipeline of its own; with one, this process does the work.
    YIELDS (UnitResult): As they are done, in any order.
    """
    if workers == 1:
        yield from map(UnitAnnotator(settings), units)
        return
    waiting, losses = deque(units), Counter[str]()
    while waiting:
        yield from _run_pool(waiting, losses, settings, workers)
        suspects = [unit for unit in waiting if losses[unit.name] >= MAX_LOSSES]
        for unit in suspects:
            waiting.remove(unit)
            yield _run_alone(unit, settings)


def _run_pool(waiting: deque[Unit], losses: Counter[str], settings: RunSettings, workers: int) -> Iterator[UnitResult]:
    """Work until all is done or a worker dies. Units that were under way then wait again, ahead of the others."""
    running: dict[Future[UnitResult], Unit] = {}
    pool = _start_pool(settings, workers)
    try:
        while waiting or running:
            while waiting and len(running) < workers * (1 + WAITING_PER_WORKER):
                unit = waiting.popleft()
                try:
                    running[pool.submit(_annotate, unit)] = unit
                except BrokenProcessPool:
                    waiting.appendleft(unit)
                    break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            lost = {future for future in done if isinstance(future.exception(), BrokenProcessPool)}
            for future in done - lost:
                running.pop(future)
                yield future.result()
            if lost:
                losses.update(unit.name for unit in running.values())
                waiting.extendleft(reversed(running.values()))
                return
    finally:
        # A caller that stops must not wait for units that nobody has begun.
        pool.shutdown(cancel_futures=True)


def _run_alone(unit: Unit, settings: RunSettings) -> UnitResult:
    """Annotate a unit in a process of its own, so that no other one can be at fault where that dies."""
    with _start_pool(settings, 1) as pool:
        try:
            return pool.submit(_annotate, unit).result()
        except BrokenProcessPool:
            return UnitResult(unit.name, Counts(), LOST)


def _start_pool(settings: RunSettings, workers: int) -> ProcessPoolExecutor:
    # Threads of PyTorch do not survive a fork.
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start, initargs=(settings,))


def _start(settings: RunSettings) -> None:
    global _annotator
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _annotator = UnitAnnotator(settings)


def _end_with_parent() -> None:
    """End this process when the one that asks it is gone: it would wait for its next unit for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _annotate(unit: Unit) -> UnitResult:
    assert _annotator is not None
    return _annotator(unit)
