"""The door to generative models: texts and types go in, scored spans of words come out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..decoding.constrained import decode, rate
from ..decoding.lcs import Slips, match
from ..decoding.tries import O_TAG, Tagset, Word, allowed_next
from .generator import Generator
from .jobs import Job, Prompt, Question, Settings, in_batches, jobs_of, shown
from .matching import Answer


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
    slips: Slips = field(default_factory=Slips)

    def add_slips(self, slips: Slips) -> None:
        """Add what one answer did."""
        self.slips = Slips(*(a + b for a, b in zip(self.slips, slips, strict=True)))


def tag(
    generator: Generator,
    prompt: Prompt,
    questions: Sequence[Question],
    settings: Settings,
    tally: Tally | None = None,
) -> list[list[Answer]]:
    """Find entities.

    generator (Generator): The model.
    prompt (Prompt): Its format.
    questions (Sequence[Question]): Each text with its types; any length, any number.
    settings (Settings): How to decode.
    tally (Tally | None): Where to count.
    RETURNS (list[list[Answer]]): Of each text its spans. The score is the probability of the choices that made it,
        among what was allowed.
    RAISES (SettingError): When a type alone does not fit into a prompt.
    """
    tally = tally if tally is not None else Tally()
    found: list[list[Answer]] = [[] for _ in questions]
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
) -> list[list[Answer]]:
    """Tag the windows of a batch."""
    texts = [shown(generator, questions[job.text].words.texts[job.first : job.last]) for job in batch]
    labels = [list(questions[job.text].types[job.types.start : job.types.stop]) for job in batch]
    ids, mask = generator.read(
        [prompt.render(words, types, causal=generator.causal) for words, types in zip(texts, labels, strict=True)]
    )
    words = [
        generator.chunks.words(each, prompt.tags(types), prompt.chunk)
        for each, types in zip(texts, labels, strict=True)
    ]
    n_labels = [len(types) for types in labels]
    tally.texts += len(batch)
    if not settings.constrained:
        said = _say(generator, ids, mask, words, settings, None)
        tags = [_read(generator, prompt, *each, tally) for each in zip(said, texts, labels, strict=True)]
    elif settings.num_beams > 1 or not generator.chunks.independent:
        limits = [Tagset(n) for n in n_labels]
        said = _say(generator, ids, mask, words, settings, limits)
        tags = [_walk(*each) for each in zip(said, words, limits, strict=True)]
    else:
        return _decode(generator, questions, batch, ids, mask, words, n_labels, settings, tally)
    log_probs = _rate(generator, ids, mask, words, n_labels, tags)
    return [_spans(job, t, p, n) for job, t, p, n in zip(batch, tags, log_probs, n_labels, strict=True)]


def _decode(
    generator: Generator,
    questions: Sequence[Question],
    batch: Sequence[Job],
    ids: torch.Tensor,
    mask: torch.Tensor,
    words: Sequence[Sequence[Word]],
    n_labels: Sequence[int],
    settings: Settings,
    tally: Tally,
) -> list[list[Answer]]:
    """Tag windows by constrained decoding, many pieces a pass."""
    found: list[list[Answer]] = []
    for rows in _together(generator, len(batch)):
        decoder = generator.start(ids[rows.start : rows.stop], mask[rows.start : rows.stop])
        drafts = [_draft(questions[batch[i].text], batch[i]) for i in rows]
        answers = decode(
            decoder,
            [words[i] for i in rows],
            [n_labels[i] for i in rows],
            generator.first(ids[rows.start : rows.stop]),
            drafts,
            settings.window,
        )
        for i, answer in zip(rows, answers, strict=True):
            tally.passes, tally.fed = tally.passes + answer.passes, tally.fed + answer.fed
            found.append(_spans(batch[i], answer.tags, answer.log_probs, n_labels[i]))
    return found


def _together(generator: Generator, n: int) -> list[range]:
    """Rows that can share passes: all, or each alone where positions follow the cache."""
    from .decoders import decoder_class

    return [range(n)] if decoder_class(generator.network).ragged else [range(i, i + 1) for i in range(n)]


def _rate(
    generator: Generator,
    ids: torch.Tensor,
    mask: torch.Tensor,
    words: Sequence[Sequence[Word]],
    n_labels: Sequence[int],
    tags: Sequence[Sequence[int]],
) -> list[list[float]]:
    found: list[list[float]] = []
    for rows in _together(generator, len(words)):
        part = slice(rows.start, rows.stop)
        decoder = generator.start(ids[part], mask[part])
        found += rate(decoder, words[part], n_labels[part], generator.first(ids[part]), tags[part])
    return found


def _say(
    generator: Generator,
    ids: torch.Tensor,
    mask: torch.Tensor,
    words: Sequence[Sequence[Word]],
    settings: Settings,
    tagsets: Sequence[Tagset] | None,
) -> list[list[int]]:
    """Let `generate` answer: freely, or with `allowed_next` as its constraint."""
    longest = max(sum(len(w.forced) + max(map(len, w.trie.sequences)) for w in each) for each in words) + 1
    start = ids.shape[1] if generator.causal else 1
    options: dict[str, Any] = {}
    if tagsets is not None:
        options["prefix_allowed_tokens_fn"] = lambda row, said: allowed_next(
            words[row], tagsets[row], generator.end, said[start:].tolist()
        )
    network = generator.network
    said = network.generate(
        input_ids=ids.to(network.device),
        attention_mask=mask.to(network.device),
        # Room to stray: a free answer may be longer than the text.
        max_new_tokens=longest if tagsets is not None else longest + longest // 4 + 8,
        num_beams=settings.num_beams,
        do_sample=False,
        eos_token_id=generator.end,
        pad_token_id=generator.tokenizer.pad_token_id or 0,
        **options,
    )
    return [_until(row[start:].tolist(), generator.end) for row in said]


def _until(pieces: list[int], end: int) -> list[int]:
    return pieces[: pieces.index(end)] if end in pieces else pieces


def _walk(said: Sequence[int], words: Sequence[Word], tagset: Tagset) -> list[int]:
    """The tags that a constrained answer says."""
    tags, i = [], 0
    for word in words:
        i += len(word.forced)
        tag = next(t for t, pieces in enumerate(word.trie.sequences) if tuple(said[i : i + len(pieces)]) == pieces)
        tags.append(tag)
        i += len(word.trie.sequences[tag])
    return tags


def _read(
    generator: Generator, prompt: Prompt, said: list[int], words: list[str], labels: list[str], tally: Tally
) -> list[int]:
    """The tags that a free answer gives to the words of its text. Tags of unknown labels count as O."""
    tokenizer = generator.tokenizer
    answer = prompt.parse(tokenizer.decode(said, skip_special_tokens=True), labels)
    matching = match(words, [word.word for word in answer], lambda texts: _retokenise(tokenizer, texts))
    tally.add_slips(matching.slips)
    number = {tag: i for i, tag in enumerate(prompt.tags(labels))}
    tagset, tags = Tagset(len(labels)), list[int]()
    for place in matching.places:
        tag = O_TAG if place is None else number.get(answer[place].tag, O_TAG)
        tags.append(tagset.legal(tag, tags[-1] if tags else O_TAG))
    return tags


def _retokenise(tokenizer: Any, words: Sequence[str]) -> list[str]:
    encoded = tokenizer(list(words), add_special_tokens=False)["input_ids"]
    return [text.strip() for text in tokenizer.batch_decode(encoded, skip_special_tokens=True)]


def _draft(question: Question, job: Job) -> list[int]:
    """The tags that the guesses about a text mean for a window of it."""
    tags = [O_TAG] * (job.last - job.first)
    for first, last, label in question.draft:
        if job.first <= first and last <= job.last and label in job.types:
            entity = Tagset(len(job.types)).entity(label - job.types.start, last - first)
            tags[first - job.first : last - job.first] = entity
    return tags


def _spans(job: Job, tags: Sequence[int], log_probs: Sequence[float], n_labels: int) -> list[Answer]:
    """Entities of a window, those aside that another one decides about."""
    tagset = Tagset(n_labels)
    spans: list[list[int]] = []
    for i, tag in enumerate(tags):
        if tagset.is_inside(tag):
            spans[-1][1] = i + 1
        elif tag != O_TAG:
            spans.append([i, i + 1, tagset.label(tag)])
    return [
        Answer(job.first + first, job.first + last, job.types[label], min(1.0, math.exp(sum(log_probs[first:last]))))
        for first, last, label in spans
        if job.first + first in job.own
    ]
