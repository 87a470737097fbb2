"""Grouping items into batches that a budget bounds."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

# A few texts of an update differ more in length than many of a stream do. A shorter item starts a batch of its own when
# the batch before it is worth a pass (a share of the budget) and the item is not like the longest there (a share of
# that).
WORTHWHILE, ALIKE = 1 / 8, 0.75


def batch_by_length(
    items: Iterable[T],
    size: Callable[[T], int],
    budget: int,
    *,
    order: Callable[[T], Any] | None = None,
    buffer: int | None = None,
    split_unlike: bool = False,
) -> Iterator[list[T]]:
    """Group items of similar length, padding included in the budget.

    items (Iterable): In any order.
    size (Callable): The length of an item.
    budget (int): The most that a batch holds: its longest item's length times its number of items. One item alone may
        exceed it.
    order (Callable | None): What items are sorted by, the greatest first; by length if None.
    buffer (int | None): How many budgets' worth of items are sorted together, so that memory stays bounded; all if
        None.
    split_unlike (bool): Start a new batch, too, where padding would be much and the batch is not tiny. Only for items
        that are sorted by length.
    YIELDS (list): At least one item each.

    With a budget of 8, lengths 1 4 2 3 make the batches 4 3 (8 with padding) and 2 1 (4).
    """
    waiting: list[T] = []
    held = 0
    for item in items:
        waiting.append(item)
        held += size(item)
        if buffer is not None and held > buffer * budget:
            yield from _cut(sorted(waiting, key=order or size, reverse=True), size, budget, split_unlike)
            waiting, held = [], 0
    yield from _cut(sorted(waiting, key=order or size, reverse=True), size, budget, split_unlike)


def batch_in_order(items: Iterable[T], size: Callable[[T], int], budget: int) -> Iterator[list[T]]:
    """Group neighbouring items, without padding: the sum of their lengths is at most the budget, or it is one item."""
    batch: list[T] = []
    held = 0
    for item in items:
        if batch and held + size(item) > budget:
            yield batch
            batch, held = [], 0
        batch.append(item)
        held += size(item)
    if batch:
        yield batch


def _cut(items: Iterable[T], size: Callable[[T], int], budget: int, split_unlike: bool) -> Iterator[list[T]]:
    batch: list[T] = []
    longest = 0
    for item in items:
        length = size(item)
        if batch:
            full = max(longest, length) * (len(batch) + 1) > budget
            worthwhile = longest * len(batch) >= WORTHWHILE * budget
            if full or (split_unlike and worthwhile and length < ALIKE * longest):
                yield batch
                batch, longest = [], 0
        batch.append(item)
        longest = max(longest, length)
    if batch:
        yield batch
