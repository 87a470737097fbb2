"""API keys: read from the environment, and refused where they would be shown or stored."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..errors import error
from ..secret import Secret
from .redaction import HIDDEN, TELLING, Redactor

CREDENTIALS = re.compile(r"(?<=//).*@")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# Names of parameters that carry keys, whatever stands around them; not those of counts ("max_tokens") and caches.
CARRIES_A_KEY = re.compile(
    r"headers?$|^(extra_)?query$|cookie|authorization|^auth$|bearer|credential|passw(or)?d|secret"
    r"|(api|access|auth)[-_ ]?(key|token)|^token$",
    re.IGNORECASE,
)
BEARER = re.compile(r"\b(bearer|basic)\s+\S{8,}", re.IGNORECASE)


def check_variable_name(name: str) -> None:
    """Refuse what is no name of an environment variable, or looks like a key given in place of one.

    RAISES (SettingError): Without repeating it: it may be a key.
    """
    if name and (not VARIABLE.fullmatch(name) or _looks_like_a_key(name)):
        raise error("O520")


def _looks_like_a_key(text: str) -> bool:
    """Tell whether a text is long, with digits, and not as people name variables: A_KEY_2."""
    is_named = "_" in text and not re.search("[a-z]", text)
    return len(text) > 2 * TELLING and re.search("[0-9]", text) is not None and not is_named


def check_url(name: str, url: Any) -> None:
    """Refuse what is no address of a server, or holds what may be a secret.

    name (str): Where it was given.
    RAISES (SettingError): Without repeating a secret.
    """
    try:
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        has_secret = bool(parts.username or parts.password or parts.query or parts.fragment)
        # Reading the port checks it.
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        has_secret, is_right = False, False
    if has_secret:
        raise error("O507", name=name)
    if not is_right:
        raise error("O001", name=name, value=_shown_url(url), allowed="http://... or https://...")


def _shown_url(url: Any) -> Any:
    """Return what was given for an address without what may be a secret."""
    if not isinstance(url, str):
        return url
    # Also where "//" was forgotten.
    shown = re.sub(r"^(\w+://)?.*@", rf"\g<1>{HIDDEN}@", url, flags=re.DOTALL)
    return re.sub(r"(?=[^/:@.]*[0-9])[^/:@.]{12,}", HIDDEN, shown)


def check_parameters_have_no_key(parameters: Mapping[str, Any], variable: str) -> None:
    """Refuse parameters that carry a key, at any depth: they are saved in config files, and are part of each request.

    variable (str): The environment variable with the key.
    RAISES (SettingError): Naming the parameter, and no value.
    """
    hides = Redactor(key_in(variable))
    for path, name, value in _entries(parameters):
        text = value if isinstance(value, str) else ""
        if CARRIES_A_KEY.search(name) or BEARER.search(text) or hides.finds(text) or hides.finds(name):
            raise error("O507", name=hides(f"parameters.{path}"))


def check_holds_no_key(variable: str, **settings: Any) -> None:
    """Refuse settings that hold the key which is in an environment variable.

    RAISES (SettingError): Naming the setting.
    """
    hides = Redactor(key_in(variable))
    for name, value in settings.items():
        if isinstance(value, str) and len(value) >= TELLING and hides.finds(value):
            raise error("O507", name=name)


def _entries(values: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield the path, the last name ("" in lists) and the value of all that parameters hold, at any depth."""
    left: list[tuple[str, Any]] = [("", values)]
    while left:
        path, value = left.pop()
        items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in items:
            own = f"{path}.{key}" if path else str(key)
            yield own, key if isinstance(key, str) else "", inner
            left.append((own, inner))


def read_key(variable: str) -> Secret | None:
    """Read the key that an environment variable holds, without blanks and line breaks around it.

    RAISES (SettingError): For a key with other characters than headers can hold; it is not repeated.
    """
    key = key_in(variable)
    if any(not "!" <= char <= "~" for char in key or ""):
        raise error("O521", name=variable)
    return key


def key_in(variable: str) -> Secret | None:
    """Read a variable. No variable of a frame holds it in plain: tracebacks may show those."""
    key = Secret(os.environ.get(variable, "").strip() if variable else "")
    return key or None
