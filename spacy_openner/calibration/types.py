"""Choose the threshold of a type filter that keeps a wanted share of the types that annotated texts hold."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spacy.language import Language

from ..arguments import as_instance, as_name, as_whole, is_share
from ..components.type_filter import TypeFilter, TypeScores
from ..errors import error, warn
from ..labels import LabelSet
from ..models.type_matcher.network import MIN_SCORE
from ..scoring.gold import GoldSurvey, gold_batches, judge_types, pipes_before, predicted_examples
from .predictions import BATCH, Gold, Types, changed

COMPONENT = "type_filter"


@dataclass(frozen=True)
class TypeCounts:
    """Decisions about pairs of a doc and a type.

    right (int): Types kept that are there.
    kept (int): Types kept.
    present (int): Types that are there.
    decisions (int): All types that there were to choose from.
    """

    right: int
    kept: int
    present: int
    decisions: int

    @property
    def recall(self) -> float:
        """The share of present types that is kept."""
        return self.right / max(self.present, 1)

    @property
    def precision(self) -> float:
        """The share of kept types that is there."""
        return self.right / max(self.kept, 1)

    @property
    def share_kept(self) -> float:
        """The share of all types that is kept."""
        return self.kept / max(self.decisions, 1)


@dataclass(frozen=True)
class TypeCalibration:
    """Thresholds for a type filter, and what they lead to on the texts that they were chosen by.

    component (str): The component's name.
    threshold (float): Its setting `threshold`.
    label_thresholds (dict[str, float]): Its setting `label_thresholds`.
    before (TypeCounts): Under the old thresholds, with all other settings of the component.
    after (TypeCounts): Under the new ones.
    kept_types (tuple[str, ...]): Types that keep their threshold, as they are there in too few docs.
    """

    component: str
    threshold: float
    label_thresholds: dict[str, float]
    before: TypeCounts
    after: TypeCounts
    kept_types: tuple[str, ...] = ()

    def apply(self, nlp: Language) -> None:
        """Set the thresholds that were chosen; `nlp.to_disk` saves them with the component."""
        pipe = _type_filter(nlp, self.component)
        pipe.threshold = self.threshold
        pipe.label_thresholds = self.label_thresholds


class JudgedDoc(NamedTuple):
    """One doc, by what the filter says of its types, and which of them are there (as far as is known)."""

    prediction: TypeScores
    present: Mapping[str, bool]


def calibrate_types(
    nlp: Language,
    gold: Gold,
    component: str = COMPONENT,
    *,
    recall: float = 0.95,
    per_type: bool = False,
    min_gold: int = 5,
    types: Types = None,
) -> TypeCalibration:
    """Choose the highest threshold of a type filter under which a wanted share of the present types passes.

    The component stays as it is (see `TypeCalibration.apply`). `top_k`, which may keep types out that pass, is the
    user's affair.

    nlp (Language): A pipeline. What stands before the component is run too.
    gold (Iterable[Doc | Example]): Docs with entities in the component's span group, or else in `doc.ents`. They are
        not changed.
    component (str): Name of a type filter.
    recall (float): The wanted share of present types, over all docs.
    per_type (bool): Choose a threshold for each type instead of one for all: each then has the wanted recall.
    min_gold (int): With `per_type`, types that are there in fewer docs keep their threshold.
    types (Sequence[str] | Mapping[str, str] | None): All types that are annotated; None for what each doc lists, or
        else for all that the filter chooses from. A component without labels chooses from these.
    RETURNS (TypeCalibration): The thresholds, and what they lead to.
    RAISES (SettingError): For an unknown component, no gold, or a recall that is not allowed.
    """
    if not is_share(recall):
        raise error("O428", value=recall)
    as_whole(min_gold, "min_gold", 0)
    pipe = _type_filter(nlp, component)
    judged = _judge(nlp, pipe, gold, types)
    scores = _of_present(judged)
    before = _count(pipe, judged)
    threshold, label_thresholds = pipe.threshold, pipe.label_thresholds
    kept: tuple[str, ...] = ()
    if per_type:
        enough = {label: present for label, present in scores.items() if len(present) >= max(min_gold, 1)}
        label_thresholds = {**label_thresholds, **{label: _cut(present, recall) for label, present in enough.items()}}
        kept = tuple(label for label in scores if label not in enough)
    else:
        threshold, label_thresholds = _cut([score for present in scores.values() for score in present], recall), {}
    with changed(pipe, threshold=threshold, label_thresholds=label_thresholds):
        after = _count(pipe, judged)
    if after.recall < recall:
        warn("W422", name=component, wanted=recall, reached=after.recall)
    return TypeCalibration(component, threshold, label_thresholds, before, after, kept)


def _type_filter(nlp: Language, name: str) -> TypeFilter:
    components = dict(as_instance(nlp, Language, "nlp", "a pipeline").components)
    pipe = components.get(as_name(name, "component"))
    if not isinstance(pipe, TypeFilter):
        fit = [other for other, component in components.items() if isinstance(component, TypeFilter)]
        raise error("O427", name=name, present=list(components), fit=fit)
    return pipe


def _judge(nlp: Language, pipe: TypeFilter, gold: Gold, types: Types) -> list[JudgedDoc]:
    """Let a filter score the types of annotated docs."""
    judged, survey = [], GoldSurvey(pipe.spans_key)
    annotated = LabelSet(types).names if types else None
    with nlp.select_pipes(enable=pipes_before(nlp, pipe.name)), changed(pipe, labels=pipe.descriptions or types or {}):
        for batch in gold_batches(nlp, gold, BATCH):
            examples = predicted_examples(nlp, batch)
            predictions = pipe.predict([example.predicted for example in examples])
            for example, prediction in zip(examples, predictions, strict=True):
                survey.add(example.reference)
                names = [name for name in prediction.labels.names if annotated is None or name in annotated]
                judged.append(JudgedDoc(prediction, judge_types(example.reference, pipe.spans_key, names)))
    if not judged:
        raise error("O422")
    survey.warn("The calibration")
    if not any(any(doc.present.values()) for doc in judged):
        labels = sorted({name for doc in judged for name in doc.prediction.labels.names})
        raise error("O421", name=pipe.name, asked=labels, gold=[])
    return judged


def _of_present(judged: Iterable[JudgedDoc]) -> dict[str, list[float]]:
    """Return the scores of the types that are there, by type."""
    per_type: dict[str, list[float]] = {}
    for doc in judged:
        for label, score in zip(doc.prediction.labels.names, doc.prediction.scores.tolist(), strict=True):
            if doc.present.get(label):
                per_type.setdefault(label, []).append(score)
    return per_type


def _cut(scores: Sequence[float], recall: float) -> float:
    """Return the highest threshold of four decimals that a share of scores passes."""
    falling = sorted(scores, reverse=True)
    needed = falling[math.ceil(recall * len(falling) - 1e-9) - 1]
    return max((math.ceil(needed * 1e4) - 1) / 1e4, MIN_SCORE)


def _count(pipe: TypeFilter, judged: Iterable[JudgedDoc]) -> TypeCounts:
    right = kept = present = decisions = 0
    for doc in judged:
        chosen = {doc.prediction.labels.names[i] for i in pipe.choose(doc.prediction)}
        for label, there in doc.present.items():
            right += there and label in chosen
            kept += label in chosen
            present += there
            decisions += 1
    return TypeCounts(right, kept, present, decisions)
