"""Counters of the service, and a line of the log for each request."""

import json
import logging
import math
import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from .batching import BatchStats

log = logging.getLogger("spacy_openner.serve")


class Metrics:
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
        """Count a batch."""
        self.batch.observe(stats.texts)
        self.texts.inc(stats.texts)
        self.busy.inc(stats.seconds)

    def note_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request, and log it without its texts."""
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)
        log.info(json.dumps({"path": path, "status": status, "ms": math.ceil(seconds * 1000)}))


class Observer:
    """Counts all requests that are answered.

    metrics (Metrics): Gets them.
    """

    def __init__(self, app: Any, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand a request on, and note what becomes of it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), None

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception:
            status = status or 500
            raise
        finally:
            # A client that went away before its request was whole has no answer.
            if status is not None:
                path = getattr(scope.get("route"), "path", "other")
                self.metrics.note_request(path, status, time.perf_counter() - start)
