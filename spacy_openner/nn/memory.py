"""Keeping the memory of a training process bounded."""

import ctypes
import functools
import itertools
from collections.abc import Callable

# Batches of ever different shapes leave glibc's heap full of holes: 20 MB an update were seen, without end,
# all of it free. Giving the pages back takes milliseconds.
EVERY = 16
_updates = itertools.count(1)


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """glibc's malloc_trim; None where the C library is another one."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None


def after_update() -> None:
    """Give free memory back to the system, at every `EVERY`-th call."""
    trim = _trim()
    if trim is not None and next(_updates) % EVERY == 0:
        trim(0)
