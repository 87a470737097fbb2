"""Build and load spaCy pipelines, and tell a wrong setting from an installation that does not work.

spaCy imports the plug-ins of all packages that are installed. One that fails makes every pipeline fail, with an
`ImportError` that looks like that of a language which spaCy does not know.
"""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import error

if TYPE_CHECKING:
    from spacy.language import Language
    from thinc.api import ConfigValidationError

# The first release of transformers that spacy-transformers cannot be imported with.
CONFLICTING_TRANSFORMERS = 5
# Settings that had other names before the first release, by the factory or function that they belong to.
RENAMED_SETTINGS = {
    "spacy-openner.TypeSampler.v1": {
        "ratio": "negative_ratio",
        "most_absent": "max_negatives",
        "drop": "positive_dropout",
        "describe": "description_ratio",
        "rename": "synonym_ratio",
        "names": "synonyms",
        "finest": "finest_only_ratio",
    },
    "spacy-openner.TypeLoss.v1": {"level": "classification_weight", "zero": "margin"},
    "gner_generator": {
        "recognition": "type_recognition_ratio",
        "classification": "type_classification_weight",
        "guidance": "attention_weight",
        "candidates": "label_hints",
    },
    "type_filter": {"always": "keep_labels"},
    "lar_reassigner": {"none": "on_none", "unmapped": "on_unmapped"},
}


def blank_pipeline(lang: str) -> "Language":
    """Build a blank pipeline.

    lang (str): Code of a language.
    RETURNS (Language): Without components.
    RAISES (SettingError): O001, for a language that spaCy does not know.
    RAISES (InstallationError): O302 or O303, where a plug-in of spaCy's cannot be imported.
    """
    import spacy

    try:
        return spacy.blank(lang)
    except ImportError as problem:
        if not is_known_language(lang):
            allowed = f"a language that spaCy can load ({problem})"
            raise error("O001", name="lang", value=lang, allowed=allowed) from problem
        raise installation_error(problem) from problem


def load_pipeline(path: str | Path) -> "Language":
    """Load a pipeline by the name of its package or its directory.

    RAISES (OSError): Where there is none.
    RAISES (CheckpointError): O127, for one that was saved before the first release.
    RAISES (InstallationError): O302 or O303, where a plug-in of spaCy's cannot be imported.
    """
    import spacy
    from thinc.api import ConfigValidationError

    try:
        return spacy.load(path)
    except ImportError as problem:
        raise installation_error(problem) from problem
    except ConfigValidationError as problem:
        renamed = _renamed_settings(problem)
        if not renamed:
            raise
        shown = ", ".join(f"`{old}` is now `{new}`" for old, new in renamed.items())
        raise error("O127", path=str(path), renamed=shown) from problem


def _renamed_settings(problem: "ConfigValidationError") -> dict[str, str]:
    """Return which of the arguments that a config should not have are old names of settings, with the new ones."""
    config = problem.config if isinstance(problem.config, dict) else {}
    owner = next((value for key, value in config.items() if key.startswith("@")), "")
    renamed = RENAMED_SETTINGS.get(owner, {})
    refused = [str(entry["loc"][-1]) for entry in problem.errors or () if entry.get("loc")]
    return {old: renamed[old] for old in refused if old in renamed}


def is_known_language(lang: str) -> bool:
    """Return whether spaCy has a language of this code, or of one that it takes for the same."""
    from spacy.util import find_matching_language

    own = lang.isidentifier() and find_spec(f"spacy.lang.{lang}") is not None
    return own or find_matching_language(lang) is not None


def installation_error(problem: ImportError) -> Exception:
    """Return the error that says which installed package is at fault, and what to do.

    problem (ImportError): The error that importing a plug-in, or one of its own imports, ended in.
    """
    transformers, plugin = installed_version("transformers"), installed_version("spacy-transformers")
    if plugin is not None and transformers is not None and int(transformers.split(".")[0]) >= CONFLICTING_TRANSFORMERS:
        return error("O302", plugin=plugin, transformers=transformers)
    lines = str(problem).splitlines() or [type(problem).__name__]
    return error("O303", reason=lines[0], module=problem.name or "unknown")


def installed_version(package: str) -> str | None:
    """Return the version of an installed package; None if it is not installed. Nothing is imported."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
