"""The HTTP service: its routes and its page."""

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from spacy.language import Language
from starlette.exceptions import HTTPException as StarletteHTTPException

from .. import __version__
from .body_limit import BodyLimit
from .finder import RequestSettings
from .label_studio import label_studio_routes
from .metrics import Observer
from .presidio import presidio_routes
from .schema import REFUSALS, EntitiesRequest, EntitiesResponse, PipelineSettings, Problem
from .service import Service, label_set
from .settings import ServeSettings, checked_key
from .strict_json import StrictRoute

# Seconds for the whole body of a request.
BODY_TIMEOUT = 20.0
# Of what is wrong with a request, so much is told.
MOST_PROBLEMS, LONGEST_DETAIL, LONGEST_NAME = 20, 500, 100
# The page is one file: nothing of it comes from elsewhere, and nothing in a text can make it ask elsewhere.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"


def create_app(
    nlp: Language | Sequence[Language], settings: ServeSettings | None = None, key: str | None = None
) -> FastAPI:
    """Build the service.

    nlp (Language | Sequence[Language]): The pipeline; copies of it work at once, a thread each.
    settings (ServeSettings | None): Limits; the default ones if None.
    key (str | None): What clients must send as `Authorization: Bearer KEY`; None to ask for nothing.
    RETURNS (FastAPI): An application for any ASGI server.
    RAISES (SettingError): For a pipeline that finds no entities of named types, and a key that is none.
    """
    limits = settings or ServeSettings()
    key = None if key is None else checked_key(key, "`key`")
    service = Service([nlp] if isinstance(nlp, Language) else nlp, limits, key)
    app = FastAPI(title="spacy-openner", version=__version__, lifespan=service.lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    app.include_router(_entity_routes(service))
    app.include_router(presidio_routes(service))
    app.include_router(label_studio_routes(service))
    app.include_router(_status_routes(service))
    app.add_exception_handler(RequestValidationError, _refuse_invalid)
    app.add_exception_handler(StarletteHTTPException, _refuse)
    app.add_middleware(BodyLimit, max_bytes=limits.max_body_bytes, timeout=BODY_TIMEOUT)
    app.add_middleware(Observer, metrics=service.metrics)
    return app


def _entity_routes(service: Service) -> APIRouter:
    """Build the routes that annotate texts."""
    router = APIRouter(dependencies=[Depends(service.check_key)], responses=REFUSALS, route_class=StrictRoute)

    @router.post("/entities", response_model=EntitiesResponse)
    async def entities(request: EntitiesRequest) -> Response:
        """Find the entities of texts."""
        answers = await service.find(request.texts, _settings_of(request))
        # Of the declared form already: checking each entity once more would take as long as all else here.
        return JSONResponse({"entities": [[{**entity, "score": entity.get("score")} for entity in e] for e in answers]})

    @router.get("/pipeline")
    async def pipeline() -> PipelineSettings:
        """Tell the pipeline's own settings, which hold where a request says nothing."""
        component = service.component
        return PipelineSettings(
            labels=list(component.labels),
            threshold=component.threshold,
            overlap=component.overlap,
            boundaries=list(component.boundaries),
            needs_key=service.key is not None,
        )

    return router


def _status_routes(service: Service) -> APIRouter:
    """Build the routes that need no key: health, counters and the page."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Tell that the process lives."""
        return {"status": "ok"}

    @router.get("/readyz", responses={503: {"model": Problem}})
    async def readyz() -> dict[str, str]:
        """Tell whether requests are taken."""
        if not service.is_ready:
            raise HTTPException(503, "not ready", {"Retry-After": str(service.limits.retry_after)})
        return {"status": "ready"}

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Count requests, texts and batches, for Prometheus."""
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @router.get("/", response_class=HTMLResponse)
    async def page() -> HTMLResponse:
        """Show a page to try the pipeline on."""
        html = files("spacy_openner.serve").joinpath("page/index.html").read_text(encoding="utf8")
        return HTMLResponse(html, headers={"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"})

    return router


class _Refusal(JSONResponse):
    """A response that may repeat what no UTF-8 can hold: half characters, which JSON writes as escapes."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()


async def _refuse_invalid(request: Request, problem: Exception) -> Response:
    """Tell what is wrong with a request. The input itself is left out: it may be long, and it may be private."""
    assert isinstance(problem, RequestValidationError)
    shown = [
        # Names of fields are the client's own.
        {
            "loc": [part[:LONGEST_NAME] if isinstance(part, str) else part for part in fault["loc"]],
            "msg": fault["msg"],
            "type": fault["type"],
        }
        for fault in problem.errors()[:MOST_PROBLEMS]
    ]
    return _Refusal({"detail": shown}, 422)


async def _refuse(request: Request, problem: Exception) -> Response:
    """Tell why a request is not answered."""
    assert isinstance(problem, StarletteHTTPException)
    # It may quote what was sent, however long that is.
    return _Refusal({"detail": problem.detail[:LONGEST_DETAIL]}, problem.status_code, problem.headers)


def _settings_of(request: EntitiesRequest) -> RequestSettings:
    thresholds = None if request.label_thresholds is None else tuple(sorted(request.label_thresholds.items()))
    boundaries = None if request.boundaries is None else tuple(request.boundaries)
    return RequestSettings(label_set(request.labels), request.threshold, thresholds, request.overlap, boundaries)
