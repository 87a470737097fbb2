"""Bound what a request may send before anything of it is held or read."""

import asyncio
from typing import Any

from fastapi.responses import JSONResponse

# Of a body that is too long, so many times the limit are read.
DISCARDED = 32


class _TooLong(Exception):
    """A body is over the limit."""


class BodyLimit:
    """Refuses requests whose body is too long, or comes too slowly, before it is held as a whole.

    max_bytes (int): Of a body.
    timeout (float): Seconds for the whole of it.
    """

    def __init__(self, app: Any, max_bytes: int, timeout: float) -> None:
        self.app = app
        self.max_bytes, self.timeout = max_bytes, timeout

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Read the body, and hand it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"0")
        # Who asks before sending is answered before that.
        most = self.max_bytes if b"expect" in headers else DISCARDED * self.max_bytes
        if not declared.isdigit() or int(declared) > most:
            await self._refuse(413, self._too_long, scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(self._read(receive), self.timeout)
        except asyncio.TimeoutError:
            await self._refuse(408, f"the body took over {self.timeout:g} s", scope, receive, send)
            return
        except _TooLong:
            await self._refuse(413, self._too_long, scope, receive, send)
            return
        if body is None:
            return
        sent = False

        async def replay() -> Any:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)

    @property
    def _too_long(self) -> str:
        return f"a body has at most {self.max_bytes:,} bytes"

    async def _read(self, receive: Any) -> bytes | None:
        """Read the body as far as the limit; None when the client goes away.

        What is over the limit is let go as it comes, up to another bound: most clients look for an answer only after
        they have sent all, and would find a closed connection instead.
        RAISES (_TooLong): For a body over the limit.
        """
        body, n, more = bytearray(), 0, True
        while more and n <= DISCARDED * self.max_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body", b"")
            n += len(part)
            if n <= self.max_bytes:
                body += part
            more = message.get("more_body", False)
        if n > self.max_bytes:
            raise _TooLong
        return bytes(body)

    async def _refuse(self, status: int, detail: str, scope: Any, receive: Any, send: Any) -> None:
        await JSONResponse({"detail": detail}, status, {"Connection": "close"})(scope, receive, send)
