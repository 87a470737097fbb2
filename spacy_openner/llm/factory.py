"""The registered builder of clients, which checks their settings."""

import json
import math
from collections.abc import Mapping
from typing import Any

from ..config_format import check_config_text, fits_config
from ..errors import error
from ..json_files import parse_json
from .client import LLMClient
from .keys import check_holds_no_key, check_parameters_have_no_key, check_url, check_variable_name, key_in
from .redaction import Redactor

DEFAULT_KEY = "OPENAI_API_KEY"
MOST_AT_ONCE = 1000
A_DAY = 86_400
STRUCTURED: tuple[str, ...] = ("auto", "schema", "plain")
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
    base_url (str | None): Where the server is ("http://localhost:8000/v1"); None for OPENAI_BASE_URL, or else OpenAI.
    api_key_env (str): The environment variable with the key, which goes to that server; "" to send none.
    parameters (dict[str, Any] | None): Of the protocol ("temperature": 0 if there are none), or the server's own.
    structured (str): "schema": the server must keep to the answer's JSON schema; "plain": it is asked in words alone;
        "auto": the first, and the second with servers that do not know it.
    concurrency (int): The most requests under way at once.
    requests_per_minute (float | None): The most requests started in a minute, evenly spread.
    timeout (float): Seconds that one request may take.
    max_retries (int): How often a request that failed for a passing reason is repeated: after a wait that doubles, or
        the one that the server asks for (Retry-After).
    max_wait (float): Seconds; a server that asks for a longer wait is not asked again.
    max_requests, max_tokens (int | None): The budget of one process: once it is spent, no request is started; those
        under way are finished, and may pass `max_tokens`.
    prices (dict[str, float] | None): Of a million "input" and "output" tokens, for the report.
    cache_dir (str | None): Where answers are kept, by model, parameters and question; None to keep none. Several
        processes may share it. Models of one name on several servers should not.
    RETURNS (LLMClient): It connects when it is first asked.
    RAISES (SettingError): For a value that is not allowed, a key among them.
    """
    _check_model(model, structured)
    _check_pace(concurrency, requests_per_minute, max_retries, timeout=timeout, max_wait=max_wait)
    _check_budget(prices, max_requests=max_requests, max_tokens=max_tokens)
    _check_keys(api_key_env, model=model, base_url=base_url, cache_dir=cache_dir)
    _check_addresses(base_url, cache_dir)
    _check_parameters(parameters, api_key_env)
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
    if not right:
        raise error("O001", name=name, value=value, allowed=allowed)


def _check_model(model: Any, structured: Any) -> None:
    _check("model", model, isinstance(model, str) and bool(model.strip()), "the name of a model")
    _check("structured", structured, structured in STRUCTURED, ", ".join(STRUCTURED))
    check_config_text("model", model)


def _check_keys(api_key_env: Any, **settings: Any) -> None:
    # What should name a variable may be a key: it is not shown.
    _check("api_key_env", "...", isinstance(api_key_env, str), "the name of an environment variable")
    check_variable_name(api_key_env)
    check_holds_no_key(api_key_env, **settings)


def _check_pace(concurrency: Any, requests_per_minute: Any, max_retries: Any, **seconds: Any) -> None:
    _check("concurrency", concurrency, _is_whole(concurrency, 1, MOST_AT_ONCE), f"a whole number, 1 to {MOST_AT_ONCE}")
    _check("max_retries", max_retries, _is_whole(max_retries, 0, 100), "a whole number, 0 to 100")
    for name, value in seconds.items():
        _check(name, value, _is_number(value) and 0 < value <= A_DAY, f"seconds, over 0 to {A_DAY}")
    pace = requests_per_minute
    _check("requests_per_minute", pace, pace is None or (_is_number(pace) and pace > 0), "a number over 0, or null")


def _check_budget(prices: Any, **limits: Any) -> None:
    for name, limit in limits.items():
        _check(name, limit, limit is None or _is_whole(limit, 0), "a whole number from 0, or null")
    _check("prices", prices, prices is None or _are_prices(prices), 'numbers from 0 for "input" and "output"')


def _check_addresses(base_url: Any, cache_dir: Any) -> None:
    """Check where the server and the kept answers are."""
    if base_url is not None:
        check_url("base_url", base_url)
    is_path = cache_dir is None or (isinstance(cache_dir, str) and bool(cache_dir.strip()) and "\0" not in cache_dir)
    _check("cache_dir", cache_dir, is_path, "a directory, or null")
    check_config_text("cache_dir", cache_dir)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any, least: int, most: float = math.inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _are_prices(prices: Any) -> bool:
    if not isinstance(prices, Mapping) or set(prices) != {"input", "output"}:
        return False
    return all(_is_number(price) and price >= 0 for price in prices.values())


def _check_parameters(parameters: Any, api_key_env: str) -> None:
    if parameters is None:
        return
    # Neither is repeated: a value may be a secret.
    _check("parameters", type(parameters).__name__, isinstance(parameters, Mapping), "a mapping of names to values")
    for name in parameters:
        if name in OWN_PARAMETERS:
            raise error("O001", name="parameters", value=name, allowed=f"all but {', '.join(OWN_PARAMETERS)}")
    names = sorted(map(Redactor(key_in(api_key_env)), map(str, parameters)))
    try:
        plain = parse_json(json.dumps(parameters, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as problem:
        raise error("O001", name="parameters", value=names, allowed="what JSON can hold") from problem
    check_parameters_have_no_key(plain, api_key_env)
    _check("parameters", names, fits_config(plain), "what JSON and spaCy's config files can hold")
