"""From gold annotation to what a model can be taught: spans of its words, and where nothing is known."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np
from spacy.attrs import ENT_IOB
from spacy.tokens import Span
from spacy.training import Example

from ..labels import LabelSet, get_labels
from ..models.words import WordMode, Words, doc_words
from ..scoring.gold import explanations_of, gold_spans


@dataclass(frozen=True)
class Gold:
    """The annotation of one text, in its words.

    words: The words of the predicted doc.
    spans: First word, last word (exclusive), type. Nested and overlapping ones are welcome.
    unknown: Runs of words (end exclusive) about which the annotation says nothing that the words can express:
        no score of a span that touches them may be taught.
    misaligned: How many gold spans are among the unknown because their boundaries are none of the words'.
    crossing: How many are among the unknown because they cross boundaries of the text.
    explanations: Of spans that have one, why they are what they are.
    """

    words: Words
    spans: list[tuple[int, int, str]]
    unknown: list[tuple[int, int]] = field(default_factory=list)
    misaligned: int = 0
    crossing: int = 0
    explanations: dict[tuple[int, int, str], str] = field(default_factory=dict)

    @property
    def types(self) -> list[str]:
        """The types that occur, in order of first occurrence."""
        return list(dict.fromkeys(label for _, _, label in self.spans))


def types_of(examples: Iterable[Example], spans_key: str | None) -> dict[str, str]:
    """The types that examples know: those listed by their references, and those annotated.

    RETURNS (dict[str, str]): Type -> description, sorted by type.
    """
    types: dict[str, str] = {}
    for example in examples:
        types.update(get_labels(example.reference, LabelSet()))
        for span in gold_spans(example.reference, spans_key):
            types.setdefault(span.label_, span.label_)
    return {label: types[label] for label in sorted(types) if label.strip()}


def align(example: Example, spans_key: str | None, mode: WordMode, boundaries: Collection[str] = ()) -> Gold:
    """Lay gold spans over the words that a model sees.

    A span whose boundaries lie inside a predicted token cannot be expressed, and neither can one of white space
    alone: their words become unknown, since guessing either way would teach an error. So do those of a span that
    crosses a boundary, where nothing is found, and tokens whose entity annotation is missing.

    example (Example): The predicted side has the words, the reference the annotation.
    spans_key (str | None): See `gold_spans`.
    mode, boundaries (str, Collection[str]): See `doc_words`.
    RETURNS (Gold): Spans that occur twice count once.
    """
    doc, reference = example.predicted, example.reference
    words = doc_words(doc, mode, boundaries)
    same = len(doc) == len(reference) and all(a.orth == b.orth for a, b in zip(doc, reference, strict=True))
    misaligned = crossing = 0
    spans: dict[tuple[int, int, str], str] = {}
    explained = explanations_of(reference, spans_key)
    unknown = _missing(example, words, spans_key, same)
    for span in gold_spans(reference, spans_key):
        aligned = doc[span.start : span.end] if same else _aligned(example, span)
        first, last = words.of_span(aligned) if aligned is not None else (0, 0)
        if first < last and not words.is_within(first, last):
            crossing += 1
            unknown.append((first, last))
        elif first < last and _starts_and_ends(words, first, last, aligned):
            spans[first, last, span.label_] = explained.get((span.start, span.end, span.label_), "")
        else:
            misaligned += 1
            unknown += _touched(example, span, words, same)
    return Gold(words, list(spans), unknown, misaligned, crossing, {span: text for span, text in spans.items() if text})


def _aligned(example: Example, span: Span) -> Span | None:
    aligned: list[Span] = example.get_aligned_spans_y2x([span], allow_overlap=True)
    return aligned[0] if aligned else None


def _starts_and_ends(words: Words, first: int, last: int, span: Span | None) -> bool:
    """Tell whether words begin and end where a span does, white space aside."""
    assert span is not None
    inside = [token.i for token in span if not token.is_space]
    return bool(inside) and int(words.starts[first]) == inside[0] and int(words.ends[last - 1]) == inside[-1] + 1


def _touched(example: Example, span: Span, words: Words, same: bool) -> list[tuple[int, int]]:
    """The run of words that a gold span touches, however badly."""
    tokens = range(span.start, span.end) if same else np.unique(example.alignment.y2x[span.start : span.end])
    if not len(tokens):
        return []
    run = words.of_span(example.predicted[int(tokens[0]) : int(tokens[-1]) + 1])
    return [run] if run[0] < run[1] else []


def _missing(example: Example, words: Words, spans_key: str | None, same: bool) -> list[tuple[int, int]]:
    """Words without entity annotation, where that is what is learnt from."""
    reference = example.reference
    if spans_key is not None and spans_key in reference.spans:
        return []
    tokens = np.flatnonzero(reference.to_array(ENT_IOB) == 0) if len(reference) else np.zeros(0, dtype=int)
    if not same:
        tokens = np.unique(np.concatenate([example.alignment.y2x[int(i)] for i in tokens])) if len(tokens) else tokens
    touched = np.isin(words.starts, tokens)
    return [(int(i), int(i) + 1) for i in np.flatnonzero(touched)]
