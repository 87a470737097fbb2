"""Bound what a request may send before anything of it is held or read."""

import asyncio
from typing import Any

from fastapi.responses import JSONResponse


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
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self.max_bytes:
            await self._refuse(413, f"a body has at most {self.max_bytes:,} bytes", scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(self._read(receive), self.timeout)
        except asyncio.TimeoutError:
            await self._refuse(408, f"the body took over {self.timeout:g} s", scope, receive, send)
            return
        if body is None:
            return
        if len(body) > self.max_bytes:
            await self._refuse(413, f"a body has at most {self.max_bytes:,} bytes", scope, receive, send)
            return
        sent = False

        async def replay() -> Any:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)

    async def _read(self, receive: Any) -> bytes | None:
        """Read the body as far as the limit; None when the client goes away."""
        body = bytearray()
        while len(body) <= self.max_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        return bytes(body)

    async def _refuse(self, status: int, detail: str, scope: Any, receive: Any, send: Any) -> None:
        await JSONResponse({"detail": detail}, status, {"Connection": "close"})(scope, receive, send)
