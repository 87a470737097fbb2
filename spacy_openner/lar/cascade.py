"""A cascade of two reassigners: a dear one is asked where a cheap one may err ("dev data shows that it helps", LAR)."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from spacy.language import Language

from ..config_format import check_config_value
from ..errors import error
from ..llm.types import UsageReport
from .reassigner import EntityCase, LabelSpace, Reassigner, TypeChoice


class CascadeReassigner:
    """Two reassigners in turn; see `GatedReassigner_v1` for the settings. `gate` can be changed at any time."""

    def __init__(
        self,
        first: Reassigner,
        second: Reassigner,
        below: float,
        types: Sequence[str] | None,
        gate: Mapping[str, float] | None,
    ) -> None:
        self.first, self.second = first, second
        self.below, self.types = below, None if types is None else tuple(types)
        self.gate: dict[str, float] = dict(gate or {})

    @property
    def report(self) -> UsageReport | None:
        """Counts of what a language model was asked; None where none is."""
        return self.second.report or self.first.report

    def __call__(self, cases: Sequence[EntityCase], types: LabelSpace) -> list[TypeChoice]:
        """Let the first decide, and the second where the gate is open; without its answer the first's stands."""
        choices = self.first(cases, types)
        open_for = [i for i, (case, choice) in enumerate(zip(cases, choices, strict=True)) if self.opens(case, choice)]
        for i, second in zip(open_for, self.second([cases[i] for i in open_for], types), strict=True):
            first = choices[i]
            if second.label is not None:
                choices[i] = second
            elif first.label is not None:
                choices[i] = first._replace(reason=f"{second.by}: {second.reason}")
            else:
                choices[i] = first._replace(reason=f"{first.reason}; {second.by}: {second.reason}")
        return choices

    def opens(self, case: EntityCase, choice: TypeChoice) -> bool:
        """Tell whether the second is asked about a case, by the first's choice."""
        if choice.label is None:
            return True
        if choice.label in self.gate:
            return choice.score < self.gate[choice.label]
        listed = self.types is None or case.source in self.types or choice.label in self.types
        return listed and choice.score < self.below

    def attach(self, name: str, nlp: Language) -> None:
        """Become part of a pipeline; both may share a model of it."""
        self.first.attach(name, nlp)
        self.second.attach(name, nlp)

    def initialize(self) -> None:
        """Load the weights of both."""
        self.first.initialize()
        self.second.initialize()

    def save(self, path: Path) -> None:
        """Write the weights of both."""
        self.first.save(path / "first")
        self.second.save(path / "second")

    def load(self, path: Path) -> None:
        """Read what `save` wrote."""
        self.first.load(path / "first")
        self.second.load(path / "second")


def GatedReassigner_v1(
    first: Reassigner,
    second: Reassigner,
    below: float = 1.01,
    types: list[str] | None = None,
    gate: dict[str, float] | None = None,
) -> CascadeReassigner:
    """Two reassigners, of which the second is asked where the first may err.

    Registered as "spacy-openner.GatedReassigner.v1". Where the second has no answer, the first's stands.

    first (Reassigner): A cheap one with scores.
    second (Reassigner): A dear one, such as an `LLMReassigner`.
    below (float): The second is asked where the first's score is less; always, above 1.
    types (list[str] | None): Only of entities whose source type, or target type by the first, is among these.
    gate (dict[str, float] | None): In place of `below` and `types`, for single target types, or "none", that the first
        chose: 0 for never, above 1 for always. `calibrate` chooses these by annotated docs.
    RETURNS (CascadeReassigner): Both together.
    RAISES (SettingError): For a value that is not allowed.
    """
    check_config_value("gate", gate or {})
    check_config_value("types", types or [])
    for value in chain([below], (gate or {}).values()):
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise error("O001", name="below/gate", value=value, allowed="numbers from 0 (never); above 1 is always")
    if isinstance(types, str):
        raise error("O001", name="types", value=types, allowed="a list of names, or null for all")
    return CascadeReassigner(first, second, below, types, gate)
