"""Train generative models: at each target of an answer, on the subword that the annotation wants.

The copy of the text is forced where answers are decoded under constraints, so there is nothing to learn in it: the
loss "choices" looks at the branches of the tries alone, among what is allowed there. "answer" is the usual loss over
all subwords of the answer and the whole vocabulary, which free decoding needs. Two further tasks may help (ToNER): to
name the types that a text holds, and to tell them from the encoder's states.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ...decoding.copy_constrained import FedPosition
from ...decoding.tag_trie import O_TAG, AnswerWord, Subwords, Tagset
from ...prompts.base import Prompt, RecognitionPrompt
from ..queries import TrainingText
from .attention_supervision import AttentionTarget, copy_targets, recorded_attention, tag_targets
from .model import Generator
from .prompt_windows import DecodingSettings, PromptWindow, TaggingQuery, batch_windows, plan_windows, visible_words

LOSSES: tuple[str, ...] = ("choices", "answer")


class Target(NamedTuple):
    """A position of an answer where something is to be learned.

    position (int): Of the subword after which the choice comes.
    allowed (Subwords): The subwords to choose from; empty for the whole vocabulary.
    gold (int): The right one.
    """

    position: int
    allowed: Subwords
    gold: int


class TrainingTasks(NamedTuple):
    """The tasks to train.

    loss (str): One of `LOSSES`.
    recognition_ratio (float): How often a text is asked for its types instead of its entities (ToNER, section 3.4).
    classes (Sequence[str]): The types that the type classifier knows, by name.
    attention (bool): Whether the decoder's attention is supervised.
    """

    loss: str
    recognition_ratio: float = 0.0
    classes: Sequence[str] = ()
    attention: bool = False


@dataclass(frozen=True)
class GeneratorExample:
    """One prompt with its answer.

    prompt (str): The prompt.
    answer (list[int]): The answer's subwords.
    targets (list[Target]): What is to be learned in it.
    type_targets (list[int]): Which of the classifier's types its text holds; see `GeneratorBatch`.
    words (Sequence[Subwords]): The subwords of each word.
    tag_positions (Sequence[int]): After which subword the tag of each is chosen; empty for free answers.
    """

    prompt: str
    answer: list[int]
    targets: list[Target]
    type_targets: list[int]
    words: Sequence[Subwords] = ()
    tag_positions: Sequence[int] = ()


@dataclass(frozen=True)
class BatchOutputs:
    """Output of a network for a batch; or the gradients of the loss by it.

    logits (Tensor): Of each target. *Shape:* (targets, columns).
    types (Tensor | None): The type classifier's logits, where there is one. *Shape:* (rows, types).
    attention (Tensor | None): Logarithms of the attention to its targets, where it is supervised.
        *Shape:* (layers, attention targets).
    """

    logits: Tensor
    types: Tensor | None = None
    attention: Tensor | None = None

    def as_leaves(self) -> "BatchOutputs":
        """Return them as leaves of a new graph, by which gradients can be taken."""
        return self._map(lambda value: value.detach().requires_grad_())

    def gradients(self) -> "BatchOutputs":
        """Return the gradients of leaves, 0 where the loss does not depend on them."""
        return self._map(lambda value: torch.zeros_like(value) if value.grad is None else value.grad)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "BatchOutputs":
        optional = (None if value is None else function(value) for value in (self.types, self.attention))
        return BatchOutputs(function(self.logits), *optional)

    def tensors(self) -> list[Tensor]:
        """Return those that are there."""
        return [value for value in (self.logits, self.types, self.attention) if value is not None]


@dataclass(frozen=True)
class GeneratorBatch:
    """Prompts with what their answers are fed and should choose.

    ids, mask (Tensor): The prompts. *Shape of each:* (rows, subwords).
    fed (list[list[int]]): The subwords that the decoder is fed of each answer, the one that starts it included.
    targets (list[list[Target]]): Of each answer.
    share (float): The part of the update's windows that a row is.
    type_targets (Tensor): Which of the classifier's types each row's text holds: 1, -1 for those that it does not hold,
        0 where that is not known. *Shape:* (rows, types).
    attention_targets (Sequence[AttentionTarget]): Where the decoder should attend; empty where that is not trained.
    """

    ids: Tensor
    mask: Tensor
    fed: list[list[int]]
    targets: list[list[Target]]
    share: float
    type_targets: Tensor
    attention_targets: Sequence[AttentionTarget] = ()

    @property
    def request(self) -> "GeneratorBatch":
        """The model's input: all of it."""
        return self

    @property
    def positions(self) -> list[FedPosition]:
        """The position of each target."""
        return [FedPosition(row, target.position) for row, targets in enumerate(self.targets) for target in targets]

    @property
    def columns(self) -> list[int]:
        """The subwords that are scored; empty for the whole vocabulary."""
        return sorted({subword for row in self.targets for target in row for subword in target.allowed})

    def forward(self, generator: Generator, classifier: nn.Module | None = None) -> BatchOutputs:
        """Score the targets, right answers fed.

        classifier (nn.Module | None): Reads the mean of the encoder's states (ToNER, section 3.3).
        """
        decoder = generator.start_decoder(self.ids, self.mask)
        decoder.keep_cache = False
        types = None if classifier is None else classifier(decoder.pooled).float()
        with recorded_attention(generator.network) as recorder:
            decoder.feed(range(len(self.fed)), self.fed, [0] * len(self.fed))
        attention = recorder.log_attention(self.attention_targets, self.mask) if self.attention_targets else None
        logits = decoder.logits(self.positions, self.columns or generator.vocabulary).float()
        return BatchOutputs(logits, types, attention)


