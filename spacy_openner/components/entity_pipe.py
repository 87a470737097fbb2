"""What all components that find entities share: their settings, and how they annotate."""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..decoding.span_selection import OVERLAPS, Overlap
from ..errors import error
from ..types import Candidate
from .annotate import annotate
from .base import OpenLabelPipe

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


class OpenNERPipe(OpenLabelPipe):
    """Base of the components that find entities of types named at run time. A subclass says how: `predict`.

    vocab (Vocab): The pipeline's vocabulary.
    name (str): The component's name.
    overlap (str): "flat", "nested" or "all"; see `decoding.spans.choose`.
    use_descriptions (bool): Put descriptions into prompts instead of names.
    annotate_ents (bool): Write the best flat set to `doc.ents`.
    overwrite_ents (bool): Replace entities that are touched; they are kept otherwise.
    **settings (Any): See `OpenLabelPipe`. Scores are probabilities of spans; `doc.spans[spans_key]` gets all
        candidates, with `attrs["scores"]` in step.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (
        "threshold",
        "label_thresholds",
        "overlap",
        "use_descriptions",
        "spans_key",
        "annotate_ents",
        "overwrite_ents",
        "batch_tokens",
    )

    def __init__(
        self,
        vocab: Vocab,
        name: str,
        *,
        overlap: str = "flat",
        use_descriptions: bool = False,
        annotate_ents: bool = True,
        overwrite_ents: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(vocab, name, **settings)
        self.annotate_ents = annotate_ents
        self.overwrite_ents = overwrite_ents
        self.use_descriptions = use_descriptions
        self.overlap = overlap
        self._given = self._settings()

    @property
    def overlap(self) -> Overlap:
        """Which spans may stand together: "flat", "nested" or "all"."""
        return self._overlap

    @overlap.setter
    def overlap(self, value: str) -> None:
        if value not in OVERLAPS:
            raise error("O001", name="overlap", value=value, allowed=", ".join(OVERLAPS))
        self._overlap = cast(Overlap, value)

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
