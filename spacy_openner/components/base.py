"""The part of spaCy's protocol that all components share: settings, streams of docs, saving and loading."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast, overload

from spacy.pipeline import Pipe
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import SimpleFrozenList, from_dict, from_disk, minibatch, raise_error, registry, to_bytes, to_disk
from spacy.vocab import Vocab
from srsly import msgpack_loads
from typing_extensions import Self

from ..arguments import as_instance, as_iterable, as_mapping, as_names, as_whole
from ..config_format import same_name
from ..decoding.span_selection import Overlap
from ..doc_arguments import as_docs, as_examples
from ..errors import OpenNERError, error, warn
from ..files import as_path, replaced_directory
from ..labels import LabelSet, LabelsLike, get_label_scores, get_labels
from ..nn.permissions import as_new_files
from ..settings import EntitySettings, LabelSettings
from ..training.checks import examine_evaluation
from .pipeline_config import PipelineConfig, saved_section

SettingsT = TypeVar("SettingsT", bound=LabelSettings)
T = TypeVar("T")
PARTS = ("vocab", "cfg", "model")
"""The files of a component's directory."""


class Setting(Generic[T]):
    """One of a component's settings as its attribute. To set it is to replace the component's settings, checked."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, pipe: None, owner: type) -> "Setting[T]": ...
    @overload
    def __get__(self, pipe: Any, owner: type) -> T: ...
    def __get__(self, pipe: Any, owner: type) -> "Setting[T] | T":
        if pipe is None:
            return self
        value: T = getattr(pipe.settings, self._name)
        return value

    def __set__(self, pipe: Any, value: T) -> None:
        pipe.settings = pipe.settings.replace(**{self._name: value})


class OpenLabelPipe(Pipe, Generic[SettingsT]):
    """Base of the components whose labels are named at run time. A subclass predicts: `predict`, `set_annotations`.

    Every setting is an attribute as well: `pipe.threshold = 0.3` is `pipe.settings = pipe.settings.replace(...)`.

    vocab (Vocab): The pipeline's vocabulary.
    name (str): The component's name.
    settings (SettingsT): Its settings.
    scorer (Callable | None): Scores examples, for `nlp.evaluate`.
    """

    NO_LABELS_WARNING: ClassVar[str] = "W001"

    threshold: Setting[float] = Setting()
    label_thresholds: Setting[Mapping[str, float]] = Setting()
    spans_key: Setting[str] = Setting()

    def __init__(self, vocab: Vocab, name: str, settings: SettingsT, *, scorer: Callable | None = None) -> None:
        self.vocab = vocab
        self.name = name
        self.scorer = scorer
        self.pipeline_config: PipelineConfig | None = None
        self._warned: set[str] = set()
        self._built_with = settings
        self._adopt(settings, settings.names())

    # Settings

    @property
    def settings(self) -> SettingsT:
        """All settings. They are frozen: assign others to change several at once."""
        return self._settings

    @settings.setter
    def settings(self, settings: SettingsT) -> None:
        kind = type(self._settings)
        as_instance(settings, kind, "settings", f"a {kind.__name__}, such as pipe.settings.replace(...)")
        changed = settings.changed_from(self._settings)
        if changed:
            self._adopt(settings, changed)

    def _adopt(self, settings: SettingsT, changed: Sequence[str]) -> None:
        self._check_settings(settings)
        self._settings = settings
        if "label_thresholds" in changed:
            self._warn_of_unknown_labels("label_thresholds", self.label_thresholds)
        if self.pipeline_config is not None:
            self.pipeline_config.write(settings, changed)

    def _check_settings(self, settings: SettingsT) -> None:
        """Compare settings with what the component is made of, before they hold.

        RAISES (SettingError): When they do not go together.
        """

    def _warn_of_unknown_labels(self, setting: str, names: Iterable[str]) -> None:
        """Warn when a setting names types that are not among the labels."""
        known = set(map(same_name, self.labels))
        unknown = [name for name in names if same_name(name) not in known]
        if unknown and self.labels:
            warn("W005", setting=setting, labels=unknown)

    @property
    def labels(self) -> tuple[str, ...]:
        """The types. Setting them, with descriptions or without, loads nothing: they are no weights."""
        return self._settings.labels.names

    @labels.setter
    def labels(self, labels: LabelsLike) -> None:
        self.settings = self._settings.replace(labels=labels)

    @property
    def descriptions(self) -> dict[str, str]:
        """Each type's description; its name where none was given."""
        return dict(self._settings.labels)

    @descriptions.setter
    def descriptions(self, descriptions: Mapping[str, str]) -> None:
        own = self.descriptions
        given = as_mapping(descriptions, "descriptions", "a mapping from labels to their descriptions")
        unknown = [label for label in given if label not in own]
        if unknown:
            raise error("O001", name="descriptions", value=unknown, allowed=f"labels of the component: {list(own)}")
        self.labels = {**own, **given}

    def _threshold_of(self, label: str) -> float:
        return self._settings.label_thresholds.get(label, self._settings.threshold)

    def _later_components(self) -> tuple[str, ...]:
        """Name the components behind this one, as far as its pipeline is known."""
        return () if self.pipeline_config is None else self.pipeline_config.later_names()

    # Prediction

    def __call__(self, doc: Doc) -> Doc:
        """Annotate one doc. Errors are raised: spaCy hands them to the error handler, and keeps the doc."""
        self._process(as_docs([doc]))
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream of docs. Only docs that fail by themselves go to an error handler.

        batch_size (int): How many docs are taken together; `batch_tokens` bounds what the model sees at once.
        """
        stream = as_iterable(stream, "stream", "Docs")
        for docs in minibatch(stream, size=as_whole(batch_size, "batch_size", 1)):
            yield from self._processed(as_docs(docs))

    def _processed(self, docs: list[Doc]) -> list[Doc]:
        """Return the docs that could be annotated; what fails together is tried one by one."""
        handle = self.get_error_handler()
        try:
            self._process(docs)
        except Exception as problem:
            if len(docs) == 1 or handle is raise_error:
                handle(self.name, self, docs, problem)
                return []
            return [done for doc in docs for done in self._processed([doc])]
        return docs

    def _process(self, docs: Sequence[Doc]) -> None:
        """Annotate docs that are taken together."""
        self.set_annotations(docs, self.predict(docs))

    def predict(self, docs: Sequence[Doc]) -> Sequence[Any]:
        """Predict, without changing the docs."""
        raise NotImplementedError

    def set_annotations(self, docs: Sequence[Doc], predictions: Sequence[Any]) -> None:
        """Write predictions to docs."""
        raise NotImplementedError

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score predictions against gold annotation, with the component's scorer. Warn where they cannot agree."""
        if self.scorer is None:
            return {}
        settings = {"spans_key": self.spans_key, **kwargs}
        examples = as_examples(examples)
        types = (self._types_to_find(example.predicted) for example in examples)
        examine_evaluation(self.name, examples, types, settings["spans_key"], self._gold_overlap())
        return self.scorer(examples, **settings)

    def _types_to_find(self, doc: Doc) -> Collection[str]:
        """Name the types that there were to choose from in a doc; none where nobody named any."""
        return get_label_scores(doc) or self._labels_of(doc).names

    def _gold_overlap(self) -> Overlap | None:
        """Name which gold entities can be found together; None where that is no matter."""
        settings = self._settings
        return cast(Overlap, settings.overlap) if isinstance(settings, EntitySettings) else None

    def _labels_per_doc(self, docs: Sequence[Doc]) -> list[LabelSet]:
        """Return the types of each doc: its own, or the component's. Warn once where nobody named any."""
        own = self._settings.labels
        labels_per_doc = [self._labels_of(doc) for doc in docs]
        if not own and any(labels is own for labels in labels_per_doc):
            self._warn_once(self.NO_LABELS_WARNING, name=self.name)
        return labels_per_doc

    def _warn_once(self, code: str, **values: Any) -> None:
        if code not in self._warned:
            self._warned.add(code)
            warn(code, **values)

    def _labels_of(self, doc: Doc) -> LabelSet:
        return get_labels(doc, self._settings.labels)

    # Serialisation. A component with weights overrides how they are stored.

    def _save(self, path: Path) -> None:
        """Write the weights, and all that goes with them, into a directory."""

    def _load(self, path: Path) -> None:
        """Read what `_save` wrote."""

    def _pack(self) -> bytes:
        """Return what `_save` writes as one object."""
        return b""

    def _unpack(self, data: bytes) -> None:
        """Read what `_pack` returned."""

    def _save_readable(self, path: Path) -> None:
        self._save(path)
        as_new_files(path)

    def _load_settings(self, path: Path) -> None:
        """Take the saved settings, but for those that the pipeline's config overrides at load."""
        try:
            data = path.read_bytes()
        except OSError as problem:
            raise error("O021", where=str(path), reason=problem) from problem
        saved = self._settings.from_json(data, base=self._settings, where=str(path))
        section = saved_section(path.parent)
        self.settings = saved if section is None else saved.loaded(self._built_with, section)

    def _load_vocab(self, path: Path, exclude: Iterable[str]) -> None:
        try:
            self.vocab.from_disk(path, exclude=exclude)
        # In many ways, and without a name.
        except Exception as problem:
            raise error("O105", path=str(path), reason=problem) from problem

    def _restore_objects(self, path: Path) -> None:
        """Make anew, from what was saved, what spaCy made of strings in which it had doubled "$"."""
        if self.pipeline_config is not None:
            for name, value in self.pipeline_config.restore(path, self._settings.names()).items():
                self._replace_object(name, registry.resolve({name: value})[name])

    def _replace_object(self, name: str, new: Any) -> None:
        """Take another object in the place of one that the factory was given."""
        setattr(self, name, new)

    def _unpack_settings(self, data: str | bytes) -> None:
        self.settings = self._settings.from_json(data, base=self._settings, where=f"the bytes of {self.name!r}")

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = SimpleFrozenList()) -> None:
        """Write all that loading needs: weights, tokenizer, exported encoders, settings.

        The directory appears whole, or stays as it was: it is written beside, and renamed.

        exclude (Iterable[str]): Of "vocab", "cfg", "model". Of an old directory, "cfg" and "model" stay if excluded.
        RAISES (DataError): O407, when it cannot be written, or holds other things, which would be lost.
        """
        parts = {
            "vocab": lambda p: self.vocab.to_disk(p, exclude=exclude),
            "cfg": lambda p: p.write_text(self._settings.to_json(), encoding="utf8"),
            "model": self._save_readable,
        }
        exclude = as_names(exclude, "exclude")
        keep_others = not {"cfg", "model"}.isdisjoint(exclude)
        with replaced_directory(path, PARTS, parents=True, keep_others=keep_others) as beside:
            to_disk(beside, parts, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = SimpleFrozenList()) -> Self:
        """Read what `to_disk` wrote. Settings that the pipeline's config overrides at load are as overridden.

        exclude (Iterable[str]): Of "vocab", "cfg", "model".
        RAISES (OpenNERError): For files that are damaged or not there.
        """
        parts = {
            "vocab": lambda p: self._load_vocab(p, exclude),
            "cfg": self._load_settings,
            "model": self._load,
        }
        path, exclude = as_path(path), as_names(exclude, "exclude")
        self._restore_objects(path)
        from_disk(path, parts, exclude)
        return self

    def to_bytes(self, *, exclude: Iterable[str] = SimpleFrozenList()) -> bytes:
        """Return what `to_disk` writes as one object. Weights over 4 GB do not fit: `to_disk` has no limit.

        exclude (Iterable[str]): Of "vocab", "cfg", "model".
        """
        parts = {
            "vocab": lambda: self.vocab.to_bytes(exclude=exclude),
            "cfg": self._settings.to_json,
            "model": self._pack,
        }
        packed: bytes = to_bytes(parts, as_names(exclude, "exclude"))
        return packed

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = SimpleFrozenList()) -> Self:
        """Read what `to_bytes` returned: settings, too, are as they were then.

        exclude (Iterable[str]): Of "vocab", "cfg", "model".
        RAISES (OpenNERError): For damaged data.
        """
        parts = {
            "vocab": lambda b: self.vocab.from_bytes(b, exclude=exclude),
            "cfg": self._unpack_settings,
            "model": self._unpack,
        }
        try:
            message = msgpack_loads(bytes_data)
            if not isinstance(message, dict) or not message.keys() <= parts.keys():
                raise ValueError(f"it holds something else than {', '.join(parts)}")
            from_dict(message, parts, as_names(exclude, "exclude"))
        except OpenNERError:
            raise
        # spaCy's vocabulary fails in many ways.
        except Exception as problem:
            raise error("O105", path=f"the bytes of {self.name}", reason=problem) from problem
        return self
