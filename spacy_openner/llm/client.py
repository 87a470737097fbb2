"""A client of any server that speaks the chat-completions protocol: OpenAI, vLLM, Ollama, llama.cpp, ..."""

import asyncio
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import error, warn
from .cache import Cache, key_of
from .responses import STOPPING, Fault, Reply, fault_of, parse, read
from .session import Session
from .types import Failure, LLMRequest, LLMResponse, UsageReport

NO_KEY = "none"
GIVE_UP_AFTER = 10
FIRST_WAIT = 0.5


@dataclass
class _Batch:
    """One call of `ask`: `in_a_row` questions failed since one was answered, `stopped` says why no more are sent."""

    in_a_row: int = 0
    stopped: str | None = None
    pending: dict[str, "asyncio.Task[str | Failure]"] = field(default_factory=dict)


class LLMClient:
    """Asks questions, many at once, and says of each what came of it. See `settings.LLMClient_v1` for the settings.

    It may be used from several threads, beside a running event loop (as in notebooks), and in other processes, where
    everything but settings is made anew. It never holds a key: that is read from the environment when the first
    question is asked.
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
        self._said: set[str] = set()

    def __repr__(self) -> str:
        return f"LLMClient(model={self.model!r}, base_url={self.base_url!r})"

    def ask(self, questions: Sequence[LLMRequest]) -> list[LLMResponse | Failure]:
        """Ask questions, as many at once as `concurrency` allows, and wait for all of them.

        What is answered is kept in the cache at once: a run that is interrupted goes on where it was.

        questions (Sequence[LLMRequest]): Any number; equal ones are asked once.
        RETURNS (list[LLMResponse | Failure]): In step with the questions. Nothing that a server does raises.
        RAISES (SettingError): Without a key where one is needed.
        """
        if not questions:
            return []
        session = self._running()
        run = _Batch()
        found = session.run(self._all(session, run, questions))
        if session.cache.problem is not None:
            self._say("W501", path=str(self.cache_dir), reason=session.cache.problem)
        if any(isinstance(each, Failure) and each.kind == "budget" for each in found):
            self._say("W502", requests=self.report.requests, tokens=self.report.tokens)
        if run.stopped is not None:
            warn("W503", model=self.model, reason=run.stopped)
        return found

    def close(self) -> None:
        """Close connections. The next question opens them again."""
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None

    def _say(self, code: str, **values: Any) -> None:
        if code not in self._said:
            self._said.add(code)
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

        key = self._key()
        if key is None and self.base_url is None and not os.environ.get("OPENAI_BASE_URL"):
            raise error("O504", name=self.api_key_env)
        # Repetitions are counted, paced and paid for here, so the client's own are off.
        client = openai.AsyncOpenAI(api_key=key or NO_KEY, base_url=self.base_url, timeout=self.timeout, max_retries=0)
        session = Session(client, Cache(self.cache_dir), self.concurrency, self.requests_per_minute)
        weakref.finalize(self, session.close)
        return session

    def _key(self) -> str | None:
        return (os.environ.get(self.api_key_env) or None) if self.api_key_env else None

    def _without_key(self, text: str) -> str:
        key = self._key()
        return text.replace(key, "***") if key else text

    # Questions

    async def _all(self, session: Session, run: _Batch, questions: Sequence[LLMRequest]) -> list[LLMResponse | Failure]:
        return list(await asyncio.gather(*(self._one(session, run, question) for question in questions)))

    async def _one(self, session: Session, run: _Batch, question: LLMRequest) -> LLMResponse | Failure:
        """LLMResponse one question, from the cache, by what is under way already, or by a server."""
        self.report.questions += 1
        key = key_of(self.model, self.parameters, question)
        known = session.cache.get(key)
        if known is not None:
            try:
                value = parse(known, question.schema)
            except Fault:
                # Of another version, or somebody's edit: ask again.
                pass
            else:
                self.report.cache_hits += 1
                return LLMResponse(value, cached=True)
        first = key not in run.pending
        if first:
            run.pending[key] = asyncio.ensure_future(self._answered(session, run, question, key))
        said = await run.pending[key]
        if isinstance(said, Failure):
            self.report.failures[said.kind] += 1
            return said
        if first:
            self.report.answered += 1
        else:
            self.report.cache_hits += 1
        return LLMResponse(parse(said, question.schema), cached=not first)

    async def _answered(self, session: Session, run: _Batch, question: LLMRequest, key: str) -> str | Failure:
        """Let a server answer, however often that takes, and keep what it says."""
        async with session.slots:
            if run.stopped is not None:
                return Failure("stopped", run.stopped)
            try:
                said = await self._request_with_retry(session, question)
            except Fault as fault:
                failure = Failure(fault.kind, self._without_key(fault.message))
                run.in_a_row += fault.kind != "budget"
                if fault.kind in STOPPING or run.in_a_row >= GIVE_UP_AFTER:
                    run.stopped = run.stopped or f"{failure.kind}: {failure.message}"
                return failure
        run.in_a_row = 0
        session.cache.put(key, self.model, said)
        return said

    async def _request_with_retry(self, session: Session, question: LLMRequest) -> str:
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        attempts = AsyncRetrying(
            stop=stop_after_attempt(self.max_retries + 1),
            wait=self._wait,
            retry=retry_if_exception(self._worth_another_try),
            reraise=True,
        )
        async for attempt in attempts:
            with attempt:
                said = await self._with_or_without_schema(session, question)
        return said

    def _worth_another_try(self, problem: BaseException) -> bool:
        return isinstance(problem, Fault) and problem.passes and (problem.wait or 0.0) <= self.max_wait

    def _wait(self, state: Any) -> float:
        """Twice as long each time, spread so that clients do not come back together, or as long as the server asks."""
        from tenacity import wait_random_exponential

        problem = state.outcome.exception()
        if isinstance(problem, Fault) and problem.wait is not None:
            return problem.wait
        return float(wait_random_exponential(multiplier=2 * FIRST_WAIT, max=self.max_wait)(state))

    async def _with_or_without_schema(self, session: Session, question: LLMRequest) -> str:
        """Ask for an answer of the schema. A server that refuses is asked again without, and then always so."""
        if self.structured == "plain" or not session.knows_schemas:
            return await self._request(session, question, None)
        try:
            return await self._request(session, question, question.schema)
        except Fault as fault:
            if fault.kind != "refused" or self.structured == "schema":
                raise
            said = await self._request(session, question, None)
            session.knows_schemas = False
            return said

    async def _request(self, session: Session, question: LLMRequest, schema: Mapping[str, Any] | None) -> str:
        """Send one request.

        RAISES (Fault): For everything that can go wrong with it.
        """
        self._check_budget()
        await session.limiter.acquire()
        self._check_budget()
        self.report.requests += 1
        messages = [{"role": role, "content": text} for role, text in question.messages]
        body: dict[str, Any] = {"model": self.model, "messages": messages, **self.parameters}
        if schema is not None:
            layout = {"name": "answer", "schema": dict(schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": layout}
        try:
            # `post`, not `chat.completions.create`, whose models of requests and replies take half of all time.
            # The client's own limit is on each wait for data, so that a server which trickles would pass it.
            sending = session.openai.post("/chat/completions", cast_to=object, body=body)
            said = read(await asyncio.wait_for(sending, self.timeout))
            self._meter(question, said)
            parse(said.checked(), question.schema)
        except Fault as fault:
            self.report.faults[fault.kind] += 1
            raise
        except Exception as problem:
            unknown = fault_of(problem)
            self.report.faults[unknown.kind] += 1
            # Without its cause, whose request has the key in its headers.
            raise unknown from None
        return said.content

    def _check_budget(self) -> None:
        report = self.report
        for name, used, most in (
            ("requests", report.requests, self.max_requests),
            ("tokens", report.tokens, self.max_tokens),
        ):
            if most is not None and used >= most:
                raise Fault("budget", f"{used} {name} are spent, of {most}")

    def _meter(self, question: LLMRequest, said: Reply) -> None:
        self.report.unmetered += said.tokens is None
        estimated = sum(len(text) for _, text in question.messages) // 4, len(said.content) // 4
        asked, answered = said.tokens or estimated
        self.report.input_tokens += asked
        self.report.output_tokens += answered

    # Other processes get the settings alone.

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_lock", "_session", "_said")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()
