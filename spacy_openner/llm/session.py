"""A client's parts in one process: an event loop in a thread of its own, connections, the cache."""

import asyncio
import concurrent.futures
import os
import threading
import time
import zlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from .cache import Cache

T = TypeVar("T")

# Bytes; more of a reply are not read, however small it was packed.
LARGEST_REPLY = 16 << 20
MOST_REDIRECTS = 5


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
    """Build an HTTP client that reads no more of a reply than `LARGEST_REPLY`, and sends nothing to another server."""
    import openai

    from .responses import UnreadableReply, type_of

    class LimitedClient(openai.DefaultAsyncHttpxClient):
        async def send(self, request: Any, **options: Any) -> Any:
            # What else the library could unpack may grow without bound in one step, or be packed several times over.
            request.headers["accept-encoding"] = "gzip, deflate"
            response = await self._own_server_s(request, **{**options, "stream": True, "follow_redirects": False})
            data = bytearray()
            try:
                async for chunk in response.aiter_raw():
                    data += chunk
                    if len(data) > LARGEST_REPLY:
                        raise UnreadableReply(f"more than {LARGEST_REPLY >> 20} MB")
            finally:
                await response.aclose()
            body = unpacked(bytes(data), response.headers.get("content-encoding", ""))
            packed = ("content-encoding", "content-length", "transfer-encoding")
            headers = {name: value for name, value in response.headers.items() if name not in packed}
            headers["content-type"] = type_of(body) or headers.get("content-type", "text/plain")
            # Releases of openai differ in the HTTP library that they use.
            return type(response)(response.status_code, headers=headers, content=body, request=request)

        async def _own_server_s(self, request: Any, **options: Any) -> Any:
            """Send a request, and again where the same server says it is to be sent."""
            response: Any = await super().send(request, **options)
            for _ in range(MOST_REDIRECTS):
                following = response.next_request
                if following is None:
                    break
                await response.aclose()
                if origin_of(following.url) != origin_of(request.url):
                    # Key and texts are for the server that the user named.
                    where = "{}://{}:{}".format(*origin_of(following.url))
                    raise UnreadableReply(f"it sends requests on to {where}; name that (`base_url`)", "not_found")
                response = await super().send(following, **options)
            return response

    return LimitedClient(timeout=timeout)


def origin_of(url: Any) -> tuple[str, str, int]:
    """Return what tells one server from another: scheme, host and port."""
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme, 0)


def unpacked(data: bytes, encoding: str) -> bytes:
    """Unpack the body of a reply, as far as it may be read.

    encoding (str): Its header "Content-Encoding".
    RAISES (UnreadableReply): For one that grows too large, is damaged, or is packed in a way that nobody asked for.
    """
    from .responses import UnreadableReply

    ways = [way for part in encoding.lower().split(",") if (way := part.strip()) not in ("", "identity")]
    if not ways or not data:
        return data
    if len(ways) > 1 or ways[0] not in ("gzip", "x-gzip", "deflate"):
        raise UnreadableReply(f"packed as {encoding[:40]!r}, which was not asked for")
    # "deflate" comes with a header and, from some servers, without.
    bare = ways[0] == "deflate" and (data[0] & 0x0F != 8 or int.from_bytes(data[:2], "big") % 31 != 0)
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | 32)
    try:
        body = unpacking.decompress(data, LARGEST_REPLY + 1)
    except zlib.error as problem:
        raise UnreadableReply(f"damaged: {problem}") from None
    if len(body) > LARGEST_REPLY:
        raise UnreadableReply(f"more than {LARGEST_REPLY >> 20} MB")
    if not unpacking.eof:
        raise UnreadableReply("cut")
    return body
