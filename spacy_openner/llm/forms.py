"""The forms in which servers are asked to keep to a schema: the strictest that a server takes is found by trying."""

from collections.abc import Mapping
from typing import Any

from .types import LLMRequest

FORMS = ("schema", "schema without bounds", "JSON object", "words")
"""From the strictest on. Some servers know no `maxItems`; llama-cpp-python's schema stands in a "json_object"."""


def request_body(
    model: str,
    request: LLMRequest,
    parameters: Mapping[str, Any],
    *,
    form: str,
    fold_system: bool,
    limit_name: str | None,
) -> dict[str, Any]:
    """Build the body of a request.

    form (str): One of `FORMS`.
    fold_system (bool): Put what is said to the system before the first message of the user.
    limit_name (str | None): The name of the parameter that limits the tokens of an answer; None to set no limit.
    """
    messages = [{"role": role, "content": text} for role, text in request.messages]
    if fold_system and len(messages) > 1 and messages[0]["role"] == "system":
        system, user, *others = messages
        messages = [{"role": "user", "content": f"{system['content']}\n\n{user['content']}"}, *others]
    body: dict[str, Any] = {"model": model, "messages": messages, **parameters}
    has_limit = "max_tokens" in parameters or "max_completion_tokens" in parameters
    if limit_name is not None and request.max_tokens is not None and not has_limit:
        body[limit_name] = request.max_tokens
    if form == "JSON object":
        body["response_format"] = {"type": "json_object", "schema": without_bounds(request.schema)}
    elif form != "words":
        schema = dict(request.schema) if form == "schema" else without_bounds(request.schema)
        layout = {"name": "answer", "schema": schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": layout}
    return body


def without_bounds(schema: Any) -> Any:
    """Return a schema without the lengths of its lists."""
    if isinstance(schema, Mapping):
        return {key: without_bounds(value) for key, value in schema.items() if key != "maxItems"}
    return [without_bounds(value) for value in schema] if isinstance(schema, list) else schema


def has_bounds(schema: Any) -> bool:
    """Tell whether a schema has lengths of lists."""
    return without_bounds(schema) != schema
