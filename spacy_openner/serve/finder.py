"""Run a pipeline with settings of single requests."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

from spacy.language import Language
from spacy.util import raise_error

from ..components.base import OpenLabelPipe
from ..components.entity_pipe import OpenNERPipe
from ..components.reading import read_entities
from ..errors import error
from ..labels import LabelSet, set_labels
from ..models.queries import at_most_spans
from ..types import FLAT_OVERLAPS
from .settings import ServeSettings


@dataclass(frozen=True)
class RequestSettings:
    """How a request's texts are to be annotated. Requests with equal ones can share a batch.

    labels: Types; None for the pipeline's own.
    threshold: See `OpenNERPipe`, as the next ones; None for the pipeline's own.
    label_thresholds: Pairs of a type and its threshold.
    overlap: See `EntitySettings`.
    boundaries: The same, for all components that find entities.
    """

    labels: LabelSet | None = None
    threshold: float | None = None
    label_thresholds: tuple[tuple[str, float], ...] | None = None
    overlap: str | None = None
    boundaries: tuple[str, ...] | None = None


class EntityFinder:
    """Finds entities with a pipeline. For one thread: settings of the component are those of the request at hand.

    nlp (Language): A pipeline with a component that finds entities of types named at run time.
    max_spans (int): See `ServeSettings`.
    RAISES (SettingError): For a pipeline without one.
    """

    def __init__(self, nlp: Language, max_spans: int = ServeSettings.max_spans) -> None:
        self.nlp, self.max_spans = nlp, max_spans
        # Who asks is told of a failure. A handler that the pipeline came with would take texts out of the answers.
        nlp.set_error_handler(raise_error)
        finders = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, OpenNERPipe)]
        if not finders:
            raise error("O652", pipes=", ".join(nlp.pipe_names) or "no components")
        self.component, self._finders = finders[-1], finders

    def __call__(self, texts: Sequence[str], settings: RequestSettings) -> list[list[dict[str, Any]]]:
        """Find the entities of texts.

        RETURNS (list[list[dict[str, Any]]]): Of each text; see `read_entities`.
        RAISES (SettingError): For settings that the component refuses, and O653, for thresholds of other types.
        RAISES (TextError): O206, for more spans over the threshold than may be.
        """
        self._check_thresholds(settings)
        # Labels of requests must not pile up in the vocabulary.
        with self.nlp.memory_zone(), self._set(settings), at_most_spans(self.max_spans):
            docs = []
            for text in texts:
                doc = self.nlp.make_doc(text)
                if settings.labels is not None:
                    set_labels(doc, settings.labels)
                docs.append(doc)
            all_spans = self.component.overlap not in FLAT_OVERLAPS
            key = self.component.spans_key
            return [read_entities(doc, key, all_spans=all_spans) for doc in self.nlp.pipe(docs)]

    def _check_thresholds(self, settings: RequestSettings) -> None:
        """Refuse thresholds of types that are not asked for: who misspells one would not learn that it has no effect.

        Where neither request nor pipeline names types, components of others may name them text by text.
        """
        named = [pipe.labels for _, pipe in self.nlp.pipeline if isinstance(pipe, OpenLabelPipe)]
        known = list(dict.fromkeys(chain(*named)) if settings.labels is None else settings.labels)
        unknown = [name for name, _ in settings.label_thresholds or () if name not in known]
        if known and unknown:
            raise error("O653", labels=unknown, known=known)

    @contextmanager
    def _set(self, settings: RequestSettings) -> Iterator[None]:
        with ExitStack() as stack:
            for pipe in self._finders:
                changes = _changes(settings) if pipe is self.component else {}
                if settings.boundaries is not None:
                    changes["boundaries"] = settings.boundaries
                stack.enter_context(pipe.with_settings(**changes))
            yield


def _changes(settings: RequestSettings) -> dict[str, Any]:
    """Return the settings that a request changes of the component which finds the entities."""
    changes: dict[str, Any] = {}
    if settings.threshold is not None:
        # A request that says a threshold means it for all types.
        changes |= {"threshold": settings.threshold, "label_thresholds": {}}
    if settings.label_thresholds is not None:
        changes["label_thresholds"] = dict(settings.label_thresholds)
    if settings.overlap is not None:
        changes["overlap"] = settings.overlap
    return changes
