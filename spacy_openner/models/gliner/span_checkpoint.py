"""The parts that checkpoints of span matchers have, of every family that builds on the networks of this one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ..words import WordMode
from .network import Network
from .windows import WindowPlanner


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


CheckpointLoader = Callable[[Path], SpanCheckpoint]
"""Load a checkpoint from a directory."""
