"""Label alignment: which source type each target type belongs to (LAR, section 3.2; FORMATS, section 4)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from spacy.language import Language
from spacy.training import Example
from spacy.util import minibatch

from ..errors import error
from ..files import read_json_strictly, write_json
from ..labels import LabelSet
from ..prompts.lar import KIND, NONE
from ..scoring.entities import Entity, _has_annotation, _sides
from ..scoring.gold import blank, gold_key, pipes_before, reference

FORMAT = "spacy-openner.alignment.v1"
ENTS = "ents"
MISCELLANEOUS = "miscellaneous"
UNRECOGNISED = ""
"""Among counts: gold entities that the source model finds nothing in."""
BATCH = 256

Votes = Mapping[str, Mapping[str, int]]
"""Target type -> source type, or `UNRECOGNISED` -> how many gold entities of the target type it was predicted for."""


@dataclass(frozen=True)
class Aligned:
    """The source type of one target type.

    source (str): The source type.
    confidence (float | None): How sure that is, as the strategy measures it; None where somebody wrote it.
    counts (dict[str, int]): What the source model predicted for gold entities of the target type; "" for nothing.
    """

    source: str
    confidence: float | None = None
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class AlignmentTable:
    """Every target type's one source type.

    targets (dict[str, Aligned]): By target type, in order.
    sources (tuple[str, ...]): All source types, those that nothing is aligned with as well; empty if not known.
    miscellaneous (str): The source type of target types that the source model does not recognise.
    strategy (str): What made it.
    RAISES (SettingError): For source types that are not among `sources`, or a target type "none".
    """

    targets: dict[str, Aligned]
    sources: tuple[str, ...] = ()
    miscellaneous: str = MISCELLANEOUS
    strategy: str = ""

    def __post_init__(self) -> None:
        if NONE in self.targets:
            raise error("O503", label=NONE)
        unknown = sorted({each.source for each in self.targets.values()} - {*self.sources, self.miscellaneous})
        if self.sources and unknown:
            known = [*self.sources, self.miscellaneous]
            raise error("O502", side="source", unknown=unknown, known=known, where='its "sources"')

    def options(self, source: str) -> tuple[str, ...]:
        """The target types that entities of a source type may have, in order."""
        return tuple(target for target, each in self.targets.items() if each.source == source)

    @property
    def source_types(self) -> tuple[str, ...]:
        """All source types that occur or are known."""
        return tuple(dict.fromkeys([*self.sources, *(each.source for each in self.targets.values())]))

    def described(self) -> dict[str, str]:
        """Each target type with a description that names both: "politician, a kind of person".

        As `labels` with `use_descriptions`, a span matcher reads types together with what they come from, and
        `prompts.lar_answer` knows the source type of its lines.
        """
        return {target: f"{target}{KIND}{each.source}" for target, each in self.targets.items()}

    def check_targets(self, known: Sequence[str]) -> None:
        """Compare with the types that are wanted.

        RAISES (SettingError): For target types that are not among them.
        """
        unknown = [target for target in self.targets if target not in known]
        if unknown:
            raise error("O502", side="target", unknown=unknown, known=list(known), where="the component's `labels`")

    def as_dict(self) -> dict[str, Any]:
        """What `from_dict` reads."""
        rows = {
            target: {"source": each.source, "confidence": each.confidence, "counts": dict(each.counts)}
            for target, each in self.targets.items()
        }
        head = {"format": FORMAT, "strategy": self.strategy, "sources": list(self.sources)}
        return {**head, "miscellaneous": self.miscellaneous, "targets": rows}

    @classmethod
    def from_dict(cls, value: Any, where: str = "The value") -> "AlignmentTable":
        """Read what `as_dict` or a person wrote: {"politician": "person", ...} will do.

        where (str): What it is, for messages.
        RAISES (DataError): For anything else.
        """
        if isinstance(value, Mapping) and value and all(isinstance(source, str) for source in value.values()):
            value = {"format": FORMAT, "targets": {target: {"source": source} for target, source in value.items()}}
        _expect(value, Mapping, where, "an object")
        _known_keys(value, ("format", "strategy", "sources", "miscellaneous", "targets"), where)
        if value.get("format") != FORMAT:
            raise error("O501", where=where, expected=f'"format": {FORMAT!r}', found=repr(value.get("format")))
        rows = _expect(value.get("targets"), Mapping, f'{where}, "targets"', "an object")
        sources = _expect(value.get("sources", []), list, f'{where}, "sources"', "a list of names")
        for source in sources:
            _name(source, f'{where}, "sources"')
        miscellaneous = _name(value.get("miscellaneous", MISCELLANEOUS), f'{where}, "miscellaneous"')
        targets = {_name(target, where): _row(row, f"{where}, type {target!r}") for target, row in rows.items()}
        return cls(targets, tuple(sources), miscellaneous, str(value.get("strategy", "")))

    def save(self, path: str | Path) -> None:
        """Write it as JSON, for people and `load`.

        RAISES (DataError): When that cannot be done.
        """
        write_json(path, self.as_dict())

    @classmethod
    def load(cls, path: str | Path) -> "AlignmentTable":
        """Read a file.

        RAISES (DataError): For one that cannot be read, or holds no table.
        """
        return cls.from_dict(read_json_strictly(path), str(path))


class Strategy(Protocol):
    """A way to align. `needs_predictions` says whether it looks at the votes, or at the types' names alone."""

    needs_predictions: bool

    def __call__(self, votes: Votes, sources: LabelSet, targets: LabelSet) -> AlignmentTable:
        """Align.

        votes (Votes): What the source model predicted for gold entities.
        sources, targets (LabelSet): The types of both sides.
        """
        ...


