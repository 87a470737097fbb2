"""API keys: read from the environment, and kept out of everything that is shown or stored."""

import base64
import html
import os
import re
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

from ..errors import error

HIDDEN = "***"
# So many first characters of a key tell it from other text.
TELLING = 8
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


class Redactor:
    """Replaces a key in texts, also where it is encoded or cut.

    key (str | None): None for nothing to replace.
    """

    def __init__(self, key: str | None) -> None:
        self.key = key
        forms = {form for form in _forms(key) if len(form) >= TELLING} if key else set()
        if key:
            forms.add(key)
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None
        self._forms = longest_first

    def __call__(self, text: str) -> str:
        """Replace the key."""
        if self._pattern is None or self.key is None:
            return text
        text = self._pattern.sub(HIDDEN, text)
        return self._without_parts(text) if len(self.key) > TELLING else text

    def finds(self, text: str) -> bool:
        """Tell whether a text holds the key, or a telling part of it."""
        return self(text) != text

    def _without_parts(self, text: str) -> str:
        """Replace beginnings of the key: a server's message may be cut through it."""
        assert self.key is not None
        start, parts, done = self.key[:TELLING], list[str](), 0
        while (at := text.find(start, done)) >= 0:
            end = at + TELLING
            while end < len(text) and end - at < len(self.key) and text[end] == self.key[end - at]:
                end += 1
            parts += [text[done:at], HIDDEN]
            done = end
        return "".join([*parts, text[done:]])


def _forms(key: str) -> set[str]:
    """Return how a key reads in URLs, in HTML, in Python and in base64, whatever stands around it there."""
    forms = {quote(key), quote(key, safe=""), quote_plus(key), html.escape(key), repr(key)[1:-1], key.encode().hex()}
    for before in range(3):
        # Each three bytes are four characters; those that share bytes with a neighbour depend on it.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(b"\0" * before + key.encode()).decode().rstrip("=")
            first = (before * 8 + 5) // 6
            last = (before + len(key)) * 8 // 6
            forms.add(encoded[first:last])
    return forms
