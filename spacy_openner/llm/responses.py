"""Replies of servers, and their faults told apart."""

import asyncio
import email.utils
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

STOPPING = ("unauthorized", "not_found")
"""Kinds of failure that every further question would meet as well."""
PASSING = ("timeout", "connection", "rate_limit", "server", "malformed")
"""Kinds of fault that may pass."""
OF_THE_TEXT = ("too_long", "filtered", "truncated")
"""Kinds of failure that a text leads to each time."""

# What models think aloud stands between these. Some templates leave the first one out.
THOUGHTS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<reflection>", "</reflection>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|channel>thought", "<channel|>"),
    ("<|channel|>analysis", "<|channel|>final<|message|>"),
)
# Why models stop, as the protocol, and as servers of other ones name it.
CUT = ("length", "max_tokens", "max_output_tokens")
WITHHELD = ("content_filter", "refusal", "safety", "recitation", "blocklist", "prohibited_content")

# What a stream of events ends with.
STREAM_END = "[DONE]"
SHOWN = 300
TOO_LONG = re.compile(
    r"context.{0,20}(length|size|window)|too (long|large|many tokens)|maximum.{0,20}(length|tokens)", re.I
)
FORM = re.compile(r"response_format|json_schema|schema|grammar|guided", re.I)
LIMIT = re.compile(r"max_(completion_)?tokens|in the completion", re.I)
OTHER_NAME = re.compile(r"(un|not )support.*instead|instead.*(un|not )support", re.I)
SYSTEM_ROLE = re.compile(r"system\W+(role|message|prompt)|roles must alternate", re.I)


class UnreadableReply(Exception):
    """A reply that is too large, damaged, packed otherwise than was asked for, or to be had from another server.

    kind (str): Of the fault that it is.
    """

    def __init__(self, reason: str, kind: str = "malformed") -> None:
        super().__init__(reason)
        self.kind = kind


class Fault(Exception):
    """A request that came to nothing.

    kind (str): See `types.Failure`.
    message (str): For people.
    wait (float | None): Seconds that the server asks to wait.
    status (int | None): Of HTTP.
    by_text (bool): The answer, or the text, is at fault; the server works.
    """

    def __init__(
        self, kind: str, message: str, wait: float | None = None, *, status: int | None = None, by_text: bool = False
    ) -> None:
        super().__init__(message)
        self.kind, self.message, self.wait, self.status = kind, message, wait, status
        self.by_text = by_text or kind in OF_THE_TEXT

    @property
    def passes(self) -> bool:
        """Tell whether to try again."""
        return self.kind in PASSING

    def refuses_form(self, any_failure: bool = False) -> bool:
        """Tell whether a server may have refused how it was asked to keep to a schema.

        any_failure (bool): It may not say so, and fail.
        """
        if self.kind == "refused" or (any_failure and self.status in (404, 500, 501)):
            return True
        return self.status is not None and self.status >= 404 and FORM.search(self.message) is not None

    @property
    def refuses_limit(self) -> bool:
        """Tell whether the server takes offence at the limit of the answer's tokens: some add it to the prompt's, and
        refuse what is more than the model reads."""
        return self.kind in ("refused", "too_long") and LIMIT.search(self.message) is not None

    @property
    def wants_other_name(self) -> bool:
        """Tell whether the server knows that limit by its other name."""
        return self.refuses_limit and OTHER_NAME.search(self.message) is not None

    @property
    def refuses_system_role(self) -> bool:
        """Tell whether the server says that the model's conversations have no system messages."""
        return self.status is not None and SYSTEM_ROLE.search(self.message) is not None


def fault_of(problem: Exception, redact: Callable[[str], str] = str) -> Fault:
    """Tell what went wrong from what the `openai` client raised.

    problem (Exception): Any.
    redact (Callable[[str], str]): Takes secrets out of messages, before these are cut.
    RETURNS (Fault): Of kind "malformed" for what no reply of the protocol leads to.
    """
    import openai

    message = _shown(getattr(problem, "message", problem), redact)
    cause = problem.__cause__
    unread = next((raised for raised in (problem, cause) if isinstance(raised, UnreadableReply)), None)
    if unread is not None:
        return Fault(unread.kind, f"a reply that is not read: {_shown(unread, redact)}")
    if isinstance(problem, asyncio.TimeoutError | openai.APITimeoutError):
        return Fault("timeout", "no answer in time")
    if isinstance(problem, openai.APIResponseValidationError | json.JSONDecodeError | UnicodeDecodeError):
        return Fault("malformed", f"no reply of the protocol: {message}")
    if isinstance(problem, openai.APIStatusError):
        return _status_fault(problem.status_code, message, problem.response.headers, problem.code)
    if isinstance(problem, openai.APIConnectionError):
        return Fault("connection", f"{message} {type(cause).__name__}: {_shown(cause, redact)}" if cause else message)
    return Fault("malformed", f"{type(problem).__name__}: {message}")


