"""Routes that clients of Presidio's analyzer service call."""

from typing import Any

from fastapi import APIRouter, Depends

from .finder import RequestSettings
from .schema import REFUSALS, AnalyzeRequest, RecognizerResult
from .service import Service, label_set
from .strict_json import StrictRoute


def presidio_routes(service: Service) -> APIRouter:
    """Build the routes."""
    dependencies = [Depends(service.check_key)]
    router = APIRouter(dependencies=dependencies, responses=REFUSALS, route_class=StrictRoute, tags=["presidio"])

    @router.post("/analyze")
    async def analyze(request: AnalyzeRequest) -> list[RecognizerResult] | list[list[RecognizerResult]]:
        """Find the entities of a text, or of each of several."""
        settings = RequestSettings(label_set(request.entities or None), request.score_threshold)
        if isinstance(request.text, str):
            (entities,) = await service.find([request.text], settings)
            return _results(entities)
        return [_results(entities) for entities in await service.find(request.text, settings)]

    @router.get("/supportedentities")
    async def supported_entities(language: str = "en") -> list[str]:
        """Return the pipeline's own types. Requests can name any others."""
        return list(service.component.labels)

    return router


def _results(entities: list[dict[str, Any]]) -> list[RecognizerResult]:
    return [
        RecognizerResult(entity_type=e["label"], start=e["start"], end=e["end"], score=e.get("score", 1.0))
        for e in entities
    ]
