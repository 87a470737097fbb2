"""A pipeline around a tiny generator, and four annotated texts that it can learn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_openner.decoding.tag_trie import AnswerWord

LABELS = ["person", "award", "city, town (populated place)"]
PROMPT = {
    "@misc": "spacy-openner.GNERPrompt.v1",
    "instruction": "Use the specific entity tags: {labels} and O. Sentence: {sentence}",
}
TRAIN = [
    ("Ann Bell lives in Oslo", [(0, 2, "person"), (4, 5, "city")]),
    ("She met Carl in Rome", [(2, 3, "person"), (4, 5, "city")]),
    ("Oslo and Rome are far", [(0, 1, "city"), (2, 3, "city")]),
    ("Nobody came", []),
]


def pipeline(path: Path | str, *, before: Sequence[str] = (), **settings: Any) -> Language:
    """A blank pipeline with a gner_generator, behind other components."""
    nlp = spacy.blank("en")
    for name in before:
        nlp.add_pipe(name)
    # A machine with bfloat16 would take that by itself, whose rounding depends on what else is in the batch.
    config = {"model": {"name": str(path), "precision": "float32"}, "labels": LABELS, "prompt": PROMPT, **settings}
    nlp.add_pipe("gner_generator", config=config)
    return nlp


def examples(nlp: Language) -> list[Example]:
    """The annotated texts, with the types that they are asked for."""
    made = []
    for text, spans in TRAIN:
        reference = Doc(nlp.vocab, text.split())
        reference.ents = [Span(reference, start, end, label=label) for start, end, label in spans]
        reference._.openner_labels = ["person", "city"]
        made.append(Example(Doc(nlp.vocab, text.split()), reference))
    return made


def answer_subwords(words: Sequence[AnswerWord], tags: Sequence[int]) -> list[int]:
    """The subwords of the answer that gives some tags to its words."""
    return [s for word, tag in zip(words, tags, strict=True) for s in (*word.forced, *word.trie.sequences[tag])]
