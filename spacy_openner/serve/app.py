"""The HTTP service: routes, statuses, limits, metrics. The model runs in `batching`'s thread."""

import asyncio
import hmac
import json
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from spacy.language import Language

from .. import __version__
from ..errors import OpenNERError
from ..labels import LabelSet, LabelsLike
from .batching import Batcher, BatchStats, Expired, QueueFull, Stopping
from .body_limit import BodyLimit
from .finder import EntityFinder, RequestSettings
from .schema import (
    AnalyzeRequest,
    EntitiesRequest,
    EntitiesResponse,
    Entity,
    PipelineSettings,
    Problem,
    RecognizerResult,
)
from .settings import ServeSettings

log = logging.getLogger("spacy_openner.serve")

# Seconds for the whole body of a request.
BODY_TIMEOUT = 20.0
# The page is one file: nothing of it comes from elsewhere, and nothing in a text can make it ask elsewhere.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"


class _Metrics:
    """Counters of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        names = ["path", "status"]
        self.requests = Counter("openner_requests", "Requests", names, registry=self.registry)
        self.seconds = Histogram("openner_request_seconds", "Time to answer", ["path"], registry=self.registry)
        self.texts = Counter("openner_texts", "Texts annotated", registry=self.registry)
        self.entities = Counter("openner_entities", "Entities found", registry=self.registry)
        sizes = (1, 2, 4, 8, 16, 32, 64, 128, 256)
        self.batch = Histogram("openner_batch_texts", "Texts in a batch", buckets=sizes, registry=self.registry)
        self.busy = Counter("openner_pipeline_seconds", "Time in the pipeline", registry=self.registry)
        self.waiting = Gauge("openner_waiting_texts", "Texts that wait or are annotated", registry=self.registry)

    def note_batch(self, stats: BatchStats) -> None:
        self.batch.observe(stats.texts)
        self.texts.inc(stats.texts)
        self.busy.inc(stats.seconds)


class Service:
    """A pipeline with its limits, its queue and its counters.

    nlp (Language): The pipeline.
    limits (ServeSettings): See there.
    key (str | None): What clients must send as `Authorization: Bearer KEY`; None to ask for nothing.
    RAISES (SettingError): For a pipeline that finds no entities of named types.
    """

    def __init__(self, nlp: Language, limits: ServeSettings, key: str | None) -> None:
        self.finder = EntityFinder(nlp)
        self.limits, self.key = limits, key
        self.metrics = _Metrics()
        self.is_ready = False
        self.batcher = Batcher(
            self.finder,
            limits.batch_texts,
            limits.batch_wait,
            limits.max_waiting_texts,
            on_batch=self.metrics.note_batch,
        )
        self.metrics.waiting.set_function(lambda: self.batcher.waiting_texts)

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Load weights and make a first pass before a client waits for it; at the end, answer all that waits."""
        await asyncio.to_thread(
            self.finder, ["Marie Curie lived in Paris."], RequestSettings(labels=LabelSet(["person"]))
        )
        self.is_ready = True
        yield
        self.is_ready = False
        await asyncio.to_thread(self.batcher.stop)

    def check_key(self, authorization: Annotated[str | None, Header()] = None) -> None:
        """Refuse a request that does not show the key."""
        sent = (authorization or "").removeprefix("Bearer ").encode("utf8", "replace")
        if self.key is not None and not hmac.compare_digest(sent, self.key.encode()):
            hint = "send the service's key as 'Authorization: Bearer KEY'"
            raise HTTPException(401, hint, {"WWW-Authenticate": "Bearer"})

    async def find(self, texts: list[str], asked: RequestSettings) -> list[list[dict[str, Any]]]:
        """Find the entities of a request's texts, in a batch with those of others.

        RAISES (HTTPException): For what is over a limit, and when the model is too busy or fails.
        """
        _check_texts(texts, self.limits)
        _check_labels(asked, self.limits)
        busy = {"Retry-After": str(self.limits.retry_after)}
        try:
            answers = await self.batcher.submit(texts, asked, self.limits.timeout)
        except QueueFull:
            raise HTTPException(429, "too much waits for the model; try again later", busy) from None
        except Stopping:
            raise HTTPException(503, "the service is being stopped", busy) from None
        except Expired:
            detail = f"the model was busy for {self.limits.timeout:g} s; try again later"
            raise HTTPException(503, detail, busy) from None
        except OpenNERError as problem:
            raise HTTPException(422, str(problem)) from None
        # A component failed. Its message may quote the text, so clients and logs get the kind of the failure alone.
        except Exception as problem:
            log.error(json.dumps({"error": type(problem).__name__}))
            raise HTTPException(500, f"the pipeline failed: {type(problem).__name__}") from None
        self.metrics.entities.inc(sum(map(len, answers)))
        return answers

    async def observe(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Count a request and log it, without its texts."""
        start = time.perf_counter()
        response = await call_next(request)
        path = getattr(request.scope.get("route"), "path", "other")
        seconds = time.perf_counter() - start
        self.metrics.requests.labels(path, str(response.status_code)).inc()
        self.metrics.seconds.labels(path).observe(seconds)
        log.info(json.dumps({"path": path, "status": response.status_code, "ms": math.ceil(seconds * 1000)}))
        return response


def create_app(nlp: Language, settings: ServeSettings | None = None, key: str | None = None) -> FastAPI:
    """Build the service.

    nlp (Language): The pipeline.
    settings (ServeSettings | None): Limits; the default ones if None.
    key (str | None): What clients must send as `Authorization: Bearer KEY`; None to ask for nothing.
    RETURNS (FastAPI): An application for any ASGI server.
    RAISES (SettingError): For a pipeline that finds no entities of named types.
    """
    limits = settings or ServeSettings()
    service = Service(nlp, limits, key)
    app = FastAPI(title="spacy-openner", version=__version__, lifespan=service.lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    app.include_router(_entity_routes(service))
    app.include_router(_status_routes(service))
    app.add_exception_handler(RequestValidationError, _refuse_invalid)
    app.middleware("http")(service.observe)
    app.add_middleware(BodyLimit, max_bytes=limits.max_body_bytes, timeout=BODY_TIMEOUT)
    return app


def _entity_routes(service: Service) -> APIRouter:
    """Build the routes that annotate texts."""
    refusals: dict[int | str, dict[str, Any]] = {
        code: {"model": Problem} for code in (400, 401, 408, 413, 422, 429, 500, 503)
    }
    router = APIRouter(dependencies=[Depends(service.check_key)], responses=refusals)

    @router.post("/entities")
    async def entities(request: EntitiesRequest) -> EntitiesResponse:
        """Find the entities of texts."""
        answers = await service.find(request.texts, _settings_of(request))
        return EntitiesResponse(entities=[[Entity(**entity) for entity in each] for each in answers])

    @router.post("/analyze")
    async def analyze(request: AnalyzeRequest) -> list[RecognizerResult]:
        """Find the entities of one text, as Presidio's analyzer service does."""
        asked = RequestSettings(_label_set(request.entities), request.score_threshold)
        (found,) = await service.find([request.text], asked)
        return [
            RecognizerResult(entity_type=e["label"], start=e["start"], end=e["end"], score=e.get("score", 1.0))
            for e in found
        ]

    @router.get("/pipeline")
    async def pipeline() -> PipelineSettings:
        """Tell the pipeline's own settings, which hold where a request says nothing."""
        component = service.finder.component
        return PipelineSettings(
            labels=list(component.labels),
            threshold=component.threshold,
            overlap=component.overlap,
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


async def _refuse_invalid(request: Request, problem: Exception) -> JSONResponse:
    """Tell what is wrong with a request. The input itself is left out: it may be long, and it may be private."""
    assert isinstance(problem, RequestValidationError)
    detail = [{"loc": list(each["loc"]), "msg": each["msg"], "type": each["type"]} for each in problem.errors()]
    return JSONResponse({"detail": detail}, 422)


def _settings_of(request: EntitiesRequest) -> RequestSettings:
    thresholds = None if request.label_thresholds is None else tuple(sorted(request.label_thresholds.items()))
    return RequestSettings(_label_set(request.labels), request.threshold, thresholds, request.overlap)


def _label_set(labels: LabelsLike | None) -> LabelSet | None:
    """Check the labels of a request.

    RAISES (HTTPException): For labels that the components refuse.
    """
    try:
        return None if labels is None else LabelSet(labels)
    except OpenNERError as problem:
        raise HTTPException(422, str(problem)) from None


def _check_texts(texts: list[str], limits: ServeSettings) -> None:
    if len(texts) > limits.max_texts:
        raise HTTPException(422, f"{len(texts):,} texts; a request has at most {limits.max_texts:,}")
    for i, text in enumerate(texts):
        if len(text) > limits.max_text_chars:
            raise HTTPException(422, f"text {i} has {len(text):,} characters; at most {limits.max_text_chars:,}")
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise HTTPException(422, f"text {i} holds half a surrogate pair, which is no character")


def _check_labels(asked: RequestSettings, limits: ServeSettings) -> None:
    labels = asked.labels or LabelSet()
    if len(labels) > limits.max_labels:
        raise HTTPException(422, f"{len(labels):,} labels; a request has at most {limits.max_labels:,}")
    for part in chain(labels, labels.values()):
        if len(part) > limits.max_label_chars:
            raise HTTPException(422, f"a label or description has at most {limits.max_label_chars:,} characters")
        if any("\ud800" <= char <= "\udfff" for char in part):
            raise HTTPException(422, "a label holds half a surrogate pair, which is no character")
