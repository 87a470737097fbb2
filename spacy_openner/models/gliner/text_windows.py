"""Windows over texts as every span model has them: gold annotation goes in, scored spans come out."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from ..queries import GoldTargets, ScoredSpan, SpanQuery, TrainingText, check_span_count
from .span_head import SelectedSpans


class TextWindow(Protocol):
    """A run of a text's words that is scored for some of its types.

    text: Index of the text among those planned together.
    first, last: The words, `last` exclusive.
    types: Index range of the types, among the text's types.
    """

    @property
    def text(self) -> int: ...

    @property
    def first(self) -> int: ...

    @property
    def last(self) -> int: ...

    @property
    def types(self) -> range: ...


class SpanSelector(Protocol):
    """A head, as far as it chooses spans by their scores."""

    def select(self, logits: Any, n_words: torch.Tensor, thresholds: torch.Tensor) -> SelectedSpans:
        """Keep what is over its type's threshold; see `SpanHead.select`."""
        ...


class BestSpans:
    """The best score of each span and type of some texts, over all windows."""

    def __init__(self, n_texts: int) -> None:
        self._scores: list[dict[tuple[int, int, int], float]] = [{} for _ in range(n_texts)]
        self._n_selected = 0

    def add(
        self, head: SpanSelector, logits: torch.Tensor, windows: Sequence[TextWindow], queries: Sequence[SpanQuery]
    ) -> None:
        """Take what passes the thresholds of its text, and crosses none of its boundaries.

        logits (torch.Tensor): The head's scores, one row for each window.
        queries (Sequence[SpanQuery]): All texts, of which the windows show some.
        """
        n_words, thresholds = limits(windows, queries)
        selected = head.select(logits, n_words.to(logits.device), thresholds.to(logits.device))
        self.add_selected(selected, windows, queries)

    def add_selected(self, spans: SelectedSpans, windows: Sequence[TextWindow], queries: Sequence[SpanQuery]) -> None:
        """Take spans of windows that were selected by the windows' `limits`; see `add`."""
        self._n_selected += len(spans.row)
        check_span_count(self._n_selected)
        for row, first, last, label, score in zip(*(column.tolist() for column in spans), strict=True):
            window = windows[row]
            key = (window.first + first, window.first + last, window.types[label])
            if queries[window.text].words.is_within(*key[:2]):
                scores = self._scores[window.text]
                scores[key] = max(score, scores.get(key, 0.0))

    def spans(self) -> list[list[ScoredSpan]]:
        """Return the spans of each text."""
        return [[ScoredSpan(*key, score) for key, score in scores.items()] for scores in self._scores]


def limits(windows: Sequence[TextWindow], queries: Sequence[SpanQuery]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the number of words of each window, and its types' thresholds, infinite where it has fewer types.

    RETURNS (tuple): On the CPU. *Shapes:* (windows,), (windows, types).
    """
    own = [queries[w.text].thresholds[w.types.start : w.types.stop] for w in windows]
    thresholds = np.full((len(windows), max(map(len, own))), np.inf, dtype=np.float32)
    for row, values in zip(thresholds, own, strict=True):
        row[: len(values)] = values
    return _n_words(windows), torch.from_numpy(thresholds)


def gold_targets(windows: Sequence[TextWindow], texts: Sequence[TrainingText]) -> GoldTargets:
    """Return the gold annotation that windows show. A span that a window cuts is unknown there."""
    spans: list[tuple[int, int, int, int]] = []
    unknown: list[tuple[int, int, int]] = []
    for row, window in enumerate(windows):
        text = texts[window.text]
        for first, last, label in text.spans:
            if label not in window.types:
                continue
            if window.first <= first and last <= window.last:
                spans.append((row, first - window.first, last - window.first, label - window.types.start))
            else:
                unknown += _visible(row, window, first, last)
        for first, last in text.unknown:
            unknown += _visible(row, window, first, last)
    return GoldTargets(_n_words(windows), torch.tensor([len(window.types) for window in windows]), spans, unknown)


def _n_words(windows: Sequence[TextWindow]) -> torch.Tensor:
    return torch.tensor([window.last - window.first for window in windows])


def _visible(row: int, window: TextWindow, first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """Yield the part of a run of words that a window shows."""
    first, last = max(first, window.first), min(last, window.last)
    if first < last:
        yield row, first - window.first, last - window.first
