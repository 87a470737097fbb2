"""`gner_generator`: entities of types named at run time, by a generative model that tags every word (GNER)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Config, Model

from ..decoding.span_selection import choose
from ..errors import error
from ..labels import LabelSet, get_labels
from ..models.generator.attention_supervision import supports_attention_supervision
from ..models.generator.interface import DecodingStats, tag_texts
from ..models.generator.new_decoder import from_config, warm_started
from ..models.generator.prompt_windows import DecodingSettings, TaggingQuery
from ..models.generator.training import (
    LOSSES,
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
from ..settings import check_config_keys
from ..training.losses import type_classification
from ..training.sampling import Sampler
from ..training.targets import types_of
from ..types import Candidate
from .entity_pipe import SCORE_WEIGHTS, OpenNERPipe
from .training import TrainableOpenPipe

Decoding = Literal["constrained", "free"]
DECODINGS: tuple[str, ...] = ("constrained", "free")
CANDIDATES: tuple[str, ...] = ("only", "hint")
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
    default_config={
        "model": DEFAULT_MODEL,
        "prompt": {"@misc": "spacy-openner.GNERPrompt.v1"},
        "labels": [],
        "threshold": 0.0,
        "label_thresholds": {},
        "use_descriptions": False,
        "loss": "choices",
        "recognition": 0.0,
        "classification": 0.0,
        "guidance": 0.0,
        "candidates": "only",
        "sampler": {"@misc": "spacy-openner.TypeSampler.v1"},
        "decoding": "constrained",
        "num_beams": 1,
        "draft_from": None,
        "max_types": None,
        "spans_key": "openner",
        "annotate_ents": True,
        "overwrite_ents": False,
        "batch_tokens": 2048,
        "scorer": {"@scorers": "spacy-openner.entity_scorer.v1"},
    },
    default_score_weights=SCORE_WEIGHTS,
)
def make_gner_generator(
    nlp: Language,
    name: str,
    model: Model,
    prompt: Any,
    labels: list[str] | dict[str, str],
    threshold: float,
    label_thresholds: dict[str, float],
    use_descriptions: bool,
    loss: str,
    recognition: float,
    classification: float,
    guidance: float,
    candidates: str,
    sampler: Callable,
    decoding: str,
    num_beams: int,
    draft_from: str | None,
    max_types: int | None,
    spans_key: str,
    annotate_ents: bool,
    overwrite_ents: bool,
    batch_tokens: int,
    scorer: Callable | None,
) -> "GNERGenerator":
    """Build the component; see `GNERGenerator` for the settings.

    RAISES (SettingError): For keys of mappings that a config file would lose or change.
    """
    for setting, value in (("labels", labels), ("label_thresholds", label_thresholds)):
        if isinstance(value, dict):
            check_config_keys(setting, value)
    return GNERGenerator(
        nlp.vocab,
        model,
        name,
        prompt=prompt,
        loss=loss,
        recognition=recognition,
        classification=classification,
        guidance=guidance,
        candidates=candidates,
        sampler=sampler,
        decoding=decoding,
        num_beams=num_beams,
        draft_from=draft_from,
        max_types=max_types,
        labels=labels,
        threshold=threshold,
        label_thresholds=label_thresholds,
        use_descriptions=use_descriptions,
        spans_key=spans_key,
        annotate_ents=annotate_ents,
        overwrite_ents=overwrite_ents,
        batch_tokens=batch_tokens,
        scorer=scorer,
    )


class GNERGenerator(TrainableOpenPipe, OpenNERPipe):
    """Find entities of types that are named at run time, by a model that answers with a tag for each word.

    vocab (Vocab): The pipeline's vocabulary.
    model (Model): A generative model; its weights are loaded at `initialize` or at first use.
    name (str): The component's name.
    prompt (Prompt): The format of questions and answers.
    loss (str): What training minimises: "choices", the cross-entropy of what constrained decoding chooses; or "answer",
        that of all pieces of the answer, which free decoding needs.
    recognition (float): How often training asks a text for its types instead of its entities (ToNER, section 3.4),
        from 0 to 1; for prompts that can ask so, and the loss "answer".
    classification (float): How much a classifier of types on the encoder counts beside the loss (ToNER, lambda in
        equation 6; 0.1 there); 0 for none. It knows the component's labels, and is used in training alone.
    guidance (float): How much it counts beside the loss that the decoder looks at the word whose tag it chooses, or
        that it copies (see `models.guidance`); 0 for not at all. New decoders learn faster so.
    candidates (str): What a doc's own types in `doc._.openner_labels` mean: "only" they are looked for, or a "hint" for
        prompts that tell the model which of all types a text probably holds (ToNER, section 3.2).
    sampler (Sampler | None): Draws the types of training prompts.
    decoding (str): "constrained": answers can only repeat the text, so that nothing is left out, added or misspelt;
        "free": the model says what it likes, and its answer is matched with the text.
    num_beams (int): Above 1, beam search (GNER, section 5.3), many times slower.
    draft_from (str | None): "ents" or the key of a span group that an earlier component wrote: guesses that make
        constrained decoding faster where they are right, and never change its result.
    max_types (int | None): The most types in one prompt; more are split over several. None for what fits.
    **settings (Any): See `OpenNERPipe`. A tagger's spans never overlap within a prompt; of several prompts the better
        ones are kept.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "gner_generator",
        *,
        prompt: Prompt | None = None,
        loss: str = "choices",
        recognition: float = 0.0,
        classification: float = 0.0,
        guidance: float = 0.0,
        candidates: str = "only",
        sampler: Sampler | None = None,
        decoding: str = "constrained",
        num_beams: int = 1,
        draft_from: str | None = None,
        max_types: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(vocab, model, name, sampler=sampler, **{"threshold": 0.0, **settings})
        self.prompt: Prompt = prompt or GNERPrompt_v1()
        if loss not in LOSSES:
            raise error("O001", name="loss", value=loss, allowed=", ".join(LOSSES))
        for setting, share in (
            ("recognition", recognition),
            ("classification", classification),
            ("guidance", guidance),
        ):
            if not 0 <= share <= 1:
                raise error("O001", name=setting, value=share, allowed="a number from 0 to 1")
        if recognition and (loss != "answer" or not isinstance(self.prompt, RecognitionPrompt)):
            raise error("O015", value=recognition)
        if candidates not in CANDIDATES:
            raise error("O001", name="candidates", value=candidates, allowed=", ".join(CANDIDATES))
        self.loss, self.recognition, self.classification, self.guidance = loss, recognition, classification, guidance
        self.candidates = candidates
        self.decoding = decoding
        self.draft_from = draft_from
        for setting, value in (("num_beams", num_beams), ("max_types", max_types)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise error("O001", name=setting, value=value, allowed="a whole number from 1")
        self.num_beams, self.max_types = num_beams, max_types
        # Counts of what was decoded so far; `stats.errors` are those of free answers.
        self.stats = DecodingStats()

    @property
    def decoding(self) -> Decoding:
        """How answers are found: "constrained" or "free"."""
        return self._decoding

    @decoding.setter
    def decoding(self, value: str) -> None:
        if value not in DECODINGS:
            raise error("O001", name="decoding", value=value, allowed=", ".join(DECODINGS))
        if value == "constrained" and self.prompt.target != "bio":
            raise error("O014", target=self.prompt.target)
        self._decoding = cast(Decoding, value)

    def predict(self, docs: Sequence[Doc]) -> list[list[Candidate]]:
        """Find candidates; the docs are not changed.

        docs (Sequence[Doc]): Any docs.
        RETURNS (list[list[Candidate]]): For each doc what passed the thresholds, without overlaps.
        """
        asked = [self._labels for _ in docs] if self.candidates == "hint" else self._asked(docs)
        questions = [self._question(doc, labels) for doc, labels in zip(docs, asked, strict=True)]
        if not any(len(question.words) and question.types for question in questions):
            return [[] for _ in docs]
        settings = DecodingSettings(
            constrained=self._decoding == "constrained",
            num_beams=self.num_beams,
            batch_tokens=self.batch_tokens,
            max_types=self.max_types,
        )
        generator = self.model.shims[0].runtime
        prompt = self.prompt.with_defaults(generator.prompt_defaults)
        answers = tag_texts(generator, prompt, questions, settings, self.stats)
        return [self._candidates(*each) for each in zip(questions, asked, answers, strict=True)]

    def _question(self, doc: Doc, labels: LabelSet) -> TaggingQuery:
        words = doc_words(doc, "spacy")
        place = {label: i for i, label in enumerate(labels.names)}
        guesses = self._guesses(doc) if self.draft_from and self._decoding == "constrained" else ()
        draft = [(*words.of_span(span), place[span.label_]) for span in guesses if span.label_ in place]
        texts = labels.prompt_texts(self.use_descriptions)
        return TaggingQuery(words, texts, [d for d in draft if d[0] < d[1]], self._likely(doc, labels.names))

    def _likely(self, doc: Doc, names: Sequence[str]) -> list[int] | None:
        """Which of some types the doc's own are, where these are hints; None for a doc without."""
        own = get_labels(doc) if self.candidates == "hint" else None
        return None if own is None else [i for i, name in enumerate(names) if name in own]

    def _guesses(self, doc: Doc) -> Iterable[Any]:
        """What an earlier component found; of overlapping spans the later ones win, which only costs time."""
        return doc.ents if self.draft_from == "ents" else doc.spans.get(self.draft_from, ())

    def _candidates(self, question: TaggingQuery, labels: LabelSet, answers: Sequence[ScoredSpan]) -> list[Candidate]:
        """From words to tokens; what passes its threshold, and of overlapping spans the better ones."""
        words, found = question.words, []
        for first, last, label, score, why in answers:
            name = labels.names[label]
            if score > self._label_thresholds.get(name, self._threshold):
                found.append(Candidate(int(words.starts[first]), int(words.ends[last - 1]), name, score, why))
        return choose(found, self._overlap)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | Mapping[str, str] | None = None,
        encoder: str | Path | None = None,
        layers: int = 2,
        config: dict[str, Any] | None = None,
        tokenizer: str | Path | None = None,
        lora: dict[str, Any] | None = None,
    ) -> None:
        """Load the weights, or make new ones. Weights that are there already are left alone.

        get_examples (Callable): Yields examples. If there are no labels yet, those that they know are taken.
        labels (Sequence[str] | Mapping[str, str] | None): Types to look for from now on; unchanged if None. An
            empty list leaves them open, to be named by each doc or later.
        encoder (str | Path | None): Directory or hub name of a BERT-like encoder that gets a decoder of `layers`
            layers; see `models.fresh_generator.warm_started`.
        config, tokenizer (dict[str, Any] | None, str | Path | None): To start from random weights; see
            `models.fresh_generator.from_config`.
        lora (dict[str, Any] | None): Train low-rank adapters instead of the weights: options of `peft.LoraConfig`, such
            as {"r": 8}. What is saved has them added to the weights.
        """
        if labels is not None:
            self.labels = labels
        elif not self.labels:
            self.labels = types_of(get_examples(), self.spans_key)
        shim = self.model.shims[0]
        if encoder is not None and not shim.is_loaded:
            shim.use(warm_started(encoder, layers=layers))
        elif config is not None and tokenizer is not None and not shim.is_loaded:
            shim.use(from_config(config, tokenizer))
        if self.prompt.instruction is not None:
            # What it is going to be trained on, for those who load its files.
            shim.generator.network.config.openner_instruction = self.prompt.instruction
        if lora is not None:
            shim.adapt(lora)
        self._classify()
        _ = shim.generator

    def _classify(self) -> None:
        """Have a classifier of the labels, where one is to be trained."""
        if self.classification:
            if not self.labels:
                raise error("O017", name=self.name)
            self.model.shims[0].add_type_classifier(len(self.labels))

    def _lessons(self, examples: Sequence[Example]) -> list[TrainingText]:
        found = super()._lessons(examples)
        return [lesson._replace(likely=self._likely(lesson.doc, lesson.names)) for lesson in found]

    def _batches(self, lessons: Sequence[TrainingText]) -> Iterator[GeneratorBatch]:
        generator = self.model.shims[0].generator
        prompt = self.prompt.with_defaults(generator.prompt_defaults)
        if self.loss == "choices" and prompt.target != "bio":
            raise error("O016", target=prompt.target)
        self._classify()
        classes = self.labels if self.classification else ()
        if self.guidance and not supports_attention_supervision(generator.network):
            raise error("O018")
        tasks = TrainingTasks(self.loss, self.recognition, classes, self.guidance > 0)
        return generator_batches(generator, prompt, lessons, tasks, self.batch_tokens)

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
            loss = loss + self.classification * classified * batch.share
        if outputs.attention is not None:
            loss = loss + self.guidance * attention_loss(batch, outputs.attention)
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
