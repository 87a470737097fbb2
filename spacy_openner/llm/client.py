"""A client of any server that speaks the chat-completions protocol: OpenAI, vLLM, Ollama, llama.cpp, ..."""

import asyncio
import json
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..arguments import as_list
from ..errors import error, warn
from ..files import as_local_path
from .answers import parse
from .cache import Cache, key_of
from .keys import CREDENTIALS, check_url, read_key
from .redaction import HIDDEN, Redactor
from .responses import OF_THE_TEXT, STOPPING, Fault
from .server import Server, ServerSettings
from .session import Session, SessionClosed, http_client
from .types import Failure, LLMRequest, LLMResponse, UsageReport

NO_KEY = "none"
FAILED = "failed"
"""Key of what is kept of a text that was never answered: an object with its kind and message."""


@dataclass
class _Batch:
    """One call of `ask`. `stopped` says why no more is sent, `pending` has what is under way."""

    stopped: str | None = None
    pending: dict[str, "asyncio.Task[str | Failure]"] = field(default_factory=dict)


class LLMClient:
    """Sends requests to a language model, many at once, and returns a response or a failure for each.

    See `LLMClient_v1` for the settings. It may be used from several threads, beside a running event loop (as in
    notebooks), and in other processes, where everything but settings is made anew. It never holds a key: that is read
    from the environment when the first request is sent.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None,
        api_key_env: str,
        parameters: Mapping[str, Any],
        structured: str,
        concurrency: int,
        requests_per_minute: float | None,
        timeout: float,
        max_retries: int,
        max_wait: float,
        max_requests: int | None,
        max_tokens: int | None,
        prices: Mapping[str, float] | None,
        cache_dir: str | Path | None,
    ) -> None:
        self.settings = ServerSettings(
            model=model,
            base_url=base_url,
            parameters=dict(parameters),
            structured=structured,
            timeout=timeout,
            max_retries=max_retries,
            max_wait=max_wait,
            max_requests=max_requests,
            max_tokens=max_tokens,
        )
        self.api_key_env = api_key_env
        self.concurrency, self.requests_per_minute = concurrency, requests_per_minute
        self.cache_dir = None if cache_dir is None else as_local_path(cache_dir, "cache_dir")
        self.report = UsageReport(prices=dict(prices or {}))
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._warned: set[tuple[str, ...]] = set()
        self._server = Server(self.settings, self.report, Redactor(None), self._warn_once)

    @property
    def model(self) -> str:
        """The name of the model."""
        return self.settings.model

    def __repr__(self) -> str:
        return f"LLMClient(model={self.model!r}, base_url={self.settings.base_url!r})"

    def ask(self, requests: Sequence[LLMRequest]) -> list[LLMResponse | Failure]:
        """Send requests, as many at once as `concurrency` allows, and wait for all of them.

        Answers are kept in the cache at once: a run that is interrupted goes on where it was.

        requests (Sequence[LLMRequest]): Any number; equal ones are sent once.
        RETURNS (list[LLMResponse | Failure]): In step with the requests. Nothing that a server does raises.
        RAISES (SettingError): Without a key where one is needed.
        """
        requests = as_list(requests, LLMRequest, "requests", "a list of LLMRequests")
        if not requests:
            return []
        session, batch = self._running(), _Batch()
        try:
            responses = session.run(self._all(session, batch, requests))
        except SessionClosed:
            return [Failure("stopped", "the client was closed")] * len(requests)
        if session.cache.problem is not None:
            self._warn_once("W501", path=str(self.cache_dir), reason=session.cache.problem)
        failures = [response for response in responses if isinstance(response, Failure)]
        if any(failure.kind == "budget" for failure in failures):
            self._warn_once("W502", requests=self.report.requests, tokens=self.report.tokens)
        for failure in failures:
            if failure.kind not in ("budget", "stopped", *STOPPING):
                self._warn_once("W520", failure.kind, kind=failure.kind, model=self.model, message=failure.message)
        if batch.stopped is not None:
            warn("W503", model=self.model, reason=batch.stopped)
        return responses

    def close(self) -> None:
        """Close connections; requests under way fail as "stopped". The next request opens them again."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def _warn_once(self, code: str, *about: str, **values: Any) -> None:
        if (code, *about) not in self._warned:
            self._warned.add((code, *about))
            warn(code, **values)

    # Sessions

    def _running(self) -> Session:
        if self._session is not None and self._session.pid != os.getpid():
            self._reset()
        with self._lock:
            if self._session is None:
                self._session = self._start()
            return self._session

    def _start(self) -> Session:
        import openai

        key, elsewhere = read_key(self.api_key_env), os.environ.get("OPENAI_BASE_URL")
        if self.settings.base_url is None and elsewhere:
            check_url("OPENAI_BASE_URL", elsewhere)
        elif key is None and self.settings.base_url is None:
            raise error("O504", name=self.api_key_env)
        self._server.redact = Redactor(key)
        client, reason = None, ""
        try:
            # Repetitions are counted, paced and paid for here, so the client's own are off.
            client = openai.AsyncOpenAI(
                api_key=NO_KEY if key is None else key.reveal(),
                base_url=self.settings.base_url,
                timeout=self.settings.timeout,
                max_retries=0,
                http_client=http_client(self.settings.timeout),
            )
        except Exception as problem:
            # Whatever is wrong with proxies and certificates. Addresses of proxies may hold secrets.
            reason = self._server.redact(CREDENTIALS.sub(HIDDEN, f"{type(problem).__name__}: {problem}"))
        if client is None:
            # Outside of the handler: the frames of what failed there hold the key, and an error keeps its context.
            raise error("O522", url=self.settings.base_url or elsewhere or "OpenAI", reason=reason)
        session = Session(client, Cache(self.cache_dir), self.concurrency, self.requests_per_minute)
        weakref.finalize(self, session.close)
        return session

    # Requests

    async def _all(
        self, session: Session, batch: _Batch, requests: Sequence[LLMRequest]
    ) -> list[LLMResponse | Failure]:
        return list(await asyncio.gather(*(self._one(session, batch, request) for request in requests)))

    async def _one(self, session: Session, batch: _Batch, request: LLMRequest) -> LLMResponse | Failure:
        """Answer one request: from the cache, by what is under way already, or by a server."""
        self.report.questions += 1
        key = key_of(self.model, self.settings.parameters, request)
        known = self._known(session, key, request)
        if isinstance(known, LLMResponse):
            self.report.cache_hits += 1
            return known
        first = key not in batch.pending
        if first and known is None:
            batch.pending[key] = asyncio.ensure_future(self._answered(session, batch, request, key))
        content = known or await batch.pending[key]
        if isinstance(content, Failure):
            self.report.failures[content.kind] += 1
            return content
        if first:
            self.report.answered += 1
        else:
            self.report.cache_hits += 1
        return LLMResponse(parse(content, request.schema), cached=not first)

    def _known(self, session: Session, key: str, request: LLMRequest) -> LLMResponse | Failure | None:
        """Look up an answer, or that there is none."""
        kept = session.cache.get(key)
        if kept is None or self._server.redact.finds(kept):
            return None
        try:
            return LLMResponse(parse(kept, request.schema), cached=True)
        except Fault:
            pass
        try:
            kind, message = json.loads(kept)[FAILED]
        except (ValueError, TypeError, KeyError, RecursionError):
            # Of another version, or somebody's edit: ask again.
            return None
        return Failure(kind, message) if kind in OF_THE_TEXT and isinstance(message, str) else None

    async def _answered(self, session: Session, batch: _Batch, request: LLMRequest, key: str) -> str | Failure:
        """Let a server answer, however often that takes, and keep what it says."""
        async with session.slots:
            if self._server.is_given_up:
                batch.stopped = batch.stopped or f"it has failed {self._server.outages} times in a row"
            if batch.stopped is not None:
                return Failure("stopped", batch.stopped)
            try:
                content = await self._server.answer(session, request)
            except Fault as fault:
                failure = Failure(fault.kind, self._server.redact(fault.message))
                if fault.kind in STOPPING or self._server.is_given_up:
                    batch.stopped = batch.stopped or f"{failure.kind}: {failure.message}"
                if fault.kind in OF_THE_TEXT:
                    session.cache.put(key, self.model, json.dumps({FAILED: failure}))
                return failure
        hidden = self._server.redact(content)
        if hidden == content:
            session.cache.put(key, self.model, content)
            return content
        try:
            parse(hidden, request.schema)
        except Fault:
            return Failure("malformed", "an answer that repeats the key")
        return hidden

    # Other processes get the settings alone.

    def __getstate__(self) -> dict[str, Any]:
        own = ("_lock", "_session", "_warned", "_server")
        return {key: value for key, value in self.__dict__.items() if key not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()
