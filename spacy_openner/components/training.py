"""What components share that learn from annotated text: spaCy's protocol of training."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from spacy.pipeline import TrainablePipe
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate

from ..errors import warn
from ..labels import get_labels
from ..models.queries import TrainingText
from ..models.words import WordMode
from ..scoring.gold import GoldSurvey
from ..training.checks import TrainingChecks, check_loss
from ..training.optimizer import LayerwiseAdam_v1
from ..training.sampling import Sampler, TypeSampler_v1
from ..training.targets import Gold, align
from .base import OpenLabelPipe
from .lessons import make_lesson


class TrainableOpenPipe(OpenLabelPipe, TrainablePipe):
    """What the components that learn from annotated entities share. A subclass says what batches are and what they
    cost; where it finds entities too, it names this class before `OpenNERPipe`.

    vocab (Vocab): The pipeline's vocabulary.
    model (Model): What learns.
    name (str): The component's name.
    sampler (Sampler | None): Draws the types of training prompts.
    **settings (Any): Of the next class: `OpenNERPipe`, or `OpenLabelPipe`.
    """

    def __init__(
        self, vocab: Vocab, model: Model, name: str, *, sampler: Sampler | None = None, **settings: Any
    ) -> None:
        super().__init__(vocab, name, **settings)
        self.model = model
        self.sampler = sampler or TypeSampler_v1()
        # Gold spans that training met and could not teach, by reason.
        self.untaught: Counter[str] = Counter()
        self._gold_survey: GoldSurvey | None = None
        self._checks = TrainingChecks(name)

    def _batches(self, lessons: Sequence[Any]) -> Iterator[Any]:
        """Lay lessons out for the model.

        YIELDS (Any): What `get_loss` takes; its `request` is what the model takes.
        """
        raise NotImplementedError

    def get_loss(self, batch: Any, scores: Any) -> tuple[float, Any]:
        """Compare scores with the gold annotation.

        RETURNS (tuple): The loss, and its gradient by the scores.
        """
        raise NotImplementedError

    def _word_mode(self) -> WordMode:
        """Which words the model sees."""
        return "spacy"

    def _widest(self) -> int:
        """Words of the widest span that can be taught; 0 for no limit."""
        return 0

    @property
    def is_trainable(self) -> bool:
        """Whether the component can be updated."""
        return True

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch.

        A text's own list of types (`reference._.openner_labels`, which the corpus reader sets) says what its
        annotation covers; without one, the component's labels do. Other types are never taken for absent.

        drop (float): Dropout; which layers have it is the model's affair.
        sgd (Optimizer | None): Applies the gradients; None to gather them.
        losses (dict[str, float] | None): Where the loss is added, under the component's name.
        RETURNS (dict[str, float]): The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.update")
        self._survey_gold(examples)
        self._checks.examine(examples, self.spans_key, self._labels)
        set_dropout_rate(self.model, drop)
        for batch in self._batches(self._lessons(examples)):
            scores, backprop = self.model.begin_update(batch.request)
            loss, d_scores = self.get_loss(batch, scores)
            check_loss(self.name, loss)
            backprop(d_scores)
            losses[self.name] += loss
        if sgd is not None:
            self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Apply the gradients that updates have gathered."""
        self._checks.examine_optimizer(sgd, is_pretrained=bool(self.model.shims))
        self.model.finish_update(sgd)

    @contextmanager
    def use_params(self, params: dict) -> Iterator[None]:
        """Part of spaCy's protocol; averages of parameters are not kept by PyTorch layers."""
        with self.model.use_params(params):
            yield

    def create_optimizer(self) -> Optimizer:
        """The optimizer of a component that is trained alone: rates of the paper (section 3.2)."""
        return LayerwiseAdam_v1()

    def _lessons(self, examples: Sequence[Example]) -> Sequence[Any]:
        """What examples teach: a lesson for each."""
        lessons: list[TrainingText] = []
        for example in examples:
            gold = align(example, self.spans_key, self._word_mode())
            asked = get_labels(example.reference, self._labels)
            universe = dict(asked) or {label: label for label in gold.types}
            self._count_untaught(gold)
            lessons.append(make_lesson(gold, universe, self.sampler, example.predicted))
        return lessons

    def _survey_gold(self, examples: Sequence[Example]) -> None:
        """Warn where the examples have no entities, but span groups that were perhaps meant."""
        if self._gold_survey is None or self._gold_survey.spans_key != self.spans_key:
            self._gold_survey = GoldSurvey(self.spans_key)
        for example in examples:
            self._gold_survey.add(example.reference)
        self._gold_survey.warn(repr(self.name))

    def _count_untaught(self, gold: Gold) -> None:
        """Say it, at the first and at every tenfold count, when gold spans are out of the model's reach."""
        widest = self._widest()
        wide = sum(last - first > widest for first, last, _ in gold.spans) if widest else 0
        if self._passes_a_power_of_ten("wide", wide):
            warn("W006", n=self.untaught["wide"], widest=widest)
        if self._passes_a_power_of_ten("misaligned", gold.misaligned):
            warn("W007", n=self.untaught["misaligned"])

    def _passes_a_power_of_ten(self, reason: str, n: int) -> bool:
        before = self.untaught[reason]
        self.untaught[reason] += n
        return len(str(self.untaught[reason])) > len(str(before)) or (before == 0 and n > 0)
