"""The forms in which servers are asked to keep to a schema: the strictest that a server takes is found by trying."""

from collections.abc import Collection, Mapping
from typing import Any

from .types import LLMRequest

BOUNDS: dict[str, tuple[str, ...]] = {
    "schema": (),
    "schema without lengths of texts": ("maxLength",),
    "schema without bounds": ("maxLength", "maxItems"),
}
"""Parts of a schema that are left out; OpenAI knows no `maxLength`, and some servers no `maxItems`."""
FORMS = (*BOUNDS, "JSON object", "words")
"""From the strictest on. llama-cpp-python's schema stands in a "json_object"."""


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
        body["response_format"] = {"type": "json_object", "schema": schema_in(form, request.schema)}
    elif form != "words":
        layout = {"name": "answer", "schema": schema_in(form, request.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": layout}
    return body


def schema_in(form: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema as it is sent in a form: without the bounds that it leaves out.

    form (str): One of `FORMS`.
    """
    stated: dict[str, Any] = _without(schema, BOUNDS.get(form, BOUNDS["schema without bounds"]))
    return stated


def strictest(form: int, schema: Mapping[str, Any]) -> int:
    """Return the last of the forms that say the same of a schema as one of them does.

    form (int): Its number in `FORMS`.
    """
    while FORMS[form] in BOUNDS and FORMS[form + 1] in BOUNDS:
        if schema_in(FORMS[form], schema) != schema_in(FORMS[form + 1], schema):
            break
        form += 1
    return form


def _without(schema: Any, keywords: Collection[str]) -> Any:
    """Leave keywords out of a schema. The keys of "properties" are names, and what is in lists may be data."""
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: {name: _without(part, keywords) for name, part in value.items()}
        if key == "properties"
        else _without(value, keywords)
        for key, value in schema.items()
        if key not in keywords
    }
