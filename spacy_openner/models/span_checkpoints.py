"""Checkpoints of span matchers, whichever family they are of."""

from pathlib import Path

from .gliner import checkpoint as gliner
from .gliner.config import CONFIG_FILE
from .gliner.span_checkpoint import SpanCheckpoint
from .gliner2 import checkpoint as gliner2


def load_span_checkpoint(path: Path) -> SpanCheckpoint:
    """Load a checkpoint of any family from a directory.

    RAISES (CheckpointError): When files are missing, damaged, of an unsupported kind, or do not fit.
    """
    if gliner2.is_checkpoint(path) and not (path / CONFIG_FILE).is_file():
        return gliner2.load(path)
    return gliner.load(path)
