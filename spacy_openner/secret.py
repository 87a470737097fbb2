"""A text that nobody is shown: keys, on their way from the environment to where they are sent or compared."""

from typing import NoReturn

SHOWN = "***"


class Secret(str):
    """A text that is what it is, but for messages, logs, tracebacks with local variables, and pickles."""

    __slots__ = ()

    def __new__(cls, text: str) -> "Secret":
        """Make one of a text, or of another secret."""
        return super().__new__(cls, text.reveal() if isinstance(text, Secret) else text)

    def reveal(self) -> str:
        """Return it as plain text, for the call that sends it: to be kept in no variable."""
        return str.__str__(self)

    def __repr__(self) -> str:
        return SHOWN

    def __str__(self) -> str:
        return SHOWN

    def __format__(self, spec: str) -> str:
        return SHOWN

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: other processes read it from their environment")
