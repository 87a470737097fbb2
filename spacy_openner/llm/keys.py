"""API keys: read from the environment, and refused where they would be shown or stored."""

import os
import re
from typing import Any
from urllib.parse import urlsplit

from ..errors import error
from .redaction import HIDDEN, TELLING

CREDENTIALS = re.compile(r"(?<=//)[^/]*@")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def check_variable_name(name: str) -> None:
    """Refuse what is no name of an environment variable, or looks like a key given in place of one.

    RAISES (SettingError): Without repeating it: it may be a key.
    """
    looks_like_a_key = len(name) > 2 * TELLING and re.search("[a-z]", name) and re.search("[0-9]", name)
    if name and (not VARIABLE.fullmatch(name) or looks_like_a_key):
        raise error("O520")


def check_url(name: str, url: Any) -> None:
    """Refuse what is no address of a server, or holds what may be a secret.

    name (str): Where it was given.
    RAISES (SettingError): Without repeating a secret.
    """
    try:
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        has_secret = bool(parts.username or parts.password or parts.query)
        # Reading the port checks it.
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        has_secret, is_right = False, False
    if has_secret:
        raise error("O507", name=name)
    if not is_right:
        shown = CREDENTIALS.sub(HIDDEN, url) if isinstance(url, str) else url
        raise error("O001", name=name, value=shown, allowed="http://... or https://...")


def read_key(variable: str) -> str | None:
    """Read the key that an environment variable holds, without blanks and line breaks around it.

    RAISES (SettingError): For a key with other characters than headers can hold; it is not repeated.
    """
    key = os.environ.get(variable, "").strip() if variable else ""
    if any(not "!" <= char <= "~" for char in key):
        raise error("O521", name=variable)
    return key or None
