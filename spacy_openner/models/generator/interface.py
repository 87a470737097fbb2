"""The door to generative models: texts and types go in, scored spans of words come out."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch

from ...decoding.copy_constrained import decode, score_tags
from ...decoding.tag_trie import O_TAG, AnswerWord, Tagset
from ...decoding.word_matching import WordErrors
from ...prompts.base import Prompt
from ..queries import ScoredSpan
from .free_decoding import Heard, hear, log_probs, say, walk
from .model import Generator
from .prompt_windows import Job, Question, Settings, in_batches, jobs_of, shown


@dataclass
class Tally:
    """What happened since it was made, or cleared: for benchmarks, and for users who want to know.

    texts: Windows that were tagged.
    passes, fed: Of the decoder, and pieces that they had, each window counted on its own.
    slips: How free answers departed from their texts, in words.
    """

    texts: int = 0
    passes: int = 0
    fed: int = 0
    slips: WordErrors = field(default_factory=WordErrors)

    def add_slips(self, answers: Iterable[Heard]) -> None:
        """Add what answers did."""
        for answer in answers:
            self.slips = WordErrors(*(a + b for a, b in zip(self.slips, answer.slips, strict=True)))


def tag(
    generator: Generator,
    prompt: Prompt,
    questions: Sequence[Question],
    settings: Settings,
    tally: Tally | None = None,
) -> list[list[ScoredSpan]]:
    """Find entities.

    generator (Generator): The model.
    prompt (Prompt): Its format.
    questions (Sequence[Question]): Each text with its types; any length, any number.
    settings (Settings): How to decode.
    tally (Tally | None): Where to count.
    RETURNS (list[list[ScoredSpan]]): Of each text its spans. The score is the probability of the choices that made it,
        among what was allowed.
    RAISES (SettingError): When a type alone does not fit into a prompt.
    """
    tally = tally if tally is not None else Tally()
    found: list[list[ScoredSpan]] = [[] for _ in questions]
    jobs = [job for i, question in enumerate(questions) for job in jobs_of(generator, prompt, question, i, settings)]
    with torch.inference_mode():
        for batch in in_batches(jobs, settings.batch_tokens):
            for job, answers in zip(batch, _answer(generator, prompt, questions, batch, settings, tally), strict=True):
                found[job.text] += answers
    return found


def _answer(
    generator: Generator,
    prompt: Prompt,
    questions: Sequence[Question],
    batch: Sequence[Job],
    settings: Settings,
    tally: Tally,
) -> list[list[ScoredSpan]]:
    """Tag the windows of a batch."""
    texts = [shown(generator, questions[job.text].words.texts[job.first : job.last]) for job in batch]
    labels = [list(questions[job.text].types[job.types.start : job.types.stop]) for job in batch]
    ids, mask = generator.read(
        [
            job.prompt(prompt, questions[job.text], each, generator.causal)
            for job, each in zip(batch, texts, strict=True)
        ]
    )
    words = [
        generator.chunks.words(each, prompt.tags(types), prompt.chunk)
        for each, types in zip(texts, labels, strict=True)
    ]
    n_labels = [len(types) for types in labels]
    tally.texts += len(batch)
    if not settings.constrained:
        said = say(generator, ids, mask, words, settings.num_beams, None, prompt.explain)
        heard = [hear(generator, prompt, *each) for each in zip(said, texts, labels, strict=True)]
        tally.add_slips(heard)
        tags = [each.tags for each in heard]
    elif settings.num_beams > 1 or not generator.chunks.independent:
        limits = [Tagset(n) for n in n_labels]
        said = say(generator, ids, mask, words, settings.num_beams, limits)
        tags = [walk(*each) for each in zip(said, words, limits, strict=True)]
    else:
        return _decode(generator, questions, batch, ids, mask, words, n_labels, settings, tally)
    if settings.constrained or prompt.target == "bio":
        # A tag's probability among those allowed, as constrained decoding has it.
        scores = score_tags(generator.start(ids, mask), words, n_labels, generator.first(ids), tags)
    else:
        scores = log_probs(generator, ids, mask, said, heard)
    explained = [()] * len(batch) if settings.constrained else [each.explanations for each in heard]
    return [_spans(*each) for each in zip(batch, tags, scores, n_labels, explained, strict=True)]


def _decode(
    generator: Generator,
    questions: Sequence[Question],
    batch: Sequence[Job],
    ids: torch.Tensor,
    mask: torch.Tensor,
    words: Sequence[Sequence[AnswerWord]],
    n_labels: Sequence[int],
    settings: Settings,
    tally: Tally,
) -> list[list[ScoredSpan]]:
    """Tag windows by constrained decoding, many pieces a pass."""
    drafts = [_draft(questions[job.text], job) for job in batch]
    answers = decode(generator.start(ids, mask), words, n_labels, generator.first(ids), drafts, settings.window)
    tally.passes += sum(answer.n_passes for answer in answers)
    tally.fed += sum(answer.n_fed for answer in answers)
    return [
        _spans(job, answer.tags, answer.log_probs, n) for job, answer, n in zip(batch, answers, n_labels, strict=True)
    ]


def _draft(question: Question, job: Job) -> list[int]:
    """The tags that the guesses about a text mean for a window of it."""
    tags = [O_TAG] * (job.last - job.first)
    for first, last, label in question.draft:
        if job.first <= first and last <= job.last and label in job.types:
            entity = Tagset(len(job.types)).entity(label - job.types.start, last - first)
            tags[first - job.first : last - job.first] = entity
    return tags


def _spans(
    job: Job,
    tags: Sequence[int],
    log_probs: Sequence[float],
    n_labels: int,
    explanations: Sequence[str] = (),
) -> list[ScoredSpan]:
    """Entities of a window, those aside that another one decides about.

    explanations (Sequence[str]): Of the window's entities, in order; none where the model gives none.
    """
    spans = Tagset(n_labels).spans(tags)
    texts = explanations or [""] * len(spans)
    return [
        ScoredSpan(
            job.first + first,
            job.first + last,
            job.types[label],
            min(1.0, math.exp(sum(log_probs[first:last]))),
            text,
        )
        for (first, last, label), text in zip(spans, texts, strict=True)
        if job.first + first in job.own
    ]
