"""The type cache as a span model: what components ask, train, save and load."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model, Optimizer
from torch import Tensor

from ...nn import hub, onnx
from ...nn.backbones import subword_limit
from ...nn.dropout import set_dropout, use_fast_dropout
from ...nn.mixed_precision import mixed_precision
from ...nn.precision import Precision
from ..gliner.runtime import Backend
from ..gliner.span_head import SelectedSpans, SpanHead
from ..gliner.text_windows import BestSpans, gold_targets, limits
from ..gliner.windows import InputWindow, WindowPlanner, batch_windows, pad
from ..queries import GoldTargets, ScoredSpan, SpanQuery, TrainingBatch, TrainingText
from ..span_model import SpanModel, checked_head
from ..words import WordMode
from . import checkpoint as checkpoints
from .cache import TypeStateCache
from .checkpoint import TypeCacheCheckpoint
from .encoders.base import TEXT_START
from .network import TypeCacheNetwork
from .new_network import from_encoder
from .requests import EncodedTypes, MetTypes, OrderedQuery, TypeCacheRequest, cut_leaves, send_gradients
from .runtime import TypeCacheRuntime
from .score_scale import ScoreScale
from .states import AskedTypes, TextBatch, TypeStates
from .tokenization import ApartTokenizer

# Texts whose lists of types are at least so long are batched list by list; shorter lists meet in one batch.
LONG_LIST = 64


@dataclass(frozen=True)
class TypeCacheSettings:
    """Settings of a model that keeps encoded types; see `architectures.TypeCacheSpanMatcher_v1`."""

    words: WordMode = "spacy"
    precision: Precision = "auto"
    backend: Backend = "torch"
    window: int | None = None
    overlap: int = 32
    max_types: int | None = None
    cache_mb: int = 256
    company: float = 0.0
    company_types: int = 0
    mixed_precision: bool = False


class TypeCacheSpanModel(SpanModel):
    """A type-cache checkpoint, loaded at first use, what predicts, and the cache of types. See `SpanModel`.

    name (str): Directory or hub name; "" for the default weights, or where `initialize` makes new ones.
    revision (str | None): Commit or tag of a hub name.
    settings (TypeCacheSettings): How it reads texts, and how it is run.
    """

    TRANSIENT: ClassVar[tuple[str, ...]] = ("_runtime", "_planner")
    _checkpoint: TypeCacheCheckpoint | None = None
    _planner: WindowPlanner | None = None

    def __init__(self, name: str, revision: str | None, settings: TypeCacheSettings) -> None:
        self.settings = settings
        self.cache = TypeStateCache(settings.cache_mb * 2**20)
        self.met = MetTypes()
        self._exported = onnx.ExportedFiles()
        super().__init__(name, revision, settings.mixed_precision)

    def _renew(self) -> None:
        super()._renew()
        self._reset_runtime()

    def _reset_runtime(self) -> None:
        """Forget all that was derived from weights that change now."""
        self._runtime: TypeCacheRuntime | None = None
        self.cache.reset()

    @property
    def word_mode(self) -> WordMode:  # type: ignore[override]
        """The words that the model sees."""
        return self.settings.words

    @property
    def max_width(self) -> int:
        """Words of the widest span."""
        return self.checkpoint.network.head.max_width

    def targets(self, logits: Tensor, gold: GoldTargets) -> tuple[Tensor, Tensor]:
        """Return what the scores should be, and which are known; see `SpanHead.targets`."""
        return self.checkpoint.network.head.targets(logits, gold)

    @property
    def checkpoint(self) -> TypeCacheCheckpoint:
        """The checkpoint, loaded now if it was not."""
        with self.lock:
            if self._checkpoint is None:
                directory = hub.find(self.name, self.revision, hub.TYPE_CACHE)
                self.use(checkpoints.load(directory), directory / onnx.FOLDER)
            assert self._checkpoint is not None
            return self._checkpoint

    def use(self, checkpoint: TypeCacheCheckpoint, onnx_files: Path | None = None) -> None:
        """Take a checkpoint, replacing what was there.

        onnx_files (Path | None): Where its exported encoders may lie.
        """
        with self.lock:
            self._reset_runtime()
            self._planner = None
            use_fast_dropout(checkpoint.network)
            self._checkpoint, self._model = checkpoint, checkpoint.network
            self._exported = onnx.ExportedFiles(onnx_files)

    @property
    def planner(self) -> WindowPlanner:
        """The planner of windows over texts, made once for each checkpoint."""
        if self._planner is None:
            with self.lock:
                if self._planner is None:
                    self._planner = self._make_planner()
        return self._planner

    @property
    def tokenizer(self) -> ApartTokenizer:
        """The tokenizer of texts and types."""
        tokenizer = self.planner.tokenizer
        assert isinstance(tokenizer, ApartTokenizer)
        return tokenizer

    def _make_planner(self) -> WindowPlanner:
        checkpoint, settings = self.checkpoint, self.settings
        positions = subword_limit(checkpoint.network.encoder.config)
        own = positions - (TEXT_START - 1)
        tokenizer = ApartTokenizer(
            checkpoint.tokenizer,
            min(settings.window or own, own),
            marker_id=checkpoint.marker_id,
            type_limit=positions - 1,
            max_types=settings.max_types,
        )
        return WindowPlanner(tokenizer, checkpoint.config.max_words, max(settings.overlap, self.max_width - 1))

    @property
    def runtime(self) -> TypeCacheRuntime:
        """The network that predicts; built now if it was not, and anew in a forked process."""
        self._enter_process()
        if self._runtime is None:
            with self.lock:
                if self._runtime is None:
                    network, settings = self.checkpoint.network.eval(), self.settings
                    self._runtime = TypeCacheRuntime.build(
                        network, settings.precision, settings.backend, self._exported
                    )
        return self._runtime

    def initialize(
        self,
        model: Model,
        sample: Callable[[], list[Doc]],
        encoder: str | Path | None = None,
        head: Mapping[str, Any] | None = None,
    ) -> None:
        """Load the checkpoint, or make a new network of an encoder; see `new_network.from_encoder` for `head`."""
        if self.is_loaded or encoder is None:
            _ = self.checkpoint
            return
        self.use(from_encoder(encoder, **checked_head(from_encoder, head)))

    def find(self, model: Model, queries: Sequence[SpanQuery], batch_tokens: int) -> list[list[ScoredSpan]]:
        """Score all spans; see `SpanModel.find`."""
        best = BestSpans(len(queries))
        ordered = self._ordered(queries)
        plain = [o.query for o in ordered]
        for windows in self._batches(plain, batch_tokens):
            selected = self.select(self.request(windows, plain), *limits(windows, plain))
            best.add_selected(selected, windows, plain)
        return [o.restore(query, spans) for o, query, spans in zip(ordered, queries, best.spans(), strict=True)]

    def _ordered(self, queries: Sequence[SpanQuery]) -> list[OrderedQuery]:
        return OrderedQuery.all_of(queries, self.checkpoint.config.score_scale, self.settings.max_types)

    def _batches(self, queries: Sequence[SpanQuery], batch_tokens: int) -> Iterator[list[InputWindow]]:
        """Plan texts that ask for the same types together, and those with short lists of their own in company."""
        numbers: dict[tuple[str, ...], int] = {}
        lists = {id(query.types): query.types for query in queries}
        group_of = {
            key: 1 + numbers.setdefault(tuple(types), len(numbers)) if len(types) >= LONG_LIST else 0
            for key, types in lists.items()
        }
        groups = [group_of[id(query.types)] for query in queries]
        for _, indices in groupby(sorted(range(len(queries)), key=groups.__getitem__), key=groups.__getitem__):
            chosen = list(indices)
            planned = self.planner.plan([queries[i].words for i in chosen], [queries[i].types for i in chosen])
            yield from batch_windows((replace(w, text=chosen[w.text]) for w in planned), batch_tokens)

    def score(self, model: Model, query: SpanQuery, spans: Sequence[tuple[int, int]]) -> np.ndarray:
        """Score given spans; see `SpanModel.score`."""
        (ordered,) = self._ordered([query])
        query = ordered.query
        scores = np.zeros((len(spans), len(query.types)), dtype=np.float32)
        for window in self.planner.plan_for_spans(query.words, query.types, spans):
            shown = [i for i, (a, b) in enumerate(spans) if a < b and window.first <= a and b <= window.last]
            starts = torch.tensor([spans[i][0] - window.first for i in shown])
            ends = torch.tensor([spans[i][1] - 1 - window.first for i in shown])
            window_scores = self.score_in_window(self.request([window], [query]), starts, ends).numpy()
            cells = np.ix_(shown, list(window.types))
            scores[cells] = np.maximum(scores[cells], window_scores)
        return ordered.scale(scores[:, ordered.order.columns])

    def score_in_window(self, inputs: TypeCacheRequest, starts: Tensor, ends: Tensor) -> Tensor:
        """Score given spans of a batch of one row.

        starts, ends (Tensor): First and last word of each span, both included. *Shape:* (spans,).
        RETURNS (Tensor): Probabilities, on the CPU. *Shape:* (spans, types).
        """
        with torch.inference_mode():
            words, types, head = self._represent(inputs)
            return head.score_spans(words, types, starts, ends).float().cpu()

    def predict(self, inputs: TypeCacheRequest) -> Tensor:
        """Score a batch; may be called from several threads.

        RETURNS (Tensor): The head's logits, on the device that computed them.
        """
        with torch.inference_mode():
            words, types, head = self._represent(inputs)
            return head(words, types)

    def select(self, inputs: TypeCacheRequest, n_words: Tensor, thresholds: Tensor) -> SelectedSpans:
        """Score a batch and keep what is over thresholds, without keeping all scores; see `SpanHead.find`."""
        with torch.inference_mode():
            words, types, head = self._represent(inputs)
            return head.find(words, types, n_words.to(words.device), thresholds.to(words.device))

    def _represent(self, inputs: TypeCacheRequest) -> tuple[Tensor, Tensor, SpanHead]:
        """Return the vectors of words and types, and the head that scores them."""
        runtime = self.runtime
        types = self._looked_up(runtime.network, inputs)
        return *runtime.represent(inputs.batch, types), runtime.network.head

    def _looked_up(self, network: TypeCacheNetwork, inputs: TypeCacheRequest) -> AskedTypes:
        lists = {id(row): row for row in inputs.types}.values()
        texts = tuple(sorted({text for types in lists for text in types}))
        # States made in inference mode could not take part in training later.
        states = self.cache(texts, lambda missing: self._encode(network, missing))
        return EncodedTypes(texts, states).lay_out(inputs.types)

    def _encode(self, network: TypeCacheNetwork, types: Sequence[str]) -> TypeStates:
        device = next(network.parameters()).device
        return network.encode_types([torch.from_numpy(ids).to(device) for ids in self.tokenizer.encode_types(types)])

    def training_batches(
        self, model: Model, texts: Sequence[TrainingText], batch_tokens: int
    ) -> Iterator[TrainingBatch]:
        """Lay texts out; see `SpanModel.training_batches`. The types of all texts are encoded once, before the first
        batch; the gradients of all batches go through them once, after the last."""
        planned = list(self.planner.plan([text.words for text in texts], [text.types for text in texts]))
        if not planned:
            return
        type_texts = sorted({t for text in texts for t in text.types})
        in_company = random.random() < self.settings.company
        company = self.met.beside(type_texts, self.settings.company_types if in_company else 0)
        encoded = self._encode_for_training(type_texts, company)
        leaves, seen = cut_leaves(encoded), encoded.texts if in_company else None
        for windows in batch_windows(planned, batch_tokens):
            request = replace(self.request(windows, texts), seen=seen, states=leaves)
            yield TrainingBatch(request, gold_targets(windows, texts), 1 / len(planned))
        send_gradients(encoded.states, leaves.states)

    def _encode_for_training(self, types: Sequence[str], company: Sequence[str] = ()) -> EncodedTypes:
        """Encode types, and those beside them without gradients."""
        network = self.checkpoint.network.train()
        self._reset_runtime()
        with mixed_precision(self.device, self.mixed_precision):
            states = self._encode(network, types)
            if company:
                with torch.no_grad():
                    others = self._encode(network, company)
                states = states.joined(others)
        return EncodedTypes([*types, *company], states)

    def begin_update(self, inputs: TypeCacheRequest) -> tuple[Tensor, Callable[[Tensor], None]]:
        """Score a batch for training.

        RETURNS (tuple): Logits, and a callback that takes the gradient of the loss by them.
        """
        encoded = inputs.states or self._encode_for_training(sorted({t for row in inputs.types for t in row}))
        network = self.checkpoint.network.train()
        self._reset_runtime()  # What predicts may share these modules, which are now in training mode.
        with mixed_precision(self.device, self.mixed_precision):
            logits = network(inputs.batch.to(self.device), encoded.lay_out(inputs.types, inputs.seen)).float()
        return logits, lambda gradient: torch.autograd.backward(logits, gradient)

    def finish_update(self, optimizer: Optimizer) -> None:
        """Apply the gradients; the cache, what predicts, and the scale of scores are stale then."""
        checkpoint = self.checkpoint
        self.apply_gradients(checkpoint.network, optimizer)
        checkpoint.config = replace(checkpoint.config, score_scale=ScoreScale())
        self._reset_runtime()

    def set_dropout(self, rate: float) -> None:
        """Set the dropout of the head; the encoder keeps what its own config says."""
        set_dropout(self.checkpoint.network.head, rate)

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the weights, if they are loaded; what predicts follows spaCy's device when it is built anew."""
        super().to_device(device_type, device_id)
        self._reset_runtime()

    def save(self, model: Model, path: Path) -> None:
        """Write the checkpoint, and the encoders that were exported from it (`pack` leaves them out)."""
        super().save(model, path)
        self._exported.copy_to(self.checkpoint.network.encoder, path / onnx.FOLDER)

    def write(self, path: Path) -> None:
        """Write the checkpoint; the cache is not written."""
        checkpoints.save(self.checkpoint, path)

    def read(self, path: Path) -> None:
        """Read what `write` wrote."""
        self.use(checkpoints.load(path), path / onnx.FOLDER)

    def request(
        self, windows: Sequence[InputWindow], texts: Sequence[SpanQuery] | Sequence[TrainingText]
    ) -> TypeCacheRequest:
        """Make the model's input of some windows.

        texts (Sequence): All texts that were planned together.
        """
        padded = pad(windows, self.checkpoint.tokenizer.pad_token_id or 0)
        batch = TextBatch(padded.input_ids, padded.attention_mask, padded.word_positions)
        # Windows that ask for the same types share one list.
        parts: dict[tuple[int, range], Sequence[str]] = {}
        for window in windows:
            types = texts[window.text].types
            parts.setdefault((id(types), window.types), types[window.types.start : window.types.stop])
        return TypeCacheRequest(batch, [parts[id(texts[w.text].types), w.types] for w in windows])