def generator_batches(
    generator: Generator, prompt: Prompt, texts: Sequence[TrainingText], tasks: TrainingTasks, batch_tokens: int
) -> Iterator[GeneratorBatch]:
    """Lay training texts out in windows and batches.

    texts (Sequence[TrainingText]): Of overlapping spans the first and longest are trained, of several types of a span
        one at random: a tag has one label.
    YIELDS (GeneratorBatch): To be trained one by one (`forward`, backward), so that memory is bounded.
    """
    queries = [TaggingQuery(text.words, text.types, hints=text.likely) for text in texts]
    settings = DecodingSettings(overlap=0)
    windows = [w for i, query in enumerate(queries) for w in plan_windows(generator, prompt, query, i, settings)]
    for group in batch_windows(windows, batch_tokens):
        examples = [_example(generator, prompt, queries[w.query], texts[w.query], w, tasks) for w in group]
        ids, mask = generator.encode_prompts([example.prompt for example in examples])
        start = generator.start_subwords(ids)
        batch = GeneratorBatch(
            ids,
            mask,
            [[first, *example.answer[:-1]] for first, example in zip(start, examples, strict=True)],
            [example.targets for example in examples],
            1 / len(windows),
            torch.tensor([example.type_targets for example in examples]),
            _attention_targets(ids, mask, examples) if tasks.attention else (),
        )
        if batch.positions:
            yield batch


def answer_loss(batch: GeneratorBatch, logits: Tensor) -> Tensor:
    """Return the cross-entropy of the right choices among the allowed ones, averaged over each text's, then the texts.

    logits (Tensor): See `BatchOutputs`.
    """
    columns = batch.columns
    number = {subword: i for i, subword in enumerate(columns)}
    targets = [target for row in batch.targets for target in row]
    if columns:
        allowed = torch.zeros(logits.shape, dtype=torch.bool)
        for row, target in enumerate(targets):
            allowed[row, [number[subword] for subword in target.allowed]] = True
        logits = logits.masked_fill(~allowed.to(logits.device), float("-inf"))
    gold = torch.tensor([number.get(target.gold, target.gold) for target in targets], device=logits.device)
    weights = [batch.share / len(row) for row in batch.targets for _ in row]
    return (cross_entropy(logits, gold, reduction="none") * torch.tensor(weights, device=logits.device)).sum()


def attention_loss(batch: GeneratorBatch, log_attention: Tensor) -> Tensor:
    """Return how little attention goes to its targets, averaged over layers, each text's targets, and the texts.

    log_attention (Tensor): See `BatchOutputs`.
    """
    counts = Counter(target.row for target in batch.attention_targets)
    weights = [batch.share / counts[target.row] for target in batch.attention_targets]
    return -(log_attention.mean(0) * torch.tensor(weights, device=log_attention.device)).sum()


def _attention_targets(ids: Tensor, mask: Tensor, examples: Sequence[GeneratorExample]) -> list[AttentionTarget]:
    targets = []
    for row, example in enumerate(examples):
        # Padding counts for nothing, and is no part of a text.
        prompt = ids[row].masked_fill(mask[row] == 0, -1).tolist()
        if example.tag_positions:
            targets += tag_targets(row, prompt, example.words, example.tag_positions)
        elif example.targets:
            targets += copy_targets(row, prompt, example.words, example.answer)
    return targets


