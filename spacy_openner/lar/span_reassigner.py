"""Reassignment by a span matcher: its probabilities of exactly that span for the options decide."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from thinc.api import Model

from ..errors import TextError, error
from ..models.architectures import TYPE_CACHE, SpanMatcher_v1, TypeCacheSpanMatcher_v1, span_architecture
from ..models.queries import SpanQuery
from ..models.span_model import is_span_model, span_model
from ..models.words import doc_words
from ..prompts.lar import NONE
from .reassigner import TOO_LONG, EntityCase, LabelSpace, SharedModelReassigner, TypeChoice, by_doc

SPAN = "span matcher"
NEIGHBOUR = "a neighbouring span"
NOTHING = 0.4
"""Options below are "none" by default: the best limit, in steps of 0.1, on dev sets of CrossNER (without politics)."""


class Scored(NamedTuple):
    """The best of a case's options for one span. `span` is in words."""

    label: str
    score: float
    span: tuple[int, int]


class SpanTypeReassigner(SharedModelReassigner):
    """Reassignment by a span matcher; see `SpanTypeReassigner_v1` for the settings."""

    KIND = "a span matcher"

    def __init__(
        self, model: Model | None, component: str | None, use_descriptions: bool, none_below: float, neighbours: int
    ) -> None:
        super().__init__(model, component)
        self.use_descriptions, self.none_below, self.neighbours = use_descriptions, none_below, neighbours

    def fits(self, model: object) -> bool:
        """Tell whether this is a span matcher."""
        return is_span_model(model)

    def make_default(self) -> Model:
        """Build the span matcher with the default weights."""
        return TypeCacheSpanMatcher_v1()

    def make_for(self, path: Path) -> Model:
        """Build a span matcher of the architecture that was written."""
        return TypeCacheSpanMatcher_v1() if span_architecture(path) == TYPE_CACHE else SpanMatcher_v1()

    def __call__(self, cases: Sequence[EntityCase], types: LabelSpace) -> list[TypeChoice]:
        """Score the cases of each doc in one go, each for its own options."""
        model = self.model
        return [choice for group in by_doc(cases) for choice in self._choose(model, group, types)]

    def _choose(self, model: Model, cases: Sequence[EntityCase], types: LabelSpace) -> list[TypeChoice]:
        """Choose for the cases of one doc: by their own spans, and where these score nothing by neighbouring ones."""
        labels = list(dict.fromkeys(option for case in cases for option in case.options))
        texts = [types.targets.get(label, label) if self.use_descriptions else label for label in labels]
        doc = cases[0].doc
        words = doc_words(doc, span_model(model).word_mode, types.boundaries)
        query = SpanQuery(words, texts, np.zeros(len(labels), dtype=np.float32), doc, labels)
        spans = [words.of_span(doc[case.start : case.end]) for case in cases]
        beside = (self._neighbours(*span, len(words)) for span in spans)
        groups = [[span, *(n for n in near if words.is_within(*n))] for span, near in zip(spans, beside, strict=True)]
        choices = []
        for case, group, rows in zip(cases, groups, self._scores(model, query, groups), strict=True):
            scored = [_best(case, row, labels, span) for span, row in zip(group, rows, strict=False)]
            choice = self._chosen(scored, types.none)
            if choice.span is not None:
                first, last = choice.span
                choice = choice._replace(span=(int(words.starts[first]), int(words.ends[last - 1])))
            choices.append(choice)
        return choices

    def _neighbours(self, first: int, last: int, n_words: int) -> list[tuple[int, int]]:
        """List the spans whose bounds differ by some words at most, and that share a word with this one."""
        if first >= last:
            return []
        n = self.neighbours
        starts = range(max(0, first - n), min(last, first + n + 1))
        ends = range(max(first + 1, last - n), min(n_words, last + n) + 1)
        return [(start, end) for start in starts for end in ends if start < end and (start, end) != (first, last)]

    def _scores(self, model: Model, query: SpanQuery, groups: Sequence[list[tuple[int, int]]]) -> list[np.ndarray]:
        """Score spans: all in one pass, since what a window costs, its spans do not.

        groups (Sequence[list[tuple[int, int]]]): Spans, with their neighbours behind them.
        RETURNS (list[np.ndarray]): Of each group. *Shape of each:* (spans, types); without neighbours where one of them
            is longer than any window, and without any row where the span is.
        """
        every = [span for group in groups for span in group]
        try:
            scores = span_model(model).score(model, query, every)
        except TextError:
            if len(groups) > 1:
                return [rows for group in groups for rows in self._scores(model, query, [group])]
            rest = [groups[0][:1]] if len(groups[0]) > 1 else []
            return self._scores(model, query, rest) if rest else [np.zeros((0, len(query.types)), dtype=np.float32)]
        ends = list(accumulate(map(len, groups), initial=0))
        return [scores[start:end] for start, end in pairwise(ends)]

    def _chosen(self, scored: Sequence[Scored], none: bool) -> TypeChoice:
        """Choose the entity's own span where it scores anything, or else the best neighbour that does."""
        if not scored:
            return TypeChoice(None, 0.0, SPAN, TOO_LONG)
        own, best = scored[0], max(scored, key=lambda span: span.score)
        if own.score >= self.none_below:
            return TypeChoice(own.label, own.score, SPAN)
        if best.score >= self.none_below and best is not own:
            return TypeChoice(best.label, best.score, SPAN, NEIGHBOUR, best.span)
        return TypeChoice(NONE, 1.0 - own.score, SPAN) if none else TypeChoice(own.label, own.score, SPAN)

    def load_weights(self, model: Model) -> None:
        """Load the weights that the model names."""
        span_model(model).initialize(model, list)

    def write_weights(self, model: Model, path: Path) -> None:
        """Write a span matcher."""
        span_model(model).save(model, path)

    def read_weights(self, model: Model, path: Path) -> None:
        """Read a span matcher."""
        span_model(model).load(model, path)


