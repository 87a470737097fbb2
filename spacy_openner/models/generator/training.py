"""What generative models are taught: at each choice of an answer, the piece that the annotation wants.

The copy of the text is forced where answers are decoded under constraints, so there is nothing to learn in it: the
loss "choices" looks at the branches of the tries alone, among what is allowed there. "answer" is the usual loss over
all pieces of the answer and the whole vocabulary, which free decoding needs. Two further tasks may help (ToNER): to say
which types a text holds, and to tell them from the encoder's states.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...decoding.copy_constrained import FedPosition
from ...decoding.tag_trie import O_TAG, AnswerWord, Subwords, Tagset
from ...prompts.base import Prompt, RecognitionPrompt
from ..queries import TrainingText
from .attention_supervision import Gaze, copies_of, gazes_of, watched
from .model import Generator
from .prompt_windows import Job, Question, Settings, in_batches, jobs_of, shown

LOSSES: tuple[str, ...] = ("choices", "answer")


class Choice(NamedTuple):
    """A place of an answer where something is to be learnt.

    place: The piece fed, after which the choice comes.
    allowed: The pieces to choose from; empty for the whole vocabulary.
    wanted: The right one.
    """

    place: int
    allowed: Subwords
    wanted: int


class Exercise(NamedTuple):
    """Prompts with what their answers are fed and should choose.

    ids, mask: The prompts. *Shape:* (rows, pieces).
    fed: What the decoder reads of each answer, its first piece included.
    choices: Of each answer.
    share: What part of the update's texts a row is.
    marks: Which of the classifier's types each row's text holds: 1, -1 for those that it does not hold, 0 where that is
        not known. *Shape:* (rows, types)
    gazes: Where the decoder should look as it chooses tags; empty where it is not taught that.
    """

    ids: Tensor
    mask: Tensor
    fed: list[list[int]]
    choices: list[list[Choice]]
    share: float
    marks: Tensor
    gazes: Sequence[Gaze] = ()

    @property
    def request(self) -> "Exercise":
        """What the model takes: all of it."""
        return self

    @property
    def places(self) -> list[FedPosition]:
        """Row and place of each choice."""
        return [FedPosition(row, choice.place) for row, each in enumerate(self.choices) for choice in each]

    def scores(self, generator: Generator, classifier: nn.Module | None = None) -> list[Tensor]:
        """Let a network make the choices, right answers fed.

        classifier (nn.Module | None): Reads the mean of the encoder's states (ToNER, section 3.3).
        RETURNS (list[Tensor]): Logits, in step with `places`. *Shape:* (choices, columns), or all pieces for columns.
            With a classifier also its own, in step with `marks`. *Shape:* (rows, types). With gazes at last how much
            attention goes there; see `Watch.log_shares`.
        """
        decoder = generator.start(self.ids, self.mask)
        decoder.keep_cache = False
        found = [] if classifier is None else [classifier(decoder.pooled).float()]
        with watched(generator.network) as watch:
            decoder.feed(range(len(self.fed)), self.fed, [0] * len(self.fed))
        if self.gazes:
            found.append(watch.log_shares(self.gazes, self.mask))
        return [decoder.logits(self.places, self.columns or generator.vocabulary).float(), *found]

    @property
    def columns(self) -> list[int]:
        """The pieces that are scored; empty for the whole vocabulary."""
        return sorted({piece for each in self.choices for choice in each for piece in choice.allowed})


class Tasks(NamedTuple):
    """What is to be learnt.

    loss: One of `LOSSES`.
    recognition: How often a text is asked for its types instead of its entities (ToNER, section 3.4).
    classes: The types that the classifier knows, by name.
    guided: Whether the decoder is taught where to look.
    """

    loss: str
    recognition: float = 0.0
    classes: Sequence[str] = ()
    guided: bool = False


class Row(NamedTuple):
    """One prompt, its answer in pieces, what is chosen there, and the row's `Exercise.marks`.

    words, places: The pieces of each word, and after which piece fed its tag is chosen; no places in free answers.
    """

    prompt: str
    pieces: list[int]
    choices: list[Choice]
    marks: list[int]
    words: Sequence[Subwords] = ()
    places: Sequence[int] = ()


def exercises(
    generator: Generator, prompt: Prompt, lessons: Sequence[TrainingText], tasks: Tasks, batch_tokens: int
) -> Iterator[Exercise]:
    """Lay lessons out in windows and batches.

    lessons (Sequence[TrainingText]): Of overlapping spans the first and longest are taught, of several types of a
        span one at random: a tag has room for one.
    YIELDS (Exercise): To be answered one by one (`scores`, backward), so that memory is bounded.
    """
    questions = [Question(lesson.words, lesson.types, likely=lesson.likely) for lesson in lessons]
    settings = Settings(overlap=0)
    jobs = [job for i, question in enumerate(questions) for job in jobs_of(generator, prompt, question, i, settings)]
    for batch in in_batches(jobs, batch_tokens):
        rows = [_row(generator, prompt, questions[job.text], lessons[job.text], job, tasks) for job in batch]
        ids, mask = generator.read([row.prompt for row in rows])
        fed = [[first, *row.pieces[:-1]] for first, row in zip(generator.first(ids), rows, strict=True)]
        marks = torch.tensor([row.marks for row in rows])
        gazes = _gazes(ids, mask, rows) if tasks.guided else ()
        exercise = Exercise(ids, mask, fed, [row.choices for row in rows], 1 / len(jobs), marks, gazes)
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


def gaze_loss(exercise: Exercise, log_shares: Tensor) -> Tensor:
    """How little attention goes where it should, averaged over layers, each text's words, and then the texts."""
    words = Counter(gaze.row for gaze in exercise.gazes)
    weights = torch.tensor([exercise.share / words[gaze.row] for gaze in exercise.gazes], device=log_shares.device)
    return -(log_shares.mean(0) * weights).sum()


