"""The interface of reassigners, the data that they share with `lar_reassigner`, and how they share a model."""

import json
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model

from ..errors import error
from ..json_files import read_json_strictly, write_json
from ..llm.types import UsageReport

TOO_LONG = "too long"
SHARED, CONFIG = "shared_model.json", "config.cfg"


class EntityCase(NamedTuple):
    """An entity whose target type is wanted.

    doc, start, end: Where it is, in tokens, `end` exclusive.
    source: Its source type.
    options: The target types that it may have, one at least.
    """

    doc: Doc
    start: int
    end: int
    source: str
    options: tuple[str, ...]

    @property
    def text(self) -> str:
        """The entity."""
        return str(self.doc[self.start : self.end].text)


class LabelSpace(NamedTuple):
    """The types that all cases share.

    sources: All source types.
    targets: All target types, with what describes them (their names where nothing does).
    none: Whether an entity may have none of its options: `prompts.lar.NONE`.
    boundaries: The places of texts that no entity crosses; some of `types.BOUNDARIES`.
    """

    sources: tuple[str, ...]
    targets: Mapping[str, str]
    none: bool
    boundaries: tuple[str, ...] = ()


class TypeChoice(NamedTuple):
    """The answer about one case.

    label: One of the case's options, `NONE`, or None for no answer.
    score: A probability, as far as the reassigner knows one; 1 for a plain choice.
    by: Who decided.
    reason: Why there is no answer, or why a better judge did not decide; "" where all went well.
    span: The tokens (end exclusive) that have this score, where they are not the entity's.
    """

    label: str | None
    score: float
    by: str
    reason: str = ""
    span: tuple[int, int] | None = None


class Reassigner(Protocol):
    """Chooses target types. It must not change docs."""

    @property
    def report(self) -> UsageReport | None:
        """Counts of what a language model was asked; None where none is."""
        ...

    def __call__(self, cases: Sequence[EntityCase], types: LabelSpace) -> list[TypeChoice]:
        """Choose.

        cases (Sequence[EntityCase]): Of any docs; those of a doc stand together.
        RETURNS (list[TypeChoice]): In step with the cases.
        """
        ...

    def attach(self, name: str, nlp: Language) -> None:
        """Become part of a pipeline, whose components may have models to share.

        name (str): The component that the reassigner is part of, for messages.
        """
        ...

    def initialize(self) -> None:
        """Load weights."""
        ...

    def save(self, path: Path) -> None:
        """Write weights that no other component of the pipeline saves."""
        ...

    def load(self, path: Path) -> None:
        """Read what `save` wrote."""
        ...


