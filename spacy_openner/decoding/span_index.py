"""Which of many spans share a position with a given one, without looking at all of them."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate


class SpanIndex:
    """Spans in order of their starts, beside the furthest end so far.

    Spans [0, 2), [1, 9), [3, 4) have the furthest ends 2, 9, 9. Is [5, 6) touched? Two steps tell: the last span that
    starts before 6 is the third, and the furthest end up to there, 9, lies behind 5.

    spans (Iterable[tuple[int, int]]): Starts and ends (exclusive), in any unit. They may overlap.
    """

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        spans = list(spans)
        self._order = sorted(range(len(spans)), key=lambda i: spans[i])
        self._starts = [spans[i][0] for i in self._order]
        self._ends = [spans[i][1] for i in self._order]
        self._furthest = list(accumulate(self._ends, max))

    def touches(self, start: int, end: int) -> bool:
        """Tell whether any of the spans shares a position with this one."""
        n = bisect_left(self._starts, end)
        return n > 0 and self._furthest[n - 1] > start

    def touching(self, start: int, end: int) -> Iterator[int]:
        """Find the spans that share a position with this one.

        YIELDS (int): Their numbers, in the order in which they were given to the index, the last to start first.
        """
        for n in range(bisect_left(self._starts, end) - 1, -1, -1):
            if self._furthest[n] <= start:
                return
            if self._ends[n] > start:
                yield self._order[n]
