"""Reassignment by a large language model: multiple-choice questions (LAR, section 3.3)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from spacy.language import Language

from ..errors import error
from ..llm.client import LLMClient
from ..llm.types import Failure, LLMRequest, UsageReport
from ..prompts.context import surrounding_text, visible_range
from ..prompts.multiple_choice import MentionQuestion, choices_schema, parse_choices, render_choices
from .reassigner import EntityCase, LabelSpace, TypeChoice, by_doc

LLM = "llm"
NO_OPTION = "no option"


class Group(NamedTuple):
    """Cases of one doc that share a question, and the tokens of it that are shown."""

    cases: list[EntityCase]
    first: int
    last: int


class LLMReassigner:
    """Reassignment by multiple choice; see `LLMReassigner_v1` for the settings."""

    def __init__(self, client: LLMClient, entities_per_request: int, context: int) -> None:
        self.client = client
        self.entities_per_request, self.context = entities_per_request, context

    @property
    def report(self) -> UsageReport:
        """Counts of what was asked, and what it took."""
        return self.client.report

    def __call__(self, cases: Sequence[EntityCase], types: LabelSpace) -> list[TypeChoice]:
        """Ask a multiple-choice question about each case, all at once."""
        groups = [group for same_doc in by_doc(cases) for group in self._groups(same_doc)]
        mentions = [[_mention(case, types.none) for case in group.cases] for group in groups]
        questions = [self._question(group, entities, types) for group, entities in zip(groups, mentions, strict=True)]
        choices: list[TypeChoice] = []
        for group, answer in zip(mentions, self.client.ask(questions), strict=True):
            if isinstance(answer, Failure):
                choices += [TypeChoice(None, 0.0, LLM, answer.kind)] * len(group)
            else:
                choices += map(_choice, parse_choices(answer.value, group))
        return choices

    def _groups(self, cases: Sequence[EntityCase]) -> Iterator[Group]:
        """Cut the cases of a doc into questions: so many at most, with no more of the text than `context`.

        The order of the cases is kept, whatever that of their places.
        """
        group: list[EntityCase] = []
        for case in cases:
            if group and (len(group) == self.entities_per_request or self._width([*group, case]) > self.context):
                yield self._shown(group)
                group = []
            group.append(case)
        if group:
            yield self._shown(group)

    def _width(self, cases: Sequence[EntityCase]) -> int:
        return max(case.end for case in cases) - min(case.start for case in cases)

    def _shown(self, cases: list[EntityCase]) -> Group:
        """Choose what to show: the whole doc, or `context` tokens, as many on both sides as there are."""
        start, end = min(case.start for case in cases), max(case.end for case in cases)
        return Group(cases, *visible_range(start, end, len(cases[0].doc), self.context))

    def _question(self, group: Group, mentions: Sequence[MentionQuestion], types: LabelSpace) -> LLMRequest:
        text = str(group.cases[0].doc[group.first : group.last].text)
        return LLMRequest(render_choices(text, mentions, types.targets), choices_schema(mentions))

    def attach(self, name: str, nlp: Language) -> None:
        """Do nothing: there is no model to share."""

    def initialize(self) -> None:
        """Do nothing: there are no weights."""

    def save(self, path: Path) -> None:
        """Do nothing: the settings are in the config, and keys nowhere."""

    def load(self, path: Path) -> None:
        """Do nothing: nothing was saved."""


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


def _mention(case: EntityCase, none: bool) -> MentionQuestion:
    before, after = surrounding_text(case.doc, case.start, case.end)
    return MentionQuestion(before, case.text, after, case.source, case.options, none)


def _choice(label: str | None) -> TypeChoice:
    return TypeChoice(None, 0.0, LLM, NO_OPTION) if label is None else TypeChoice(label, 1.0, LLM)
