"""Requests to a language model, its responses, and what they took."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

MILLION = 1_000_000


class LLMRequest(NamedTuple):
    """A question to a model.

    messages: The conversation so far, each message a role ("system", "user" or "assistant") and its text.
    schema: JSON schema of the object that the answer should be.
    max_tokens: More than an answer can need; None for no limit.
    """

    messages: tuple[tuple[str, str], ...]
    schema: Mapping[str, Any]
    max_tokens: int | None = None


class LLMResponse(NamedTuple):
    """An answer of a model.

    value: An object with the keys that the schema requires; what is in them is for the caller to check.
    cached: True if it was known before.
    """

    value: dict[str, Any]
    cached: bool = False


class Failure(NamedTuple):
    """The reason why a request has no response.

    kind: "budget" (spent), "timeout", "connection", "rate_limit" (429), "server" (5xx), "unauthorized" (401, 403),
        "not_found" (404), "too_long" (for the model), "refused" (other 4xx), "filtered" (the model may not or will not
        say), "truncated" (cut at its limit), "malformed" (not what was asked for) or "stopped" (too many failures
        before).
    message: For people. Never holds a key.
    """

    kind: str
    message: str


@dataclass
class UsageReport:
    """Counts since the client was made, or `clear` was called. Each process has its own.

    questions (int): All requests of callers; each is answered, known before, or in `failures`.
    answered (int): By a server, now.
    cache_hits (int): Known before, or asked twice in one go.
    failures (Counter[str]): By kind; see `Failure`.
    requests (int): What was sent, repetitions included.
    faults (Counter[str]): What made requests come to nothing, by kind, whether a later one answered or not.
    input_tokens, output_tokens (int): As servers count them, negative counts aside.
    unmetered (int): Requests without a count, those that timed out among them; theirs is estimated: a quarter of the
        characters, and of an answer that did not come as many tokens as it was allowed.
    in_words (int): Requests without a schema that the server keeps to.
    prices (dict[str, float]): Of a million tokens: "input", "output".
    """

    questions: int = 0
    answered: int = 0
    cache_hits: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    input_tokens: int = 0
    output_tokens: int = 0
    unmetered: int = 0
    in_words: int = 0
    prices: dict[str, float] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """Of questions and answers."""
        return self.input_tokens + self.output_tokens

    @property
    def cost(self) -> float | None:
        """In the unit of the prices; None without prices."""
        if not self.prices:
            return None
        paid = self.input_tokens * self.prices["input"] + self.output_tokens * self.prices["output"]
        return paid / MILLION

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            **asdict(self),
            "failures": dict(self.failures),
            "faults": dict(self.faults),
            "tokens": self.tokens,
            "cost": self.cost,
        }

    def clear(self) -> None:
        """Start counting anew, which gives a spent budget back."""
        self.__dict__.update(UsageReport(prices=self.prices).__dict__)
