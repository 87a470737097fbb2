"""What a client has in one process: an event loop in a thread of its own, connections, the cache."""

import asyncio
import os
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from .cache import Cache

T = TypeVar("T")


class RateLimiter:
    """Spreads starts evenly over time.

    per_minute (float | None): The most starts in a minute; None for no limit.
    """

    def __init__(self, per_minute: float | None) -> None:
        self.gap = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0

    async def acquire(self) -> None:
        """Wait until it is one's turn."""
        if not self.gap:
            return
        now = time.monotonic()
        start, self._next = max(now, self._next), max(now, self._next) + self.gap
        await asyncio.sleep(start - now)


class Session:
    """Runs coroutines for callers without an event loop, or with one that they must not block, from any thread.

    openai (Any): An `openai.AsyncOpenAI`.
    cache (Cache): Used in the loop's thread alone.
    concurrency (int): How many requests may be under way at once.
    per_minute (float | None): How many may be started in a minute.
    """

    def __init__(self, openai: Any, cache: Cache, concurrency: int, per_minute: float | None) -> None:
        self.openai, self.cache = openai, cache
        self.slots, self.limiter = asyncio.Semaphore(concurrency), RateLimiter(per_minute)
        # Whether the server knows `response_format`; found out when it says that it does not.
        self.knows_schemas = True
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="openner-llm", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end. What interrupts the caller cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Close connections and cache, and end the thread."""
        if self.pid != os.getpid() or not self._thread.is_alive():
            # A fork copies neither the thread nor, safely, what it holds.
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        await self.openai.close()
        self.cache.close()
