"""Pipelines with their limits, their queue and their counters. The model runs in `batching`'s threads."""

import asyncio
import base64
import hmac
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException
from spacy.language import Language

from ..components.entity_pipe import OpenNERPipe
from ..errors import OpenNERError
from ..files import is_utf8
from ..labels import LabelSet, LabelsLike
from ..secret import Secret
from .batching import Batcher, Expired, QueueFull, Stopping
from .finder import EntityFinder, RequestSettings
from .metrics import Metrics
from .settings import ServeSettings

log = logging.getLogger("spacy_openner.serve")


class Service:
    """Pipelines with their limits, their queue and their counters.

    nlps (Sequence[Language]): A pipeline, and copies of it for threads of their own: spaCy's vocabulary is for one.
    limits (ServeSettings): See there.
    key (Secret | None): What clients must send as `Authorization: Bearer KEY`; None to ask for nothing.
    RAISES (SettingError): For a pipeline that finds no entities of named types.
    """

    def __init__(self, nlps: Sequence[Language], limits: ServeSettings, key: Secret | None) -> None:
        self.finders = [EntityFinder(nlp, limits.max_spans) for nlp in nlps]
        self.limits, self.key = limits, key
        self.max_text_chars = min([limits.max_text_chars, *(nlp.max_length for nlp in nlps)])
        self.metrics = Metrics()
        self.is_ready = False
        self.batcher = self._start_batcher()
        self.metrics.waiting.set_function(lambda: self.batcher.waiting_texts)

    def _start_batcher(self) -> Batcher[list[dict[str, Any]]]:
        return Batcher(
            self.finders,
            self.limits.batch_texts,
            self.limits.batch_wait,
            self.limits.max_waiting_texts,
            on_batch=self.metrics.note_batch,
        )

    @property
    def component(self) -> OpenNERPipe[Any]:
        """The component that finds the entities, of the first pipeline."""
        return self.finders[0].component

    def prepare(self) -> None:
        """Load the weights, and make a first pass."""
        for finder in self.finders:
            finder(["Marie Curie lived in Paris."], RequestSettings(labels=LabelSet(["person"])))

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Get ready before a client waits for it; at the end, answer all that waits."""
        await asyncio.to_thread(self.prepare)
        if self.batcher.is_stopping:
            # The application was stopped before, and is started again.
            self.batcher = self._start_batcher()
        self.is_ready = True
        yield
        self.is_ready = False
        await asyncio.to_thread(self.batcher.stop)

    # FastAPI hands functions that are no coroutines to a thread.
    async def check_key(self, authorization: Annotated[str | None, Header()] = None) -> None:
        """Refuse a request that does not show the key."""
        sent = _sent_key(authorization or "").encode("utf8", "replace")
        if self.key is not None and not hmac.compare_digest(sent, self.key.encode()):
            hint = "send the service's key as 'Authorization: Bearer KEY'"
            raise HTTPException(401, hint, {"WWW-Authenticate": "Bearer"})

    async def find(self, texts: list[str], settings: RequestSettings) -> list[list[dict[str, Any]]]:
        """Find the entities of a request's texts, in a batch with those of others.

        RAISES (HTTPException): For what is over a limit, and when the model is too busy or fails.
        """
        _check_texts(texts, self.limits.max_texts, self.max_text_chars)
        _check_labels(settings, self.limits)
        busy = {"Retry-After": str(self.limits.retry_after)}
        try:
            answers = await self.batcher.submit(texts, settings, self.limits.timeout)
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


def _sent_key(authorization: str) -> str:
    """Return the key of a header: a bearer's, or the password of those who can only send a name and a password."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:
            return ""
    return ""


def label_set(labels: LabelsLike | None) -> LabelSet | None:
    """Check the labels of a request.

    RAISES (HTTPException): For labels that the components refuse.
    """
    try:
        return None if labels is None else LabelSet(labels)
    except OpenNERError as problem:
        raise HTTPException(422, str(problem)) from None


def _check_texts(texts: list[str], most: int, most_chars: int) -> None:
    if len(texts) > most:
        raise HTTPException(422, f"{len(texts):,} texts; a request has at most {most:,}")
    for i, text in enumerate(texts):
        if len(text) > most_chars:
            raise HTTPException(422, f"text {i} has {len(text):,} characters; at most {most_chars:,}")
        if not is_utf8(text):
            raise HTTPException(422, f"text {i} holds half a surrogate pair, which is no character")


def _check_labels(settings: RequestSettings, limits: ServeSettings) -> None:
    labels = settings.labels or LabelSet()
    if len(labels) > limits.max_labels:
        raise HTTPException(422, f"{len(labels):,} labels; a request has at most {limits.max_labels:,}")
    for part in chain(labels, labels.values()):
        if len(part) > limits.max_label_chars:
            raise HTTPException(422, f"a label or description has at most {limits.max_label_chars:,} characters")
        if not is_utf8(part):
            raise HTTPException(422, "a label holds half a surrogate pair, which is no character")
