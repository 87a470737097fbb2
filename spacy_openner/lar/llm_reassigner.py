"""Reassignment by a large language model (LAR, section 3.3), and the gate that says when to ask it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import error
from ..llm.client import LLMClient
from ..llm.types import Failure, Question, Report
from ..prompts.context import surrounding_text, visible_range
from ..prompts.multiple_choice import MentionQuestion, choices_schema, parse_choices, render_choices
from ..settings import check_config_keys
from .span_reassigner import Case, Choice, Reassigner, Types, by_doc

LLM = "llm"
NO_OPTION = "no option"


class Group(NamedTuple):
    """Cases of one doc that share a question, and the tokens of it that are shown."""

    cases: list[Case]
    first: int
    last: int


class LLMReassigner:
    """See `LLMReassigner_v1`."""

    def __init__(self, client: LLMClient, entities_per_request: int, context: int) -> None:
        self.client = client
        self.entities_per_request, self.context = entities_per_request, context

    @property
    def report(self) -> Report:
        """What was asked, and what it took."""
        return self.client.report

    def __call__(self, cases: Sequence[Case], types: Types) -> list[Choice]:
        """Ask a multiple-choice question about each case, all at once."""
        groups = [group for some in by_doc(cases) for group in self._groups(some)]
        mentions = [[_mention(case, types.none) for case in group.cases] for group in groups]
        questions = [self._question(*each, types) for each in zip(groups, mentions, strict=True)]
        found: list[Choice] = []
        for asked, answer in zip(mentions, self.client.ask(questions), strict=True):
            if isinstance(answer, Failure):
                found += [Choice(None, 0.0, LLM, answer.kind)] * len(asked)
            else:
                found += map(_choice, parse_choices(answer.value, asked))
        return found

    def _groups(self, cases: Sequence[Case]) -> Iterator[Group]:
        """Cut the cases of a doc into questions: so many at most, with no more of the text than `context`.

        The order of the cases is kept, whatever that of their places.
        """
        group: list[Case] = []
        for case in cases:
            if group and (len(group) == self.entities_per_request or self._width([*group, case]) > self.context):
                yield self._shown(group)
                group = []
            group.append(case)
        if group:
            yield self._shown(group)

    def _width(self, cases: Sequence[Case]) -> int:
        return max(case.end for case in cases) - min(case.start for case in cases)

    def _shown(self, cases: list[Case]) -> Group:
        """Choose what to show: the whole doc, or `context` tokens, as many on both sides as there are."""
        start, end = min(case.start for case in cases), max(case.end for case in cases)
        return Group(cases, *visible_range(start, end, len(cases[0].doc), self.context))

    def _question(self, group: Group, mentions: Sequence[MentionQuestion], types: Types) -> Question:
        text = str(group.cases[0].doc[group.first : group.last].text)
        return Question(render_choices(text, mentions, types.targets), choices_schema(mentions))

    def bind(self, name: str, pipes: Iterable[tuple[str, Any]]) -> None:
        """Nothing to share."""

    def start(self) -> None:
        """Nothing to load."""

    def save(self, path: Path) -> None:
        """Nothing to save: the settings are in the config, and keys nowhere."""

    def load(self, path: Path) -> None:
        """Nothing to load."""


class GatedReassigner:
    """See `GatedReassigner_v1`. `gate` can be changed at any time."""

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
    def report(self) -> Report | None:
        """What a language model was asked; None if there is none."""
        return getattr(self.second, "report", None) or getattr(self.first, "report", None)

    def __call__(self, cases: Sequence[Case], types: Types) -> list[Choice]:
        """Let the first decide, and the second where the gate is open; without its answer the first's stands."""
        found = self.first(cases, types)
        asked = [i for i, (case, choice) in enumerate(zip(cases, found, strict=True)) if self.opens(case, choice)]
        for i, second in zip(asked, self.second([cases[i] for i in asked], types), strict=True):
            if second.label is not None:
                found[i] = second
            elif found[i].label is not None:
                found[i] = found[i]._replace(reason=f"{second.by}: {second.reason}")
            else:
                found[i] = found[i]._replace(reason=f"{found[i].reason}; {second.by}: {second.reason}")
        return found

    def opens(self, case: Case, choice: Choice) -> bool:
        """Whether the second is asked."""
        if choice.label is None:
            return True
        if choice.label in self.gate:
            return choice.score < self.gate[choice.label]
        listed = self.types is None or case.source in self.types or choice.label in self.types
        return listed and choice.score < self.below

    def bind(self, name: str, pipes: Iterable[tuple[str, Any]]) -> None:
        """Both may share."""
        pipes = list(pipes)
        self.first.bind(name, pipes)
        self.second.bind(name, pipes)

    def start(self) -> None:
        """Load the weights of both."""
        self.first.start()
        self.second.start()

    def save(self, path: Path) -> None:
        """Write the weights of both."""
        self.first.save(path / "first")
        self.second.save(path / "second")

    def load(self, path: Path) -> None:
        """Read what `save` wrote."""
        self.first.load(path / "first")
        self.second.load(path / "second")


def LLMReassigner_v1(client: LLMClient, entities_per_request: int = 8, context: int = 200) -> LLMReassigner:
    """Reassignment by multiple choice (LAR, section 3.3), registered as "spacy-openner.LLMReassigner.v1".

    Each entity's options are the target types that its source type stands for, and that it is none of them. One
    demonstration shows the format. A plain choice has the score 1.

    client (LLMClient): Asks.
    entities_per_request (int): Entities of one text that share a request, at most.
    context (int): The most tokens of a text that a request shows; of longer ones those around its entities.
    RETURNS (LLMReassigner): It connects at first use.
    RAISES (SettingError): For a value that is not allowed.
    """
    for name, value in (("entities_per_request", entities_per_request), ("context", context)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise error("O001", name=name, value=value, allowed="a whole number from 1")
    return LLMReassigner(client, entities_per_request, context)


def GatedReassigner_v1(
    first: Any,
    second: Any,
    below: float = 1.01,
    types: list[str] | None = None,
    gate: dict[str, float] | None = None,
) -> GatedReassigner:
    """Two reassigners, of which the second is asked where the first may err.

    Registered as "spacy-openner.GatedReassigner.v1". Where the second has no answer, the first's stands.

    first (Reassigner): A cheap one with scores.
    second (Reassigner): A dear one, such as an `LLMReassigner`.
    below (float): The second is asked where the first's score is less; always, above 1.
    types (list[str] | None): Only of entities whose source type, or target type by the first, is among these.
    gate (dict[str, float] | None): In place of `below` and `types`, for single target types, or "none", that the first
        chose: 0 for never, above 1 for always. `calibrate` chooses these by annotated docs.
    RETURNS (GatedReassigner): Both together.
    RAISES (SettingError): For a value that is not allowed.
    """
    check_config_keys("gate", gate or {})
    for value in chain([below], (gate or {}).values()):
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise error("O001", name="below/gate", value=value, allowed="numbers from 0 (never); above 1 is always")
    if isinstance(types, str):
        raise error("O001", name="types", value=types, allowed="a list of names, or null for all")
    return GatedReassigner(first, second, below, types, gate)


def _mention(case: Case, none: bool) -> MentionQuestion:
    before, after = surrounding_text(case.doc, case.start, case.end)
    return MentionQuestion(before, case.text, after, case.source, case.options, none)


def _choice(label: str | None) -> Choice:
    return Choice(None, 0.0, LLM, NO_OPTION) if label is None else Choice(label, 1.0, LLM)
