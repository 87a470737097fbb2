"""Every error and warning of the package: a code, the value that was wrong, and what to do.

Exception tree::

    OpenNERError(ValueError)
    ├── SettingError      a setting or an argument has a value that is not allowed
    ├── CheckpointError   a checkpoint cannot be found, read, or is of an unsupported kind
    ├── TextError         a text cannot be processed as asked
    ├── DataError         a data file cannot be read or written as asked
    ├── MissingExtra      an optional dependency is not installed
    └── InstallationError packages are installed that do not work together
"""

import string
import warnings
from typing import Any

from .exceptions import (
    CheckpointError,
    DataError,
    InstallationError,
    MissingExtra,
    OpenNERError,
    OpenNERWarning,
    SettingError,
    TextError,
)
from .model_messages import MODEL_MESSAGES
from .setting_messages import SETTING_MESSAGES
from .task_messages import TASK_MESSAGES
from .warning_messages import WARNINGS

__all__ = [
    "MESSAGES",
    "WARNINGS",
    "CheckpointError",
    "DataError",
    "InstallationError",
    "MissingExtra",
    "OpenNERError",
    "OpenNERWarning",
    "SettingError",
    "TextError",
    "error",
    "warn",
]

MESSAGES: dict[str, tuple[type[Exception], str]] = {**SETTING_MESSAGES, **MODEL_MESSAGES, **TASK_MESSAGES}


# So many characters of a value are shown, and of what else a message is made of, such as another package's words.
LONGEST, LONGEST_PART = 500, 2_000


class _Formatter(string.Formatter):
    """Write messages whose fields are no longer than can be read."""

    def convert_field(self, value: Any, conversion: Any) -> Any:
        shown = super().convert_field(value, conversion)
        return _shortened(shown, LONGEST) if conversion == "r" else shown

    def format_field(self, value: Any, format_spec: str) -> str:
        # A value's own mark of being cut stands behind its limit, and stays.
        return _shortened(super().format_field(value, format_spec), LONGEST_PART)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text):,} characters)"


_FORMATTER = _Formatter()


def error(code: str, **values: Any) -> Exception:
    """Build the error of a code.

    code (str): A key of the error table, such as "O001".
    **values (Any): What the message's fields stand for.
    RETURNS (Exception): To be raised by the caller.
    """
    kind, message = MESSAGES[code]
    return kind(f"[{code}] {_FORMATTER.vformat(message, (), values)}")


def warn(code: str, **values: Any) -> None:
    """Issue the warning of a code.

    code (str): A key of the warning table, such as "W001".
    **values (Any): What the message's fields stand for.
    """
    warnings.warn(f"[{code}] {_FORMATTER.vformat(WARNINGS[code], (), values)}", OpenNERWarning, stacklevel=3)
