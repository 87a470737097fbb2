"""From an annotated text to what it teaches in one update."""

import random
from collections.abc import Mapping

from spacy.tokens import Doc

from ..models.queries import TrainingText
from ..training.sampling import Sampler, finest_only_ratio
from ..training.targets import Gold


def make_lesson(gold: Gold, universe: Mapping[str, str], sample: Sampler, doc: Doc) -> TrainingText:
    """Draw the types that a text is asked for, and keep the annotation of these.

    gold (Gold): The annotation, in words.
    universe (Mapping[str, str]): The types that were looked for when the text was annotated, with descriptions.
    sample (Sampler): Draws types; as often as its `finest_only_ratio` says, a span has only the first of its types
        that are drawn.
    doc (Doc): The text itself.
    RETURNS (TrainingText): Without types where the universe is empty; it teaches nothing then.
    """
    texts = sample(gold.types, universe) if universe else {}
    place = {label: i for i, label in enumerate(texts)}
    spans = [(first, last, place[label]) for first, last, label in gold.spans if label in place]
    if random.random() < finest_only_ratio(sample):
        first_types: dict[tuple[int, int], int] = {}
        for first, last, label in spans:
            first_types.setdefault((first, last), label)
        spans = [(first, last, label) for (first, last), label in first_types.items()]
    explained = {(a, b, place[label]): why for (a, b, label), why in gold.explanations.items() if label in place}
    return TrainingText(gold.words, list(texts.values()), spans, gold.unknown, doc, list(texts), None, explained)
