"""Base of the components that learn from annotated text: spaCy's protocol of training."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate

from ..arguments import as_function, as_instance, as_number
from ..doc_arguments import as_examples, examples_of
from ..errors import warn
from ..labels import LabelSet, LabelsLike, get_labels
from ..models.queries import TrainingText
from ..models.words import WordMode
from ..scoring.gold import GoldSurvey
from ..settings import EntitySettings
from ..training.checks import TrainingChecks, check_loss
from ..training.optimizer import LayerwiseAdam_v1
from ..training.sampling import Sampler, TypeSampler_v1, finest_only_ratio
from ..training.targets import Gold, align, types_of
from .base import OpenLabelPipe, SettingsT


class TrainableOpenPipe(OpenLabelPipe[SettingsT], TrainablePipe):
    """Base of the components that learn from annotated entities. A subclass lays out training batches and computes
    their losses; where it finds entities too, it names this class before `OpenNERPipe`.

    vocab (Vocab): The pipeline's vocabulary.
    model (Model): What learns.
    name (str): The component's name.
    settings (SettingsT): Its settings.
    sampler (Sampler | None): Draws the types of training prompts.
    scorer (Callable | None): Scores examples, for `nlp.evaluate`.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str,
        settings: SettingsT,
        *,
        sampler: Sampler | None = None,
        scorer: Callable | None = None,
    ) -> None:
        super().__init__(vocab, name, settings, scorer=scorer)
        self.model = model
        self.sampler = sampler or TypeSampler_v1()
        # Gold spans that training met and could not teach, by reason.
        self.skipped_spans: Counter[str] = Counter()
        self._gold_survey: GoldSurvey | None = None
        self._checks = TrainingChecks(name)

    def _replace_object(self, name: str, new: Any) -> None:
        if name == "model":
            # Its layers may belong to other components, too. What was misread is where its weights once came from.
            self.model.shims[0].name = new.shims[0].name
        else:
            super()._replace_object(name, new)

    def _training_batches(self, texts: Sequence[Any]) -> Iterator[Any]:
        """Lay training texts out for the model.

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

    def _boundaries(self) -> tuple[str, ...]:
        """Name the places that no span crosses."""
        return self.settings.boundaries if isinstance(self.settings, EntitySettings) else ()

    def _max_span_width(self) -> int:
        """Words of the widest span that can be taught; 0 for no limit."""
        return 0

    @property
    def is_trainable(self) -> bool:
        """Tell whether the component can be updated."""
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
        losses = {} if losses is None else as_instance(losses, dict, "losses", "a dict that takes the losses, or None")
        losses.setdefault(self.name, 0.0)
        examples, drop = as_examples(examples), as_number(drop, "drop", 0, 1)
        if sgd is not None:
            as_function(sgd, "sgd", "an optimizer, or None")
        self._survey_gold(examples)
        self._checks.examine(examples, self.spans_key, self.settings.labels)
        set_dropout_rate(self.model, drop)
        for batch in self._training_batches(self._training_texts(examples)):
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

    def _take_labels(self, labels: LabelsLike | None, get_examples: Callable[[], Iterable[Example]]) -> None:
        """Take the labels that `initialize` is given, or those that its examples know where there are none yet."""
        if labels is not None:
            self.labels = labels
        elif not self.labels:
            self.labels = types_of(examples_of(get_examples), self.spans_key)

    def _sample(self, get_examples: Callable[[], Iterable[Example]]) -> list[Doc]:
        """Return a few docs, for layers that take their sizes from data."""
        return [example.predicted for example in islice(examples_of(get_examples), 10)]

    def _training_texts(self, examples: Sequence[Example]) -> Sequence[Any]:
        """Draw what examples teach in this update: a text for each."""
        texts: list[TrainingText] = []
        for example in examples:
            gold = align(example, self.spans_key, self._word_mode(), self._boundaries())
            listed = get_labels(example.reference, self.settings.labels)
            annotated_types = listed or LabelSet([name for name in gold.types if name.strip()])
            self._count_skipped(gold)
            texts.append(draw_training_text(gold, annotated_types, self.sampler, example.predicted))
        return texts

    def _survey_gold(self, examples: Sequence[Example]) -> None:
        """Warn where the examples have no entities, but span groups that were perhaps meant."""
        key, overlap = self.spans_key, self._gold_overlap()
        survey = self._gold_survey
        if survey is None or (survey.spans_key, survey.overlap) != (key, overlap):
            self._gold_survey = survey = GoldSurvey(key, overlap)
        for example in examples:
            survey.add(example.reference)
        survey.warn(repr(self.name))

    def _count_skipped(self, gold: Gold) -> None:
        """Say it, at the first and at every tenfold count, when gold spans are out of the model's reach."""
        width = self._max_span_width()
        wide = sum(last - first > width for first, last, _ in gold.spans) if width else 0
        if self._passes_a_power_of_ten("wide", wide):
            warn("W006", n=self.skipped_spans["wide"], widest=width)
        if self._passes_a_power_of_ten("misaligned", gold.misaligned):
            warn("W007", n=self.skipped_spans["misaligned"])
        if self._passes_a_power_of_ten("crossing", gold.crossing):
            warn("W021", n=self.skipped_spans["crossing"])

    def _passes_a_power_of_ten(self, reason: str, n: int) -> bool:
        before = self.skipped_spans[reason]
        self.skipped_spans[reason] += n
        return len(str(self.skipped_spans[reason])) > len(str(before)) or (before == 0 and n > 0)


def draw_training_text(gold: Gold, annotated_types: Mapping[str, str], sampler: Sampler, doc: Doc) -> TrainingText:
    """Draw the types that a text is asked for, and keep the annotation of these.

    gold (Gold): The annotation, in words.
    annotated_types (Mapping[str, str]): The types that were looked for when the text was annotated, with descriptions.
    sampler (Sampler): Draws types; as often as its `finest_only_ratio` says, a span has only the first of its types
        that are drawn.
    doc (Doc): The text itself.
    RETURNS (TrainingText): Without types where none are annotated; it teaches nothing then.
    """
    texts = sampler(gold.types, annotated_types) if annotated_types else {}
    index = {label: i for i, label in enumerate(texts)}
    spans = [(first, last, index[label]) for first, last, label in gold.spans if label in index]
    if random.random() < finest_only_ratio(sampler):
        first_types: dict[tuple[int, int], int] = {}
        for first, last, label in spans:
            first_types.setdefault((first, last), label)
        spans = [(first, last, label) for (first, last), label in first_types.items()]
    explained = {(a, b, index[label]): why for (a, b, label), why in gold.explanations.items() if label in index}
    return TrainingText(gold.words, list(texts.values()), spans, gold.unknown, doc, list(texts), None, explained)
