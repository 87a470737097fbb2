"""`gner_generator`: entities of types named at run time, by a generative model that tags every word (GNER)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Config, Model

from ..arguments import as_mapping
from ..doc_arguments import as_docs
from ..errors import error
from ..files import as_path
from ..labels import LabelSet, LabelsLike, get_labels
from ..models.generator.attention_supervision import supports_attention_supervision
from ..models.generator.interface import DecodingStats, tag_texts
from ..models.generator.new_decoder import from_config, warm_started
from ..models.generator.prompt_windows import DecodingSettings, TaggingQuery
from ..models.generator.training import (
    BatchOutputs,
    GeneratorBatch,
    TrainingTasks,
    answer_loss,
    attention_loss,
    generator_batches,
)
from ..models.queries import ScoredSpan, TrainingText
from ..models.words import doc_words
from ..prompts.base import Prompt, RecognitionPrompt
from ..prompts.gner import GNERPrompt_v1
from ..settings import GNERGeneratorSettings
from ..span_groups import spans_of
from ..training.losses import type_classification
from ..training.sampling import Sampler
from ..types import ENTS, Candidate
from .base import Setting
from .entity_pipe import SCORE_WEIGHTS, OpenNERPipe
from .factory import connected, default_config, settings_from_config, takes_settings
from .training import TrainableOpenPipe

DEFAULT_CONFIG = """
[model]
@architectures = "spacy-openner.Generator.v1"
name = ""
revision = null
precision = "auto"
mixed_precision = false
"""
DEFAULT_MODEL = Config().from_str(DEFAULT_CONFIG)["model"]


@Language.factory(
    "gner_generator",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"],
    default_config=default_config(
        GNERGeneratorSettings,
        model=DEFAULT_MODEL,
        prompt={"@misc": "spacy-openner.GNERPrompt.v1"},
        sampler={"@misc": "spacy-openner.TypeSampler.v1"},
        scorer={"@scorers": "spacy-openner.entity_scorer.v1"},
    ),
    default_score_weights=SCORE_WEIGHTS,
)
@takes_settings(GNERGeneratorSettings)
def make_gner_generator(
    nlp: Language,
    name: str,
    model: Model,
    prompt: Any,
    sampler: Callable,
    scorer: Callable | None,
    **settings: Any,
) -> "GNERGenerator":
    """Build the component.

    **settings (Any): See `GNERGeneratorSettings`.
    RAISES (SettingError): For values that are not allowed, or that a config file would lose or change.
    """
    checked = settings_from_config(GNERGeneratorSettings, settings)
    pipe = GNERGenerator(nlp.vocab, model, name, checked, prompt=prompt, sampler=sampler, scorer=scorer)
    return connected(pipe, nlp)


class GNERGenerator(TrainableOpenPipe[GNERGeneratorSettings], OpenNERPipe[GNERGeneratorSettings]):
    """Find entities of types that are named at run time, by a model that answers with a tag for each word.

    vocab (Vocab): The pipeline's vocabulary.
    model (Model): A generative model; its weights are loaded at `initialize` or at first use.
    name (str): The component's name.
    settings (GNERGeneratorSettings | None): Its settings; the defaults if None.
    prompt (Prompt | None): The format of prompts and answers.
    sampler (Sampler | None): Draws the types of training prompts.
    scorer (Callable | None): Scores examples, for `nlp.evaluate`.
    """

    use_descriptions: Setting[bool] = Setting()
    batch_tokens: Setting[int] = Setting()
    loss: Setting[str] = Setting()
    type_recognition_ratio: Setting[float] = Setting()
    type_classification_weight: Setting[float] = Setting()
    attention_weight: Setting[float] = Setting()
    label_hints: Setting[str] = Setting()
    decoding: Setting[str] = Setting()
    num_beams: Setting[int] = Setting()
    draft_from: Setting[str | None] = Setting()
    max_types: Setting[int | None] = Setting()

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "gner_generator",
        settings: GNERGeneratorSettings | None = None,
        *,
        prompt: Prompt | None = None,
        sampler: Sampler | None = None,
        scorer: Callable | None = None,
    ) -> None:
        self.prompt: Prompt = prompt or GNERPrompt_v1()
        super().__init__(vocab, model, name, settings or GNERGeneratorSettings(), sampler=sampler, scorer=scorer)
        # Counts of what was decoded so far; `stats.errors` are those of free answers.
        self.stats = DecodingStats()

    def _check_settings(self, settings: GNERGeneratorSettings) -> None:
        super()._check_settings(settings)
        target = self.prompt.target
        if settings.decoding == "constrained" and target != "bio":
            raise error("O014", target=target)
        ratio = settings.type_recognition_ratio
        if ratio and (settings.loss != "answer" or not isinstance(self.prompt, RecognitionPrompt)):
            raise error("O015", value=ratio)

    def predict(self, docs: Sequence[Doc]) -> list[list[Candidate]]:
        """Find candidates; the docs are not changed.

        docs (Sequence[Doc]): Any docs.
        RETURNS (list[list[Candidate]]): For each doc what passed the thresholds, without overlaps.
        """
        docs = as_docs(docs)
        hints = self.label_hints == "hint"
        labels_per_doc = [self.settings.labels for _ in docs] if hints else self._labels_per_doc(docs)
        questions = [self._question(doc, labels) for doc, labels in zip(docs, labels_per_doc, strict=True)]
        if not any(len(question.words) and question.types for question in questions):
            return [[] for _ in docs]
        settings = DecodingSettings(
            constrained=self.decoding == "constrained",
            num_beams=self.num_beams,
            batch_tokens=self.batch_tokens,
            max_types=self.max_types,
        )
        generator = self.model.shims[0].runtime
        prompt = self.prompt.with_defaults(generator.prompt_defaults)
        answers = tag_texts(generator, prompt, questions, settings, self.stats)
        return [self._candidates(*columns) for columns in zip(docs, questions, labels_per_doc, answers, strict=True)]

    def _question(self, doc: Doc, labels: LabelSet) -> TaggingQuery:
        words = doc_words(doc, "spacy", self.boundaries)
        index = {label: i for i, label in enumerate(labels)}
        guesses = self._guesses(doc) if self.draft_from and self.decoding == "constrained" else ()
        draft = [(*words.of_span(span), index[span.label_]) for span in guesses if span.label_ in index]
        draft = [d for d in draft if d[0] < d[1] and words.is_within(*d[:2])]
        texts = labels.prompt_texts(self.use_descriptions)
        return TaggingQuery(words, texts, draft, self._likely(doc, labels.names))

    def _likely(self, doc: Doc, names: Sequence[str]) -> list[int] | None:
        """Which of some types the doc's own are, where these are hints; None for a doc without."""
        own = get_labels(doc) if self.label_hints == "hint" else None
        return None if own is None else [i for i, name in enumerate(names) if name in own]

    def _guesses(self, doc: Doc) -> Iterable[Any]:
        """Return the finds of an earlier component; of overlapping spans the later ones win, which only costs time."""
        return doc.ents if self.draft_from == ENTS else spans_of(doc, self.draft_from or "")

    def _candidates(
        self, doc: Doc, question: TaggingQuery, labels: LabelSet, answers: Sequence[ScoredSpan]
    ) -> list[Candidate]:
        """Go from words to tokens; keep what passes its threshold, and of overlapping spans the better ones."""
        words, candidates = question.words, []
        for first, last, label, score, why in answers:
            name = labels.names[label]
            if score > self._threshold_of(name):
                candidates.append(Candidate(int(words.starts[first]), int(words.ends[last - 1]), name, score, why))
        return self._choose(doc, candidates)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: LabelsLike | None = None,
        encoder: str | Path | None = None,
        layers: int = 2,
        config: dict[str, Any] | None = None,
        tokenizer: str | Path | None = None,
        lora: dict[str, Any] | None = None,
    ) -> None:
        """Load the weights, or make new ones. Weights that are there already are left alone.

        get_examples (Callable): Yields examples. If there are no labels yet, those that they know are taken.
        labels (LabelsLike | None): Types to look for from now on; unchanged if None. An
            empty list leaves them open, to be named by each doc or later.
        encoder (str | Path | None): Directory or hub name of a BERT-like encoder that gets a decoder of `layers`
            layers; see `models.generator.new_decoder.warm_started`.
        config, tokenizer (dict[str, Any] | None, str | Path | None): To start from random weights; see
            `models.generator.new_decoder.from_config`.
        lora (dict[str, Any] | None): Train low-rank adapters instead of the weights: options of `peft.LoraConfig`, such
            as {"r": 8}. What is saved has them added to the weights.
        """
        self._take_labels(labels, get_examples)
        shim = self.model.shims[0]
        if encoder is not None and not shim.is_loaded:
            shim.use(warm_started(str(as_path(encoder, "encoder")), layers=layers))
        elif config is not None and tokenizer is not None and not shim.is_loaded:
            shim.use(from_config(config, tokenizer))
        if self.prompt.instruction is not None:
            # What it is going to be trained on, for those who load its files.
            shim.generator.network.config.openner_instruction = self.prompt.instruction
        if lora is not None:
            shim.adapt(as_mapping(lora, "lora", "options of peft.LoraConfig, as a mapping"))
        self._classify()
        _ = shim.generator

    def _classify(self) -> None:
        """Have a classifier of the labels, where one is to be trained."""
        if self.type_classification_weight:
            if not self.labels:
                raise error("O017", name=self.name)
            self.model.shims[0].add_type_classifier(len(self.labels))

    def _training_texts(self, examples: Sequence[Example]) -> list[TrainingText]:
        texts = super()._training_texts(examples)
        return [text._replace(likely=self._likely(text.doc, text.names)) for text in texts]

    def _training_batches(self, texts: Sequence[TrainingText]) -> Iterator[GeneratorBatch]:
        generator = self.model.shims[0].generator
        prompt = self.prompt.with_defaults(generator.prompt_defaults)
        if self.loss == "choices" and prompt.target != "bio":
            raise error("O016", target=prompt.target)
        self._classify()
        classes = self.labels if self.type_classification_weight else ()
        if self.attention_weight and not supports_attention_supervision(generator.network):
            raise error("O018")
        tasks = TrainingTasks(self.loss, self.type_recognition_ratio, classes, self.attention_weight > 0)
        return generator_batches(generator, prompt, texts, tasks, self.batch_tokens)

    def get_loss(self, batch: GeneratorBatch, scores: BatchOutputs) -> tuple[float, BatchOutputs]:
        """Compare the network's outputs with the gold annotation.

        batch (GeneratorBatch): Prompts and targets.
        scores (BatchOutputs): The network's outputs.
        RETURNS (tuple[float, BatchOutputs]): The loss, averaged over the texts of the update, and its gradients by the
            outputs.
        """
        outputs = scores.as_leaves()
        loss = answer_loss(batch, outputs.logits)
        if outputs.types is not None:
            targets = batch.type_targets.to(outputs.types.device)
            classified = type_classification(outputs.types, targets == 1, targets == -1)
            loss = loss + self.type_classification_weight * classified * batch.share
        if outputs.attention is not None:
            loss = loss + self.attention_weight * attention_loss(batch, outputs.attention)
        loss.backward()
        return float(loss.detach()), outputs.gradients()

    # Serialisation

    def _save(self, path: Path) -> None:
        self.model.shims[0].save(self.model, path)

    def _load(self, path: Path) -> None:
        self.model.shims[0].load(self.model, path)

    def _pack(self) -> bytes:
        packed: bytes = self.model.shims[0].pack(self.model)
        return packed

    def _unpack(self, data: bytes) -> None:
        self.model.shims[0].unpack(self.model, data)
