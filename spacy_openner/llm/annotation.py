"""A large language model annotates texts, so that training and alignment need no gold (LAR, section 3.3), or explains
the annotation of texts (ToNER, section 3.5)."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import minibatch

from ..decoding.mention_search import locate_mentions
from ..labels import LabelSet, LabelsLike, set_labels
from ..prompts.base import normalize_name
from ..prompts.context import surrounding_text
from ..prompts.llm_annotation import (
    EntityContext,
    ListedEntity,
    annotation_schema,
    explanation_schema,
    parse_entities,
    parse_explanations,
    render_annotation,
    render_explanation,
)
from ..scoring.gold import explanations_of, gold_spans
from ..types import DEFAULT_SPANS_KEY, EXPLANATIONS
from .client import LLMClient
from .responses import STOPPING
from .types import Failure, LLMRequest, LLMResponse

T = TypeVar("T")

AT_ONCE = 512
ENTITIES_PER_REQUEST = 16
MALFORMED = "malformed"


@dataclass
class AnnotationReport:
    """The results of annotating or explaining docs.

    texts (int): Those that something was asked about.
    done (int): Those with an answer to all that was asked.
    entities (int): What was annotated, or explained.
    dropped (Counter[str]): Entities of answers that could not be used, by reason.
    failures (Counter[str]): Questions without an answer, by kind; see `llm.types.Failure`.
    """

    texts: int = 0
    done: int = 0
    entities: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**asdict(self), "dropped": dict(+self.dropped), "failures": dict(self.failures)}


def sample(docs: Sequence[Doc], share: float, seed: int) -> list[Doc]:
    """Choose a share of docs at random, in their order: the same each time."""
    chosen = random.Random(seed).sample(range(len(docs)), round(share * len(docs)))
    return [docs[i] for i in sorted(chosen)]


def annotate_docs(
    nlp: Language,
    docs: Iterable[Doc],
    labels: LabelsLike,
    client: LLMClient,
    *,
    spans_key: str = DEFAULT_SPANS_KEY,
    report: AnnotationReport | None = None,
) -> Iterator[Doc]:
    """Let a language model find the entities of docs.

    Its entities are found in the text by their letters, one after the other; what the text has not is dropped, and
    counted.

    nlp (Language): Its tokenizer divides what the model says.
    docs (Iterable[Doc]): Tokenised. Their entities and span group are replaced.
    labels (LabelsLike): The types to look for, with descriptions where there are any.
    client (LLMClient): Asks the model; its cache lets an interrupted run go on.
    spans_key (str): The span group to write.
    report (AnnotationReport | None): Is counted up.
    YIELDS (Doc): Each doc that was answered for; what is not known of the others is not taken for "no entities".
    """
    report, types = report or AnnotationReport(), LabelSet(labels)
    described = dict(types)
    names = {normalize_name(name): name for name in types.names}
    schema = annotation_schema(types.names)

    def question(doc: Doc) -> LLMRequest:
        return LLMRequest(render_annotation(doc.text, described), schema)

    for doc, answer in _asked(client, docs, question):
        report.texts += 1
        said = parse_entities(answer.value) if isinstance(answer, LLMResponse) else None
        if said is None:
            report.failures[answer.kind if isinstance(answer, Failure) else MALFORMED] += 1
            continue
        known = [
            each._replace(label=names[normalize_name(each.label)])
            for each in said
            if normalize_name(each.label) in names
        ]
        report.dropped["of another type"] += len(said) - len(known)
        spans = _located(nlp, doc, known)
        report.dropped["not in the text"] += len(known) - len(spans)
        set_labels(doc, None)
        doc.spans[spans_key] = spans
        doc.ents = spans
        report.done += 1
        report.entities += len(spans)
        yield doc


def explain_docs(
    docs: Iterable[Doc],
    client: LLMClient,
    *,
    spans_key: str = DEFAULT_SPANS_KEY,
    report: AnnotationReport | None = None,
) -> Iterator[Doc]:
    """Let a language model explain the entities of docs; explanations that are there already are kept.

    They are written to `doc.spans[spans_key].attrs["explanations"]`, in step with the spans, as `gner_generator` reads
    them in training (`explain` in its ToNER prompt).

    docs (Iterable[Doc]): Annotated in `doc.spans[spans_key]`, or else in `doc.ents`.
    client (LLMClient): Asks the model; its cache lets an interrupted run go on.
    spans_key (str): The span group to read and write.
    report (AnnotationReport | None): Is counted up.
    YIELDS (Doc): All docs, in order; what is not explained has "".
    """
    report = report or AnnotationReport()
    for some in minibatch(docs, AT_ONCE):
        parts = [part for doc in some for part in _unexplained(doc, spans_key)]
        found: dict[int, dict[Span, str]] = {id(doc): {} for doc, _ in parts}
        for (doc, spans), answer in _asked(client, parts, _why):
            if isinstance(answer, Failure):
                report.failures[answer.kind] += 1
                continue
            texts = parse_explanations(answer.value, _typed(doc, spans))
            report.dropped["without an explanation"] += texts.count("")
            found[id(doc)] |= {span: text for span, text in zip(spans, texts, strict=True) if text}
        for doc in some:
            _write(doc, found.get(id(doc), {}), spans_key)
            if id(doc) in found:
                report.texts += 1
                report.done += not list(_unexplained(doc, spans_key))
                report.entities += len(found[id(doc)])
            yield doc


def _asked(
    client: LLMClient, items: Iterable[T], question: Callable[[T], LLMRequest]
) -> Iterator[tuple[T, LLMResponse | Failure]]:
    """Ask about one thing after the other, many at once; about nothing more once that makes no sense."""
    over: Failure | None = None
    for some in minibatch(items, AT_ONCE):
        answers: list[LLMResponse | Failure] = (
            [over] * len(some) if over else client.ask([question(item) for item in some])
        )
        for item, answer in zip(some, answers, strict=True):
            if isinstance(answer, Failure) and (answer.kind == "stopped" or answer.kind in STOPPING):
                over = Failure("stopped", answer.message)
            yield item, answer


def _located(nlp: Language, doc: Doc, said: Sequence[ListedEntity]) -> list[Span]:
    """The spans of a doc that have the letters of what was said."""
    pieces = [[token.text for token in nlp.make_doc(each.text) if not token.is_space] for each in said]
    words = [word for each in pieces for word in each]
    ends = [sum(map(len, pieces[: i + 1])) for i in range(len(pieces))]
    runs = [(end - len(each), end) for each, end in zip(pieces, ends, strict=True)]
    places = locate_mentions(["" if token.is_space else token.text for token in doc], words, runs).indices
    owner = {place: i for i, run in enumerate(runs) for place in range(*run)}
    tokens: dict[int, list[int]] = {}
    for token, place in enumerate(places):
        if place is not None:
            tokens.setdefault(owner[place], []).append(token)
    found = [Span(doc, own[0], own[-1] + 1, label=said[i].label) for i, own in tokens.items()]
    return sorted(found, key=lambda span: span.start)


def _unexplained(doc: Doc, spans_key: str) -> Iterator[tuple[Doc, list[Span]]]:
    """The entities that nothing is said about, in as many parts as there are questions."""
    known = explanations_of(doc, spans_key)
    spans = [s for s in gold_spans(doc, spans_key) if not known.get((s.start, s.end, s.label_))]
    for start in range(0, len(spans), ENTITIES_PER_REQUEST):
        yield doc, spans[start : start + ENTITIES_PER_REQUEST]


def _why(part: tuple[Doc, Sequence[Span]]) -> LLMRequest:
    doc, spans = part
    return LLMRequest(render_explanation(doc.text, _typed(doc, spans)), explanation_schema(len(spans)))


def _typed(doc: Doc, spans: Sequence[Span]) -> list[EntityContext]:
    found = []
    for span in spans:
        before, after = surrounding_text(doc, span.start, span.end)
        found.append(EntityContext(before, span.text, after, span.label_))
    return found


def _write(doc: Doc, found: Mapping[Span, str], spans_key: str) -> None:
    """Put explanations beside the spans; those that were there stay."""
    known = explanations_of(doc, spans_key)
    spans = gold_spans(doc, spans_key)
    if spans_key not in doc.spans:
        doc.spans[spans_key] = spans
    if found:
        texts = [found.get(s) or known.get((s.start, s.end, s.label_), "") for s in spans]
        doc.spans[spans_key].attrs[EXPLANATIONS] = texts
