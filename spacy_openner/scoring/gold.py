"""Where annotated docs hold their entities: the one rule for training, scoring, calibration and alignment.

A doc's entities are those of its span group under the component's `spans_key`, where it has such a group, even an empty
one; else those of `doc.ents`. With `spans_key` None they are those of `doc.ents` alone.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from spacy.attrs import ENT_IOB
from spacy.language import Language
from spacy.tokens import Doc, Span, Token
from spacy.training import Example
from spacy.util import minibatch

from ..arguments import as_instance, as_iterable
from ..decoding.span_selection import Overlap, choose
from ..errors import error, warn
from ..labels import LabelSet, get_labels, set_labels
from ..span_groups import spans_of
from ..types import DEFAULT_SPANS_KEY, EXPLANATIONS, Candidate

COMPONENTS_OWN = ""
"""The setting `spans_key` of a scorer that stands for the component's."""


def gold_key(doc: Doc, spans_key: str | None = DEFAULT_SPANS_KEY) -> str | None:
    """Return the key of the span group that holds a doc's entities, or None where `doc.ents` does."""
    return spans_key if spans_key is not None and spans_key in doc.spans else None


def gold_spans(doc: Doc, spans_key: str | None) -> list[Span]:
    """Return the entities of a doc, by the rule above."""
    key = gold_key(doc, spans_key)
    return list(doc.ents) if key is None else spans_of(doc, key)


def is_annotated(doc: Doc, spans_key: str | None) -> bool:
    """Tell whether a doc says anything about entities; an empty span group does."""
    return gold_key(doc, spans_key) is not None or bool(doc.has_annotation("ENT_IOB"))


def unannotated_tokens(doc: Doc, spans_key: str | None) -> list[Token]:
    """Return the tokens whose entity annotation is missing. Where a span group is read, none is."""
    return [token for token in doc if token.ent_iob == 0] if gold_key(doc, spans_key) is None else []


def judge_types(reference: Doc, spans_key: str | None, candidates: Iterable[str]) -> dict[str, bool]:
    """Tell which types a reference holds.

    reference (Doc): An annotated doc. Its own list of types says what the annotation covers; without one, it covers all
        candidates, unless annotation is missing somewhere: what is not seen is unknown then.
    spans_key (str | None): See the module.
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
    """Return why entities are what they are, where that is said: `doc.spans[spans_key].attrs["explanations"]`, in step.

    RETURNS (dict): By first token, last token (exclusive) and label.
    """
    if spans_key is None or spans_key not in doc.spans:
        return {}
    texts = doc.spans[spans_key].attrs.get(EXPLANATIONS, ())
    spans = spans_of(doc, spans_key) if texts else []
    if not isinstance(texts, list | tuple) or len(texts) != len(spans):
        return {}
    return {(span.start, span.end, span.label_): str(text) for span, text in zip(spans, texts, strict=True) if text}


class GoldSurvey:
    """Looks for entities in annotated docs, for span groups that were perhaps meant, and for entities of which a
    component can find one alone.

    spans_key (str | None): See the module.
    overlap (Overlap | None): Which spans may stand together; None where that is no matter.
    """

    def __init__(self, spans_key: str | None, overlap: Overlap | None = None) -> None:
        self.spans_key, self.overlap = spans_key, overlap
        self.n_docs = 0
        self.has_entities = False
        self.other_groups: Counter[str] = Counter()
        self.n_excluded, self.excluded = 0, ("", "")
        self._warned: set[str] = set()

    def add(self, doc: Doc) -> None:
        """Look at one doc."""
        self.n_docs += 1
        spans = gold_spans(doc, self.spans_key)
        self.has_entities = self.has_entities or bool(spans)
        if not self.has_entities:
            self.other_groups.update({key: len(group) for key, group in doc.spans.items() if key != self.spans_key})
        if self.overlap is not None and len(spans) > 1:
            candidates = dict.fromkeys(Candidate(span.start, span.end, span.label_, 0.0) for span in spans)
            excluded = candidates.keys() - choose(candidates, self.overlap)
            if excluded and not self.n_excluded:
                first = min(excluded)
                self.excluded = (doc[first.start : first.end].text, first.label)
            self.n_excluded += len(excluded)

    def warn(self, name: str) -> None:
        """Warn, once of each, where no doc has an entity, but some have spans elsewhere; and of those that exclude one
        another.

        name (str): What looks for entities, for the message.
        """
        elsewhere = {key: n for key, n in self.other_groups.items() if n}
        if elsewhere and not self.has_entities:
            where = "doc.ents" if self.spans_key is None else f"doc.spans[{self.spans_key!r}] or doc.ents"
            self._warn_once("W431", name=name, where=where, groups=elsewhere)
        if self.n_excluded:
            text, label = self.excluded
            self._warn_once("W432", name=name, n=self.n_excluded, text=text, label=label, overlap=self.overlap)

    def _warn_once(self, code: str, **values: Any) -> None:
        if code not in self._warned:
            self._warned.add(code)
            warn(code, **values)


# Annotated docs as input


def pipes_before(nlp: Language, name: str) -> list[str]:
    """Return the names of the enabled components that stand before one.

    RAISES (SettingError): Where there is no such component.
    """
    if name not in nlp.component_names:
        raise error("O001", name="before", value=name, allowed=", ".join(nlp.component_names) or "no component")
    before = nlp.component_names[: nlp.component_names.index(name)]
    return [other for other in before if other in nlp.pipe_names]


def unannotated_copy(nlp: Language, gold: Doc | Example, *, own_types: bool = True) -> Doc:
    """Copy a doc without its annotation, tokenised as the pipeline does it (as in spaCy's corpus reader).

    own_types (bool): Whether it asks for the types that the annotated doc names; else for those of the pipeline.
    """
    # A pipeline without components of this package does not know the attribute.
    if isinstance(gold, Example):
        copy = gold.predicted.copy()
    elif gold.has_unknown_spaces:
        copy = Doc(nlp.vocab, words=[token.text for token in gold])
    else:
        copy = nlp.make_doc(gold.text)
    types = get_labels(gold.predicted if isinstance(gold, Example) else gold)
    set_labels(copy, types if own_types else None)
    return copy


def reference_of(gold: Doc | Example) -> Doc:
    """Return the annotated side."""
    return gold.reference if isinstance(gold, Example) else gold


def predicted_examples(nlp: Language, gold: Iterable[Doc | Example], *, own_types: bool = True) -> list[Example]:
    """Run a pipeline over copies of annotated docs, without their annotation.

    own_types (bool): See `unannotated_copy`.
    RETURNS (list[Example]): Predictions and references, without those that a pipeline's error handler takes away.
    """
    pairs = ((unannotated_copy(nlp, item, own_types=own_types), reference_of(item)) for item in gold)
    return [Example(doc, reference) for doc, reference in nlp.pipe(pairs, as_tuples=True)]


def gold_batches(nlp: Language, gold: Iterable[Doc | Example], size: int) -> Iterator[list[Doc | Example]]:
    """Yield annotated docs in batches, for a pipeline.

    RAISES (SettingError): For what is no pipeline, or no annotated docs.
    """
    as_instance(nlp, Language, "nlp", "a pipeline")
    allowed = "annotated Docs or Examples"
    for batch in minibatch(as_iterable(gold, "gold", allowed), size):
        for item in batch:
            if not isinstance(item, Doc | Example):
                raise error("O001", name="gold", value=item, allowed=allowed)
        yield batch
