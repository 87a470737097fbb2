"""`type_filter`: which types a text is likely to hold, so that the next components look for these alone (ToNER)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Config, Model

from ..decoding.type_selection import TypeSelector
from ..descriptions import describe_types, type_text
from ..errors import error
from ..labels import LabelSet, get_labels, set_labels
from ..models.type_matcher.model import TypeQuery, TypeTrainingBatch, TypeTrainingText, type_model
from ..models.words import doc_sentences
from ..scoring.gold import judge_types
from ..settings import check_config_keys
from ..training.losses import TypeLoss, TypeLoss_v1
from ..training.sampling import Sampler
from ..training.targets import types_of
from .training import TrainableOpenPipe

DEFAULT_CONFIG = """
[model]
@architectures = "spacy-openner.TypeMatcher.v1"
name = ""
revision = null
tok2vec = null
"""
DEFAULT_MODEL = Config().from_str(DEFAULT_CONFIG)["model"]


@Language.factory(
    "type_filter",
    assigns=["doc._.openner_labels", "doc._.openner_type_scores"],
    default_config={
        "model": DEFAULT_MODEL,
        "labels": [],
        "threshold": 0.2,
        "label_thresholds": {},
        "top_k": None,
        "always": [],
        "min_types": 0,
        "propose_descriptions": False,
        "spans_key": "openner",
        "batch_tokens": 2048,
        "loss": {"@misc": "spacy-openner.TypeLoss.v1"},
        "sampler": {"@misc": "spacy-openner.TypeSampler.v1", "negative_ratio": 0.75, "description_ratio": 0.5},
        "scorer": {"@scorers": "spacy-openner.type_scorer.v1"},
    },
    default_score_weights={
        "types_auc": 1.0,
        "types_r": 0.0,
        "types_p": 0.0,
        "types_kept": None,
        "types_per_type": None,
        "types_skipped": None,
    },
)
def make_type_filter(
    nlp: Language,
    name: str,
    model: Model,
    labels: list[str] | dict[str, str],
    threshold: float,
    label_thresholds: dict[str, float],
    top_k: int | None,
    always: list[str],
    min_types: int,
    propose_descriptions: bool,
    spans_key: str,
    batch_tokens: int,
    loss: Any,
    sampler: Callable,
    scorer: Callable | None,
) -> "TypeFilter":
    """Build the component; see `TypeFilter` for the settings.

    RAISES (SettingError): For keys of mappings that a config file would lose or change.
    """
    for setting, value in (("labels", labels), ("label_thresholds", label_thresholds)):
        if isinstance(value, dict):
            check_config_keys(setting, value)
    return TypeFilter(
        nlp.vocab,
        model,
        name,
        labels=labels,
        threshold=threshold,
        label_thresholds=label_thresholds,
        top_k=top_k,
        always=always,
        min_types=min_types,
        propose_descriptions=propose_descriptions,
        spans_key=spans_key,
        batch_tokens=batch_tokens,
        loss=loss,
        sampler=sampler,
        scorer=scorer,
    )


class TypeScores(NamedTuple):
    """What a text could be asked for.

    labels: The types.
    scores: How well each fits the text: a cosine. *Shape:* (types,).
    """

    labels: LabelSet
    scores: np.ndarray


class TypeFilter(TrainableOpenPipe):
    """Choose the types that a doc is likely to hold, and write them to `doc._.openner_labels`, where the next
    components find them. `doc._.openner_type_scores` tells the scores of all types, kept or not.

    A doc that has types of its own, its user's or an earlier filter's, is asked for those instead of `labels`. Where
    there are neither, the doc is left as it is, and the next components look for their own labels.

    vocab (Vocab): The pipeline's vocabulary.
    model (Model): A type matcher; its weights are loaded at `initialize` or at first use.
    name (str): The component's name.
    top_k (int | None): The most types that are kept beside those of `always`; None for no limit.
    always (Sequence[str]): Types that are never filtered out.
    min_types (int): At least so many are kept, the best ones, whatever their scores.
    propose_descriptions (bool): Describe types that have no description by the table of `describe_types`.
    loss (Callable): What training minimises.
    sampler (Sampler | None): Draws the types of training texts.
    **settings (Any): See `OpenLabelPipe`. Scores are cosines, from -1 to 1; `spans_key` is where gold entities are.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = (
        "threshold",
        "label_thresholds",
        "always",
        "top_k",
        "min_types",
        "propose_descriptions",
        "spans_key",
        "batch_tokens",
    )
    NO_LABELS: ClassVar[str] = "W012"
    LEAST: ClassVar[float] = -1.0

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "type_filter",
        *,
        top_k: int | None = None,
        always: Sequence[str] = (),
        min_types: int = 0,
        propose_descriptions: bool = False,
        loss: TypeLoss | None = None,
        sampler: Sampler | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(vocab, model, name, sampler=sampler, **{"threshold": 0.2, **settings})
        self.loss = loss or TypeLoss_v1()
        self.propose_descriptions = propose_descriptions
        self.top_k = top_k
        self.min_types = min_types
        self.always = always
        self._given = self._settings()

    # Settings

    @property
    def top_k(self) -> int | None:
        """The most types that are kept."""
        return self._top_k

    @top_k.setter
    def top_k(self, value: int | None) -> None:
        if value is not None:
            _check_count("top_k", value)
        self._top_k = value

    @property
    def min_types(self) -> int:
        """How many types are kept at least."""
        return self._min_types

    @min_types.setter
    def min_types(self, value: int) -> None:
        _check_count("min_types", value)
        self._min_types = value

    @property
    def always(self) -> list[str]:
        """Types that are never filtered out."""
        return list(self._always)

    @always.setter
    def always(self, names: Sequence[str]) -> None:
        self._always = LabelSet(names).names
        self._warn_of_strangers("always", self._always)

    # Prediction

    def predict(self, docs: Sequence[Doc]) -> list[TypeScores]:
        """Score types; the docs are not changed. Safe to call from several threads.

        RETURNS (list[TypeScores]): For each doc all of its types.
        """
        asked = self._asked(docs)
        questions = [self._question(doc, labels) for doc, labels in zip(docs, asked, strict=True)]
        scores = type_model(self.model).score(self.model, questions, self.batch_tokens)
        return [TypeScores(*each) for each in zip(asked, scores, strict=True)]

    def choose(self, prediction: TypeScores) -> list[int]:
        """The places of the types that stay."""
        selector = TypeSelector(self._threshold, self._label_thresholds, self._always, self._top_k, self._min_types)
        return selector.select(prediction.labels.names, prediction.scores)

    def set_annotations(self, docs: Sequence[Doc], predictions: Sequence[TypeScores]) -> None:
        """Write the types that stay, and the scores of all."""
        for doc, prediction in zip(docs, predictions, strict=True):
            if prediction.labels is self._labels and not len(self._labels):
                continue
            names = prediction.labels.names
            kept = self.choose(prediction)
            set_labels(doc, prediction.labels.select(kept), dict(zip(names, prediction.scores.tolist(), strict=True)))

    def _question(self, doc: Doc, labels: LabelSet) -> TypeQuery:
        texts = [type_text(*each) for each in self._described(labels).items()]
        return TypeQuery(doc_sentences(doc), texts, doc)

    def _described(self, labels: LabelSet) -> dict[str, str]:
        """The types with descriptions: their own, else the component's, else the table's, else the name."""
        if labels is not self._labels:
            own = self.descriptions
            given = {name: text if text != name else own.get(name, name) for name, text in labels.items()}
        else:
            given = self.descriptions
        return describe_types(given) if self.propose_descriptions else given

    # Training

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | Mapping[str, str] | None = None,
        encoder: str | Path | None = None,
        static_width: int | None = None,
    ) -> None:
        """Load the weights, or make new ones. Weights that are there already are left alone.

        get_examples (Callable): Yields examples. If there are no labels yet, those that they know are taken.
        labels (Sequence[str] | Mapping[str, str] | None): Types to choose from, from now on; unchanged if None. An
            empty list leaves them open, to be named by each doc or later.
        encoder (str | Path | None): Directory or hub name of an encoder to start from; None for what the model names.
        static_width (int | None): Make static token vectors of this width of the encoder (`text_encoders.distil`), and
            train these; None to train the encoder as it is.
        """
        if labels is not None:
            self.labels = labels
        elif not self.labels:
            self.labels = types_of(get_examples(), self.spans_key)
        sample = [eg.predicted for eg in islice(get_examples(), 10)]
        type_model(self.model).initialize(self.model, lambda: sample, encoder, static_width)

    def _lessons(self, examples: Sequence[Example]) -> list[TypeTrainingText]:
        return [self._lesson(example) for example in examples]

    def _lesson(self, example: Example) -> TypeTrainingText:
        asked = get_labels(example.reference, self._labels)
        universe = self._described(asked)
        known = judge_types(example.reference, self.spans_key, universe)
        drawn = self.sampler([label for label in known if known[label]], {label: universe[label] for label in known})
        # A name that stands for another one is described by itself.
        texts = [type_text(label if text == universe[label] else text, text) for label, text in drawn.items()]
        question = TypeQuery(doc_sentences(example.predicted), texts, example.predicted)
        return TypeTrainingText(question, [known[label] for label in drawn])

    def _batches(self, lessons: Sequence[TypeTrainingText]) -> Iterator[TypeTrainingBatch]:
        return type_model(self.model).training_batches(self.model, lessons, self.batch_tokens)

    def get_loss(self, batch: TypeTrainingBatch, scores: Any) -> tuple[float, Any]:
        """Compare scores with the gold annotation.

        batch (TypeTrainingBatch): What was scored.
        scores (torch.Tensor): Cosines. *Shape:* (texts, types).
        RETURNS (tuple): The loss, averaged over the texts of the update, and its gradient by the scores.
        """
        leaf = scores.detach().requires_grad_()
        loss = self.loss(leaf, batch.present.to(leaf.device), batch.known.to(leaf.device)) * batch.share
        loss.backward()
        return float(loss.detach()), leaf.grad

    # Serialisation

    def _save(self, path: Path) -> None:
        type_model(self.model).save(self.model, path)

    def _load(self, path: Path) -> None:
        type_model(self.model).load(self.model, path)

    def _pack(self) -> bytes:
        return type_model(self.model).pack(self.model)

    def _unpack(self, data: bytes) -> None:
        type_model(self.model).unpack(self.model, data)


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise error("O001", name=name, value=value, allowed="a whole number from 0")
