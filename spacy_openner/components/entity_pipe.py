"""Base of all components that find entities: their settings, and how they annotate."""

from collections.abc import Sequence
from typing import TypeVar

from spacy.tokens import Doc

from ..decoding.span_selection import Overlap
from ..settings import EntitySettings
from ..types import Candidate
from .annotate import annotate
from .base import OpenLabelPipe, Setting

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

    def predict(self, docs: Sequence[Doc]) -> list[list[Candidate]]:
        """Find candidates; must not change the docs.

        RETURNS (list[list[Candidate]]): For each doc what passed the thresholds and may stand together.
        """
        raise NotImplementedError

    def set_annotations(self, docs: Sequence[Doc], predictions: Sequence[Sequence[Candidate]]) -> None:
        """Write candidates to docs."""
        for doc, candidates in zip(docs, predictions, strict=True):
            annotate(
                doc,
                candidates,
                name=self.name,
                spans_key=self.spans_key,
                annotate_ents=self.annotate_ents,
                overwrite_ents=self.overwrite_ents,
            )
