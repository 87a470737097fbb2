"""Tag texts with a generative model: words and types go in, scored spans of words come out."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch

from ...decoding.copy_constrained import decode, score_tags
from ...decoding.tag_trie import O_TAG, AnswerWord, Tagset
from ...decoding.word_matching import WordErrors
from ...prompts.base import Prompt
from ..queries import ScoredSpan
from .free_decoding import ParsedAnswer, generate, parse_answer, tags_from_subwords, word_log_probs
from .model import Generator
from .prompt_windows import DecodingSettings, PromptWindow, TaggingQuery, batch_windows, plan_windows, visible_words


@dataclass
class DecodingStats:
    """Counts of what was decoded since they were made: for benchmarks, and for users who want to know.

    n_windows (int): Windows that were tagged.
    n_passes, n_fed (int): Passes of the decoder, and subwords that it was fed, each window counted on its own.
    errors (WordErrors): How free answers departed from their texts, in words.
    """

    n_windows: int = 0
    n_passes: int = 0
    n_fed: int = 0
    errors: WordErrors = field(default_factory=WordErrors)

    def add_errors(self, answers: Iterable[ParsedAnswer]) -> None:
        """Add the differences between answers and their texts."""
        for answer in answers:
            self.errors = WordErrors(*(a + b for a, b in zip(self.errors, answer.errors, strict=True)))


@dataclass(frozen=True)
class WindowBatch:
    """Windows that are decoded together, encoded.

    windows (list[PromptWindow]): Those of the batch.
    queries (list[TaggingQuery]): The query of each.
    texts (list[list[str]]): The words of each, as the model reads them.
    labels (list[list[str]]): The types of each.
    words (list[list[AnswerWord]]): What a constrained answer may say about each word.
    ids, mask (torch.Tensor): The prompts. *Shape of each:* (windows, subwords).
    """

    windows: list[PromptWindow]
    queries: list[TaggingQuery]
    texts: list[list[str]]
    labels: list[list[str]]
    words: list[list[AnswerWord]]
    ids: torch.Tensor
    mask: torch.Tensor

    @property
    def n_labels(self) -> list[int]:
        """How many types each window has."""
        return [len(labels) for labels in self.labels]

    @property
    def tagsets(self) -> list[Tagset]:
        """The tags of each window."""
        return [Tagset(n) for n in self.n_labels]


@dataclass(frozen=True)
class TaggedWindow:
    """The tags of a window's words, their log probabilities, and explanations of its entities where there are any."""

    tags: Sequence[int]
    log_probs: Sequence[float]
    explanations: Sequence[str] = ()


def tag_texts(
    generator: Generator,
    prompt: Prompt,
    queries: Sequence[TaggingQuery],
    settings: DecodingSettings,
    stats: DecodingStats | None = None,
) -> list[list[ScoredSpan]]:
    """Find entities.

    generator (Generator): The model.
    prompt (Prompt): Its format.
    queries (Sequence[TaggingQuery]): Each text with its types; any length, any number.
    settings (DecodingSettings): How to decode.
    stats (DecodingStats | None): Where to count.
    RETURNS (list[list[ScoredSpan]]): The spans of each text. The score is the probability of the choices that made it,
        among what was allowed.
    RAISES (SettingError): O006, when a type alone does not fit into a prompt.
    """
    stats = stats if stats is not None else DecodingStats()
    spans: list[list[ScoredSpan]] = [[] for _ in queries]
    windows = [w for i, query in enumerate(queries) for w in plan_windows(generator, prompt, query, i, settings)]
    with torch.inference_mode():
        for group in batch_windows(windows, settings.batch_tokens):
            batch = _encode(generator, prompt, queries, group)
            stats.n_windows += len(group)
            for window, tagged in zip(group, _tag(generator, prompt, batch, settings, stats), strict=True):
                spans[window.query] += _spans(window, tagged)
    return spans


def _encode(
    generator: Generator, prompt: Prompt, queries: Sequence[TaggingQuery], windows: list[PromptWindow]
) -> WindowBatch:
    own = [queries[window.query] for window in windows]
    texts, labels, words, prompts = [], [], [], []
    for window, query in zip(windows, own, strict=True):
        text = visible_words(generator, query.words.texts[window.first : window.last])
        types = list(query.types[window.types.start : window.types.stop])
        rendered = window.render(prompt, query, text, generator.causal)
        after_space = generator.answers_after_space(rendered)
        limits = _limits(query, window)
        words.append(generator.chunks.encode_words(text, prompt.tags(types), prompt.chunk, after_space, limits))
        texts.append(text)
        labels.append(types)
        prompts.append(rendered)
    return WindowBatch(windows, own, texts, labels, words, *generator.encode_prompts(prompts))