def _best(case: EntityCase, row: np.ndarray, labels: Sequence[str], span: tuple[int, int]) -> Scored:
    """Return the best of a case's options; of equal ones the first."""
    scores = {label: float(row[i]) for i, label in enumerate(labels) if label in case.options}
    label = max(case.options, key=lambda option: scores[option])
    return Scored(label, scores[label], span)


def SpanTypeReassigner_v1(
    model: Model | None = None,
    component: str | None = None,
    use_descriptions: bool = False,
    none_below: float = NOTHING,
    neighbours: int = 2,
) -> SpanTypeReassigner:
    """Reassignment by a span matcher, registered as "spacy-openner.SpanTypeReassigner.v1".

    Its probabilities of exactly that span for the candidate types decide. Where they are all next to nothing, as for
    entities that hold an article or a tail ("the Italian Democratic Socialists", "Paris 's"), those of neighbouring
    spans do. Needs no network.

    model (Model | None): A span matcher of its own; None to share.
    component (str | None): The component whose span matcher is shared; None for the first that has one, and the default
        weights where no component of the pipeline has.
    use_descriptions (bool): Put the descriptions of types into prompts instead of their names.
    none_below (float): An entity whose best probability is less has none of the types, where that is allowed.
    neighbours (int): How many words the bounds of a neighbouring span may differ by; 0 for none.
    RETURNS (SpanTypeReassigner): Its weights are loaded at first use.
    RAISES (SettingError): For a value that is not allowed.
    """
    if isinstance(none_below, bool) or not isinstance(none_below, int | float) or not 0 <= none_below <= 1:
        raise error("O001", name="none_below", value=none_below, allowed="a number from 0 to 1")
    if isinstance(neighbours, bool) or not isinstance(neighbours, int) or not 0 <= neighbours <= 8:
        raise error("O001", name="neighbours", value=neighbours, allowed="a whole number from 0 to 8")
    return SpanTypeReassigner(model, component, use_descriptions, none_below, neighbours)
