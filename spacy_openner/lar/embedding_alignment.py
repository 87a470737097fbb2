"""Label alignment by what types are called, instead of by what a source model finds."""

import numpy as np
from spacy.glossary import GLOSSARY

from ..config_format import check_config_text
from ..data.naming import natural_label
from ..errors import error
from ..labels import LabelSet
from ..models.gliner.label_encoder import load
from .alignment import Votes, check_type_name
from .table import MISCELLANEOUS, AlignedType, AlignmentTable

# Codes of entity types that spaCy explains. Other codes of its glossary are parts of speech: "ART" is an article there.
CODES = frozenset(
    [
        "PERSON",
        "NORP",
        "FACILITY",
        "FAC",
        "ORG",
        "GPE",
        "LOC",
        "PRODUCT",
        "EVENT",
        "WORK_OF_ART",
        "LAW",
        "LANGUAGE",
        "DATE",
        "TIME",
        "PERCENT",
        "MONEY",
        "QUANTITY",
        "ORDINAL",
        "CARDINAL",
        "PER",
        "MISC",
        "EVT",
        "PROD",
        "DRV",
        "GPE_LOC",
        "GPE_ORG",
    ]
)
MODES: tuple[str, ...] = ("nearest", "one-to-one")


class EmbeddingAlignment:
    """Alignment by what types are called; see `EmbeddingAlignment_v1` for the settings."""

    needs_predictions = False

    def __init__(
        self, encoder: str, revision: str | None, mode: str, miscellaneous: str, min_similarity: float | None
    ) -> None:
        self.encoder, self.revision, self.mode = encoder, revision, mode
        self.miscellaneous, self.min_similarity = miscellaneous, min_similarity

    def __call__(self, votes: Votes, sources: LabelSet, targets: LabelSet) -> AlignmentTable:
        """Align each target type with a source type of a like name or description.

        RAISES (SettingError): When no source types are known, or the extra "align" is missing where it is needed.
        """
        if not len(sources):
            raise error("O509", side="source", hint="Name them: `sources`, --source-types.")
        similar = self._similarities(sources, targets)
        chosen = self._one_to_one(similar) if self.mode == "one-to-one" else dict(enumerate(similar.argmax(1).tolist()))
        least = -np.inf if self.min_similarity is None else self.min_similarity
        rows = {}
        for i, target in enumerate(targets.names):
            counts = dict(votes.get(target, {}))
            if i in chosen and similar[i, chosen[i]] >= least:
                value = float(similar[i, chosen[i]])
                rows[target] = AlignedType((sources.names[chosen[i]],), value, counts)
            else:
                rows[target] = AlignedType((self.miscellaneous,), None, counts)
        return AlignmentTable(rows, sources.names, self.miscellaneous, "spacy-openner.EmbeddingAlignment.v1")

    def _similarities(self, sources: LabelSet, targets: LabelSet) -> np.ndarray:
        """Return cosines. *Shape:* (targets, sources), float64."""
        encode = load(self.encoder, self.revision)
        both = [encode(_texts(labels)).double().cpu().numpy() for labels in (targets, sources)]
        left, right = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in both)
        similarities: np.ndarray = left @ right.T
        return similarities

    def _one_to_one(self, similar: np.ndarray) -> dict[int, int]:
        """Find the pairs of the greatest similarity in sum; with more targets than sources some targets have none."""
        try:
            from scipy.optimize import linear_sum_assignment
        except ImportError as problem:
            raise error("O301", what='`mode = "one-to-one"`', package="scipy", extra="align") from problem
        rows, columns = linear_sum_assignment(similar, maximize=True)
        return dict(zip(rows.tolist(), columns.tolist(), strict=True))


def EmbeddingAlignment_v1(
    encoder: str = "",
    revision: str | None = None,
    mode: str = "nearest",
    miscellaneous: str = MISCELLANEOUS,
    min_similarity: float | None = None,
) -> EmbeddingAlignment:
    """Alignment by embedded names or descriptions, registered as "spacy-openner.EmbeddingAlignment.v1".

    It needs no annotated texts. The confidence is the cosine of the two types' vectors.

    encoder (str): Directory or hub name of a Hugging Face encoder; "" for that of the package's SpanMatcher.
    revision (str | None): Commit or tag of a hub name.
    mode (str): "nearest": many target types may have one source type; "one-to-one": each source type has one at most,
        so that the similarities are greatest in sum (extra `align`), and the other target types are miscellaneous.
    miscellaneous (str): The source type of target types without one.
    min_similarity (float | None): Target types whose cosine is less are miscellaneous.
    RETURNS (EmbeddingAlignment): To be called with types.
    RAISES (SettingError): For a value that is not allowed.
    """
    if mode not in MODES:
        raise error("O001", name="mode", value=mode, allowed=", ".join(MODES))
    check_type_name("miscellaneous", miscellaneous)
    check_config_text("encoder", encoder)
    least = min_similarity
    if least is not None and (isinstance(least, bool) or not isinstance(least, int | float) or not -1 <= least <= 1):
        raise error("O001", name="min_similarity", value=least, allowed="a number from -1 to 1, or null")
    return EmbeddingAlignment(encoder, revision, mode, miscellaneous, min_similarity)


def _texts(labels: LabelSet) -> list[str]:
    """Return descriptions; where none was given, what spaCy says of a code such as "GPE", or the name as words."""
    return [_as_words(name) if text == name else text for name, text in labels.items()]


def _as_words(name: str) -> str:
    words = natural_label(name)
    return f"{words}: {GLOSSARY[name]}" if name in CODES and name in GLOSSARY else words
