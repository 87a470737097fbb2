"""Judge what a component finds in annotated docs by their annotation."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from warnings import catch_warnings, simplefilter

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..arguments import as_instance, as_name
from ..components.base import OpenLabelPipe
from ..components.entity_pipe import OpenNERPipe
from ..components.open_ner_span import OpenNERSpan
from ..decoding.span_index import SpanIndex
from ..decoding.span_selection import Overlap
from ..errors import OpenNERWarning, error
from ..labels import LabelSet, get_labels
from ..models.span_model import span_model
from ..scoring.gold import (
    GoldSurvey,
    gold_batches,
    gold_spans,
    is_annotated,
    pipes_before,
    predicted_examples,
    unannotated_tokens,
)
from ..scoring.positions import shared_positions
from ..types import Candidate
from .threshold_search import JudgedText

BATCH = 256

Gold = Iterable[Doc | Example]
Types = Sequence[str] | Mapping[str, str] | None


@dataclass
class JudgedPredictions:
    """Candidates with what is known about them.

    texts (list[JudgedText]): The candidates of each doc that is annotated.
    labels (dict[str, None]): The types that were looked for, in order.
    gold (Counter[str]): Gold spans of these types.
    not_asked (Counter[str]): Gold spans of other types.
    annotated (set[str]): Types that are annotated: those that occur, and those listed.
    skipped (int): Docs without any annotation of entities.
    """

    texts: list[JudgedText] = field(default_factory=list)
    labels: dict[str, None] = field(default_factory=dict)
    gold: Counter[str] = field(default_factory=Counter)
    not_asked: Counter[str] = field(default_factory=Counter)
    annotated: set[str] = field(default_factory=set)
    skipped: int = 0

    def add(self, example: Example, candidates: Sequence[Candidate], labels: Sequence[str], spans_key: str) -> None:
        """Judge the candidates of one doc by its reference.

        labels (Sequence[str]): The types that were looked for, in the prompt's order.
        spans_key (str): Where gold is; see `scoring.gold`.
        """
        reference = example.reference
        if not is_annotated(reference, spans_key):
            self.skipped += 1
            return
        predicted, annotated = shared_positions(example)
        gold = {annotated.entity(span) for span in gold_spans(reference, spans_key)}
        # Where the reference says nothing, a prediction is neither right nor wrong: on tokens whose annotation is
        # missing, and about types that are not on the reference's own list, if it has one.
        gaps = SpanIndex(map(annotated.extent, unannotated_tokens(reference, spans_key)))
        extents = [predicted.extent(token) for token in example.predicted]
        positions = [(extents[c.start][0], extents[c.end - 1][1], c.label) for c in candidates]
        judged = list(zip(candidates, positions, strict=True))
        right = frozenset(candidate for candidate, position in judged if position in gold)
        listed = get_labels(reference, LabelSet()).names
        known = {*(listed or labels), *(label for _, _, label in gold)}
        unknown = frozenset(c for c, position in judged if c.label not in known or gaps.touches(*position[:2]))
        # Equal scores are settled by the model's order: by place, then by the prompt's order of types.
        ranks = {label: rank for rank, label in enumerate(labels)}
        in_order = sorted(candidates, key=lambda c: (c.start, c.end, ranks[c.label]))
        self.texts.append(JudgedText(in_order, right, unknown))
        self.labels.update(dict.fromkeys(labels))
        self.annotated.update(listed, (label for _, _, label in gold))
        for _, _, label in gold:
            (self.gold if label in ranks else self.not_asked)[label] += 1

    def set_aside(self) -> None:
        """Make spans of types that are not annotated neither right nor wrong."""
        self.texts = [
            text._replace(unknown=text.unknown.union(c for c in text.candidates if c.label not in self.annotated))
            for text in self.texts
        ]


def judge_predictions(
    nlp: Language, pipe: OpenNERPipe, gold: Gold, types: Types = None, overlap: Overlap | None = None
) -> JudgedPredictions:
    """Let a component look for entities in annotated docs, as it is set now.

    nlp (Language): Its pipeline. What stands before the component is run too.
    pipe (OpenNERPipe): The component; `types` are its labels in the meantime if it has none.
    gold (Iterable[Doc | Example]): Annotated docs. They are not changed.
    types (Sequence[str] | Mapping[str, str] | None): All types that are annotated; None for those that occur.
    overlap (Overlap | None): Which spans will be found together, if it is set otherwise in the meantime.
    RETURNS (JudgedPredictions): What was found. Types that are not annotated are set aside.
    RAISES (SettingError): For no docs, or none with a gold span of a type that is asked for.
    """
    labels = pipe.descriptions or types or {}
    judged, survey = JudgedPredictions(), GoldSurvey(pipe.spans_key, overlap or pipe.overlap)
    n_docs = 0
    with nlp.select_pipes(enable=pipes_before(nlp, pipe.name)), changed(pipe, labels=labels):
        default = LabelSet(labels)
        for batch in gold_batches(nlp, gold, BATCH):
            examples = predicted_examples(nlp, batch)
            predictions = pipe.predict([example.predicted for example in examples])
            for example, candidates in zip(examples, predictions, strict=True):
                n_docs += 1
                survey.add(example.reference)
                looked_for = get_labels(example.predicted, default).names
                judged.add(example, candidates, looked_for, pipe.spans_key)
    if not n_docs:
        raise error("O422")
    survey.warn("The calibration")
    if not judged.gold:
        raise error("O421", name=pipe.name, asked=sorted(judged.labels), gold=sorted(judged.not_asked))
    judged.annotated.update(LabelSet(types).names if types else ())
    judged.set_aside()
    return judged


@contextmanager
def changed(pipe: OpenLabelPipe, **settings: Any) -> Iterator[None]:
    """Change settings of a component for a while."""
    # `labels` alone would give the names without their descriptions.
    before = {name: pipe.descriptions if name == "labels" else getattr(pipe, name) for name in settings}
    try:
        for name, value in settings.items():
            setattr(pipe, name, value)
        yield
    finally:
        with catch_warnings():
            # Whatever is odd about the user's own settings was said when they were set.
            simplefilter("ignore", OpenNERWarning)
            for name, value in before.items():
                setattr(pipe, name, value)


def predicting_component(nlp: Language, name: str) -> OpenNERPipe:
    """Return the component of a name.

    RAISES (SettingError): Where there is none, or one whose spans thresholds alone do not decide on.
    """
    components = dict(as_instance(nlp, Language, "nlp", "a pipeline").components)
    pipe = components.get(as_name(name, "component"))
    if not isinstance(pipe, OpenNERPipe):
        fit = [other for other, component in components.items() if isinstance(component, OpenNERPipe)]
        raise error("O423", name=name, present=list(components), fit=fit)
    if isinstance(pipe, OpenNERSpan) and span_model(pipe.model).max_width == 1:
        raise error("O425", name=name)
    return pipe