class PseudoLabelAlignment:
    """See `PseudoLabelAlignment_v1`."""

    needs_predictions = True

    def __init__(self, miscellaneous: str, min_share: float) -> None:
        self.miscellaneous, self.min_share = miscellaneous, min_share

    def __call__(self, votes: Votes, sources: LabelSet, targets: LabelSet) -> AlignmentTable:
        """Align each target type with the source type that most of its entities were predicted as."""
        rows = {target: self._aligned(votes.get(target, {})) for target in targets.names}
        seen = [source for counts in votes.values() for source in counts if source != UNRECOGNISED]
        names = tuple(dict.fromkeys([*sources.names, *sorted(seen)]))
        return AlignmentTable(rows, names, self.miscellaneous, "spacy-openner.PseudoLabelAlignment.v1")

    def _aligned(self, counts: Mapping[str, int]) -> Aligned:
        total = sum(counts.values())
        ordered = dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))
        recognised = [source for source in ordered if source != UNRECOGNISED]
        n_recognised = total - counts.get(UNRECOGNISED, 0)
        if not n_recognised or n_recognised < self.min_share * total:
            share = (total - n_recognised) / total if total else 0.0
            return Aligned(self.miscellaneous, share, ordered)
        return Aligned(recognised[0], ordered[recognised[0]] / total, ordered)


def PseudoLabelAlignment_v1(miscellaneous: str = MISCELLANEOUS, min_share: float = 0.0) -> PseudoLabelAlignment:
    """Alignment by pseudo-labels (LAR, section 3.2), registered as "spacy-openner.PseudoLabelAlignment.v1".

    The source model reads target texts, and each target type goes to the source type that the majority of its entities,
    where they are recognised at all, is predicted as. The confidence is the share of its entities with that type.

    miscellaneous (str): The source type of target types that are not recognised.
    min_share (float): The share of a type's entities that must be recognised; 0, as in the paper, for any at all.
    RETURNS (PseudoLabelAlignment): To be called with votes.
    RAISES (SettingError): For a value that is not allowed.
    """
    check_name("miscellaneous", miscellaneous)
    if isinstance(min_share, bool) or not isinstance(min_share, int | float) or not 0 <= min_share <= 1:
        raise error("O001", name="min_share", value=min_share, allowed="a number from 0 to 1")
    return PseudoLabelAlignment(miscellaneous, min_share)


