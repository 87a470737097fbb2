"""`open_ner_span`: entities of types named at run time, by scoring spans (GLiNER)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Config, Model

from ..arguments import as_mapping, as_name
from ..decoding.span_selection import merge_adjacent
from ..doc_arguments import as_doc, as_docs, as_spans
from ..errors import error
from ..files import as_path, replaced_directory
from ..labels import LabelSet, LabelsLike, get_labels
from ..models.gliner.adapters import FILES
from ..models.queries import ScoredSpan, SpanQuery, TrainingBatch, TrainingText
from ..models.span_model import span_model
from ..models.words import WordMode, doc_words
from ..settings import OpenNERSpanSettings
from ..training.losses import Loss, SpanLoss_v1, gradient_of
from ..training.sampling import Sampler
from ..types import Candidate
from .base import Setting
from .entity_pipe import SCORE_WEIGHTS, OpenNERPipe
from .factory import connected, default_config, settings_from_config, takes_settings
from .training import TrainableOpenPipe

DEFAULT_CONFIG = """
[model]
@architectures = "spacy-openner.TypeCacheSpanMatcher.v1"
name = ""
revision = null
words = "spacy"
precision = "auto"
backend = "torch"
window = null
overlap = 32
max_types = null
cache_mb = 256
company = 0.25
mixed_precision = false
"""
DEFAULT_MODEL = Config().from_str(DEFAULT_CONFIG)["model"]


@Language.factory(
    "open_ner_span",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"],
    default_config=default_config(
        OpenNERSpanSettings,
        model=DEFAULT_MODEL,
        loss={"@misc": "spacy-openner.SpanLoss.v1"},
        sampler={"@misc": "spacy-openner.TypeSampler.v1"},
        scorer={"@scorers": "spacy-openner.entity_scorer.v1"},
    ),
    default_score_weights=SCORE_WEIGHTS,
)
@takes_settings(OpenNERSpanSettings)
def make_open_ner_span(
    nlp: Language,
    name: str,
    model: Model,
    loss: Callable,
    sampler: Callable,
    scorer: Callable | None,
    **settings: Any,
) -> "OpenNERSpan":
    """Build the component.

    **settings (Any): See `OpenNERSpanSettings`.
    RAISES (SettingError): For values that are not allowed, or that a config file would lose or change.
    """
    checked = settings_from_config(OpenNERSpanSettings, settings)
    pipe = OpenNERSpan(nlp.vocab, model, name, checked, loss=loss, sampler=sampler, scorer=scorer)
    return connected(pipe, nlp)


class OpenNERSpan(TrainableOpenPipe[OpenNERSpanSettings], OpenNERPipe[OpenNERSpanSettings]):
    """Find entities of types that are named at run time, by scoring all spans against all types.

    vocab (Vocab): The pipeline's vocabulary.
    model (Model): A span matcher; its weights are loaded at `initialize` or at first use.
    name (str): The component's name.
    settings (OpenNERSpanSettings | None): Its settings; the defaults if None.
    loss (Loss | None): What training minimises.
    sampler (Sampler | None): Draws the types of training prompts.
    scorer (Callable | None): Scores examples, for `nlp.evaluate`.
    """

    use_descriptions: Setting[bool] = Setting()
    batch_tokens: Setting[int] = Setting()

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "open_ner_span",
        settings: OpenNERSpanSettings | None = None,
        *,
        loss: Loss | None = None,
        sampler: Sampler | None = None,
        scorer: Callable | None = None,
    ) -> None:
        super().__init__(vocab, model, name, settings or OpenNERSpanSettings(), sampler=sampler, scorer=scorer)
        self.loss = loss or SpanLoss_v1()

    def predict(self, docs: Sequence[Doc]) -> list[list[Candidate]]:
        """Find candidates; the docs are not changed. Safe to call from several threads.

        docs (Sequence[Doc]): Any docs.
        RETURNS (list[list[Candidate]]): For each doc what passed the thresholds and may stand together.
        """
        docs = as_docs(docs)
        labels_per_doc = self._labels_per_doc(docs)
        # Docs mostly share the component's labels: their thresholds are looked up once.
        thresholds = {id(labels): self._thresholds(labels) for labels in {id(x): x for x in labels_per_doc}.values()}
        pairs = zip(docs, labels_per_doc, strict=True)
        queries = [self._query(doc, labels, thresholds[id(labels)]) for doc, labels in pairs]
        if not any(len(query.words) and query.types for query in queries):
            return [[] for _ in docs]
        results = span_model(self.model).find(self.model, queries, self.batch_tokens)
        return [self._candidates(*columns) for columns in zip(docs, queries, labels_per_doc, results, strict=True)]

    def span_scores(self, doc: Doc, spans: Sequence[Span], labels: LabelsLike | None = None) -> np.ndarray:
        """Probabilities of given spans for given types, whatever the thresholds and however wide the spans.

        doc (Doc): The doc that the spans belong to.
        spans (Sequence[Span]): Any spans of it; overlaps are fine.
        labels (LabelsLike | None): Types; those that `predict` would use if None.
        RETURNS (np.ndarray): 0 for spans of white space. *Shape:* (spans, labels), float32.
        RAISES (TextError): For a span of another doc, or one that is longer than the model's window.
        """
        doc, spans = as_doc(doc), as_spans(spans)
        for span in spans:
            if span.doc is not doc:
                raise error("O202", text=span.text)
        own = get_labels(doc, self.settings.labels) if labels is None else LabelSet(labels)
        query = self._query(doc, own, self._thresholds(own))
        return span_model(self.model).score(self.model, query, [query.words.of_span(span) for span in spans])

    def _thresholds(self, labels: LabelSet) -> np.ndarray:
        return np.array([self._threshold_of(label) for label in labels], dtype=np.float32)

    def _query(self, doc: Doc, labels: LabelSet, thresholds: np.ndarray) -> SpanQuery:
        words = doc_words(doc, self._word_mode(), self.boundaries)
        return SpanQuery(words, labels.prompt_texts(self.use_descriptions), thresholds, doc, labels.names)

    def _candidates(self, doc: Doc, query: SpanQuery, labels: LabelSet, results: list[ScoredSpan]) -> list[Candidate]:
        """Go from words to tokens. Two spans of words may become one of tokens: it has the better score."""
        best: dict[tuple[int, int, str], float] = {}
        for first, last, label, score, _ in results:
            key = (int(query.words.starts[first]), int(query.words.ends[last - 1]), labels.names[label])
            best[key] = max(score, best.get(key, 0.0))
        candidates = [Candidate(*key, score) for key, score in best.items()]
        if span_model(self.model).max_width == 1:
            candidates = merge_adjacent(candidates, query.words.barriers)
        return self._choose(doc, candidates)

    # Training

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: LabelsLike | None = None,
        encoder: str | Path | None = None,
        head: dict[str, Any] | None = None,
        lora: dict[str, Any] | None = None,
    ) -> None:
        """Load the weights, or make new ones. Weights that are there already are left alone.

        get_examples (Callable): Yields examples. If there are no labels yet, those that they know are taken.
        labels (LabelsLike | None): Types to look for from now on; unchanged if None. An
            empty list leaves them open, to be named by each doc or later.
        encoder (str | Path | None): Directory or hub name of a Hugging Face encoder that gets a new head; None to
            start from the weights that the model names. Not for BiEncoderSpanMatcher, as is `head`.
        head (dict[str, Any] | None): Settings of the new head; see `from_encoder` in `models.type_cache.new_network`
            and, for SpanMatcher, in `models.gliner.new_head`.
        lora (dict[str, Any] | None): Train low-rank adapters, and what lies behind the encoder, instead of all weights:
            options of `peft.LoraConfig`, such as {"r": 8}. For SpanMatcher only.
        """
        self._take_labels(labels, get_examples)
        source = None if encoder is None else str(as_path(encoder, "encoder"))
        given = None if head is None else as_mapping(head, "head", "a mapping from the head's settings to values")
        sample = partial(self._sample, get_examples)
        span_model(self.model).initialize(self.model, sample, source, given)
        if lora is not None:
            span_model(self.model).adapt(as_mapping(lora, "lora", "options of peft.LoraConfig, as a mapping"))

    # Adapters

    def save_adapters(self, path: str | Path) -> None:
        """Write the low-rank adapters in use apart from the weights: a few MB in the format of `peft`, with the head.

        path (str | Path): A directory; adapters that it holds are replaced.
        RAISES (SettingError): When none are in use.
        """
        with replaced_directory(path, FILES, parents=True) as directory:
            span_model(self.model).save_adapters(directory)

    def load_adapters(self, name: str, path: str | Path) -> None:
        """Read adapters for the weights that are loaded, and use them from now on.

        name (str): What to call them in `use_adapters`.
        path (str | Path): What `save_adapters` wrote.
        RAISES (CheckpointError): When they are damaged, or of another model.
        RAISES (SettingError): For a name that is taken.
        """
        span_model(self.model).load_adapters(as_name(name, "name"), as_path(path))

    def use_adapters(self, name: str | None) -> None:
        """Predict and train with other adapters. What is saved has those in use added to its weights.

        name (str | None): As given to `load_adapters`; "default" for those that were trained; None for the weights as
            they were loaded.
        RAISES (SettingError): For a name that is not there.
        """
        span_model(self.model).use_adapters(None if name is None else as_name(name, "name"))

    def _training_batches(self, texts: Sequence[TrainingText]) -> Iterator[TrainingBatch]:
        return span_model(self.model).training_batches(self.model, texts, self.batch_tokens)

    def _word_mode(self) -> WordMode:
        return span_model(self.model).word_mode

    def _max_span_width(self) -> int:
        return span_model(self.model).max_width

    def get_loss(self, batch: TrainingBatch, scores: Any) -> tuple[float, Any]:
        """Compare scores with the gold annotation.

        batch (TrainingBatch): What was scored.
        scores (torch.Tensor): The model's logits.
        RETURNS (tuple): The loss, averaged over the windows of the update, and its gradient by the scores.
        """
        targets, known = span_model(self.model).targets(scores, batch.gold)
        return gradient_of(self.loss, scores, targets, known, batch.share)

    # Serialisation

    def _save(self, path: Path) -> None:
        span_model(self.model).save(self.model, path)

    def _load(self, path: Path) -> None:
        span_model(self.model).load(self.model, path)

    def _pack(self) -> bytes:
        return span_model(self.model).pack(self.model)

    def _unpack(self, data: bytes) -> None:
        span_model(self.model).unpack(self.model, data)
