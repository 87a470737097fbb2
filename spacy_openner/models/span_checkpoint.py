"""Checkpoints of span matchers, whichever family they are of."""

from pathlib import Path
from typing import Any, Protocol

from .gliner import checkpoint as gliner
from .gliner.config import CONFIG_FILE
from .gliner.network import Network
from .gliner.windows import WindowPlanner
from .gliner2 import checkpoint as gliner2
from .words import WordMode


class SpanCheckpoint(Protocol):
    """Everything that prediction needs, and everything that saving writes."""

    config: dict[str, Any]
    tokenizer: Any
    labels_tokenizer: Any

    @property
    def network(self) -> Network:
        """The network, float32, on the CPU, in evaluation mode."""
        ...

    @property
    def is_bi_encoder(self) -> bool:
        """True if types are encoded apart from texts."""
        ...

    @property
    def fixed_types(self) -> tuple[str, ...]:
        """The types that it knows vectors of; empty where it reads any."""
        ...

    @property
    def word_mode(self) -> WordMode:
        """The words that it is trained with; see `words.doc_words`."""
        ...

    def planner(self, limit: int, overlap: int, max_types: int | None) -> WindowPlanner:
        """Make what lays windows over texts."""
        ...

    def save(self, path: Path) -> None:
        """Write the checkpoint in its family's format."""
        ...


def load(path: Path) -> SpanCheckpoint:
    """Load a checkpoint of any family from a directory.

    RAISES (CheckpointError): When files are missing, damaged, of an unsupported kind, or do not fit.
    """
    if gliner2.is_checkpoint(path) and not (path / CONFIG_FILE).is_file():
        return gliner2.load(path)
    return gliner.load(path)
