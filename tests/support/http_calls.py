"""Calls of the service without a socket."""

import asyncio

import httpx

TEXT = "Marie Curie lived in Paris."


def run(app, *calls):
    """Start an app, make calls at the same time, stop it."""

    async def main():
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await asyncio.gather(*(call(client) for call in calls))

    return asyncio.run(main())


def post(body, path="/entities", **headers):
    async def call(client):
        kind = {"content": body} if isinstance(body, bytes) else {"json": body}
        return await client.post(path, headers={"Content-Type": "application/json", **headers}, **kind)

    return call


def get(path):
    return lambda client: client.get(path)
