"""Bodies of requests as JSON, read as strictly as files are: what is there twice, or is no JSON, is refused."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from ..json_files import NotJSON, parse_json

SHOWN = 200


class StrictRequest(Request):
    """A request whose JSON is read by `parse_json`."""

    async def json(self) -> Any:
        """Read the body.

        RAISES (HTTPException): 422, for a body that is not JSON as it is accepted here; 400, for one that is no UTF-8.
        """
        if not hasattr(self, "_json"):
            try:
                self._json = parse_json(await self.body())
            except NotJSON as problem:
                status = 400 if isinstance(problem.__cause__, UnicodeDecodeError) else 422
                raise HTTPException(status, f"body: {problem}"[:SHOWN]) from None
        return self._json


class StrictRoute(APIRoute):
    """A route that hands on `StrictRequest`s; where it asks for a key, that is looked at before the body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of requests."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            # FastAPI reads the body before it asks dependencies.
            check_key = request.app.state.service.check_key
            if any(dependency.dependency == check_key for dependency in self.dependencies):
                await check_key(request.headers.get("authorization"))
            return await handle(StrictRequest(request.scope, request.receive))

        return handle_strictly
