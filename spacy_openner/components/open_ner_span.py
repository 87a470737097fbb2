"""`open_ner_span`: entities of types named at run time, by scoring spans (GLiNER)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Config, Model

from ..decoding.span_selection import choose, merge_adjacent
from ..errors import error
from ..labels import LabelSet, get_labels
from ..models.queries import ScoredSpan, SpanQuery, TrainingBatch, TrainingText
from ..models.span_model import span_model
from ..models.words import WordMode, doc_words
from ..settings import check_config_keys
from ..training.losses import Loss, SpanLoss_v1, gradient_of
from ..training.sampling import Sampler
from ..training.targets import types_of
from ..types import Candidate
from .entity_pipe import SCORE_WEIGHTS, OpenNERPipe
from .training import TrainableOpenPipe

DEFAULT_CONFIG = """
[model]
@architectures = "spacy-openner.SpanMatcher.v1"
name = ""
revision = null
words = "spacy"
precision = "auto"
backend = "torch"
window = null
overlap = 32
max_types = null
mixed_precision = false
"""
DEFAULT_MODEL = Config().from_str(DEFAULT_CONFIG)["model"]


@Language.factory(
    "open_ner_span",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"],
    default_config={
        "model": DEFAULT_MODEL,
        "labels": [],
        "threshold": 0.5,
        "label_thresholds": {},
        "overlap": "flat",
        "use_descriptions": False,
        "spans_key": "openner",
        "annotate_ents": True,
        "overwrite_ents": False,
        "batch_tokens": 2048,
        "loss": {"@misc": "spacy-openner.SpanLoss.v1"},
        "sampler": {"@misc": "spacy-openner.TypeSampler.v1"},
        "scorer": {"@scorers": "spacy-openner.entity_scorer.v1"},
    },
    default_score_weights=SCORE_WEIGHTS,
)
def make_open_ner_span(
    nlp: Language,
    name: str,
    model: Model,
    labels: list[str] | dict[str, str],
    threshold: float,
    label_thresholds: dict[str, float],
    overlap: str,
    use_descriptions: bool,
    spans_key: str,
    annotate_ents: bool,
    overwrite_ents: bool,
    batch_tokens: int,
    loss: Callable,
    sampler: Callable,
    scorer: Callable | None,
) -> "OpenNERSpan":
    """Build the component; see `OpenNERSpan` for the settings.

    RAISES (SettingError): For keys of mappings that a config file would lose or change.
    """
    for setting, value in (("labels", labels), ("label_thresholds", label_thresholds)):
        if isinstance(value, dict):
            check_config_keys(setting, value)
    return OpenNERSpan(
        nlp.vocab,
        model,
        name,
        labels=labels,
        threshold=threshold,
        label_thresholds=label_thresholds,
        overlap=overlap,
        use_descriptions=use_descriptions,
        spans_key=spans_key,
        annotate_ents=annotate_ents,
        overwrite_ents=overwrite_ents,
        batch_tokens=batch_tokens,
        loss=loss,
        sampler=sampler,
        scorer=scorer,
    )


class OpenNERSpan(TrainableOpenPipe, OpenNERPipe):
    """Find entities of types that are named at run time, by scoring all spans against all types.

    vocab (Vocab): The pipeline's vocabulary.
    model (Model): A span matcher; its weights are loaded at `initialize` or at first use.
    name (str): The component's name.
    loss (Loss): What training minimises.
    sampler (Sampler): Draws the types of training prompts.
    **settings (Any): See `OpenNERPipe`.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "open_ner_span",
        *,
        loss: Loss | None = None,
        sampler: Sampler | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(vocab, model, name, sampler=sampler, **settings)
        self.loss = loss or SpanLoss_v1()

    def predict(self, docs: Sequence[Doc]) -> list[list[Candidate]]:
        """Find candidates; the docs are not changed. Safe to call from several threads.

        docs (Sequence[Doc]): Any docs.
        RETURNS (list[list[Candidate]]): For each doc what passed the thresholds and may stand together.
        """
        asked = self._asked(docs)
        questions = [self._question(doc, labels) for doc, labels in zip(docs, asked, strict=True)]
        if not any(len(question.words) and question.types for question in questions):
            return [[] for _ in docs]
        answers = span_model(self.model).find(self.model, questions, self.batch_tokens)
        return [self._candidates(*each) for each in zip(questions, asked, answers, strict=True)]

    def span_scores(self, doc: Doc, spans: Sequence[Span], labels: Any = None) -> np.ndarray:
        """Probabilities of given spans for given types, whatever the thresholds and however wide the spans.

        doc (Doc): The doc that the spans belong to.
        spans (Sequence[Span]): Any spans of it; overlaps are fine.
        labels (Sequence[str] | Mapping[str, str] | None): Types; those that `predict` would use if None.
        RETURNS (np.ndarray): 0 for spans of white space. *Shape:* (spans, labels), float32.
        RAISES (TextError): For a span of another doc, or one that is longer than the model's window.
        """
        for span in spans:
            if span.doc is not doc:
                raise error("O202", text=span.text)
        asked = get_labels(doc, self._labels) if labels is None else LabelSet(labels)
        question = self._question(doc, asked)
        return span_model(self.model).score(self.model, question, [question.words.of_span(span) for span in spans])

    def _question(self, doc: Doc, labels: LabelSet) -> SpanQuery:
        thresholds = [self._label_thresholds.get(label, self._threshold) for label in labels.names]
        texts = labels.prompt_texts(self.use_descriptions)
        words = doc_words(doc, self._word_mode())
        return SpanQuery(words, texts, np.array(thresholds, dtype=np.float32), doc, labels.names)

    def _candidates(self, question: SpanQuery, labels: LabelSet, answers: list[ScoredSpan]) -> list[Candidate]:
        """From words to tokens. Two spans of words may become one of tokens: it has the better score."""
        best: dict[tuple[int, int, str], float] = {}
        for first, last, label, score, _ in answers:
            key = (int(question.words.starts[first]), int(question.words.ends[last - 1]), labels.names[label])
            best[key] = max(score, best.get(key, 0.0))
        candidates = [Candidate(*key, score) for key, score in best.items()]
        if span_model(self.model).max_width == 1:
            candidates = merge_adjacent(candidates)
        return choose(candidates, self._overlap)

    # Training

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | Mapping[str, str] | None = None,
        encoder: str | Path | None = None,
        head: dict[str, Any] | None = None,
    ) -> None:
        """Load the weights, or make new ones. Weights that are there already are left alone.

        get_examples (Callable): Yields examples. If there are no labels yet, those that they know are taken.
        labels (Sequence[str] | Mapping[str, str] | None): Types to look for from now on; unchanged if None. An
            empty list leaves them open, to be named by each doc or later.
        encoder (str | Path | None): Directory or hub name of a Hugging Face encoder that gets a new head; None to
            start from the checkpoint that the model names. For SpanMatcher only, as is `head`.
        head (dict[str, Any] | None): Settings of the new head; see `models.gliner.new_head.from_encoder`.
        """
        if labels is not None:
            self.labels = labels
        elif not self.labels:
            self.labels = types_of(get_examples(), self.spans_key)
        span_model(self.model).initialize(
            self.model, lambda: [eg.predicted for eg in islice(get_examples(), 10)], encoder, head
        )

    def _batches(self, lessons: Sequence[TrainingText]) -> Iterator[TrainingBatch]:
        return span_model(self.model).training_batches(self.model, lessons, self.batch_tokens)

    def _word_mode(self) -> WordMode:
        return span_model(self.model).word_mode

    def _widest(self) -> int:
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
