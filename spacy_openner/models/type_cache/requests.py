"""Inputs of the network: queries whose order of types cannot matter, and types that were encoded together."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..queries import ScoredSpan, SpanQuery
from .score_scale import Scale, ScoreScale
from .states import AskedTypes, TextBatch, TypeStates


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

    texts: The types, each once.
    states: Their states, in the same order.
    """

    texts: Sequence[str]
    states: TypeStates

    def lay_out(self, rows: Sequence[Sequence[str]], seen: Sequence[str] | None = None) -> AskedTypes:
        """Lay out what rows of a batch see.

        Of types that are seen, order and number of mentions do not matter; of those that are alike texts see the first.
        """
        index = {text: i for i, text in enumerate(self.texts)}
        # Texts mostly share one list: what is asked of it is found out once.
        lists = {id(row): row for row in rows}
        scored = {key: [index[text] for text in row] for key, row in lists.items()}
        types = {key: sorted({index[text] for text in seen or row}) for key, row in lists.items()}
        shown = {key: self.states.seen_among(row) for key, row in types.items()}
        first, seen_first = scored[id(rows[0])], shown[id(rows[0])]
        if all(row == seen_first for row in shown.values()):
            same = all(row == first for row in scored.values())
            return self.states.shared([first] if same else [scored[id(row)] for row in rows], seen_first)
        return self.states.for_rows([scored[id(row)] for row in rows], [shown[id(row)] for row in rows])


class MetTypes:
    """Types that training has met lately, the latest last; never more than `LIMIT`."""

    LIMIT = 4096

    def __init__(self) -> None:
        self._types: dict[str, None] = {}

    def beside(self, types: Sequence[str], most: int) -> list[str]:
        """Draw a random number of other types, `most` at most, and remember those of this update."""
        known = sorted(self._types.keys() - set(types))
        for text in types:
            self._types.pop(text, None)
            self._types[text] = None
        for text in list(self._types)[: -self.LIMIT]:
            del self._types[text]
        return random.sample(known, min(random.randint(0, most), len(known)))


@dataclass(frozen=True)
class OrderedTypes:
    """A list of types, sorted and each there once, so that their order and number of mentions cannot matter.

    types: The types.
    thresholds: Of each the lowest of its mentions. *Shape:* (types,).
    columns: For each mention in the list as it was given, the index of the type.
    """

    types: list[str]
    thresholds: np.ndarray
    columns: list[int]

    @classmethod
    def of(cls, types: Sequence[str], thresholds: np.ndarray) -> "OrderedTypes":
        """Put a list in order."""
        ordered = sorted(set(types))
        index = {text: i for i, text in enumerate(ordered)}
        columns = [index[text] for text in types]
        lowest = np.full(len(ordered), np.inf, dtype=np.float32)
        np.minimum.at(lowest, columns, thresholds)
        return cls(ordered, lowest, columns)

    @cached_property
    def mentions(self) -> list[list[int]]:
        """For each type, where the list as it was given mentions it."""
        mentions: list[list[int]] = [[] for _ in self.types]
        for i, column in enumerate(self.columns):
            mentions[column].append(i)
        return mentions


@dataclass(frozen=True)
class OrderedQuery:
    """A query with its types in order.

    query: As it is scored; its thresholds are those of the network's scores.
    order: Its types.
    scale: Makes the component's scores of the network's.
    """

    query: SpanQuery
    order: OrderedTypes
    scale: Scale

    @classmethod
    def all_of(
        cls, queries: Sequence[SpanQuery], scale: ScoreScale, most_seen: int | None = None
    ) -> list["OrderedQuery"]:
        """Put queries in order; those that share a list of types go on to share one.

        most_seen (int | None): The most types that a text sees at once; all if None.
        """
        known: dict[tuple[int, int], tuple[OrderedTypes, Scale]] = {}
        ordered = []
        for query in queries:
            key = id(query.types), id(query.thresholds)
            if key not in known:
                here = scale.among(_seen_at_once(len(set(query.types)), most_seen))
                known[key] = OrderedTypes.of(query.types, here.undo(query.thresholds)), here
            order, here = known[key]
            ordered.append(cls(query._replace(types=order.types, thresholds=order.thresholds), order, here))
        return ordered

    def restore(self, query: SpanQuery, spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
        """Return spans of the query as it was put, each over the threshold of its own mention of the type."""
        mentions = self.order.mentions if spans else []
        scores = self.scale([span.score for span in spans]).tolist()
        return [
            span._replace(type=i, score=score)
            for span, score in zip(spans, scores, strict=True)
            for i in mentions[span.type]
            if score > query.thresholds[i]
        ]


def _seen_at_once(types: int, most: int | None) -> int:
    """How many types a text sees where long lists are split evenly over passes."""
    passes = -(-types // most) if most else 1
    return -(-types // max(passes, 1))


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
