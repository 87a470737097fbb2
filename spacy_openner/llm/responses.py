"""What servers say: faults told apart, and answers read."""

import asyncio
import email.utils
import json
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

FENCE = re.compile(r"^```\w*\s*\n(.*?)\n?```$", re.S)
STOPPING = ("unauthorized", "not_found")
"""Kinds of failure that every further question would meet as well."""
PASSING = ("timeout", "connection", "rate_limit", "server", "malformed")
"""Kinds of fault that may pass."""


class Fault(Exception):
    """A request that came to nothing.

    kind (str): See `report.Failure`.
    message (str): For people.
    wait (float | None): Seconds that the server asks to wait.
    """

    def __init__(self, kind: str, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.kind, self.message, self.wait = kind, message, wait

    @property
    def passes(self) -> bool:
        """Whether to try again."""
        return self.kind in PASSING


def fault_of(problem: Exception) -> Fault:
    """Tell what went wrong from what the `openai` client raised.

    problem (Exception): Any.
    RETURNS (Fault): Of kind "malformed" for what no reply of the protocol leads to.
    """
    import openai

    said = " ".join(str(getattr(problem, "message", problem)).split())[:300]
    if isinstance(problem, asyncio.TimeoutError | openai.APITimeoutError):
        return Fault("timeout", "no answer in time")
    if isinstance(problem, openai.APIResponseValidationError | json.JSONDecodeError | UnicodeDecodeError):
        return Fault("malformed", f"no reply of the protocol: {said}")
    if isinstance(problem, openai.APIStatusError):
        return _status_fault(problem.status_code, said, problem.response.headers, problem.code)
    if isinstance(problem, openai.APIConnectionError):
        cause = problem.__cause__
        return Fault("connection", f"{said} {type(cause).__name__}: {cause}" if cause else said)
    return Fault("malformed", f"{type(problem).__name__}: {said}")


def _status_fault(status: int, said: str, headers: Mapping[str, str], code: str | None) -> Fault:
    message = f"status {status}: {said}"
    if code == "insufficient_quota" or status in (401, 402, 403):
        return Fault("unauthorized", message)
    if status == 404:
        return Fault("not_found", message)
    if status == 429:
        return Fault("rate_limit", message, retry_after(headers))
    if status in (408, 409) or status >= 500:
        return Fault("server", message, retry_after(headers))
    return Fault("refused", message)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait: its header holds seconds, or a date."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


class Reply(NamedTuple):
    """What a server replied.

    content: What the model said.
    finish: Why it stopped, as the protocol names it; "refusal" where it refused.
    tokens: Of question and answer, as the server counts them; None where it does not.
    """

    content: str
    finish: str | None
    tokens: tuple[int, int] | None

    def checked(self) -> str:
        """The content.

        RAISES (Fault): For one that was cut or withheld.
        """
        if self.finish == "length":
            raise Fault("truncated", "the answer was cut at the model's limit of tokens")
        if self.finish in ("content_filter", "refusal"):
            raise Fault("filtered", "the model may not, or will not, answer this")
        return self.content


def read(reply: Any) -> Reply:
    """Read a reply of the protocol: an object, or the events of a stream, which some servers send unasked.

    reply (Any): What JSON made of the body; a string where it was none.
    RAISES (Fault): For anything else.
    """
    events = _events(reply) if isinstance(reply, str) else [reply]
    content, finish, tokens, found = "", None, None, False
    for event in events:
        tokens = _tokens(event.get("usage")) or tokens
        for choice in event.get("choices") or ():
            message = choice.get("message") or choice.get("delta") or {}
            found = found or isinstance(message.get("content"), str) or bool(message.get("refusal"))
            content += message.get("content") or ""
            finish = "refusal" if message.get("refusal") else choice.get("finish_reason") or finish
    if not found:
        raise Fault("malformed", "a reply without an answer")
    return Reply(content, finish, tokens)


def _events(stream: str) -> list[Any]:
    """The objects of a stream of server-sent events."""
    lines = [line.removeprefix("data:").strip() for line in stream.splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def _tokens(usage: Any) -> tuple[int, int] | None:
    if not isinstance(usage, Mapping):
        return None
    asked, answered = usage.get("prompt_tokens"), usage.get("completion_tokens") or 0
    return (asked, answered) if isinstance(asked, int) and isinstance(answered, int) else None


def parse(content: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Read the object that an answer is, alone or in a code fence, or after what the model thought aloud.

    content (str): What a model said.
    schema (Mapping[str, Any]): The keys that it requires must be there.
    RAISES (Fault): For anything else.
    """
    text = content.rpartition("</think>")[2].strip()
    fenced = FENCE.match(text)
    value = _loads(fenced[1] if fenced else text)
    if value is None:
        value = _loads(text[text.find("{") : text.rfind("}") + 1])
    if not isinstance(value, dict):
        raise Fault("malformed", f"no JSON object: {content[:80]!r}")
    missing = [key for key in schema.get("required", ()) if key not in value]
    if missing:
        raise Fault("malformed", f"an object without {', '.join(missing)}: {content[:80]!r}")
    return value


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
