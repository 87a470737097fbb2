"""Base of all components that find entities: their settings, and how they annotate."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from spacy.tokens import Doc

from ..decoding.span_selection import Overlap, choose
from ..doc_arguments import as_pairs
from ..settings import EntitySettings
from ..types import Candidate
from .annotate import annotate
from .base import OpenLabelPipe, Setting
from .validation import SpanValidator

EntitySettingsT = TypeVar("EntitySettingsT", bound=EntitySettings)

# What the scorer finds, and how much of it counts when spaCy picks the best of several models.
SCORE_WEIGHTS: dict[str, float | None] = {
    "openner_f": 1.0,
    "openner_p": 0.0,
    "openner_r": 0.0,
    "openner_macro_f": None,
    "openner_per_type": None,
    "openner_errors": None,
    "openner_unaligned": None,
    "openner_skipped": None,
}


class OpenNERPipe(OpenLabelPipe[EntitySettingsT]):
    """Base of the components that find entities of types named at run time. A subclass predicts: `predict`.

    `doc.spans[spans_key]` gets all candidates, with `attrs["scores"]`, their probabilities, in step; see
    `OpenLabelPipe` for the arguments.
    """

    overlap: Setting[Overlap] = Setting()
    annotate_ents: Setting[bool] = Setting()
    overwrite_ents: Setting[bool] = Setting()
    boundaries: Setting[tuple[str, ...]] = Setting()
    validators: Setting[Mapping[str, Mapping[str, Any]]] = Setting()

    def _check_settings(self, settings: EntitySettingsT) -> None:
        super()._check_settings(settings)
        SpanValidator(settings.validators)

    def _adopt(self, settings: EntitySettingsT, changed: Sequence[str]) -> None:
        super()._adopt(settings, changed)
        if "validators" in changed:
            self._validator = SpanValidator(settings.validators)
            self._warn_of_unknown_labels("validators", settings.validators)

    @contextmanager
    def with_settings(self, **changes: Any) -> Iterator[None]:
        """Let other settings hold for a block, as for one request. They go into no config, and are not warned of.

        changes (Any): Settings that nothing is made from: thresholds, overlap, boundaries.
        RAISES (SettingError): For values that are not allowed, or do not go together.
        """
        before = self._settings
        other = before.replace(**changes)
        self._check_settings(other)
        self._settings = other
        try:
            yield
        finally:
            self._settings = before

    def _choose(self, doc: Doc, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Keep what the validators accept, and of that what may stand together."""
        return choose(self._validator.select(doc, candidates), self.overlap)

    def predict(self, docs: Sequence[Doc]) -> list[list[Candidate]]:
        """Find candidates; must not change the docs.

        RETURNS (list[list[Candidate]]): For each doc what passed the thresholds and may stand together.
        """
        raise NotImplementedError

    def set_annotations(self, docs: Sequence[Doc], predictions: Sequence[Sequence[Candidate]]) -> None:
        """Write candidates to docs."""
        later = self._later_components()
        for doc, candidates in as_pairs(docs, predictions, list | tuple, "lists of Candidates, one for each doc"):
            annotate(
                doc,
                candidates,
                name=self.name,
                spans_key=self.spans_key,
                annotate_ents=self.annotate_ents,
                overwrite_ents=self.overwrite_ents,
                later=later,
            )
