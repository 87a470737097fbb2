"""What servers say: faults told apart, and answers read."""

import asyncio
import email.utils
import json
import re
import time
from collections.abc import Mapping
from typing import Any

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
    RETURNS (Fault): Of kind "server" for what is unknown.
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


def content_of(reply: Any) -> str:
    """The text of a reply (`openai.types.chat.ChatCompletion`).

    RAISES (Fault): For a reply without any, or one that was cut or withheld.
    """
    choices = getattr(reply, "choices", None)
    if not choices or getattr(choices[0], "message", None) is None:
        raise Fault("malformed", "a reply without a choice")
    choice = choices[0]
    if choice.finish_reason == "length":
        raise Fault("truncated", "the answer was cut at the model's limit of tokens")
    if choice.finish_reason == "content_filter" or getattr(choice.message, "refusal", None):
        raise Fault("filtered", "the model may not, or will not, answer this")
    if not isinstance(choice.message.content, str):
        raise Fault("malformed", "a reply without text")
    return str(choice.message.content)


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
