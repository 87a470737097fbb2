"""The registered builder of clients, and what it refuses."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ..errors import error
from .client import LLMClient

DEFAULT_KEY = "OPENAI_API_KEY"
STRUCTURED: tuple[str, ...] = ("auto", "schema", "plain")
# What could carry a key into a config file.
SECRET_PARAMETERS = ("extra_headers", "extra_query", "api_key")
OWN_PARAMETERS = ("model", "messages", "response_format", "stream", "n", "timeout", "extra_body")


def LLMClient_v1(
    model: str,
    base_url: str | None = None,
    api_key_env: str = DEFAULT_KEY,
    parameters: dict[str, Any] | None = None,
    structured: str = "auto",
    concurrency: int = 8,
    requests_per_minute: float | None = None,
    timeout: float = 60.0,
    max_retries: int = 4,
    max_wait: float = 60.0,
    max_requests: int | None = None,
    max_tokens: int | None = None,
    prices: dict[str, float] | None = None,
    cache_dir: str | None = None,
) -> LLMClient:
    """A client of a chat-completions server, registered as "spacy-openner.LLMClient.v1".

    model (str): The name that the server knows it by.
    base_url (str | None): Where the server is, such as "http://localhost:8000/v1"; None for what OPENAI_BASE_URL says,
        and OpenAI else.
    api_key_env (str): The environment variable with the key, which goes to that server; "" to send none.
    parameters (dict[str, Any] | None): Of the protocol, or the server's own, such as "temperature" (0 if nothing is
        given), "seed", "max_completion_tokens" or "reasoning_effort".
    structured (str): "schema": the server must keep to the answer's JSON schema; "plain": it is asked in words alone;
        "auto": the first, and the second with servers that do not know it.
    concurrency (int): The most requests under way at once.
    requests_per_minute (float | None): The most requests started in a minute, evenly spread.
    timeout (float): Seconds that one request may take.
    max_retries (int): How often a request that failed for a passing reason is repeated: after a wait that doubles each
        time, or the one that the server asks for (Retry-After).
    max_wait (float): Seconds; a server that asks for a longer wait is not asked again.
    max_requests, max_tokens (int | None): The budget of one process: once it is spent, no request is started; those
        under way are finished, and may pass `max_tokens`.
    prices (dict[str, float] | None): Of a million "input" and "output" tokens, for the report.
    cache_dir (str | None): Where answers are kept, by model, parameters and question; None to keep none. Several
        processes may share it. Models of one name on several servers should not.
    RETURNS (LLMClient): It connects when it is first asked.
    RAISES (SettingError): For a value that is not allowed, a key among them.
    """
    if not isinstance(model, str) or not model.strip():
        raise error("O001", name="model", value=model, allowed="the name of a model")
    if structured not in STRUCTURED:
        raise error("O001", name="structured", value=structured, allowed=", ".join(STRUCTURED))
    for name, value, least in (("concurrency", concurrency, 1), ("max_retries", max_retries, 0)):
        _check(name, value, isinstance(value, int) and value >= least, f"a whole number from {least}")
    for name, limit in (("max_requests", max_requests), ("max_tokens", max_tokens)):
        _check(name, limit, limit is None or (isinstance(limit, int) and limit >= 0), "a whole number from 0, or null")
    for name, seconds in (("timeout", timeout), ("max_wait", max_wait)):
        _check(name, seconds, isinstance(seconds, int | float) and seconds > 0, "seconds, more than 0")
    pace = requests_per_minute
    _check("requests_per_minute", pace, pace is None or (isinstance(pace, int | float) and pace > 0), "a number over 0")
    has_prices = prices is None or (set(prices) == {"input", "output"} and all(p >= 0 for p in prices.values()))
    _check("prices", prices, has_prices, 'numbers for "input" and "output"')
    _check_parameters(parameters or {})
    if base_url is not None:
        _check_url(base_url)
    return LLMClient(
        model,
        base_url=base_url,
        api_key_env=api_key_env,
        parameters={"temperature": 0} if parameters is None else parameters,
        structured=structured,
        concurrency=concurrency,
        requests_per_minute=requests_per_minute,
        timeout=timeout,
        max_retries=max_retries,
        max_wait=max_wait,
        max_requests=max_requests,
        max_tokens=max_tokens,
        prices=prices,
        cache_dir=cache_dir,
    )


def _check(name: str, value: Any, right: bool, allowed: str) -> None:
    if not right or isinstance(value, bool):
        raise error("O001", name=name, value=value, allowed=allowed)


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    for name in parameters:
        if name in SECRET_PARAMETERS:
            # Its value is not repeated: it may be a secret.
            raise error("O507", name=f"parameters.{name}")
        if name in OWN_PARAMETERS:
            raise error("O001", name="parameters", value=name, allowed=f"all but {', '.join(OWN_PARAMETERS)}")
    try:
        json.dumps(parameters)
    except (TypeError, ValueError) as problem:
        raise error("O001", name="parameters", value=parameters, allowed="what JSON can hold") from problem


def _check_url(base_url: str) -> None:
    parts = urlsplit(base_url)
    if parts.username or parts.password or parts.query:
        raise error("O507", name="base_url")
    _check(
        "base_url", base_url, parts.scheme in ("http", "https") and bool(parts.hostname), "http://... or https://..."
    )
