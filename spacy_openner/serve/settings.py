"""Limits of the service, each with a bound of its own."""

import os
from dataclasses import dataclass, fields
from typing import Any

from ..errors import error
from ..secret import Secret

API_KEY_VARIABLE = "SPACY_OPENNER_API_KEY"
SHORTEST_KEY = 8


@dataclass(frozen=True)
class ServeSettings:
    """Limits of the service.

    max_body_bytes (int): Of a request; a longer one gets the status 413.
    max_texts (int): Texts of a request; more get the status 422, as do all that follow.
    max_text_chars (int): Characters of a text.
    max_labels (int): Types of a request.
    max_label_chars (int): Characters of a type's name or description.
    max_spans (int): Spans over the threshold in all texts of a request, before overlaps are resolved. With a low
        threshold there are as many as words, widths and types multiply to.
    max_waiting_texts (int): Texts that wait for the model; when there are more, a request gets the status 429.
    batch_texts (int): The most texts that the pipeline gets at once, of any number of requests.
    batch_wait (float): Seconds that a text waits for others to share its batch, while the model is idle.
    timeout (float): Seconds after which a request that still waits for the model gets the status 503.
    retry_after (int): Seconds that clients are told to wait when they get the status 429 or 503.
    """

    max_body_bytes: int = 4 * 2**20
    max_texts: int = 256
    max_text_chars: int = 100_000
    max_labels: int = 1_000
    max_label_chars: int = 500
    max_spans: int = 100_000
    max_waiting_texts: int = 2_048
    batch_texts: int = 64
    batch_wait: float = 0.005
    timeout: float = 30.0
    retry_after: int = 2

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name), field.type is float or field.type == "float")


def _check(name: str, value: Any, is_real: bool) -> None:
    kinds = (int, float) if is_real else (int,)
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < 10**10:
        allowed = "a number greater than 0" if is_real else "a whole number from 1"
        raise error("O001", name=name, value=value, allowed=allowed)


def api_key() -> Secret | None:
    """Return the key that clients must show, of the environment; None where it asks for none.

    RAISES (SettingError): For a key that no client could show, or that is too short to be one.
    """
    key = Secret(os.environ.get(API_KEY_VARIABLE, "").strip())
    if API_KEY_VARIABLE not in os.environ:
        return None
    return checked_key(key, f"The environment variable {API_KEY_VARIABLE}")


def checked_key(key: Any, name: str) -> Secret:
    """Return a key for clients.

    name (str): Where it was given.
    RAISES (SettingError): For a key that no client could show, or that is too short to be one; it is not repeated.
    """
    if not isinstance(key, str) or len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable():
        raise error("O651", name=name, shortest=SHORTEST_KEY)
    return Secret(key)
