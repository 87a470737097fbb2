"""`type_filter`: which types a text is likely to hold, so that the next components look for these alone (ToNER)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Config, Model

from ..arguments import as_whole
from ..decoding.type_selection import TypeSelector
from ..descriptions import describe_types, type_text
from ..doc_arguments import as_docs, as_pairs
from ..files import as_path
from ..labels import LabelSet, LabelsLike, get_labels, labels_before, narrow_labels
from ..models.type_matcher.model import TypeQuery, TypeTrainingBatch, TypeTrainingText, type_model
from ..models.words import doc_sentences
from ..scoring.gold import judge_types
from ..settings import TypeFilterSettings
from ..training.losses import TypeLoss, TypeLoss_v1
from ..training.sampling import Sampler
from .base import Setting
from .factory import connected, default_config, settings_from_config, takes_settings
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
    default_config=default_config(
        TypeFilterSettings,
        model=DEFAULT_MODEL,
        loss={"@misc": "spacy-openner.TypeLoss.v1"},
        sampler={"@misc": "spacy-openner.TypeSampler.v1", "negative_ratio": 0.75, "description_ratio": 0.5},
        scorer={"@scorers": "spacy-openner.type_scorer.v1"},
    ),
    default_score_weights={
        "types_auc": 1.0,
        "types_r": 0.0,
        "types_p": 0.0,
        "types_kept": None,
        "types_per_type": None,
        "types_skipped": None,
    },
)
@takes_settings(TypeFilterSettings)
def make_type_filter(
    nlp: Language,
    name: str,
    model: Model,
    loss: Any,
    sampler: Callable,
    scorer: Callable | None,
    **settings: Any,
) -> "TypeFilter":
    """Build the component.

    **settings (Any): See `TypeFilterSettings`.
    RAISES (SettingError): For values that are not allowed, or that a config file would lose or change.
    """
    checked = settings_from_config(TypeFilterSettings, settings)
    pipe = TypeFilter(nlp.vocab, model, name, checked, loss=loss, sampler=sampler, scorer=scorer)
    return connected(pipe, nlp)


class TypeScores(NamedTuple):
    """The types that a text could be asked for.

    labels: The types.
    scores: How well each fits the text: a cosine. *Shape:* (types,).
    """

    labels: LabelSet
    scores: np.ndarray


class TypeFilter(TrainableOpenPipe[TypeFilterSettings]):
    """Choose the types that a doc is likely to hold, and write them to `doc._.openner_labels`, where the next
    components find them. `doc._.openner_type_scores` tells the scores of all types, kept or not.

    A doc that has types of its own, its user's or an earlier filter's, is asked for those instead of `labels`. Where
    there are neither, the doc is left as it is, and the next components look for their own labels.

    vocab (Vocab): The pipeline's vocabulary.
    model (Model): A type matcher; its weights are loaded at `initialize` or at first use.
    name (str): The component's name.
    settings (TypeFilterSettings | None): Its settings; the defaults if None.
    loss (TypeLoss | None): What training minimises.
    sampler (Sampler | None): Draws the types of training texts.
    scorer (Callable | None): Scores examples, for `nlp.evaluate`.
    """

    NO_LABELS_WARNING: ClassVar[str] = "W012"

    top_k: Setting[int | None] = Setting()
    keep_labels: Setting[Sequence[str]] = Setting()
    min_types: Setting[int] = Setting()
    propose_descriptions: Setting[bool] = Setting()
    batch_tokens: Setting[int] = Setting()

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "type_filter",
        settings: TypeFilterSettings | None = None,
        *,
        loss: TypeLoss | None = None,
        sampler: Sampler | None = None,
        scorer: Callable | None = None,
    ) -> None:
        super().__init__(vocab, model, name, settings or TypeFilterSettings(), sampler=sampler, scorer=scorer)
        self.loss = loss or TypeLoss_v1()

    def _adopt(self, settings: TypeFilterSettings, changed: Sequence[str]) -> None:
        super()._adopt(settings, changed)
        if "keep_labels" in changed:
            self._warn_of_unknown_labels("keep_labels", settings.keep_labels)

    # Prediction

    def predict(self, docs: Sequence[Doc]) -> list[TypeScores]:
        """Score types; the docs are not changed. Safe to call from several threads.

        RETURNS (list[TypeScores]): For each doc all of its types.
        """
        docs = as_docs(docs)
        labels_per_doc = self._labels_per_doc(docs)
        queries = [self._query(doc, labels) for doc, labels in zip(docs, labels_per_doc, strict=True)]
        scores = type_model(self.model).score(self.model, queries, self.batch_tokens)
        return [TypeScores(*pair) for pair in zip(labels_per_doc, scores, strict=True)]

    def choose(self, prediction: TypeScores) -> list[int]:
        """The places of the types that stay."""
        now = self.settings
        selector = TypeSelector(now.threshold, now.label_thresholds, now.keep_labels, now.top_k, now.min_types)
        return selector.select(prediction.labels.names, prediction.scores)

    def set_annotations(self, docs: Sequence[Doc], predictions: Sequence[TypeScores]) -> None:
        """Write the types that stay, and the scores of all."""
        for doc, prediction in as_pairs(docs, predictions, TypeScores, "what `predict` returned for these docs"):
            nothing = prediction.labels is self.settings.labels and not prediction.labels
            kept = None if nothing else prediction.labels.select(self.choose(prediction))
            scores = dict(zip(prediction.labels.names, prediction.scores.tolist(), strict=True))
            narrow_labels(doc, self.name, kept, scores)

    def _labels_of(self, doc: Doc) -> LabelSet:
        own = labels_before(doc, self.name)
        return self.settings.labels if own is None else own

    def _query(self, doc: Doc, labels: LabelSet) -> TypeQuery:
        texts = [type_text(*item) for item in self._described(labels).items()]
        return TypeQuery(doc_sentences(doc), texts, doc)

    def _described(self, labels: LabelSet) -> dict[str, str]:
        """The types with descriptions: their own, else the component's, else the table's, else the name."""
        if labels is not self.settings.labels:
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
        labels: LabelsLike | None = None,
        encoder: str | Path | None = None,
        static_width: int | None = None,
    ) -> None:
        """Load the weights, or make new ones. Weights that are there already are left alone.

        get_examples (Callable): Yields examples. If there are no labels yet, those that they know are taken.
        labels (LabelsLike | None): Types to choose from, from now on; unchanged if None. An
            empty list leaves them open, to be named by each doc or later.
        encoder (str | Path | None): Directory or hub name of an encoder to start from; None for what the model names.
        static_width (int | None): Make static token vectors of this width of the encoder (`text_encoders.distil`), and
            train these; None to train the encoder as it is.
        """
        self._take_labels(labels, get_examples)
        source = None if encoder is None else str(as_path(encoder, "encoder"))
        width = None if static_width is None else as_whole(static_width, "static_width", 1)
        type_model(self.model).initialize(self.model, partial(self._sample, get_examples), source, width)

    def _training_texts(self, examples: Sequence[Example]) -> list[TypeTrainingText]:
        return [self._training_text(example) for example in examples]

    def _training_text(self, example: Example) -> TypeTrainingText:
        annotated_types = self._described(get_labels(example.reference, self.settings.labels))
        known = judge_types(example.reference, self.spans_key, annotated_types)
        present = [label for label in known if known[label]]
        drawn = self.sampler(present, {label: annotated_types[label] for label in known})
        # A name that stands for another one is described by itself.
        texts = [type_text(label if text == annotated_types[label] else text, text) for label, text in drawn.items()]
        query = TypeQuery(doc_sentences(example.predicted), texts, example.predicted)
        return TypeTrainingText(query, [known[label] for label in drawn])

    def _training_batches(self, texts: Sequence[TypeTrainingText]) -> Iterator[TypeTrainingBatch]:
        return type_model(self.model).training_batches(self.model, texts, self.batch_tokens)

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