def align(
    nlp: Language,
    gold: Iterable[Any],
    strategy: Strategy,
    *,
    source: str = ENTS,
    before: str | None = None,
    targets: LabelSet | None = None,
    sources: LabelSet | None = None,
) -> AlignmentTable:
    """Align the types of annotated docs with those that a pipeline finds.

    nlp (Language): The source model, with whatever it needs.
    gold (Iterable[Doc | Example]): Annotated in target types: by people, or by a language model.
    strategy (Strategy): The way to align.
    source (str): Where the pipeline puts its entities: "ents", or the key of a span group.
    before (str | None): Run only the components before this one.
    targets (LabelSet | None): Target types, also those that the docs lack; those of the docs if None.
    sources (LabelSet | None): Source types; those that the pipeline's components name if None.
    RETURNS (AlignmentTable): With every target type.
    RAISES (SettingError): When there is nothing to align.
    """
    names = pipes_before(nlp, before) if before is not None else nlp.pipe_names
    votes: dict[str, Counter[str]] = {}
    with nlp.select_pipes(enable=names):
        for batch in minibatch(gold, BATCH):
            # What docs name themselves are target types; the source model looks for its own.
            blanks = (blank(nlp, each, own_types=False) for each in batch)
            docs = nlp.pipe(blanks) if strategy.needs_predictions else map(reference, batch)
            for each, doc in zip(batch, docs, strict=True):
                count_votes(Example(doc, reference(each)), source, votes)
    found = LabelSet(sorted(votes))
    known_targets = targets if targets is not None and len(targets) else found
    if not len(known_targets) or (strategy.needs_predictions and not votes):
        raise error("O508", reason="no doc has a gold entity")
    return strategy(votes, sources if sources is not None else source_types(nlp, names), known_targets)


def count_votes(example: Example, source: str, votes: dict[str, Counter[str]]) -> None:
    """Count, for each gold entity, the type of the prediction that shares most of it.

    votes (dict[str, Counter[str]]): What is added to.
    """
    key = gold_key(example.reference)
    if not _has_annotation(example.reference, key):
        return
    predicted_side, gold_side = _sides(example)
    predicted = predicted_side.entities(None if source == ENTS else source)
    for entity in gold_side.entities(key):
        best = max(predicted, key=lambda other: (_shared(entity, other), other), default=None)
        seen = best[2] if best is not None and _shared(entity, best)[0] else UNRECOGNISED
        votes.setdefault(entity[2], Counter())[seen] += 1


def source_types(nlp: Language, names: Sequence[str]) -> LabelSet:
    """The types that the entity-setting ones of some components name."""
    found: dict[str, None] = {}
    for name in names:
        assigns = nlp.get_pipe_meta(name).assigns
        if {"doc.ents", "doc.spans"}.intersection(assigns):
            found.update(dict.fromkeys(getattr(nlp.get_pipe(name), "labels", ())))
    return LabelSet(list(found))


def _shared(entity: Entity, other: Entity) -> tuple[int, int]:
    """How much two spans share; of equal shares the one that has the least else."""
    shared = min(entity[1], other[1]) - max(entity[0], other[0])
    return max(0, shared), -(other[1] - other[0])


# Reading tables


def _row(row: Any, where: str) -> Aligned:
    _expect(row, Mapping, where, "an object")
    _known_keys(row, ("source", "confidence", "counts"), where)
    source = _name(row.get("source"), f'{where}, "source"')
    confidence = row.get("confidence")
    if confidence is not None and (isinstance(confidence, bool) or not isinstance(confidence, int | float)):
        raise error("O501", where=f'{where}, "confidence"', expected="a number or null", found=repr(confidence))
    counts = _expect(row.get("counts", {}), Mapping, f'{where}, "counts"', "an object")
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in counts.values()):
        raise error("O501", where=f'{where}, "counts"', expected="whole numbers from 0", found=repr(dict(counts)))
    return Aligned(source, confidence, dict(counts))


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


def check_name(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise error("O001", name=name, value=value, allowed="the name of a type")
