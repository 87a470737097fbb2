"""Hide a key wherever a text repeats it: encoded, in another case, cut, broken over lines, or backwards."""

import base64
import html
import re

from ..secret import SHOWN, Secret

HIDDEN = SHOWN
# So many characters of a key in a row tell it from other text.
TELLING = 8
# One character as URLs, JSON and Python's literals, and HTML write it, also when that is escaped again; or a blank.
ESCAPED = re.compile(
    r"%(?:25){0,3}(?P<url>[0-9a-f]{2})"
    r"|\\{1,8}(?:u00|u\{0{0,4}|x)(?P<code>[0-9a-f]{2})\}?"
    r"|&(?:amp;){0,3}(?P<entity>#[0-9]{1,7};|#x[0-9a-f]{1,6};|[a-z]{2,8};)"
    r"|\\{1,8}(?P<plain>[\"'/\\])"
    r"|(?P<blank>\s+|\\{1,8}[rnt])",
    re.IGNORECASE,
)


class Redactor:
    """Replace a key in texts.

    Keys under eight characters ("none", "EMPTY") are replaced where they stand as words of their own: parts of other
    words say nothing about them.

    key (str | None): None for nothing to replace. A `Secret` stays one.
    """

    def __init__(self, key: str | None) -> None:
        self.key = Secret(key) if key else None
        self._runs = set[str]() if self.key is None else _runs(self.key)
        self._whole = None if self.key is None else _whole(self.key)

    def __call__(self, text: str) -> str:
        """Replace the key, and each run of eight of its characters. Takes linear time."""
        if self._whole is not None:
            text = self._whole.sub(HIDDEN, text)
        parts, done = list[str](), 0
        for start, end in self._hidden_spans(text) if self._runs else ():
            parts += [text[done:start], HIDDEN]
            done = end
        return "".join([*parts, text[done:]])

    def finds(self, text: str) -> bool:
        """Tell whether a text holds the key, or a telling part of it."""
        return self(text) != text

    def _hidden_spans(self, text: str) -> list[tuple[int, int]]:
        """Return first and end characters of what is to be hidden, in order, without overlap."""
        plain, starts, ends = _decoded(text)
        spans = list[tuple[int, int]]()
        for at in range(len(plain) - TELLING + 1):
            if plain[at : at + TELLING] in self._runs:
                start, end = starts[at], ends[at + TELLING - 1]
                if spans and start <= spans[-1][1]:
                    start = spans.pop()[0]
                spans.append((start, end))
        return spans


def _whole(key: Secret) -> re.Pattern[str]:
    whole = Secret(re.escape(key.reveal()))
    return re.compile(whole.reveal() if len(key) >= TELLING else rf"(?<!\w){whole.reveal()}(?!\w)")


def _runs(key: Secret) -> set[str]:
    """Return the runs of characters that tell a key, in any of its forms."""
    return {form[at : at + TELLING] for form in _forms(key) for at in range(len(form) - TELLING + 1)}


def _decoded(text: str) -> tuple[str, list[int], list[int]]:
    """Return a text in lower case without escapes and blanks, and where each character of that stands in the text."""
    chars, starts, ends, done = list[str](), list[int](), list[int](), 0
    # Few characters become two in lower case; none of those is one of a key.
    lower = text.lower()
    lower = lower if len(lower) == len(text) else "".join(char.lower()[0] for char in text)

    def take(first: int, end: int) -> None:
        chars.extend(lower[first:end])
        starts.extend(range(first, end))
        ends.extend(range(first + 1, end + 1))

    for match in ESCAPED.finditer(text):
        take(done, match.start())
        done = match.end()
        char = _char(match)
        if char:
            chars.append(char)
            starts.append(match.start())
            ends.append(done)
    take(done, len(text))
    return "".join(chars), starts, ends


def _char(match: re.Match[str]) -> str:
    """Return the one character that an escape stands for, in lower case; "" for a blank."""
    if match["blank"]:
        return ""
    if code := match["url"] or match["code"]:
        char = chr(int(code, 16))
    elif match["entity"]:
        char = html.unescape("&" + match["entity"])
    else:
        char = match["plain"]
    # An entity that HTML does not know stays as it is: no character of a key.
    return char.lower() if len(char.lower()) == 1 else "\0"


def _forms(key: str) -> set[str]:
    """Return a key, backwards too, in hexadecimal and in base64, whatever stands around it there; in lower case."""
    forms = {key[:], key[::-1], key.encode().hex()}
    for before in range(3):
        # Each three bytes are four characters; those that share bytes with a neighbour depend on it.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(b"\0" * before + key.encode()).decode().rstrip("=")
            first = (before * 8 + 5) // 6
            last = (before + len(key)) * 8 // 6
            forms.add(encoded[first:last])
    # A key may hold what reads as an escape.
    return {read for form in forms for read in (form.lower(), _decoded(form)[0])}