def _shown(value: Any, redact: Callable[[str], str]) -> str:
    return redact(" ".join(str(value).split()))[:SHOWN]


def _status_fault(status: int, message: str, headers: Mapping[str, str], code: str | None) -> Fault:
    message = f"status {status}: {message}"
    if code == "insufficient_quota" or status in (401, 402, 403):
        return Fault("unauthorized", message, status=status)
    if status == 404:
        return Fault("not_found", message, status=status)
    if status == 429:
        return Fault("rate_limit", message, retry_after(headers), status=status)
    if code == "context_length_exceeded" or (status in (400, 413, 422, 500) and TOO_LONG.search(message)):
        return Fault("too_long", message, status=status)
    if status in (408, 409) or status >= 500:
        return Fault("server", message, retry_after(headers), status=status)
    return Fault("refused", message, status=status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait: its header holds seconds, or a date."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


class Reply(NamedTuple):
    """A server's reply.

    content: What the model said; None for nothing.
    finish: Why it stopped, as the protocol names it; "refusal" where it refused.
    tokens: Of question and answer, as the server counts them; None where it does not.
    thinks: Whether the model also thought aloud.
    """

    content: str | None
    finish: str | None
    tokens: tuple[int, int] | None
    thinks: bool = False

    def checked(self) -> str:
        """Return the content.

        RAISES (Fault): For one that was cut, withheld or left out.
        """
        finish = (self.finish or "").lower()
        if finish in CUT:
            raise Fault("truncated", "the answer was cut at the model's limit of tokens")
        if finish in WITHHELD:
            raise Fault("filtered", "the model may not, or will not, answer this")
        if self.content is None:
            raise Fault("malformed", "a reply without an answer")
        return self.content


def read(reply: Any, redact: Callable[[str], str] = str) -> Reply:
    """Read a reply of the protocol: an object, or the events of a stream, which some servers send unasked.

    reply (Any): What JSON made of the body; a string where it was none.
    redact (Callable[[str], str]): Takes secrets out of messages.
    RAISES (Fault): For anything else.
    """
    events = _events(reply) if isinstance(reply, str) else [reply]
    parts: list[str] = []
    finish, tokens, has_content, has_choice, thinks = None, None, False, False, False
    index: Any = None
    for event in events:
        if not isinstance(event, Mapping):
            raise Fault("malformed", "no reply of the protocol")
        tokens = _tokens(event.get("usage")) or tokens
        for choice in _first_choice(event, index):
            index = choice.get("index") if isinstance(choice, Mapping) else None
            message = (choice.get("message") or choice.get("delta") or {}) if isinstance(choice, Mapping) else None
            if not isinstance(message, Mapping):
                raise Fault("malformed", "no reply of the protocol")
            has_choice = True
            text = _text(message.get("content"))
            has_content = has_content or text is not None
            parts.append(text or "")
            thinks = thinks or bool(message.get("reasoning_content") or message.get("reasoning"))
            finish = "refusal" if message.get("refusal") else choice.get("finish_reason") or finish
    if not has_choice:
        complaint = next((event["error"] for event in events if event.get("error")), None)
        raise Fault("malformed", "a reply without an answer" + (f": {_shown(complaint, redact)}" if complaint else ""))
    if isinstance(reply, str) and finish is None and STREAM_END not in reply:
        raise Fault("malformed", "a stream of events that breaks off")
    content = "".join(parts) if has_content else None
    thinks = thinks or (content is not None and any(opening in content for opening, _ in THOUGHTS))
    return Reply(content, finish if isinstance(finish, str) else None, tokens, thinks)


def _first_choice(event: Mapping[str, Any], index: Any) -> list[Any]:
    """Return the choice of a reply that is read: the first, though some servers give several.

    index (Any): The number of the choice that earlier events of the stream told of; None before.
    """
    choices = event.get("choices")
    choices = choices if isinstance(choices, list) else []
    return [c for c in choices if index is None or not isinstance(c, Mapping) or c.get("index") == index][:1]


def _text(content: Any) -> str | None:
    """Return the text of a message, which may come in parts."""
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, Mapping)]
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else None


def type_of(body: bytes | bytearray) -> str | None:
    """Tell the type of a reply by its body, since some servers name one for all; None where neither shows."""
    start = body[:100].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"{", b"[")):
        return "application/json"
    return "text/plain" if start.startswith((b"data:", b"event:", b"id:", b"retry:", b":")) else None


def _events(stream: str) -> list[Any]:
    """Return the objects of a stream of server-sent events."""
    lines = [line.removeprefix("data:").strip() for line in stream.splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != STREAM_END]


def _tokens(usage: Any) -> tuple[int, int] | None:
    if not isinstance(usage, Mapping):
        return None
    tokens = usage.get("prompt_tokens"), usage.get("completion_tokens") or 0
    counts = [n for n in tokens if isinstance(n, int) and not isinstance(n, bool) and n >= 0]
    return (counts[0], counts[1]) if len(counts) == 2 else None
