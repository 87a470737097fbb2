"""Reassignment: which of the target types that its source type stands for an entity has (LAR, sections 3.2 and 3.3)."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model

from ..errors import TextError, error
from ..models.gliner import interface as span_models
from ..models.gliner.interface import MATCHER
from ..models.queries import SpanQuery
from ..models.words import doc_words
from ..prompts.lar import NONE

SPAN = "span matcher"
TOO_LONG = "too long"


class Case(NamedTuple):
    """An entity whose target type is wanted.

    doc, start, end: Where it is, in tokens, `end` exclusive.
    source: Its source type.
    options: The target types that it may have, one at least.
    """

    doc: Doc
    start: int
    end: int
    source: str
    options: tuple[str, ...]

    @property
    def text(self) -> str:
        """The entity."""
        return str(self.doc[self.start : self.end].text)


class Types(NamedTuple):
    """What all cases share.

    sources: All source types.
    targets: All target types, with what describes them (their names where nothing does).
    none: Whether an entity may have none of its options: `prompts.lar.NONE`.
    """

    sources: tuple[str, ...]
    targets: Mapping[str, str]
    none: bool


class Choice(NamedTuple):
    """What was decided.

    label: One of the case's options, `NONE`, or None for no answer.
    score: A probability, as far as the reassigner knows one; 1 for a plain choice.
    by: Who decided.
    reason: Why there is no answer, or why a better judge did not decide; "" where all went well.
    """

    label: str | None
    score: float
    by: str
    reason: str = ""


class Reassigner(Protocol):
    """Chooses target types. It must not change docs."""

    def __call__(self, cases: Sequence[Case], types: Types) -> list[Choice]:
        """Choose.

        cases (Sequence[Case]): Of any docs; those of a doc stand together.
        RETURNS (list[Choice]): In step with the cases.
        """
        ...

    def bind(self, name: str, pipes: Iterable[tuple[str, Any]]) -> None:
        """Find models to share among the components of a pipeline.

        name (str): The component that the reassigner is part of, for messages.
        """
        ...

    def start(self) -> None:
        """Load weights."""
        ...

    def save(self, path: Path) -> None:
        """Write weights that no other component of the pipeline saves."""
        ...

    def load(self, path: Path) -> None:
        """Read what `save` wrote."""
        ...


class Sharing:
    """Base of reassigners with a model, which may be that of another component.

    model (Model | None): A model of its own; None to share one.
    component (str | None): The component whose model is shared; None for the first that has one, and the default
        weights of the package where no component has.
    """

    what = ""

    def __init__(self, model: Model | None, component: str | None) -> None:
        self.model, self.component = model, component
        self.shares = False

    def fits(self, model: Any) -> bool:
        """Whether this is a model of the right kind."""
        raise NotImplementedError

    def default(self) -> Model:
        """A model with the default weights."""
        raise NotImplementedError

    def bind(self, name: str, pipes: Iterable[tuple[str, Any]]) -> None:
        """See `Reassigner.bind`."""
        if self.model is not None and not self.shares:
            return
        found = {other: pipe.model for other, pipe in pipes if self.fits(getattr(pipe, "model", None))}
        if self.component is not None and self.component not in found:
            raise error("O505", name=name, component=self.component, what=self.what, present=list(found))
        wanted = self.component or next(iter(found), None)
        self.shares = wanted is not None
        self.model = found[wanted] if wanted is not None else None

    @property
    def own(self) -> Model:
        """The model, made now if there is none to share."""
        if self.model is None:
            self.model = self.default()
        return self.model

    def start(self) -> None:
        """See `Reassigner.start`."""
        raise NotImplementedError


class SpanTypeReassigner(Sharing):
    """See `SpanTypeReassigner_v1`."""

    what = "a span matcher"

    def __init__(self, model: Model | None, component: str | None, use_descriptions: bool, none_below: float) -> None:
        super().__init__(model, component)
        self.use_descriptions, self.none_below = use_descriptions, none_below

    def fits(self, model: Any) -> bool:
        """Whether this is a span matcher."""
        return isinstance(model, Model) and MATCHER in model.attrs

    def default(self) -> Model:
        """The span matcher with the default weights."""
        from ..models.architectures import SpanMatcher_v1

        return SpanMatcher_v1()

    def __call__(self, cases: Sequence[Case], types: Types) -> list[Choice]:
        """Score the cases of each doc in one go, each for its own options."""
        found: list[Choice] = []
        for some in by_doc(cases):
            found += self._of_doc(some, types)
        return found

    def _of_doc(self, cases: Sequence[Case], types: Types) -> list[Choice]:
        asked = list(dict.fromkeys(option for case in cases for option in case.options))
        texts = [types.targets.get(label, label) if self.use_descriptions else label for label in asked]
        words = doc_words(cases[0].doc, self.own.attrs["words"])
        question = SpanQuery(words, texts, np.zeros(len(asked), dtype=np.float32), cases[0].doc)
        spans = [words.of_span(case.doc[case.start : case.end]) for case in cases]
        try:
            rows = list(span_models.score(self.own, question, spans))
        except TextError:
            rows = [self._alone(question, span) for span in spans]
        return [self._chosen(case, row, asked, types.none) for case, row in zip(cases, rows, strict=True)]

    def _alone(self, question: SpanQuery, span: tuple[int, int]) -> np.ndarray | None:
        """Scores of one span; None for one that is longer than any window."""
        try:
            scores: np.ndarray = span_models.score(self.own, question, [span])[0]
        except TextError:
            return None
        return scores

    def _chosen(self, case: Case, row: np.ndarray | None, asked: list[str], none: bool) -> Choice:
        if row is None:
            return Choice(None, 0.0, SPAN, TOO_LONG)
        scores = {label: float(row[asked.index(label)]) for label in case.options}
        best = max(scores, key=lambda label: scores[label])
        if none and scores[best] < self.none_below:
            return Choice(NONE, 1.0 - scores[best], SPAN)
        return Choice(best, scores[best], SPAN)

    def start(self) -> None:
        """Load the weights, unless their component does."""
        if not self.shares:
            span_models.initialize(self.own, list)

    def save(self, path: Path) -> None:
        """Write the weights, unless their component does."""
        if not self.shares:
            span_models.matcher_of(self.own).save(self.own, path)

    def load(self, path: Path) -> None:
        """Read the weights, unless their component does."""
        if not self.shares and path.is_dir():
            span_models.matcher_of(self.own).load(self.own, path)


def by_doc(cases: Sequence[Case]) -> list[list[Case]]:
    """Cases that stand together because they are of one doc."""
    groups: list[list[Case]] = []
    for case in cases:
        if groups and groups[-1][0].doc is case.doc:
            groups[-1].append(case)
        else:
            groups.append([case])
    return groups


def SpanTypeReassigner_v1(
    model: Model | None = None,
    component: str | None = None,
    use_descriptions: bool = False,
    none_below: float = 0.0,
) -> SpanTypeReassigner:
    """Reassignment by a span matcher, registered as "spacy-openner.SpanTypeReassigner.v1".

    Its probabilities of exactly that span for the candidate types decide. Needs no network.

    model (Model | None): A span matcher of its own; None to share.
    component (str | None): The component whose span matcher is shared; None for the first that has one, and the default
        weights where no component before this one has.
    use_descriptions (bool): Put the descriptions of types into prompts instead of their names.
    none_below (float): An entity whose best probability is less has none of the types, where that is allowed.
    RETURNS (SpanTypeReassigner): Its weights are loaded at first use.
    RAISES (SettingError): For a value that is not allowed.
    """
    if isinstance(none_below, bool) or not isinstance(none_below, int | float) or not 0 <= none_below <= 1:
        raise error("O001", name="none_below", value=none_below, allowed="a number from 0 to 1")
    return SpanTypeReassigner(model, component, use_descriptions, none_below)
