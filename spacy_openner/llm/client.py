"""A client of any server that speaks the chat-completions protocol: OpenAI, vLLM, Ollama, llama.cpp, ..."""

import asyncio
import json
import os
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import error, warn
from .cache import Cache, key_of
from .forms import FORMS, has_bounds, request_body
from .keys import Redactor, read_key
from .responses import OF_THE_TEXT, STOPPING, Fault, Reply, fault_of, parse, read
from .session import Session, SessionClosed, http_client
from .types import Failure, LLMRequest, LLMResponse, UsageReport

NO_KEY = "none"
GIVE_UP_AFTER = 10
FIRST_WAIT = 0.5
# Seconds that a server which was given up is left alone.
COOL_DOWN = 30.0
FAILED = "failed"
"""Key of what is kept of a text that was never answered: an object with its kind and message."""


@dataclass
class _Batch:
    """One call of `ask`. `stopped` says why no more is sent, `pending` has what is under way."""

    stopped: str | None = None
    pending: dict[str, "asyncio.Task[str | Failure]"] = field(default_factory=dict)


@dataclass
class _Server:
    """Facts that are known of a server.

    form (int): The number of the strictest of `FORMS` that it may take.
    is_sure (bool): It has taken that.
    folds_system (bool): Its model has no system messages.
    limits_tokens (bool): It takes a limit of tokens.
    outages (int): Requests that failed since one was answered, the text being no reason.
    retry_at (float): When it may be asked again, once it was given up.
    """

    form: int = 0
    is_sure: bool = False
    folds_system: bool = False
    limits_tokens: bool = True
    outages: int = 0
    retry_at: float = 0.0

    @property
    def is_given_up(self) -> bool:
        return self.outages >= GIVE_UP_AFTER and time.monotonic() < self.retry_at


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
        self.model, self.base_url, self.api_key_env = model, base_url, api_key_env
        self.parameters, self.structured = dict(parameters), structured
        self.concurrency, self.requests_per_minute = concurrency, requests_per_minute
        self.timeout, self.max_retries, self.max_wait = timeout, max_retries, max_wait
        self.max_requests, self.max_tokens = max_requests, max_tokens
        self.cache_dir = None if cache_dir is None else Path(cache_dir).expanduser()
        self.report = UsageReport(prices=dict(prices or {}))
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._warned: set[tuple[str, ...]] = set()
        self._redact = Redactor(None)
        self._server = _Server(form=len(FORMS) - 1 if self.structured == "plain" else 0)

    def __repr__(self) -> str:
        return f"LLMClient(model={self.model!r}, base_url={self.base_url!r})"

    def ask(self, requests: Sequence[LLMRequest]) -> list[LLMResponse | Failure]:
        """Send requests, as many at once as `concurrency` allows, and wait for all of them.

        Answers are kept in the cache at once: a run that is interrupted goes on where it was.

        requests (Sequence[LLMRequest]): Any number; equal ones are sent once.
        RETURNS (list[LLMResponse | Failure]): In step with the requests. Nothing that a server does raises.
        RAISES (SettingError): Without a key where one is needed.
        """
        if not requests:
            return []
        session, batch = self._running(), _Batch()
        try:
            responses = session.run(self._all(session, batch, requests))
        except SessionClosed:
            return [Failure("stopped", "the client was closed")] * len(requests)
        if session.cache.problem is not None:
            self._warn_once("W501", path=str(self.cache_dir), reason=session.cache.problem)
        failures = [each for each in responses if isinstance(each, Failure)]
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

        key = read_key(self.api_key_env)
        if key is None and self.base_url is None and not os.environ.get("OPENAI_BASE_URL"):
            raise error("O504", name=self.api_key_env)
        self._redact = Redactor(key)
        # Repetitions are counted, paced and paid for here, so the client's own are off.
        client = openai.AsyncOpenAI(
            api_key=key or NO_KEY,
            base_url=self.base_url,
            timeout=self.timeout,
            max_retries=0,
            http_client=http_client(self.timeout),
        )
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
        key = key_of(self.model, self.parameters, request)
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
        if kept is None:
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
                content = await self._request_with_retry(session, request)
            except Fault as fault:
                failure = Failure(fault.kind, self._redact(fault.message))
                self._note_failure(fault)
                if fault.kind in STOPPING or self._server.is_given_up:
                    batch.stopped = batch.stopped or f"{failure.kind}: {failure.message}"
                if fault.kind in OF_THE_TEXT:
                    session.cache.put(key, self.model, json.dumps({FAILED: failure}))
                return failure
        self._server.outages = 0
        if not self._redact.finds(content):
            session.cache.put(key, self.model, content)
        return content

    def _note_failure(self, fault: Fault) -> None:
        if fault.by_text:
            self._server.outages = 0
        elif fault.kind != "budget":
            self._server.outages += 1
            self._server.retry_at = time.monotonic() + COOL_DOWN

    async def _request_with_retry(self, session: Session, request: LLMRequest) -> str:
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        # A server that has just failed for good is not asked five times about each further text.
        retries = 0 if self._server.outages else self.max_retries
        attempts = AsyncRetrying(
            stop=stop_after_attempt(retries + 1),
            wait=self._wait,
            retry=retry_if_exception(self._worth_another_try),
            reraise=True,
        )
        try:
            async for attempt in attempts:
                with attempt:
                    content = await self._request_in_known_form(session, request)
        except Fault as fault:
            # Some servers fail, rather than refuse, where they are asked for a schema.
            if self._server.is_sure or fault.status not in (404, 500, 501):
                raise
            content = await self._request_in_known_form(session, request, fault)
        return content

    def _worth_another_try(self, problem: BaseException) -> bool:
        if not isinstance(problem, Fault) or not problem.passes or (problem.wait or 0.0) > self.max_wait:
            return False
        # The same model would say the same, and take as long.
        is_certain = self.parameters.get("temperature") == 0
        return not (is_certain and (problem.kind == "timeout" or problem.by_text))

    def _wait(self, state: Any) -> float:
        """Twice as long each time, spread so that clients do not come back together, or as long as the server asks."""
        from tenacity import wait_random_exponential

        problem = state.outcome.exception()
        if isinstance(problem, Fault) and problem.wait is not None:
            return problem.wait
        return float(wait_random_exponential(multiplier=2 * FIRST_WAIT, max=self.max_wait)(state))

    async def _request_in_known_form(self, session: Session, request: LLMRequest, failed: Fault | None = None) -> str:
        """Send a request in the strictest form that the server takes, which is found once, and said.

        failed (Fault | None): Why that form was given up already.
        """
        server, reason = self._server, failed
        form = server.form
        if FORMS[form] == "schema" and not has_bounds(request.schema):
            form += 1
        if failed is not None and not self._may_loosen(form):
            raise failed
        form += failed is not None
        while True:
            try:
                content = await self._request(session, request, form)
            except Fault as fault:
                if fault.refuses_system_role and not server.folds_system:
                    server.folds_system = True
                elif form < server.form:
                    form = server.form
                elif not server.is_sure and fault.refuses_form(failed is not None) and self._may_loosen(form):
                    form, reason = form + 1, fault
                else:
                    raise
            else:
                server.is_sure = True
                if reason is not None and form > server.form:
                    self._warn_once("W521", model=self.model, form=FORMS[form], reason=self._redact(reason.message))
                    server.form = form
                return content

    def _may_loosen(self, form: int) -> bool:
        return form < len(FORMS) - (2 if self.structured == "schema" else 1)

    async def _request(self, session: Session, request: LLMRequest, form: int) -> str:
        """Send one request.

        RAISES (Fault): For everything that can go wrong with it.
        """
        self._check_budget()
        await session.limiter.acquire()
        self._check_budget()
        self.report.requests += 1
        self.report.in_words += FORMS[form] == "words"
        limit_name = "max_completion_tokens" if self.base_url is None else "max_tokens"
        body = request_body(
            self.model,
            request,
            self.parameters,
            form=FORMS[form],
            fold_system=self._server.folds_system,
            limit_name=limit_name if self._server.limits_tokens else None,
        )
        try:
            # `post`, not `chat.completions.create`, whose models of requests and replies take half of all time.
            # The client's own limit is on each wait for data, so that a server which trickles would pass it.
            sending = session.openai.post("/chat/completions", cast_to=object, body=body)
            reply = read(await asyncio.wait_for(sending, self.timeout))
            self._meter(request, reply)
            self._check_own_limit(request, reply, limit_name in body and limit_name not in self.parameters)
            content = reply.checked()
            parse(content, request.schema)
        except Exception as problem:
            # Without its cause, whose request has the key in its headers.
            fault = problem if isinstance(problem, Fault) else fault_of(problem, self._redact)
            self.report.faults[fault.kind] += 1
            if fault.kind == "timeout":
                self._meter(request, Reply(None, None, None), answered=body.get(limit_name, 0))
            raise fault from None
        return content

    def _check_own_limit(self, request: LLMRequest, reply: Reply, is_limited: bool) -> None:
        """Set no more limits of tokens once a model that thinks aloud was cut by one.

        RAISES (Fault): Of a kind that is tried again.
        """
        if is_limited and reply.finish == "length" and reply.thinks:
            self._server.limits_tokens = False
            raise Fault("server", "the answer was cut at the limit that the request set; the next ones have none")

    def _check_budget(self) -> None:
        report = self.report
        for name, used, most in (
            ("requests", report.requests, self.max_requests),
            ("tokens", report.tokens, self.max_tokens),
        ):
            if most is not None and used >= most:
                raise Fault("budget", f"{used} {name} are spent, of {most}")

    def _meter(self, request: LLMRequest, reply: Reply, answered: int | None = None) -> None:
        """Count the tokens of a request, or estimate them.

        answered (int | None): Tokens of an answer that did not come.
        """
        self.report.unmetered += reply.tokens is None
        estimated = sum(len(text) for _, text in request.messages) // 4, len(reply.content or "") // 4
        asked, said = reply.tokens or estimated
        self.report.input_tokens += asked
        self.report.output_tokens += said if answered is None else answered

    # Other processes get the settings alone.

    def __getstate__(self) -> dict[str, Any]:
        own = ("_lock", "_session", "_warned", "_redact", "_server")
        return {key: value for key, value in self.__dict__.items() if key not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()
