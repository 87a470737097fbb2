"""Inputs of the network: queries whose order of types cannot matter, and types that were encoded together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..queries import ScoredSpan, SpanQuery
from .network import AskedTypes, TextBatch, TypeStates


@dataclass(frozen=True)
class TypeCacheRequest:
    """Windows for the model to score.

    batch: Padded windows.
    types: The types of each row, in the order of its scores.
    seen: The types that all rows see; each row its own if None.
    states: Encoded types by text, for training; looked up or encoded if None.
    """

    batch: TextBatch
    types: Sequence[Sequence[str]]
    seen: Sequence[str] | None = None
    states: "EncodedTypes | None" = None


@dataclass(frozen=True)
class EncodedTypes:
    """Types that were encoded together.

    texts: The types, sorted, each once.
    states: Their states, in the same order.
    """

    texts: Sequence[str]
    states: TypeStates

    def asked(self, rows: Sequence[Sequence[str]], seen: Sequence[str] | None = None) -> AskedTypes:
        """Lay out what rows of a batch see; of types that are seen, order and number of mentions do not matter."""
        index = {text: i for i, text in enumerate(self.texts)}
        scored = [[index[text] for text in row] for row in rows]
        shown = [sorted({index[text] for text in seen or row}) for row in rows]
        everything = list(range(len(self.texts)))
        if all(row == everything for row in shown) and all(row == scored[0] for row in scored):
            return self.states.shared(scored[0])
        return self.states.for_rows(scored, shown)


@dataclass(frozen=True)
class OrderedQuery:
    """A query whose types are sorted and each there once, so that their order and number of mentions cannot matter.

    query: As it is scored. The threshold of a type is the lowest of its mentions.
    columns: For each type of the query as it was put, its index among those that are scored.
    """

    query: SpanQuery
    columns: list[int]

    @classmethod
    def of(cls, query: SpanQuery) -> "OrderedQuery":
        """Put a query in order."""
        types = sorted(set(query.types))
        index = {text: i for i, text in enumerate(types)}
        columns = [index[text] for text in query.types]
        thresholds = np.full(len(types), np.inf, dtype=np.float32)
        np.minimum.at(thresholds, columns, query.thresholds)
        return cls(query._replace(types=types, thresholds=thresholds), columns)

    def restore(self, query: SpanQuery, spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
        """Return spans of the query as it was put, each over the threshold of its own mention of the type."""
        mentions: dict[int, list[int]] = {}
        for i, column in enumerate(self.columns):
            mentions.setdefault(column, []).append(i)
        return [
            span._replace(type=i) for span in spans for i in mentions[span.type] if span.score > query.thresholds[i]
        ]


def cut_leaves(encoded: EncodedTypes) -> EncodedTypes:
    """Cut the graph behind encoded types: gradients of several batches gather here."""

    def leaf(value: Tensor) -> Tensor:
        return value.detach().requires_grad_()

    states = encoded.states
    cut = replace(
        states,
        keys=[leaf(k) for k in states.keys],
        values=[leaf(v) for v in states.values],
        vectors=leaf(states.vectors),
    )
    return EncodedTypes(encoded.texts, cut)


def send_gradients(states: TypeStates, leaves: TypeStates) -> None:
    """Send the gradients that have gathered at leaves through the encoding of the types."""
    values, gathered = _tensors(states), _tensors(leaves)
    reached = [(value, leaf.grad) for value, leaf in zip(values, gathered, strict=True) if leaf.grad is not None]
    if reached:
        torch.autograd.backward([value for value, _ in reached], [grad for _, grad in reached])


def _tensors(states: TypeStates) -> list[Tensor]:
    return [*states.keys, *states.values, states.vectors]
