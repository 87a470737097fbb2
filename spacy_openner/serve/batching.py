"""Put texts of many requests into one batch, within a bound on latency and on what waits.

Each pipeline runs in a thread of its own. While all of them work, texts gather; what has gathered is shared out among
those that are done. Only when a pipeline is idle does a text wait, for `batch_wait` seconds, for others to join it.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")


class QueueFull(Exception):
    """More waits for the model than may."""


class Stopping(Exception):
    """The service is being stopped and takes nothing more."""


class Expired(Exception):
    """A request waited for the model for too long."""


@dataclass(eq=False)
class _Waiting(Generic[T]):
    """A request's texts.

    key: Texts of equal keys can share a batch.
    answer: Of the event loop that the request came from. It is settled there, and only there.
    """

    texts: Sequence[str]
    key: Any
    answer: asyncio.Future[list[T]]


class BatchStats(NamedTuple):
    """Size and duration of a batch.

    texts: How many it had.
    seconds: How long the pipeline took.
    """

    texts: int
    seconds: float


class Batcher(Generic[T]):
    """Runs functions on texts of many requests at once.

    runs (Sequence[Callable]): Alike, each for a thread of its own. They take texts, and the key that all of them have,
        and return an answer for each.
    batch_texts, batch_wait, max_waiting_texts: See `ServeSettings`.
    on_batch (Callable[[BatchStats], None]): Is told of each batch.
    """

    def __init__(
        self,
        runs: Sequence[Callable[[Sequence[str], Any], list[T]]],
        batch_texts: int,
        batch_wait: float,
        max_waiting_texts: int,
        on_batch: Callable[[BatchStats], None] = lambda stats: None,
    ) -> None:
        self._batch_texts, self._batch_wait, self._max_waiting = batch_texts, batch_wait, max_waiting_texts
        self._on_batch = on_batch
        self._queue: deque[_Waiting[T]] = deque()
        self._changed = threading.Condition()
        self._waiting_texts = 0
        self._idle = len(runs)
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, args=[run], name=f"pipeline-{i}", daemon=True)
            for i, run in enumerate(runs)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_stopping(self) -> bool:
        """True when nothing more is taken."""
        return self._stopping

    @property
    def waiting_texts(self) -> int:
        """How many texts wait for the model, or are in it."""
        return self._waiting_texts

    async def submit(self, texts: Sequence[str], key: Any, timeout: float) -> list[T]:
        """Wait for the answers to a request's texts.

        timeout (float): Seconds, after which a request that the pipeline has not taken yet is given up.
        RETURNS (list[T]): In step with the texts.
        RAISES (QueueFull, Stopping, Expired): See there.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[T]] = loop.create_future()
        waiting = _Waiting(texts, key, answer)
        with self._changed:
            if self._stopping:
                raise Stopping
            # A request that is alone is taken however many texts it has: its own limit holds for it.
            if self._waiting_texts and self._waiting_texts + len(texts) > self._max_waiting:
                raise QueueFull
            self._waiting_texts += len(texts)
            self._queue.append(waiting)
            self._changed.notify()
        giving_up = loop.call_later(timeout, self._give_up, waiting)
        try:
            return await answer
        finally:
            giving_up.cancel()
            # Where the client went away, and the pipeline has not begun.
            self._withdraw(waiting)

    def stop(self) -> None:
        """Take nothing more, answer all that waits, and return when that is done."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self, run: Callable[[Sequence[str], Any], list[T]]) -> None:
        while (batch := self._next_batch()) is not None:
            if not batch:
                continue
            texts = [text for waiting in batch for text in waiting.texts]
            start = time.perf_counter()
            try:
                answers = run(texts, batch[0].key)
            # Whatever the pipeline says goes to those who asked; the thread must live on for the others.
            except Exception as problem:
                self._fail(run, batch, problem)
            else:
                self._on_batch(BatchStats(len(texts), time.perf_counter() - start))
                self._answer(batch, answers)
            with self._changed:
                self._idle += 1

    def _next_batch(self) -> list[_Waiting[T]] | None:
        """Wait for requests that can share a batch; None when the service is stopped and nothing waits."""
        with self._changed:
            if not self._queue:
                self._changed.wait_for(lambda: self._queue or self._stopping)
                end = time.monotonic() + self._batch_wait
                while self._queued_texts() < self._batch_texts and not self._stopping:
                    if not self._changed.wait(end - time.monotonic()):
                        break
            if not self._queue:
                return None if self._stopping else []
            return self._take()

    def _take(self) -> list[_Waiting[T]]:
        """Take the requests that share the first one's key, in order, up to the size of a batch."""
        # Shared out among the idle, so that none waits for the others' batch.
        most = min(self._batch_texts, math.ceil(self._queued_texts() / self._idle))
        batch = [self._queue.popleft()]
        n = len(batch[0].texts)
        for waiting in list(self._queue):
            if waiting.key == batch[0].key and n + len(waiting.texts) <= most:
                batch.append(waiting)
                self._queue.remove(waiting)
                n += len(waiting.texts)
        self._idle -= 1
        if self._queue:
            self._changed.notify()
        return batch

    def _queued_texts(self) -> int:
        return sum(len(waiting.texts) for waiting in self._queue)

    def _withdraw(self, waiting: _Waiting[T]) -> bool:
        """Take a request out of the queue; False where it is in it no more."""
        with self._changed:
            if waiting not in self._queue:
                return False
            self._queue.remove(waiting)
            self._waiting_texts -= len(waiting.texts)
            return True

    def _give_up(self, waiting: _Waiting[T]) -> None:
        if self._withdraw(waiting):
            waiting.answer.set_exception(Expired())

    def _fail(
        self, run: Callable[[Sequence[str], Any], list[T]], batch: Sequence[_Waiting[T]], problem: Exception
    ) -> None:
        """Where several requests fail together, ask each by itself: only the one at fault is told of it."""
        if len(batch) > 1:
            for waiting in batch:
                try:
                    self._answer([waiting], run(waiting.texts, waiting.key))
                except Exception as own:
                    self._fail(run, [waiting], own)
            return
        self._settle([(batch[0], problem)])

    def _answer(self, batch: Sequence[_Waiting[T]], answers: Sequence[T]) -> None:
        at, outcomes = 0, []
        for waiting in batch:
            outcomes.append((waiting, list(answers[at : at + len(waiting.texts)])))
            at += len(waiting.texts)
        self._settle(outcomes)

    def _settle(self, outcomes: Sequence[tuple[_Waiting[T], list[T] | Exception]]) -> None:
        """Answer requests, those of one event loop in one go: to wake it takes longer than to answer."""
        with self._changed:
            self._waiting_texts -= sum(len(waiting.texts) for waiting, _ in outcomes)
        for loop in {waiting.answer.get_loop() for waiting, _ in outcomes}:
            own = [(waiting.answer, outcome) for waiting, outcome in outcomes if waiting.answer.get_loop() is loop]
            # A loop that is closed has nobody left who waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_deliver, own)


def _deliver(outcomes: Sequence[tuple[asyncio.Future[list[T]], list[T] | Exception]]) -> None:
    for answer, outcome in outcomes:
        # A client that went away has cancelled its request.
        if answer.cancelled():
            continue
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