def _example(
    generator: Generator,
    prompt: Prompt,
    query: TaggingQuery,
    text: TrainingText,
    window: PromptWindow,
    tasks: TrainingTasks,
) -> GeneratorExample:
    """Return the prompt of a window of a text, with its right answer."""
    words = visible_words(generator, text.words.texts[window.first : window.last])
    types = list(text.types[window.types.start : window.types.stop])
    tags, unknown = _tags(text, window)
    type_targets = _type_targets(text, window, tags, unknown, tasks.classes)
    if isinstance(prompt, RecognitionPrompt) and random.random() < tasks.recognition_ratio:
        present = {Tagset(len(types)).label(tag) for tag in tags}
        answer = prompt.recognition_answer([name for i, name in enumerate(types) if i in present])
        rendered = prompt.render_recognition(words, types, causal=generator.causal)
        return _free_example(generator, rendered, answer, unknown, type_targets)
    rendered = window.render(prompt, query, words, generator.causal)
    names = prompt.tags(types)
    # Tags that look the same to the tokenizer are an error here; free answers alone may have them.
    needed = tasks.attention or tasks.loss == "choices"
    after_space = generator.answers_after_space(rendered)
    chunks = generator.chunks.encode_words(words, names, prompt.chunk, after_space) if needed else []
    if tasks.loss == "choices":
        return _constrained_example(generator, rendered, chunks, tags, unknown, type_targets)
    answer = prompt.answer(words, [names[tag] for tag in tags], _explanations(text, window, tags))
    return _free_example(generator, rendered, answer, unknown, type_targets, [word.forced for word in chunks])


def _constrained_example(
    generator: Generator,
    prompt: str,
    words: Sequence[AnswerWord],
    tags: Sequence[int],
    unknown: set[int],
    type_targets: list[int],
) -> GeneratorExample:
    """Return an example whose targets are the branches of the tries."""
    # Each word has two tags per label, and "O".
    tagset = Tagset((len(words[0].trie.sequences) - 1) // 2)
    answer: list[int] = []
    targets: list[Target] = []
    positions: list[int] = []
    for i, (word, tag) in enumerate(zip(words, tags, strict=True)):
        path = word.trie.path(tag, tagset.allowed(tags[i - 1] if i else O_TAG))
        start = len(answer) + len(word.forced)
        positions.append(start)
        if i not in unknown:
            targets += [Target(start + d.offset, d.subwords, d.subwords[d.chosen]) for d in path.decisions]
        answer += [*word.forced, *path.subwords]
    forced = [word.forced for word in words]
    return GeneratorExample(prompt, [*answer, generator.end], targets, type_targets, forced, positions)


def _free_example(
    generator: Generator,
    prompt: str,
    answer: str,
    unknown: set[int],
    type_targets: list[int],
    words: Sequence[Subwords] = (),
) -> GeneratorExample:
    """Return an example in which each subword is to be chosen from the whole vocabulary."""
    subwords = generator.encode_answer(answer, prompt)
    # Which subword belongs to which word is not known here: a text with a gap in its annotation trains nothing.
    targets = [] if unknown else [Target(position, (), subword) for position, subword in enumerate(subwords)]
    return GeneratorExample(prompt, subwords, targets, type_targets, words)


def _explanations(text: TrainingText, window: PromptWindow, tags: Sequence[int]) -> list[str]:
    """Return the explanations of the entities of a window, in order."""
    spans = Tagset(len(window.types)).spans(tags)
    return [text.explanations.get((window.first + a, window.first + b, window.types[i]), "") for a, b, i in spans]


def _type_targets(
    text: TrainingText, window: PromptWindow, tags: Sequence[int], unknown: set[int], classes: Sequence[str]
) -> list[int]:
    """Return which types of the classifier a window holds; see `GeneratorBatch`."""
    tagset = Tagset(len(window.types))
    present = {tagset.label(tag) for tag in tags}
    # What is not annotated everywhere may be anywhere.
    absent = 0 if unknown else -1
    known = {text.names[t]: 1 if i in present else absent for i, t in enumerate(window.types)} if classes else {}
    return [known.get(name, 0) for name in classes]


def _tags(text: TrainingText, window: PromptWindow) -> tuple[list[int], set[int]]:
    """Return the tags of a window's words, and the words about which nothing is trained."""
    tags = [O_TAG] * (window.last - window.first)
    unknown = {i - window.first for first, last in text.unknown for i in range(first, last)}
    taken: set[int] = set()
    for first, last, label in sorted(text.spans, key=lambda span: (span[0] - span[1], span[0], random.random())):
        run = range(first - window.first, last - window.first)
        if label not in window.types or taken.intersection(run):
            continue
        taken.update(run)
        if run.start < 0 or run.stop > len(tags):
            # A window's edge cuts it.
            unknown.update(run)
            continue
        tags[run.start : run.stop] = Tagset(len(window.types)).entity(label - window.types.start, len(run))
    return tags, unknown
