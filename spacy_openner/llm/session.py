"""A client's parts in one process: an event loop in a thread of its own, connections, the cache."""

import asyncio
import concurrent.futures
import os
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from .cache import Cache

T = TypeVar("T")

# Bytes; more of a reply are not read, however small it was packed.
LARGEST_REPLY = 16 << 20


class SessionClosed(Exception):
    """The session was closed while work was under way."""


class RateLimiter:
    """Spreads starts evenly over time.

    per_minute (float | None): The most starts in a minute; None for no limit.
    """

    def __init__(self, per_minute: float | None) -> None:
        self.gap = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0

    async def acquire(self) -> None:
        """Wait until one more start is allowed."""
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
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="openner-llm", daemon=True)
        self._thread.start()
        self._is_closed = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end. What interrupts the caller cancels it.

        RAISES (SessionClosed): When the session is closed meanwhile.
        """
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise SessionClosed from None
        try:
            return future.result()
        except (concurrent.futures.CancelledError, asyncio.CancelledError):
            if self._is_closed:
                raise SessionClosed from None
            raise
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what is under way, close connections and cache, and end the thread."""
        if self.pid != os.getpid() or not self._thread.is_alive():
            # A fork copies neither the thread nor, safely, what it holds.
            return
        self._is_closed = True
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.openai.close()
        self.cache.close()


def http_client(timeout: float) -> Any:
    """Build an HTTP client that reads no more of a reply than `LARGEST_REPLY`."""
    import openai

    from .responses import ReplyTooLarge, type_of

    class LimitedClient(openai.DefaultAsyncHttpxClient):
        async def send(self, request: Any, **options: Any) -> Any:
            response: Any = await super().send(request, **{**options, "stream": True})
            data = bytearray()
            try:
                # Each chunk is unpacked alone, and by a factor of some thousand at most.
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > LARGEST_REPLY:
                        raise ReplyTooLarge(f"more than {LARGEST_REPLY >> 20} MB")
            finally:
                await response.aclose()
            packed = ("content-encoding", "content-length", "transfer-encoding")
            headers = {name: value for name, value in response.headers.items() if name not in packed}
            headers["content-type"] = type_of(data) or headers.get("content-type", "text/plain")
            # Releases of openai differ in the HTTP library that they use.
            return type(response)(response.status_code, headers=headers, content=bytes(data), request=request)

    return LimitedClient(timeout=timeout)
