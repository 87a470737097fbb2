"""Factories of all components: their settings come from one dataclass each."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any, TypeVar

from spacy.language import Language

from ..config_format import check_config_value
from ..settings import Settings
from .base import OpenLabelPipe
from .pipeline_config import PipelineConfig

FactoryT = TypeVar("FactoryT", bound=Callable)
SettingsT = TypeVar("SettingsT", bound=Settings)
PipeT = TypeVar("PipeT", bound=OpenLabelPipe)


def default_config(settings: type[Settings], **objects: Any) -> dict[str, Any]:
    """Return a factory's `default_config`.

    settings (type[Settings]): Gives the defaults of all settings.
    **objects (Any): What is no setting: the model, registered functions.
    """
    return {**objects, **settings.defaults()}


def takes_settings(settings: type[Settings]) -> Callable[[FactoryT], FactoryT]:
    """Decorate a factory function that ends in `**settings`: give it a signature that names each setting, which spaCy
    compares with the config. Values are not compared with types there, so that one check, the settings' own, speaks.
    """

    def decorate(factory: FactoryT) -> FactoryT:
        declared = signature(factory)
        own = [p for p in declared.parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
        named = [Parameter(name, Parameter.KEYWORD_ONLY) for name in settings.names()]
        factory.__signature__ = declared.replace(parameters=[*own, *named])  # type: ignore[attr-defined]
        return factory

    return decorate


def settings_from_config(kind: type[SettingsT], values: Mapping[str, Any]) -> SettingsT:
    """Build settings from a config.

    RAISES (SettingError): For values that are not allowed, or that a config file would lose or change.
    """
    for name, value in values.items():
        check_config_value(name, value)
    return kind(**values)


def connected(pipe: PipeT, nlp: Language) -> PipeT:
    """Let a new component write changes of its settings to its pipeline's config."""
    pipe.pipeline_config = PipelineConfig(pipe, nlp)
    return pipe
