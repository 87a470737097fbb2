"""A component's settings in the config of its pipeline, in memory and in a saved directory."""

import weakref
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.util import load_config

from ..config_format import config_value, undoubled
from ..settings import Settings

CONFIG_FILE = "config.cfg"


class Attachable(Protocol):
    """A part that looks for others in the pipeline of its component."""

    def attach(self, name: str, nlp: Language) -> None:
        """Become part of a pipeline."""
        ...


class PipelineConfig:
    """The section of a pipeline's config that one component was built from. What is written to it is what
    `nlp.config` says from then on, and `nlp.to_disk` saves.

    Neither pipeline nor component is kept alive. A copy, and what comes out of a pickle, hold the section itself, which
    is that of the copied pipeline where the component was copied along with it.

    pipe (Pipe): The component.
    nlp (Language): The pipeline that it is built for.
    """

    def __init__(self, pipe: Pipe, nlp: Language) -> None:
        self._pipe, self._nlp = weakref.ref(pipe), weakref.ref(nlp)
        self._section: dict[str, Any] | None = None

    @property
    def section(self) -> dict[str, Any] | None:
        """The section; None where the pipeline is gone, or does not hold the component."""
        nlp = None if self._section is not None else self._nlp()
        if nlp is None:
            return self._section
        own = self._pipe()
        return next((nlp.get_pipe_config(name) for name, pipe in nlp.components if pipe is own), None)

    def later_names(self) -> tuple[str, ...]:
        """Return the names of the components behind this one; none where the pipeline is gone, or does not hold it."""
        nlp, own = self._nlp(), self._pipe()
        names = [name for name, _ in nlp.components] if nlp is not None else []
        at = [i for i, (_, pipe) in enumerate(nlp.components) if pipe is own] if nlp is not None else []
        return tuple(names[at[0] + 1 :]) if at else ()

    def attach(self, name: str, part: Attachable) -> None:
        """Make a part of the component known to the pipeline, where that is there."""
        nlp = self._nlp()
        if nlp is not None:
            part.attach(name, nlp)

    def write(self, settings: Settings, names: Iterable[str]) -> None:
        """Say what some settings are now, as far as a config can hold it."""
        section = self.section
        if section is not None:
            values, defaults = settings.plain(), settings.defaults()
            section.update({name: config_value(values[name], defaults[name]) for name in names})

    def restore(self, path: Path, settings: Container[str]) -> dict[str, Any]:
        """Take back what spaCy did to the section while it loaded a saved pipeline, settings aside, whose own file has
        them: it doubled each "$".

        path (Path): The directory that the component is loaded from.
        settings (Container[str]): The names of its settings.
        RETURNS (dict[str, Any]): The values that are others now.
        """
        # Not interpolated: of lists that begin with "$", interpolation makes others.
        section, saved = self.section, saved_section(path, interpolate=False)
        if section is None or saved is None:
            return {}
        values = {name: undoubled(value, saved.get(name)) for name, value in section.items() if name not in settings}
        changed = {name: value for name, value in values.items() if value != section[name]}
        section.update(changed)
        return changed

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_section, (self.section,)


def _of_section(section: dict[str, Any] | None) -> "PipelineConfig":
    config = PipelineConfig.__new__(PipelineConfig)
    config._pipe = config._nlp = lambda: None  # type: ignore[assignment]
    config._section = section
    return config


def saved_section(path: Path, interpolate: bool = True) -> Mapping[str, Any] | None:
    """Read what the config of a saved pipeline says of one of its components.

    path (Path): The component's directory.
    interpolate (bool): Put in what variables stand for.
    RETURNS (Mapping[str, Any] | None): Its section, as spaCy reads it where nothing is overridden; None where the
        directory is no part of a pipeline.
    """
    file = path.parent / CONFIG_FILE
    if not file.is_file():
        return None
    try:
        config = load_config(file)
        components = (config.interpolate() if interpolate else config).get("components", {})
    except ValueError:
        # Only overrides make it a config that can be read, and what it says without them is not known.
        return None
    section: Mapping[str, Any] | None = components.get(path.name)
    return section
