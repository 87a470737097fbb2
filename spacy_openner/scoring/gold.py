"""Annotated docs, and the same docs without their annotation for a pipeline to look at."""

from collections.abc import Iterable

import numpy as np
from spacy.attrs import ENT_IOB
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..labels import LabelSet, get_labels, set_labels
from ..types import DEFAULT_SPANS_KEY, EXPLANATIONS


def pipes_before(nlp: Language, name: str) -> list[str]:
    """Names of the enabled components that stand before one."""
    before = nlp.component_names[: nlp.component_names.index(name)]
    return [other for other in before if other in nlp.pipe_names]


def blank(nlp: Language, gold: Doc | Example, *, own_types: bool = True) -> Doc:
    """The doc to look at: without annotation, and tokenised as the pipeline does it (as in spaCy's corpus reader).

    own_types (bool): Whether it asks for the types that the annotated doc names; else for those of the pipeline.
    """
    # A pipeline without components of this package does not know the attribute.
    if isinstance(gold, Example):
        made = gold.predicted.copy()
    elif gold.has_unknown_spaces:
        made = Doc(nlp.vocab, words=[token.text for token in gold])
    else:
        made = nlp.make_doc(gold.text)
    types = get_labels(gold.predicted if isinstance(gold, Example) else gold)
    set_labels(made, types if own_types else None)
    return made


def reference(gold: Doc | Example) -> Doc:
    """The annotated side."""
    return gold.reference if isinstance(gold, Example) else gold


def gold_key(doc: Doc) -> str | None:
    """Where an annotated doc has its entities: the span group's key, or None for `doc.ents`."""
    return DEFAULT_SPANS_KEY if DEFAULT_SPANS_KEY in doc.spans else None


def gold_spans(doc: Doc, spans_key: str | None) -> list[Span]:
    """The annotated entities of a reference: those of `doc.spans[spans_key]` where it has that key, else
    `doc.ents`."""
    if spans_key is not None and spans_key in doc.spans:
        return list(doc.spans[spans_key])
    return list(doc.ents)


def judge_types(reference: Doc, spans_key: str | None, candidates: Iterable[str]) -> dict[str, bool]:
    """Tell which types a reference holds.

    reference (Doc): An annotated doc. Its own list of types says what the annotation covers; without one, it covers all
        candidates, unless annotation is missing somewhere: what is not seen is unknown then.
    spans_key (str | None): See `gold_spans`.
    candidates (Iterable[str]): The types in question.
    RETURNS (dict[str, bool]): Those of them about which the annotation says something, in order.
    """
    present = {span.label_ for span in gold_spans(reference, spans_key)}
    listed = set(get_labels(reference, LabelSet()).names)
    complete = spans_key in reference.spans or bool(np.all(reference.to_array(ENT_IOB)))
    return {
        label: label in present
        for label in candidates
        if label in present or (complete and (not listed or label in listed))
    }


def explanations_of(doc: Doc, spans_key: str | None) -> dict[tuple[int, int, str], str]:
    """Why entities are what they are, where that is said: `doc.spans[spans_key].attrs["explanations"]`, in step.

    RETURNS (dict): By first token, last token (exclusive) and label.
    """
    group = doc.spans[spans_key] if spans_key is not None and spans_key in doc.spans else ()
    texts = group.attrs.get(EXPLANATIONS, ()) if group else ()
    if len(texts) != len(group):
        return {}
    return {(span.start, span.end, span.label_): str(text) for span, text in zip(group, texts, strict=True) if text}