class SharedModelReassigner(ABC):
    """Base of reassigners with a model, which may be that of another component.

    Which model that is, is settled at each use: the other component may be added, replaced or removed at any time. Its
    weights are saved by that component; where another pipeline is saved, or it has left this one, they are saved here.

    model (Model | None): A model of its own; None to share one.
    component (str | None): The component whose model is shared; None for the first that has one, and the default
        weights of the package where no component has.
    """

    KIND: ClassVar[str]
    """The kind of model, for messages."""

    def __init__(self, model: Model | None, component: str | None) -> None:
        self.component = component
        self._own = model
        self._given = model is not None
        self._default: Model | None = None
        self._shared: Model | None = None
        # How the shared model is built, for loading it when its component is gone.
        self._shared_config: dict[str, Any] = {}
        self._name = ""
        self._pipeline: weakref.ref[Language] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the pipeline out, which may be another one where this is unpickled."""
        if self._pipeline is not None:
            self._find_shared()
        return {**self.__dict__, "_pipeline": None}

    @property
    def report(self) -> UsageReport | None:
        """No language model is asked."""
        return None

    @abstractmethod
    def fits(self, model: object) -> bool:
        """Tell whether this is a model of the right kind."""

    @abstractmethod
    def make_default(self) -> Model:
        """Build a model with the default weights."""

    def make_for(self, path: Path) -> Model:
        """Build a model that reads what was written into a directory: one with the default weights, by default."""
        return self.make_default()

    @abstractmethod
    def load_weights(self, model: Model) -> None:
        """Load the weights that a model names, unless they are there already."""

    @abstractmethod
    def write_weights(self, model: Model, path: Path) -> None:
        """Write a model's weights into a directory."""

    @abstractmethod
    def read_weights(self, model: Model, path: Path) -> None:
        """Read what `write_weights` wrote."""

    def attach(self, name: str, nlp: Language) -> None:
        """Become part of a pipeline, whose components may have a model to share."""
        self._name, self._pipeline = name, weakref.ref(nlp)

    @property
    def owner(self) -> str | None:
        """The component of the pipeline whose model is used; None for a model of its own."""
        return self._find_shared() if self._own is None else None

    @property
    def model(self) -> Model:
        """The model that is used now.

        RAISES (SettingError): When `component` is named, and there is no such component with a model to share.
        """
        if self._own is not None:
            return self._own
        owner = self._find_shared()
        if self._shared is not None:
            return self._shared
        if self.component is not None and owner is None:
            raise error("O505", name=self._name, component=self.component, what=self.KIND, present=self._fitting())
        if self._default is None:
            self._default = self.make_default()
        return self._default

    def _nlp(self) -> Language | None:
        """Return the pipeline, if it is known."""
        return None if self._pipeline is None else self._pipeline()

    def _find_shared(self) -> str | None:
        """Look for the component whose model is shared, and keep that model; the last one where there is none now.

        RETURNS (str | None): The component's name, if it is in the pipeline.
        """
        fitting = self._fitting()
        owner = self.component if self.component in fitting else next(iter(fitting), None)
        nlp = self._nlp()
        if owner is None or nlp is None or (self.component is not None and owner != self.component):
            return None
        model = nlp.get_pipe(owner).model
        if model is not self._shared:
            self._shared, self._shared_config = model, dict(nlp.get_pipe_config(owner).get("model") or {})
        return owner

    def _fitting(self) -> list[str]:
        """Name the components of the pipeline that have a model to share."""
        nlp = self._nlp()
        pipes = nlp.components if nlp is not None else []
        return [name for name, pipe in pipes if self.fits(getattr(pipe, "model", None))]

    def initialize(self) -> None:
        """Load the weights, unless their component does."""
        model = self.model
        if self.owner is None:
            self.load_weights(model)

    def save(self, path: Path) -> None:
        """Write the weights, unless their component does, and which of the two it was.

        RAISES (SettingError): When the model needs layers of a pipeline that it is no longer part of.
        """
        model, owner = self.model, self.owner
        path.mkdir(parents=True, exist_ok=True)
        if owner is not None and self._is_saved(path):
            write_json(path / SHARED, {"component": owner})
            return
        if not self._given and self._shared_config:
            if model.layers:
                raise error("O512", name=self._name, what=self.KIND)
            write_json(path / SHARED, {"model": json.loads(json.dumps(self._shared_config))})
        self.write_weights(model, path)

    def _is_saved(self, path: Path) -> bool:
        """Tell whether it is the known pipeline that is saved, and not another one that took the component over.

        spaCy tells components nothing of the pipelines that they are in, but a pipeline writes its config first.
        """
        nlp = self._nlp()
        config = next((parent / CONFIG for parent in list(path.parents)[:4] if (parent / CONFIG).is_file()), None)
        return nlp is not None and (config is None or config.read_text(encoding="utf8") == nlp.config.to_str())

    def load(self, path: Path) -> None:
        """Read what `save` wrote.

        RAISES (SettingError): When the pipeline lacks the component whose model was shared.
        """
        if not path.is_dir():
            return
        record = read_json_strictly(path / SHARED) if (path / SHARED).is_file() else {}
        if "component" in record:
            if self._own is None and self.owner is None and self._pipeline is not None:
                raise error("O513", name=self._name, component=record["component"], what=self.KIND)
            return
        if "model" in record and not self._given:
            self._shared_config = record["model"]
            self._own = registry.resolve({"model": record["model"]})["model"]
        elif self._own is None:
            self._own = self.make_for(path)
        self.read_weights(self._own, path)


def by_doc(cases: Sequence[EntityCase]) -> list[list[EntityCase]]:
    """Group the cases that stand together because they are of one doc."""
    groups: list[list[EntityCase]] = []
    for case in cases:
        if groups and groups[-1][0].doc is case.doc:
            groups[-1].append(case)
        else:
            groups.append([case])
    return groups
