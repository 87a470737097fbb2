"""The alignment table: which source types each target type belongs to (LAR, section 3.2; FORMATS, section 4)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config_format import same_name
from ..errors import error
from ..json_files import read_json_strictly, write_json
from ..prompts.lar import KIND, NONE
from ..settings import LARReassignerSettings

FORMAT = "spacy-openner.alignment.v1"
MISCELLANEOUS = "miscellaneous"


@dataclass(frozen=True)
class AlignedType:
    """The source types of one target type.

    sources (tuple[str, ...]): The source types, the most likely first; one at least.
    confidence (float | None): How sure the first is, as the strategy measures it; None where somebody wrote it.
    counts (dict[str, int]): What the source model predicted for gold entities of the target type; "" for nothing.
    """

    sources: tuple[str, ...]
    confidence: float | None = None
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class AlignmentTable:
    """The source types of every target type.

    targets (dict[str, AlignedType]): By target type, in order.
    sources (tuple[str, ...]): All source types, those that nothing is aligned with as well; empty if not known.
    miscellaneous (str): The source type of target types that the source model does not recognise.
    strategy (str): What made it.
    RAISES (SettingError): For source types that are not among `sources`, or a target type "none".
    """

    targets: dict[str, AlignedType]
    sources: tuple[str, ...] = ()
    miscellaneous: str = MISCELLANEOUS
    strategy: str = ""

    def __post_init__(self) -> None:
        if NONE in self.targets:
            raise error("O503", label=NONE)
        used = {source for aligned in self.targets.values() for source in aligned.sources}
        unknown = sorted(used - {*self.sources, self.miscellaneous})
        if self.sources and unknown:
            known = [*self.sources, self.miscellaneous]
            raise error("O502", side="source", unknown=unknown, known=known, where='its "sources"')

    def options(self, source: str) -> tuple[str, ...]:
        """Return the target types that entities of a source type may have, in order."""
        return tuple(target for target, aligned in self.targets.items() if source in aligned.sources)

    @property
    def source_types(self) -> tuple[str, ...]:
        """All source types that occur or are known."""
        used = [source for aligned in self.targets.values() for source in aligned.sources]
        return tuple(dict.fromkeys([*self.sources, *used]))

    def described(self) -> dict[str, str]:
        """Describe each target type by what it belongs to: "politician, a kind of person".

        As `labels` with `use_descriptions`, a span matcher reads types together with what they come from, and
        `prompts.lar_answer` knows the source type of its lines. Of several source types the first is named.
        """
        return {target: f"{target}{KIND}{aligned.sources[0]}" for target, aligned in self.targets.items()}

    def check_targets(self, known: Sequence[str]) -> None:
        """Compare with the types that are wanted.

        RAISES (SettingError): For target types that are not among them.
        """
        unknown = [target for target in self.targets if target not in known]
        if unknown:
            raise error("O502", side="target", unknown=unknown, known=list(known), where="the component's `labels`")

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, which `from_dict` reads."""
        rows = {
            target: {
                "source": aligned.sources[0] if len(aligned.sources) == 1 else list(aligned.sources),
                "confidence": aligned.confidence,
                "counts": dict(aligned.counts),
            }
            for target, aligned in self.targets.items()
        }
        head = {"format": FORMAT, "strategy": self.strategy, "sources": list(self.sources)}
        return {**head, "miscellaneous": self.miscellaneous, "targets": rows}

    @classmethod
    def from_dict(cls, value: Any, where: str = "The value") -> "AlignmentTable":
        """Read what `as_dict` or a person wrote: {"politician": "person", "place": ["GPE", "LOC"]} will do.

        where (str): What it is, for messages.
        RAISES (DataError): For anything else.
        """
        if _is_short(value):
            value = {"format": FORMAT, "targets": {target: {"source": source} for target, source in value.items()}}
        _expect(value, Mapping, where, "an object")
        _known_keys(value, ("format", "strategy", "sources", "miscellaneous", "targets"), where)
        if value.get("format") != FORMAT:
            raise error("O501", where=where, expected=f'"format": {FORMAT!r}', found=repr(value.get("format")))
        rows = _expect(value.get("targets"), Mapping, f'{where}, "targets"', "an object")
        sources = _names(value.get("sources", []), f'{where}, "sources"')
        miscellaneous = _name(value.get("miscellaneous", MISCELLANEOUS), f'{where}, "miscellaneous"')
        strategy = _expect(value.get("strategy", ""), str, f'{where}, "strategy"', "a string")
        targets = {_name(target, where): _row(row, f"{where}, type {target!r}") for target, row in rows.items()}
        return cls(targets, sources, miscellaneous, strategy)

    def save(self, path: str | Path) -> None:
        """Write it as JSON, for people and `load`. An old file is replaced when all is written, or not at all.

        RAISES (DataError): When that cannot be done.
        """
        write_json(path, self.as_dict())

    @classmethod
    def load(cls, path: str | Path) -> "AlignmentTable":
        """Read a file.

        RAISES (DataError): For one that cannot be read, or holds no table.
        """
        return cls.from_dict(read_json_strictly(path), str(path))


def table_of(settings: LARReassignerSettings) -> AlignmentTable | None:
    """Read the table of settings.

    RAISES (OpenNERError): For a value that is no table, or target types that are not among the labels.
    """
    if settings.table is None:
        return None
    table = AlignmentTable.from_dict(settings.table, "`table`")
    known = set(map(same_name, settings.labels))
    if known and not known.issuperset(map(same_name, table.targets)):
        table.check_targets(settings.labels.names)
    return table


def _is_short(value: Any) -> bool:
    """Tell whether this is how people write a table: target types with their source types, and nothing else."""
    if not isinstance(value, Mapping) or not value or value.get("format") == FORMAT:
        return False
    return all(isinstance(source, str | list) for source in value.values())


def _row(row: Any, where: str) -> AlignedType:
    """Read what is said of one target type."""
    _expect(row, Mapping, where, "an object")
    _known_keys(row, ("source", "confidence", "counts"), where)
    source = row.get("source")
    sources = _names(source if isinstance(source, list) else [source], f'{where}, "source"')
    if not sources:
        raise error("O501", where=f'{where}, "source"', expected="one source type at least", found="[]")
    confidence = row.get("confidence")
    if confidence is not None and not _is_number(confidence):
        raise error("O501", where=f'{where}, "confidence"', expected="a number or null", found=repr(confidence))
    counts = _expect(row.get("counts", {}), Mapping, f'{where}, "counts"', "an object")
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in counts.values()):
        raise error("O501", where=f'{where}, "counts"', expected="whole numbers from 0", found=repr(dict(counts)))
    return AlignedType(sources, confidence, dict(counts))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _names(value: Any, where: str) -> tuple[str, ...]:
    """Read a list of types, none of which stands there twice."""
    names = tuple(_name(name, where) for name in _expect(value, list, where, "a list of names"))
    if len(set(names)) < len(names):
        raise error("O501", where=where, expected="each type once", found=repr(value))
    return names


def _expect(value: Any, kind: type, where: str, expected: str) -> Any:
    if not isinstance(value, kind):
        raise error("O501", where=where, expected=expected, found=f"{type(value).__name__} ({value!r})")
    return value


def _known_keys(value: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    unknown = [key for key in value if key not in known]
    if unknown:
        raise error("O501", where=where, expected=f"keys among {', '.join(known)}", found=f"{unknown}")


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise error("O501", where=where, expected="the name of a type", found=repr(value))
    return value
