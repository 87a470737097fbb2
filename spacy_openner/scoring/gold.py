"""Annotated docs, and the same docs without their annotation for a pipeline to look at."""

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from .. import labels as doc_labels

GOLD_KEY = "openner"


def pipes_before(nlp: Language, name: str) -> list[str]:
    """Names of the enabled components that stand before one."""
    before = nlp.component_names[: nlp.component_names.index(name)]
    return [other for other in before if other in nlp.pipe_names]


def blank(nlp: Language, gold: Doc | Example, *, own_types: bool = True) -> Doc:
    """The doc to look at: without annotation, and tokenised as the pipeline does it (as in spaCy's corpus reader).

    own_types (bool): Whether it asks for the types that the annotated doc names; else for those of the pipeline.
    """
    # A pipeline without components of this package does not know the attribute.
    doc_labels.register()
    if isinstance(gold, Example):
        made = gold.predicted.copy()
    elif gold.has_unknown_spaces:
        made = Doc(nlp.vocab, words=[token.text for token in gold])
    else:
        made = nlp.make_doc(gold.text)
    types = (gold.predicted if isinstance(gold, Example) else gold)._.get(doc_labels.ATTRIBUTE)
    doc_labels.write(made, types if own_types else None)
    return made


def reference(gold: Doc | Example) -> Doc:
    """The annotated side."""
    return gold.reference if isinstance(gold, Example) else gold


def gold_key(doc: Doc) -> str | None:
    """Where an annotated doc has its entities: the span group's key, or None for `doc.ents`."""
    return GOLD_KEY if GOLD_KEY in doc.spans else None
