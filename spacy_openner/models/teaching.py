"""What generative models are taught: at each choice of an answer, the piece that the annotation wants.

The copy of the text is forced where answers are decoded under constraints, so there is nothing to learn in it: the
loss "choices" looks at the branches of the tries alone, among what is allowed there. "answer" is the usual loss over
all pieces of the answer and the whole vocabulary, which free decoding needs.
"""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..decoding.tries import O_TAG, Pieces, Tagset, Word
from .generator import Generator
from .jobs import Job, Prompt, Question, Settings, in_batches, jobs_of, shown
from .matching import Lesson

LOSSES: tuple[str, ...] = ("choices", "answer")


class Choice(NamedTuple):
    """A place of an answer where something is to be learnt.

    place: The piece fed, after which the choice comes.
    allowed: The pieces to choose from; empty for the whole vocabulary.
    wanted: The right one.
    """

    place: int
    allowed: Pieces
    wanted: int


class Exercise(NamedTuple):
    """Prompts with what their answers are fed and should choose.

    ids, mask: The prompts. *Shape:* (rows, pieces).
    fed: What the decoder reads of each answer, its first piece included.
    choices: Of each answer.
    share: What part of the update's texts a row is.
    """

    ids: Tensor
    mask: Tensor
    fed: list[list[int]]
    choices: list[list[Choice]]
    share: float

    @property
    def request(self) -> "Exercise":
        """What the model takes: all of it."""
        return self

    @property
    def places(self) -> list[tuple[int, int]]:
        """Row and place of each choice."""
        return [(row, choice.place) for row, each in enumerate(self.choices) for choice in each]

    def scores(self, generator: Generator) -> Tensor:
        """Let a network make the choices, right answers fed.

        RETURNS (Tensor): Logits, in step with `places`. *Shape:* (choices, columns), or all pieces for columns.
        """
        decoder = generator.start(self.ids, self.mask)
        decoder.feed(range(len(self.fed)), self.fed, [0] * len(self.fed))
        vocabulary = range(int(generator.network.get_input_embeddings().weight.shape[0]))
        return decoder.logits(self.places, self.columns or list(vocabulary)).float()

    @property
    def columns(self) -> list[int]:
        """The pieces that are scored; empty for the whole vocabulary."""
        return sorted({piece for each in self.choices for choice in each for piece in choice.allowed})


def exercises(
    generator: Generator, prompt: Prompt, lessons: Sequence[Lesson], loss: str, batch_tokens: int
) -> Iterator[Exercise]:
    """Lay lessons out in windows and batches.

    lessons (Sequence[Lesson]): Of overlapping spans the first and longest are taught, of several types of a span one at
        random: a tag has room for one.
    loss (str): One of `LOSSES`.
    YIELDS (Exercise): To be answered one by one (`scores`, backward), so that memory is bounded.
    """
    questions = [Question(lesson.words, lesson.types) for lesson in lessons]
    settings = Settings(overlap=0)
    jobs = [job for i, question in enumerate(questions) for job in jobs_of(generator, prompt, question, i, settings)]
    for batch in in_batches(jobs, batch_tokens):
        rows = [_row(generator, prompt, lessons[job.text], job, loss) for job in batch]
        prompts = [prompt.render(words, types, causal=generator.causal) for words, types, _, _ in rows]
        ids, mask = generator.read(prompts)
        fed = [[first, *pieces[:-1]] for first, (_, _, pieces, _) in zip(generator.first(ids), rows, strict=True)]
        exercise = Exercise(ids, mask, fed, [choices for *_, choices in rows], 1 / len(jobs))
        if exercise.places:
            yield exercise


def loss_of(exercise: Exercise, logits: Tensor) -> Tensor:
    """Cross-entropy of the right choices among the allowed ones, averaged over each text's and then the texts."""
    columns = exercise.columns
    number = {piece: i for i, piece in enumerate(columns)}
    chosen = [choice for each in exercise.choices for choice in each]
    if columns:
        allowed = torch.zeros(logits.shape, dtype=torch.bool)
        for row, choice in enumerate(chosen):
            allowed[row, [number[piece] for piece in choice.allowed]] = True
        logits = logits.masked_fill(~allowed.to(logits.device), float("-inf"))
    wanted = torch.tensor([number.get(choice.wanted, choice.wanted) for choice in chosen], device=logits.device)
    weights = [exercise.share / len(each) for each in exercise.choices for _ in each]
    losses = torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
    return (losses * torch.tensor(weights, device=logits.device)).sum()


def _row(
    generator: Generator, prompt: Prompt, lesson: Lesson, job: Job, loss: str
) -> tuple[list[str], list[str], list[int], list[Choice]]:
    """The words and types of one window, its answer in pieces, and the choices there."""
    words = shown(generator, lesson.words.texts[job.first : job.last])
    types = list(lesson.types[job.types.start : job.types.stop])
    tags, unknown = _tags(lesson, job)
    if loss == "choices":
        chunks = generator.chunks.words(words, prompt.tags(types), prompt.chunk)
        pieces, choices = _choices(chunks, Tagset(len(types)), tags, unknown)
        return words, types, [*pieces, generator.end], choices
    names = prompt.tags(types)
    answer = prompt.answer(words, [names[tag] for tag in tags])
    lead = " " if generator.chunks.spaced and generator.causal else ""
    pieces = [*generator.tokenizer(lead + answer, add_special_tokens=False)["input_ids"], generator.end]
    # Whose piece is whose is not known here: a text with a gap in its annotation teaches nothing.
    places = () if unknown else enumerate(pieces)
    return words, types, pieces, [Choice(place, (), piece) for place, piece in places]


def _choices(
    words: Sequence[Word], tagset: Tagset, tags: Sequence[int], unknown: set[int]
) -> tuple[list[int], list[Choice]]:
    pieces: list[int] = []
    choices: list[Choice] = []
    for i, (word, tag) in enumerate(zip(words, tags, strict=True)):
        path = word.trie.path(tag, tagset.allowed(tags[i - 1] if i else O_TAG))
        start = len(pieces) + len(word.forced)
        if i not in unknown:
            choices += [Choice(start + d.offset, d.pieces, d.pieces[d.chosen]) for d in path.decisions]
        pieces += [*word.forced, *path.pieces]
    return pieces, choices


def _tags(lesson: Lesson, job: Job) -> tuple[list[int], set[int]]:
    """The tags of a window's words, and the words about which nothing is taught."""
    tags = [O_TAG] * (job.last - job.first)
    unknown = {i - job.first for first, last in lesson.unknown for i in range(first, last)}
    taken: set[int] = set()
    for first, last, label in sorted(lesson.spans, key=lambda span: (span[0] - span[1], span[0], random.random())):
        run = range(first - job.first, last - job.first)
        if label not in job.types or taken.intersection(run):
            continue
        taken.update(run)
        if run.start < 0 or run.stop > len(tags):
            # A window's edge cuts it.
            unknown.update(run)
            continue
        tags[run.start : run.stop] = Tagset(len(job.types)).entity(label - job.types.start, len(run))
    return tags, unknown
