"""Warnings about training that cannot work, before it has taken its time."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rapidfuzz import fuzz, process
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Optimizer

from ..decoding.span_selection import Overlap
from ..errors import error, warn
from ..labels import LabelSet, get_labels
from ..scoring.gold import GoldSurvey, gold_spans, is_annotated
from .optimizer import LayerwiseAdam

# Of 100; names that are as alike as this are perhaps meant to be the same.
ALIKE = 85
# Of long lists, so many are shown.
SHOWN = 20
# Pretrained weights are lost at plain rates over this within some twenty updates.
HIGHEST_PLAIN_RATE = 3e-4


class TrainingChecks:
    """Looks at what one component is trained on, and warns once of each thing that cannot be meant.

    name (str): The component's name, for the messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._seen: set[str] = set()
        self._warned: set[str] = set()
        self._has_annotation = False

    def examine(self, examples: Iterable[Example], spans_key: str | None, labels: LabelSet) -> None:
        """Look at the examples of an update.

        spans_key (str | None): Where gold entities are; see `scoring.gold`.
        labels (LabelSet): The component's, for texts without a list of their own.
        """
        references = [example.reference for example in examples]
        self._has_annotation = self._has_annotation or any(is_annotated(doc, spans_key) for doc in references)
        unknown: dict[str, Mapping[str, str]] = {}
        for reference in references:
            listed = get_labels(reference, labels)
            if listed:
                annotated = {span.label_ for span in gold_spans(reference, spans_key)}
                unknown |= dict.fromkeys(annotated - set(listed) - self._seen, listed)
        if not self._has_annotation:
            self._warn_once("W013", name=self.name)
        if spans_key is not None:
            self._examine_groups(references, spans_key)
        self._report_unknown(unknown)

    def _examine_groups(self, references: Sequence[Doc], key: str) -> None:
        """Look for entities that stand elsewhere than others of the same update."""
        grouped = [doc for doc in references if key in doc.spans]
        others = [doc for doc in references if key not in doc.spans]
        n_in_ents = sum(bool(doc.ents) for doc in others)
        if grouped and n_in_ents:
            self._warn_once("W016", name=self.name, key=key, n=n_in_ents)
        if missing := [ent for doc in grouped for ent in _not_in(doc.ents, doc.spans[key])]:
            self._warn_once(
                "W023", name=self.name, key=key, n=len(missing), text=missing[0].text, label=missing[0].label_
            )
        group_sizes = [
            {name: len(group) for name, group in doc.spans.items() if len(group)} for doc in others if not doc.ents
        ]
        elsewhere = [groups for groups in group_sizes if groups]
        if elsewhere and self._has_annotation:
            groups = dict(sum(map(Counter, elsewhere), Counter[str]()))
            self._warn_once("W024", name=self.name, key=key, n=len(elsewhere), groups=groups)

    def examine_optimizer(self, optimizer: Any, is_pretrained: bool) -> None:
        """Look at the optimizer that is about to change a model.

        is_pretrained (bool): The model has weights that were loaded.
        """
        if not is_pretrained or isinstance(optimizer, LayerwiseAdam) or not isinstance(optimizer, Optimizer):
            return
        rate = float(optimizer.learn_rate)
        if rate > HIGHEST_PLAIN_RATE:
            self._warn_once("W017", name=self.name, rate=rate, highest=HIGHEST_PLAIN_RATE)

    def _report_unknown(self, unknown: Mapping[str, Mapping[str, str]]) -> None:
        self._seen.update(unknown)
        near = {label: match for label, listed in unknown.items() if (match := nearest(label, listed)) is not None}
        far = sorted(set(unknown) - set(near))
        if near:
            pairs = ", ".join(f"{label!r} ({match!r}?)" for label, match in sorted(near.items()))
            warn("W014", name=self.name, labels=pairs)
        if far:
            known = sorted({name for label in far for name in unknown[label]})
            warn("W015", name=self.name, labels=far, known=known[:SHOWN])

    def _warn_once(self, code: str, **values: Any) -> None:
        if code not in self._warned:
            self._warned.add(code)
            warn(code, **values)


def examine_evaluation(
    name: str,
    examples: Sequence[Example],
    types_per_example: Iterable[Collection[str]],
    spans_key: str | None,
    overlap: Overlap | None,
) -> None:
    """Look at what a component is scored by, and warn of what cannot be meant.

    name (str): The component's name, for the messages.
    types_per_example (Iterable[Collection[str]]): For each example the types that there were to choose from.
    spans_key (str | None): Where gold entities are; see `scoring.gold`.
    overlap (Overlap | None): Which entities can be found together.
    """
    survey, unknown, known = GoldSurvey(spans_key, overlap), set[str](), set[str]()
    for example, types in zip(examples, types_per_example, strict=True):
        survey.add(example.reference)
        gold = {span.label_ for span in gold_spans(example.reference, spans_key)}
        if types:
            known.update(types)
            # What an earlier component found may have other types.
            unknown |= gold.difference(types, (span.label_ for span in gold_spans(example.predicted, spans_key)))
    if not survey.has_entities:
        where = "doc.ents" if spans_key is None else f"doc.spans[{spans_key!r}] or doc.ents"
        warn("W433", name=name, n=survey.n_docs, where=where)
    elif survey.n_excluded:
        survey.warn(repr(name))
    if unknown:
        warn("W434", name=name, labels=sorted(unknown), known=sorted(known)[:SHOWN])


def _not_in(entities: Iterable[Span], group: Iterable[Span]) -> list[Span]:
    """Return the entities whose place no span of a group has, whatever their labels."""
    bounds = {(span.start, span.end) for span in group}
    return [ent for ent in entities if (ent.start, ent.end) not in bounds]


def nearest(label: str, names: Iterable[str]) -> str | None:
    """Return the name that a label was perhaps meant to be: it differs in case, or in a few letters."""
    match = process.extractOne(label, list(names), scorer=fuzz.ratio, processor=_plain, score_cutoff=ALIKE)
    return None if match is None else str(match[0])


def check_loss(name: str, loss: float) -> None:
    """Stop training that has gone wrong for good.

    RAISES (SettingError): For a loss that is no finite number.
    """
    if not math.isfinite(loss):
        raise error("O019", name=name, loss=loss)


def _plain(label: str) -> str:
    return " ".join(label.replace("_", " ").replace("-", " ").casefold().split())
