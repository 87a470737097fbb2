"""Annotation of texts by a large language model, so that training and alignment need no gold (LAR, section 3.3), and
explanations of annotated entities (ToNER, section 3.5)."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from spacy.language import Language
from spacy.tokens import Doc, Span, Token
from spacy.util import filter_spans, minibatch

from ..arguments import as_instance, as_iterable
from ..decoding.mention_placement import SpellingIndex, place_mentions
from ..doc_arguments import as_doc
from ..labels import LabelSet, LabelsLike, set_labels
from ..models.words import doc_words
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
from ..settings import EntitySettings
from ..types import DEFAULT_BOUNDARIES, DEFAULT_SPANS_KEY, EXPLANATIONS
from .client import LLMClient
from .responses import STOPPING
from .types import Failure, LLMRequest, LLMResponse

T = TypeVar("T")

AT_ONCE = 512
ENTITIES_PER_REQUEST = 16
# More tokens than an answer needs: small models would go on without end.
TOKENS, TOKENS_PER_WORD, TOKENS_PER_EXPLANATION = 256, 20, 100
# So many are always left for the longest list that the schema of a short text allows, of subwords of two characters.
SHORT_LIST, TOKENS_PER_ITEM = 2048, 16
# An answer may list as many entities as the text has words, and some may have several types.
MOST_PER_WORD = 4


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
    all_mentions: bool = False,
    boundaries: Sequence[str] = DEFAULT_BOUNDARIES,
    report: AnnotationReport | None = None,
) -> Iterator[Doc]:
    """Let a language model find the entities of docs.

    Its entities are found in the text by their letters: case, spaces, quotes, dashes and invisible characters do not
    matter, longer ones come first, and they may nest. Where the text has one of them not, or only across a boundary,
    all words that are in no other entity are annotated as unknown, which training does not take for "no entity".

    nlp (Language): The pipeline of the docs; it is not run.
    docs (Iterable[Doc]): Tokenised. Their entities and span group are replaced.
    labels (LabelsLike): The types to look for, with descriptions where there are any.
    client (LLMClient): Asks the model; its cache lets an interrupted run go on.
    spans_key (str): The span group to write; it is left out where words are unknown.
    all_mentions (bool): Annotate every place of a name that is listed with one type only, and not only as many.
    boundaries (Sequence[str]): The places that no entity crosses: some of `types.BOUNDARIES`, as in the components.
    report (AnnotationReport | None): Is counted up.
    YIELDS (Doc): Each doc that was answered for; what is not known of the others is not taken for "no entities".
    RAISES (SettingError): For boundaries of another name.
    """
    report, docs = _checked(docs, client, report)
    types = LabelSet(labels)
    kinds: tuple[str, ...] = EntitySettings.check("boundaries", boundaries)

    def request(doc: Doc) -> LLMRequest:
        n_words = sum(not token.is_space for token in doc)
        schema = annotation_schema(types.names, max(1, n_words), len(doc.text))
        longest = n_words * (TOKENS_PER_ITEM + len(doc.text) // 2)
        n_tokens = max(TOKENS + TOKENS_PER_WORD * n_words, min(longest, SHORT_LIST))
        return LLMRequest(render_annotation(doc.text, dict(types)), schema, n_tokens)

    for doc, response in _responses(client, docs, request):
        report.texts += 1
        if isinstance(response, Failure):
            report.failures[response.kind] += 1
            continue
        listed, n_odd = parse_entities(response.value)
        report.dropped["no entity"] += n_odd
        if n_odd and not listed:
            report.failures["malformed"] += 1
            continue
        spans, all_placed = _placed(doc, listed, types, kinds, all_mentions, report)
        is_complete = all_placed and not n_odd
        set_labels(doc, None)
        if is_complete:
            doc.spans[spans_key] = spans
        elif spans_key in doc.spans:
            del doc.spans[spans_key]
        doc.set_ents(filter_spans(spans), default="outside" if is_complete else "missing")
        report.done += 1
        report.entities += len(spans)
        yield doc


def _checked(
    docs: Iterable[Doc], client: LLMClient, report: AnnotationReport | None
) -> tuple[AnnotationReport, Iterator[Doc]]:
    """Check what both functions take; each doc when its turn comes, since a corpus need not fit into memory."""
    as_instance(client, LLMClient, "client", "an LLMClient")
    if report is not None:
        as_instance(report, AnnotationReport, "report", "an AnnotationReport, or None")
    return report or AnnotationReport(), map(as_doc, as_iterable(docs, "docs", "Docs"))


def _placed(
    doc: Doc,
    listed: list[ListedEntity],
    types: LabelSet,
    boundaries: Sequence[str],
    all_mentions: bool,
    report: AnnotationReport,
) -> tuple[list[Span], bool]:
    """Place the entities of an answer in the text, and count those that have no place.

    RETURNS (tuple): The spans in order, and whether all entities of the types have a place.
    """
    words, index = _index(doc, boundaries)
    report.dropped["too many"] += max(0, len(listed) - MOST_PER_WORD * len(words))
    listed = listed[: MOST_PER_WORD * len(words)]
    names = {normalize_name(name): name for name in types}
    mentions = [(mention.text, names[name]) for mention in listed if (name := normalize_name(mention.label)) in names]
    report.dropped["of another type"] += len(listed) - len(mentions)
    positions = place_mentions(index, mentions)
    for position, (text, _) in zip(positions, mentions, strict=True):
        if position is None:
            is_across = len(index.find_across(text)) > len(index.find(text))
            report.dropped["across a boundary" if is_across else "not in the text"] += 1
    labels = [label for _, label in mentions]
    entities = {(*at, label) for at, label in zip(positions, labels, strict=True) if at is not None}
    if all_mentions:
        entities |= _elsewhere(index, mentions, entities)
    spans = [Span(doc, words[a].i, words[b - 1].i + 1, label=label) for a, b, label in sorted(entities)]
    return spans, None not in positions


def _index(doc: Doc, boundaries: Sequence[str]) -> tuple[list[Token], SpellingIndex]:
    """Return the words of a doc that are in no boundary, and an index of them."""
    words = doc_words(doc, "spacy", boundaries)
    shown = range(len(words)) if words.stretches is None else [i for i, n in enumerate(words.stretches) if n >= 0]
    tokens = [doc[int(words.starts[i])] for i in shown]
    stretches = None if words.stretches is None else [int(words.stretches[i]) for i in shown]
    starts, ends = [token.idx for token in tokens], [token.idx + len(token) for token in tokens]
    return tokens, SpellingIndex(doc.text, starts, ends, stretches)


def _elsewhere(
    index: SpellingIndex, mentions: Sequence[tuple[str, str]], entities: Iterable[tuple[int, int, str]]
) -> set[tuple[int, int, str]]:
    """Return the other places of names that have one type, where no entity is."""
    covered = {word for first, last, _ in entities for word in range(first, last)}
    labels: dict[str, set[str]] = {}
    for text, label in mentions:
        labels.setdefault(text, set()).add(label)
    return {
        (first, last, label)
        for text, (label, *others) in labels.items()
        if not others
        for first, last in index.find(text)
        if covered.isdisjoint(range(first, last))
    }


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
    report, docs = _checked(docs, client, report)
    for batch in minibatch(docs, AT_ONCE):
        parts = [part for doc in batch for part in _unexplained(doc, spans_key)]
        explained: dict[int, dict[Span, str]] = {id(doc): {} for doc, _ in parts}
        for (doc, spans), response in _responses(client, parts, _explanation_request):
            if isinstance(response, Failure):
                report.failures[response.kind] += 1
                continue
            texts = parse_explanations(response.value, _in_context(doc, spans))
            report.dropped["without an explanation"] += texts.count("")
            explained[id(doc)] |= {span: text for span, text in zip(spans, texts, strict=True) if text}
        for doc in batch:
            _write(doc, explained.get(id(doc), {}), spans_key)
            if id(doc) in explained:
                report.texts += 1
                report.done += not list(_unexplained(doc, spans_key))
                report.entities += len(explained[id(doc)])
            yield doc


def _responses(
    client: LLMClient, items: Iterable[T], request: Callable[[T], LLMRequest]
) -> Iterator[tuple[T, LLMResponse | Failure]]:
    """Ask about one thing after the other, many at once; about nothing more once the client has stopped."""
    stopped: Failure | None = None
    for batch in minibatch(items, AT_ONCE):
        requests = [request(item) for item in batch]
        responses: list[LLMResponse | Failure] = [stopped] * len(batch) if stopped else client.ask(requests)
        for item, response in zip(batch, responses, strict=True):
            if isinstance(response, Failure) and response.kind in ("stopped", *STOPPING):
                stopped = Failure("stopped", response.message)
            yield item, response


def _unexplained(doc: Doc, spans_key: str) -> Iterator[tuple[Doc, list[Span]]]:
    """The entities that nothing is said about, in as many parts as there are questions."""
    known = explanations_of(doc, spans_key)
    spans = [s for s in gold_spans(doc, spans_key) if not known.get((s.start, s.end, s.label_))]
    for start in range(0, len(spans), ENTITIES_PER_REQUEST):
        yield doc, spans[start : start + ENTITIES_PER_REQUEST]


def _explanation_request(part: tuple[Doc, Sequence[Span]]) -> LLMRequest:
    doc, spans = part
    entities = _in_context(doc, spans)
    n_tokens = TOKENS + TOKENS_PER_EXPLANATION * len(spans)
    return LLMRequest(render_explanation(doc.text, entities), explanation_schema(entities), n_tokens)


def _in_context(doc: Doc, spans: Sequence[Span]) -> list[EntityContext]:
    return [EntityContext(*_around(doc, span), span.label_) for span in spans]


def _around(doc: Doc, span: Span) -> tuple[str, str, str]:
    before, after = surrounding_text(doc, span.start, span.end)
    return before, span.text, after


def _write(doc: Doc, explanations: Mapping[Span, str], spans_key: str) -> None:
    """Put explanations beside the spans; those that were there stay."""
    known = explanations_of(doc, spans_key)
    spans = gold_spans(doc, spans_key)
    if spans_key not in doc.spans:
        doc.spans[spans_key] = spans
    if explanations:
        texts = [explanations.get(s) or known.get((s.start, s.end, s.label_), "") for s in spans]
        doc.spans[spans_key].attrs[EXPLANATIONS] = texts
