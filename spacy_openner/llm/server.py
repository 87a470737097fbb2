"""One server of a language model: the form of request that it takes, further tries, and what requests cost."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .answers import parse
from .forms import FORMS, request_body, strictest
from .redaction import Redactor
from .responses import Fault, Reply, fault_of, read
from .session import Session
from .types import LLMRequest, UsageReport

GIVE_UP_AFTER = 10
FIRST_WAIT = 0.5
# Seconds that a server which was given up is left alone.
COOL_DOWN = 30.0
LIMITS = ("max_tokens", "max_completion_tokens")
"""The names of the limit of an answer's tokens: that of most servers, and OpenAI's."""


@dataclass(frozen=True)
class ServerSettings:
    """Settings of requests to a server; `LLMClient_v1` describes each."""

    model: str
    base_url: str | None
    parameters: Mapping[str, Any]
    structured: str
    timeout: float
    max_retries: int
    max_wait: float
    max_requests: int | None
    max_tokens: int | None


def backoff(state: Any, most: float) -> float:
    """Return how long to wait after a failed attempt.

    Twice as long each time, spread so that clients do not come back together, or as long as the server asks.

    state (Any): A `tenacity.RetryCallState`.
    most (float): Seconds that are never passed but for a server's own wish.
    RETURNS (float): Seconds.
    """
    from tenacity import wait_random_exponential

    problem = state.outcome.exception()
    if isinstance(problem, Fault) and problem.wait is not None:
        return problem.wait
    return float(wait_random_exponential(multiplier=2 * FIRST_WAIT, max=most)(state))


class Server:
    """Gets answers from a server, and remembers what it takes.

    settings (ServerSettings): As the user gave them.
    report (UsageReport): Counts requests, tokens and faults.
    redact (Redactor): Takes the key out of messages.
    warn_once (Callable): Warns by a code and its values.
    """

    def __init__(
        self, settings: ServerSettings, report: UsageReport, redact: Redactor, warn_once: Callable[..., None]
    ) -> None:
        self.settings, self.report = settings, report
        self.redact, self.warn_once = redact, warn_once
        # Numbers of `FORMS`: the strictest that it may take; the strictest that it has taken, or else the last one.
        self.form = len(FORMS) - 1 if settings.structured == "plain" else 0
        self.taken = len(FORMS) - (2 if settings.structured == "schema" else 1)
        self.folds_system = False
        self.limits_tokens = True
        # The parameter that bounds the tokens of an answer.
        self.limit_name = LIMITS[settings.base_url is None]
        # Requests that failed since one was answered, the text being no reason.
        self.outages = 0
        self.retry_at = 0.0

    @property
    def is_given_up(self) -> bool:
        """Tell whether it has failed so often that it is left alone for a while."""
        return self.outages >= GIVE_UP_AFTER and time.monotonic() < self.retry_at

    async def answer(self, session: Session, request: LLMRequest) -> str:
        """Ask, as often as that takes.

        RETURNS (str): Content that `parse` reads.
        RAISES (Fault): For everything that can go wrong.
        """
        try:
            content = await self._request_with_retry(session, request)
        except Fault as fault:
            self._note_failure(fault)
            raise
        self.outages = 0
        return content

    def _note_failure(self, fault: Fault) -> None:
        if fault.by_text:
            self.outages = 0
        elif fault.kind != "budget":
            self.outages += 1
            self.retry_at = time.monotonic() + COOL_DOWN

    async def _request_with_retry(self, session: Session, request: LLMRequest) -> str:
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        # A server that has just failed for good is not asked five times about each further text.
        retries = 0 if self.outages else self.settings.max_retries
        attempts = AsyncRetrying(
            stop=stop_after_attempt(retries + 1),
            wait=lambda state: backoff(state, self.settings.max_wait),
            retry=retry_if_exception(self._worth_another_try),
            reraise=True,
        )
        try:
            async for attempt in attempts:
                with attempt:
                    content = await self._request_in_known_form(session, request)
        except Fault as fault:
            # Some servers fail, rather than refuse, where they are asked for a schema.
            fails = fault.status in (404, 500, 501) and not fault.by_text
            if not fails or not self._may_loosen(self.form, request):
                raise
            content = await self._request_in_known_form(session, request, fault)
        return content

    def _worth_another_try(self, problem: BaseException) -> bool:
        if not isinstance(problem, Fault) or not problem.passes or (problem.wait or 0.0) > self.settings.max_wait:
            return False
        # The same model would say the same, and take as long.
        is_certain = self.settings.parameters.get("temperature") == 0
        return not (is_certain and (problem.kind == "timeout" or problem.by_text))

    async def _request_in_known_form(self, session: Session, request: LLMRequest, failed: Fault | None = None) -> str:
        """Send a request in the strictest form that the server takes, which is found once, and said.

        failed (Fault | None): Why that form was given up already.
        """
        form, reason = self.form, failed
        if failed is not None:
            if not self._may_loosen(form, request):
                raise failed
            form = strictest(form, request.schema) + 1
        while True:
            limit_name = self.limit_name
            try:
                content = await self._request(session, request, form)
            except Fault as fault:
                if fault.refuses_system_role and not self.folds_system:
                    self.folds_system = True
                elif fault.refuses_limit and request.max_tokens is not None:
                    if fault.wants_other_name and limit_name == LIMITS[0]:
                        self.limit_name = LIMITS[1]
                    else:
                        request = request._replace(max_tokens=None)
                elif form < self.form:
                    form = self.form
                elif fault.refuses_form(failed is not None) and self._may_loosen(form, request):
                    form, reason = strictest(form, request.schema) + 1, fault
                else:
                    raise
            else:
                self.taken = min(self.taken, strictest(form, request.schema))
                if reason is not None and form > self.form:
                    self.warn_once(
                        "W521", model=self.settings.model, form=FORMS[form], reason=self.redact(reason.message)
                    )
                    self.form = form
                return content

    def _may_loosen(self, form: int, request: LLMRequest) -> bool:
        """Tell whether there is a looser form than one, and none as strict was taken before."""
        return strictest(form, request.schema) < self.taken

    async def _request(self, session: Session, request: LLMRequest, form: int) -> str:
        """Send one request.

        RAISES (Fault): For everything that can go wrong with it.
        """
        self._check_budget()
        await session.limiter.acquire()
        self._check_budget()
        self.report.requests += 1
        self.report.in_words += FORMS[form] == "words"
        limit_name = self.limit_name
        body = request_body(
            self.settings.model,
            request,
            self.settings.parameters,
            form=FORMS[form],
            fold_system=self.folds_system,
            limit_name=limit_name if self.limits_tokens else None,
        )
        try:
            # `post`, not `chat.completions.create`, whose models of requests and replies take half of all time.
            # The client's own limit is on each wait for data, so that a server which trickles would pass it.
            sending = session.openai.post("/chat/completions", cast_to=object, body=body)
            reply = read(await asyncio.wait_for(sending, self.settings.timeout), self.redact)
            self._meter(request, reply)
            self._check_own_limit(request, reply, limit_name in body and limit_name not in self.settings.parameters)
            content = reply.checked()
            parse(content, request.schema)
        except Exception as problem:
            # Without its cause, whose request has the key in its headers.
            fault = problem if isinstance(problem, Fault) else fault_of(problem, self.redact)
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
            self.limits_tokens = False
            raise Fault("server", "the answer was cut at the limit that the request set; the next ones have none")

    def _check_budget(self) -> None:
        report = self.report
        for name, used, most in (
            ("requests", report.requests, self.settings.max_requests),
            ("tokens", report.tokens, self.settings.max_tokens),
        ):
            if most is not None and used >= most:
                raise Fault("budget", f"{used} {name} are spent, of {most}")

    def _meter(self, request: LLMRequest, reply: Reply, answered: int | None = None) -> None:
        """Count the tokens of a request, or estimate them.

        answered (int | None): Tokens of an answer that did not come.
        """
        self.report.unmetered += reply.tokens is None
        estimated = sum(len(text) for _, text in request.messages) // 4, len(reply.content or "") // 4
        prompt_tokens, completion_tokens = reply.tokens or estimated
        self.report.input_tokens += prompt_tokens
        self.report.output_tokens += completion_tokens if answered is None else answered