def _gazes(ids: Tensor, mask: Tensor, rows: Sequence[Row]) -> list[Gaze]:
    found = []
    for i, row in enumerate(rows):
        # What is padding counts for nothing, and is no part of a text.
        prompt = ids[i].masked_fill(mask[i] == 0, -1).tolist()
        if row.places:
            found += gazes_of(i, prompt, row.words, row.places)
        elif row.choices:
            found += copies_of(i, prompt, row.words, row.pieces)
    return found


def _row(generator: Generator, prompt: Prompt, question: Question, lesson: TrainingText, job: Job, tasks: Tasks) -> Row:
    """What a window of a text is asked, and what is right to answer."""
    words = shown(generator, lesson.words.texts[job.first : job.last])
    types = list(lesson.types[job.types.start : job.types.stop])
    tags, unknown = _tags(lesson, job)
    marks = _marks(lesson, job, tags, unknown, tasks.classes)
    if isinstance(prompt, RecognitionPrompt) and random.random() < tasks.recognition:
        here = {Tagset(len(types)).label(tag) for tag in tags}
        answer = prompt.recognition_answer([text for i, text in enumerate(types) if i in here])
        asked = prompt.render_recognition(words, types, causal=generator.causal)
        return Row(asked, *_spelt(generator, answer, unknown), marks)
    asked = job.prompt(prompt, question, words, generator.causal)
    # Tags that look the same to the tokenizer are an error here; free answers alone may have them.
    needed = tasks.guided or tasks.loss == "choices"
    chunks = generator.chunks.words(words, prompt.tags(types), prompt.chunk) if needed else []
    spelt = [word.forced for word in chunks]
    if tasks.loss == "choices":
        pieces, choices, places = _choices(chunks, Tagset(len(types)), tags, unknown)
        return Row(asked, [*pieces, generator.end], choices, marks, spelt, places)
    names = prompt.tags(types)
    answer = prompt.answer(words, [names[tag] for tag in tags], _explanations(lesson, job, tags))
    return Row(asked, *_spelt(generator, answer, unknown), marks, spelt)


def _explanations(lesson: TrainingText, job: Job, tags: Sequence[int]) -> list[str]:
    """Why the entities of a window are what they are, in order."""
    spans = Tagset(len(job.types)).spans(tags)
    return [lesson.explanations.get((job.first + a, job.first + b, job.types[label]), "") for a, b, label in spans]


def _spelt(generator: Generator, answer: str, unknown: set[int]) -> tuple[list[int], list[Choice]]:
    """An answer in pieces, each of which is to be chosen from the whole vocabulary."""
    pieces = generator.spell(answer)
    # Whose piece is whose is not known here: a text with a gap in its annotation teaches nothing.
    places = () if unknown else enumerate(pieces)
    return pieces, [Choice(place, (), piece) for place, piece in places]


def _marks(lesson: TrainingText, job: Job, tags: Sequence[int], unknown: set[int], classes: Sequence[str]) -> list[int]:
    """Which types of a classifier a window holds; see `Exercise`."""
    tagset = Tagset(len(job.types))
    here = {tagset.label(tag) for tag in tags}
    # What is not annotated everywhere may be anywhere.
    absent = 0 if unknown else -1
    marks = {lesson.names[label]: 1 if i in here else absent for i, label in enumerate(job.types)} if classes else {}
    return [marks.get(name, 0) for name in classes]


def _choices(
    words: Sequence[AnswerWord], tagset: Tagset, tags: Sequence[int], unknown: set[int]
) -> tuple[list[int], list[Choice], list[int]]:
    """Subwords of an answer, what is chosen there, and where the choice of each word's tag begins."""
    pieces: list[int] = []
    choices: list[Choice] = []
    places: list[int] = []
    for i, (word, tag) in enumerate(zip(words, tags, strict=True)):
        path = word.trie.path(tag, tagset.allowed(tags[i - 1] if i else O_TAG))
        start = len(pieces) + len(word.forced)
        places.append(start)
        if i not in unknown:
            choices += [Choice(start + d.offset, d.subwords, d.subwords[d.chosen]) for d in path.decisions]
        pieces += [*word.forced, *path.subwords]
    return pieces, choices, places


def _tags(lesson: TrainingText, job: Job) -> tuple[list[int], set[int]]:
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
