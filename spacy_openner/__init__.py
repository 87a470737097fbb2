"""Open named entity recognition for spaCy. Importing this package loads nothing heavy: names load at first use.

What is listed in `__all__` is the public interface; all else may change.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bulk.run import RunReport, run_corpus
    from .calibration.cascade import CascadeCalibration, calibrate_cascade
    from .calibration.entities import EntityCalibration, calibrate_entities
    from .calibration.reliability import Reliability, measure_reliability
    from .calibration.types import TypeCalibration, calibrate_types
    from .components.gner_generator import GNERGenerator
    from .components.lar_reassigner import LARReassigner
    from .components.merging import merge_docs, move_span_groups
    from .components.open_ner_span import OpenNERSpan
    from .components.type_filter import TypeFilter
    from .data.convert import convert
    from .data.report import ConversionReport
    from .descriptions import describe_types
    from .errors import (
        CheckpointError,
        DataError,
        InstallationError,
        MissingExtra,
        OpenNERError,
        OpenNERWarning,
        SettingError,
        TextError,
    )
    from .labels import get_labels, set_labels
    from .lar.alignment import align_labels
    from .lar.decisions import Decision, read_decisions
    from .lar.table import AlignmentTable
    from .llm.annotation import annotate_docs, explain_docs
    from .llm.client import LLMClient
    from .scoring.entities import score_entities
    from .span_groups import get_score
    from .types import Candidate

__version__ = "0.1.0"
__all__ = [
    "AlignmentTable",
    "Candidate",
    "CascadeCalibration",
    "CheckpointError",
    "ConversionReport",
    "DataError",
    "Decision",
    "EntityCalibration",
    "GNERGenerator",
    "InstallationError",
    "LARReassigner",
    "LLMClient",
    "MissingExtra",
    "OpenNERError",
    "OpenNERSpan",
    "OpenNERWarning",
    "Reliability",
    "RunReport",
    "SettingError",
    "TextError",
    "TypeCalibration",
    "TypeFilter",
    "__version__",
    "align_labels",
    "annotate_docs",
    "calibrate_cascade",
    "calibrate_entities",
    "calibrate_types",
    "convert",
    "describe_types",
    "explain_docs",
    "get_labels",
    "get_score",
    "measure_reliability",
    "merge_docs",
    "move_span_groups",
    "read_decisions",
    "run_corpus",
    "score_entities",
    "set_labels",
]

_MODULES = {
    "bulk.run": ("RunReport", "run_corpus"),
    "calibration.cascade": ("CascadeCalibration", "calibrate_cascade"),
    "calibration.entities": ("EntityCalibration", "calibrate_entities"),
    "calibration.reliability": ("Reliability", "measure_reliability"),
    "calibration.types": ("TypeCalibration", "calibrate_types"),
    "components.gner_generator": ("GNERGenerator",),
    "components.lar_reassigner": ("LARReassigner",),
    "components.merging": ("merge_docs", "move_span_groups"),
    "components.open_ner_span": ("OpenNERSpan",),
    "components.type_filter": ("TypeFilter",),
    "data.convert": ("convert",),
    "data.report": ("ConversionReport",),
    "descriptions": ("describe_types",),
    "errors": (
        "CheckpointError",
        "DataError",
        "InstallationError",
        "MissingExtra",
        "OpenNERError",
        "OpenNERWarning",
        "SettingError",
        "TextError",
    ),
    "labels": ("get_labels", "set_labels"),
    "lar.alignment": ("align_labels",),
    "lar.decisions": ("Decision", "read_decisions"),
    "lar.table": ("AlignmentTable",),
    "llm.annotation": ("annotate_docs", "explain_docs"),
    "llm.client": ("LLMClient",),
    "scoring.entities": ("score_entities",),
    "span_groups": ("get_score",),
    "types": ("Candidate",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