def _tag(
    generator: Generator, prompt: Prompt, batch: WindowBatch, settings: DecodingSettings, stats: DecodingStats
) -> list[TaggedWindow]:
    """Tag the windows of a batch."""
    if not settings.constrained:
        return _tag_freely(generator, prompt, batch, settings, stats)
    if settings.num_beams == 1 and generator.chunks.independent:
        return _tag_greedily(generator, batch, settings, stats)
    answers = generate(generator, batch.ids, batch.mask, batch.words, settings.num_beams, batch.tagsets)
    tags = [tags_from_subwords(*pair) for pair in zip(answers, batch.words, strict=True)]
    return [TaggedWindow(*pair) for pair in zip(tags, _score_tags(generator, batch, tags), strict=True)]


def _tag_greedily(
    generator: Generator, batch: WindowBatch, settings: DecodingSettings, stats: DecodingStats
) -> list[TaggedWindow]:
    """Tag windows by constrained decoding, many subwords a pass."""
    drafts = [_draft(*pair) for pair in zip(batch.queries, batch.windows, strict=True)]
    decoder, start = generator.start_decoder(batch.ids, batch.mask), generator.start_subwords(batch.ids)
    answers = decode(decoder, batch.words, batch.n_labels, start, drafts, settings.window)
    stats.n_passes += sum(answer.n_passes for answer in answers)
    stats.n_fed += sum(answer.n_fed for answer in answers)
    return [TaggedWindow(answer.tags, answer.log_probs) for answer in answers]


def _tag_freely(
    generator: Generator, prompt: Prompt, batch: WindowBatch, settings: DecodingSettings, stats: DecodingStats
) -> list[TaggedWindow]:
    """Tag windows by what the model answers freely."""
    answers = generate(generator, batch.ids, batch.mask, batch.words, settings.num_beams, None, prompt.explain)
    columns = zip(answers, batch.texts, batch.labels, batch.words, strict=True)
    parsed = [_parse(generator, prompt, *column) for column in columns]
    stats.add_errors(parsed)
    if prompt.target == "bio":
        # A tag's probability among those allowed, as constrained decoding has it.
        scores = _score_tags(generator, batch, [answer.tags for answer in parsed])
    else:
        scores = word_log_probs(generator, batch.ids, batch.mask, answers, parsed)
    return [TaggedWindow(a.tags, values, a.explanations) for a, values in zip(parsed, scores, strict=True)]


def _parse(
    generator: Generator,
    prompt: Prompt,
    answer: Sequence[int],
    text: list[str],
    labels: list[str],
    words: Sequence[AnswerWord],
) -> ParsedAnswer:
    """Parse a free answer; what it says across boundaries is divided there."""
    parsed = parse_answer(generator, prompt, answer, text, labels)
    tagset = Tagset(len(labels))
    tags = tagset.within(parsed.tags, [word.limit for word in words])
    if tags == parsed.tags:
        return parsed
    # A part has the explanation of the entity that it is of.
    explained = zip(tagset.spans(parsed.tags), parsed.explanations, strict=False)
    reasons = {i: why for (first, last, _), why in explained for i in range(first, last)}
    return parsed._replace(tags=tags, explanations=[reasons.get(first, "") for first, _, _ in tagset.spans(tags)])


def _limits(query: TaggingQuery, window: PromptWindow) -> list[int] | None:
    """Return the tags that the words of a window may have by the boundaries of their text; None without any."""
    stretches = query.words.stretches
    if stretches is None:
        return None
    return Tagset(len(window.types)).limits(stretches[window.first : window.last].tolist())


def _score_tags(generator: Generator, batch: WindowBatch, tags: Sequence[Sequence[int]]) -> list[list[float]]:
    decoder, start = generator.start_decoder(batch.ids, batch.mask), generator.start_subwords(batch.ids)
    return score_tags(decoder, batch.words, batch.n_labels, start, tags)


def _draft(query: TaggingQuery, window: PromptWindow) -> list[int]:
    """Return the tags that the guesses about a text mean for a window of it; `decode` mends those that are illegal."""
    tags = [O_TAG] * (window.last - window.first)
    for first, last, label in query.draft:
        if window.first <= first and last <= window.last and label in window.types:
            entity = Tagset(len(window.types)).entity(label - window.types.start, last - first)
            tags[first - window.first : last - window.first] = entity
    return tags


def _spans(window: PromptWindow, tagged: TaggedWindow) -> list[ScoredSpan]:
    """Return the entities of a window, without those that another one decides about."""
    spans = Tagset(len(window.types)).spans(tagged.tags)
    texts = tagged.explanations or [""] * len(spans)
    return [
        ScoredSpan(
            window.first + first,
            window.first + last,
            window.types[label],
            min(1.0, math.exp(sum(tagged.log_probs[first:last]))),
            text,
        )
        for (first, last, label), text in zip(spans, texts, strict=True)
        if window.first + first in window.own
    ]
