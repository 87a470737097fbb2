"""What all components that are asked for types share: their settings, and their part of spaCy's protocol."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from spacy.pipeline import Pipe
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import SimpleFrozenList, from_bytes, from_disk, minibatch, to_bytes, to_disk
from spacy.vocab import Vocab
from typing_extensions import Self

from ..errors import error, warn
from ..labels import LabelSet, get_labels
from ..nn.permissions import as_new_files


class OpenLabelPipe(Pipe):
    """Base of the components that are asked for types named at run time. A subclass says what it answers: `predict` and
    `set_annotations`; its `__init__` ends with `self._given = self._settings()`.

    vocab (Vocab): The pipeline's vocabulary.
    name (str): The component's name.
    labels (Sequence[str] | Mapping[str, str]): Types, or types with descriptions. Can be set at any time.
        A doc that has types of its own in `doc._.openner_labels` is asked for those instead.
    threshold (float): A score must be greater.
    label_thresholds (Mapping[str, float]): Thresholds of single types.
    spans_key (str): Where in `doc.spans` entities are.
    batch_tokens (int): The most subwords in a batch, padding included.
    scorer (Callable | None): Scores examples, for `nlp.evaluate`.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ("threshold", "label_thresholds", "spans_key", "batch_tokens")
    NO_LABELS: ClassVar[str] = "W001"
    """The warning when nobody says what to ask for."""
    LEAST: ClassVar[float] = 0.0
    """The lowest score, and the lowest threshold; the highest is 1."""

    def __init__(
        self,
        vocab: Vocab,
        name: str,
        *,
        labels: Sequence[str] | Mapping[str, str] = (),
        threshold: float = 0.5,
        label_thresholds: Mapping[str, float] | None = None,
        spans_key: str = "openner",
        batch_tokens: int = 2048,
        scorer: Callable | None = None,
    ) -> None:
        self.vocab = vocab
        self.name = name
        self.spans_key = spans_key
        self.scorer = scorer
        self.labels = labels
        self.threshold = threshold
        self.label_thresholds = label_thresholds or {}
        self.batch_tokens = batch_tokens
        self._warned = False
        self._given: dict[str, Any] = {}

    # Settings

    @property
    def labels(self) -> tuple[str, ...]:
        """The types that are asked for. Setting them loads nothing: they are no weights."""
        return self._labels.names

    @labels.setter
    def labels(self, labels: Sequence[str] | Mapping[str, str]) -> None:
        self._labels = LabelSet(labels)
        for label in self._labels.names:
            self.vocab.strings.add(label)

    @property
    def descriptions(self) -> dict[str, str]:
        """Each type's description; its name where none was given."""
        return dict(self._labels)

    @property
    def threshold(self) -> float:
        """What a score must pass."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        if not self._is_score(value):
            raise error("O001", name="threshold", value=value, allowed=f"a number from {self.LEAST:g} to 1")
        self._threshold = float(value)

    @property
    def label_thresholds(self) -> dict[str, float]:
        """Thresholds of single types."""
        return self._label_thresholds

    @label_thresholds.setter
    def label_thresholds(self, values: Mapping[str, float]) -> None:
        for label, value in values.items():
            if not self._is_score(value):
                raise error("O005", label=label, value=value, least=f"{self.LEAST:g}")
        self._warn_of_strangers("label_thresholds", values)
        self._label_thresholds = dict(values)

    @property
    def batch_tokens(self) -> int:
        """The most subwords in a batch."""
        return self._batch_tokens

    @batch_tokens.setter
    def batch_tokens(self, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise error("O001", name="batch_tokens", value=value, allowed="a whole number from 1")
        self._batch_tokens = value

    def _is_score(self, value: Any) -> bool:
        return not isinstance(value, bool) and isinstance(value, int | float) and self.LEAST <= value <= 1

    def _warn_of_strangers(self, setting: str, names: Iterable[str]) -> None:
        """Say when a setting names types that are not among the labels."""
        strangers = [name for name in names if name not in self.labels]
        if strangers and self.labels:
            warn("W005", setting=setting, labels=strangers)

    # Prediction

    def __call__(self, doc: Doc) -> Doc:
        """Annotate one doc. Where an error handler takes a failure, spaCy says that the doc is missing (E005)."""
        return next(self.pipe([doc], batch_size=1), None)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream of docs.

        batch_size (int): How many docs are taken together; `batch_tokens` bounds what the model sees at once.
        """
        handle = self.get_error_handler()
        for docs in minibatch(stream, size=batch_size):
            try:
                self._process(docs)
            except Exception as problem:
                handle(self.name, self, docs, problem)
            else:
                yield from docs

    def _process(self, docs: Sequence[Doc]) -> None:
        """Annotate docs that are taken together."""
        self.set_annotations(docs, self.predict(docs))

    def predict(self, docs: Sequence[Doc]) -> Sequence[Any]:
        """Find something out; must not change the docs."""
        raise NotImplementedError

    def set_annotations(self, docs: Sequence[Doc], predictions: Sequence[Any]) -> None:
        """Write what was found to docs."""
        raise NotImplementedError

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score predictions against gold annotation, with the component's scorer."""
        if self.scorer is None:
            return {}
        return self.scorer(examples, **{"spans_key": self.spans_key, **kwargs})

    def _asked(self, docs: Sequence[Doc]) -> list[LabelSet]:
        """The types that each doc asks for. Says once when there are none because nobody set any."""
        asked = [get_labels(doc, self._labels) for doc in docs]
        if not self._warned and not len(self._labels) and any(labels is self._labels for labels in asked):
            self._warned = True
            warn(self.NO_LABELS, name=self.name)
        return asked

    # What is saved of the settings: only what changed after the config set them.

    def _settings(self) -> dict[str, Any]:
        return {"labels": self._labels.plain(), **{name: getattr(self, name) for name in self.SETTINGS}}

    def _changes(self) -> dict[str, Any]:
        """Settings that were changed after the config set them, each with its value then and now."""
        now = self._settings()
        return {key: [self._given[key], now[key]] for key in now if now[key] != self._given[key]}

    # The standard library's JSON: srsly's reads 0.6 as its neighbour, which is no longer what was given.
    def _apply(self, changes: dict[str, Any]) -> None:
        """Apply saved changes, but not over a config that was given another value at load."""
        for key, (before, after) in changes.items():
            if self._given[key] == before:
                setattr(self, key, after)

    # Serialisation. A component with weights says how they are stored.

    def _save(self, path: Path) -> None:
        """Write the weights, and all that goes with them, into a directory."""

    def _load(self, path: Path) -> None:
        """Read what `_save` wrote."""

    def _pack(self) -> bytes:
        """As `_save`, in one object."""
        return b""

    def _unpack(self, data: bytes) -> None:
        """Read what `_pack` wrote."""

    def _save_readable(self, path: Path) -> None:
        self._save(path)
        as_new_files(path)

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = SimpleFrozenList()) -> None:
        """Write all that loading needs: weights, tokenizer, exported encoders, settings changed since.

        exclude (Iterable[str]): Of "vocab", "cfg", "model".
        """
        parts = {
            "vocab": lambda p: self.vocab.to_disk(p, exclude=exclude),
            "cfg": lambda p: p.write_text(json.dumps(self._changes(), indent=2), encoding="utf8"),
            "model": self._save_readable,
        }
        to_disk(Path(path), parts, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = SimpleFrozenList()) -> Self:
        """Read what `to_disk` wrote."""
        parts = {
            "vocab": lambda p: self.vocab.from_disk(p, exclude=exclude),
            "cfg": lambda p: self._apply(json.loads(p.read_text(encoding="utf8"))),
            "model": self._load,
        }
        from_disk(Path(path), parts, exclude)
        return self

    def to_bytes(self, *, exclude: Iterable[str] = SimpleFrozenList()) -> bytes:
        """As `to_disk`, in one object. Weights over 4 GB do not fit: `to_disk` has no limit."""
        parts = {
            "vocab": lambda: self.vocab.to_bytes(exclude=exclude),
            "cfg": lambda: json.dumps(self._changes()),
            "model": self._pack,
        }
        packed: bytes = to_bytes(parts, exclude)
        return packed

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = SimpleFrozenList()) -> Self:
        """Read what `to_bytes` wrote."""
        parts = {
            "vocab": lambda b: self.vocab.from_bytes(b, exclude=exclude),
            "cfg": lambda b: self._apply(json.loads(b)),
            "model": self._unpack,
        }
        from_bytes(bytes_data, parts, exclude)
        return self
