"""`lar_reassigner`: entities of source types get target types, by an alignment table and a reassigner (LAR)."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab

from ..decoding.span_selection import choose
from ..doc_arguments import as_doc, as_docs, examples_of
from ..errors import error
from ..labels import LabelsLike
from ..lar.alignment import AlignmentStrategy, align_labels
from ..lar.cascade import CascadeReassigner
from ..lar.decisions import Decision, DecisionCounts, as_attrs, read_decisions
from ..lar.reassigner import EntityCase, LabelSpace, Reassigner, TypeChoice
from ..lar.table import AlignmentTable, table_of
from ..nn.packing import pack, unpack
from ..prompts.lar import NONE
from ..scoring.gold import GoldSurvey, explanations_of
from ..settings import LARReassignerSettings
from ..span_groups import scores_in_step, spans_of
from ..types import ENTS, Candidate
from .annotate import Entity, annotate, entities_put, is_written_by, put_by, sizes_of_groups
from .base import Setting
from .entity_pipe import SCORE_WEIGHTS, OpenNERPipe
from .factory import connected, default_config, settings_from_config, takes_settings

BY_TABLE, BY_SOURCE = "table", "source"
UNMAPPED, BELOW, OVERLAPS_BETTER = "unmapped", "below the threshold", "overlaps a better one"
INVALID = "rejected by the validator"


@Language.factory(
    "lar_reassigner",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"],
    default_config=default_config(
        LARReassignerSettings,
        reassigner={"@misc": "spacy-openner.SpanTypeReassigner.v1"},
        alignment={"@misc": "spacy-openner.PseudoLabelAlignment.v1"},
        scorer={"@scorers": "spacy-openner.entity_scorer.v1"},
    ),
    default_score_weights=SCORE_WEIGHTS,
)
@takes_settings(LARReassignerSettings)
def make_lar_reassigner(
    nlp: Language,
    name: str,
    reassigner: Reassigner,
    alignment: AlignmentStrategy | None,
    scorer: Callable | None,
    **settings: Any,
) -> "LARReassigner":
    """Build the component.

    **settings (Any): See `LARReassignerSettings`.
    RAISES (SettingError): For values that are not allowed, or that a config file would lose or change, or when a model
        that is to be shared is not there.
    """
    checked = settings_from_config(LARReassignerSettings, settings)
    reassigner.attach(name, nlp)
    pipe = LARReassigner(nlp.vocab, name, checked, reassigner=reassigner, alignment=alignment, scorer=scorer)
    return connected(pipe, nlp)


class LARReassigner(OpenNERPipe[LARReassignerSettings]):
    """Give entities of source types their target types.

    vocab (Vocab): The pipeline's vocabulary.
    name (str): The component's name.
    settings (LARReassignerSettings | None): Its settings; the defaults if None.
    reassigner (Reassigner): Chooses among the target types that an entity may have.
    alignment (AlignmentStrategy | None): How `initialize` makes a table, where it has annotated docs and none is given.
    scorer (Callable | None): Scores examples, for `nlp.evaluate`.
    """

    source: Setting[str] = Setting()
    on_none: Setting[str] = Setting()
    on_unmapped: Setting[str] = Setting()
    correct_bounds: Setting[bool] = Setting()

    def __init__(
        self,
        vocab: Vocab,
        name: str = "lar_reassigner",
        settings: LARReassignerSettings | None = None,
        *,
        reassigner: Reassigner,
        alignment: AlignmentStrategy | None = None,
        scorer: Callable | None = None,
    ) -> None:
        self.reassigner, self.alignment = reassigner, alignment
        self._own_gate = _gate_of(reassigner)
        self._table: AlignmentTable | None = None
        self.tally = DecisionCounts()
        super().__init__(vocab, name, settings or LARReassignerSettings(), scorer=scorer)

    # Settings

    def _check_settings(self, settings: LARReassignerSettings) -> None:
        super()._check_settings(settings)
        table_of(settings)
        if settings.gate is not None and not isinstance(self.reassigner, CascadeReassigner):
            raise error("O506", name=self.name)

    def _adopt(self, settings: LARReassignerSettings, changed: Sequence[str]) -> None:
        super()._adopt(settings, changed)
        if "table" in changed:
            self._table = table_of(settings)
        if "gate" in changed and isinstance(self.reassigner, CascadeReassigner):
            self.reassigner.gate = dict(self._own_gate if settings.gate is None else settings.gate)

    def _replace_object(self, name: str, new: Any) -> None:
        super()._replace_object(name, new)
        if name == "reassigner" and self.pipeline_config is not None:
            self._own_gate = _gate_of(self.reassigner)
            self._adopt(self.settings, ["gate"])
            self.pipeline_config.attach(self.name, self.reassigner)

    @property
    def table(self) -> AlignmentTable | None:
        """Which source type each target type belongs to."""
        return self._table

    @table.setter
    def table(self, value: AlignmentTable | Mapping[str, Any] | None) -> None:
        self.settings = self.settings.replace(table=value.as_dict() if isinstance(value, AlignmentTable) else value)

    @property
    def gate(self) -> dict[str, float] | None:
        """Where the second of two reassigners is asked; see `CascadeReassigner`. None for a single one."""
        return dict(self.reassigner.gate) if isinstance(self.reassigner, CascadeReassigner) else None

    @gate.setter
    def gate(self, value: Mapping[str, float] | None) -> None:
        self.settings = self.settings.replace(gate=value)

    @property
    def types(self) -> LabelSpace:
        """The types of both sides."""
        described = self.descriptions
        targets = self.table.targets if self.table is not None else described
        sources = self.table.source_types if self.table is not None else ()
        named = {label: described.get(label, label) for label in targets}
        return LabelSpace(sources, named, self.on_none != "never", self.boundaries)

    def options(self, source: str) -> tuple[str, ...]:
        """The target types that entities of a source type may have."""
        return self.labels if self.table is None else self.table.options(source)

    def _types_to_find(self, doc: Doc) -> Collection[str]:
        return self.types.targets

    # Prediction

    def decide(self, docs: Sequence[Doc]) -> list[list[Decision]]:
        """Settle the types of entities; the docs are not changed.

        docs (Sequence[Doc]): Any docs.
        RETURNS (list[list[Decision]]): Of each doc every entity that came in through `source`, dropped ones too.
        RAISES (SettingError): Without a key where a language model needs one.
        """
        docs = as_docs(docs)
        if self.table is None and not self.labels:
            self._warn_once("W504", name=self.name)
        cases = {case[:4]: case for doc in docs for case in self.cases(doc)}
        chosen = self.reassigner(list(cases.values()), self.types) if cases else []
        choices = dict(zip(cases, chosen, strict=True))
        return [self._settle(doc, choices) for doc in docs]

    def _settle(self, doc: Doc, choices: Mapping[tuple, TypeChoice]) -> list[Decision]:
        entities = self._entities(doc)
        decisions = [self._decision(doc, c, choices) for c in entities]
        candidates = [Candidate(d.start, d.end, d.label, d.score) for d in decisions]
        valid = {c[:3] for c in self._validator.select(doc, (c for c in candidates if c.label))}
        return self._beside_one_another(
            [
                d if not d.label or (d.start, d.end, d.label) in valid else self._rejected(c, d)
                for c, d in zip(entities, decisions, strict=True)
            ]
        )

    def _rejected(self, c: Candidate, decision: Decision) -> Decision:
        if decision.label == c.label:
            return decision._replace(label="", reason=INVALID)
        return self._as_none(c, decision.by, INVALID)

    def cases(self, doc: Doc) -> list[EntityCase]:
        """The entities that the reassigner has to choose for: those of several options, "none" included."""
        least = 2 - (self.on_none != "never")
        options = ((c, self.options(c.label)) for c in self._entities(as_doc(doc)))
        return [EntityCase(doc, c.start, c.end, c.label, labels) for c, labels in options if len(labels) >= least]

    def predict(self, docs: Sequence[Doc]) -> list[list[Candidate]]:
        """As `decide`, in the form that all components share, without what was dropped."""
        return [[Candidate(d.start, d.end, d.label, d.score) for d in own if d.label] for own in self.decide(docs)]

    def _process(self, docs: Sequence[Doc]) -> None:
        for doc, decisions in zip(docs, self.decide(docs), strict=True):
            if not decisions and (groups := sizes_of_groups(doc, self.source, written_by=self.name)):
                self._warn_once("W506", name=self.name, source=self.source, groups=groups, key=self.spans_key)
            self._write(doc, decisions)

    def _write(self, doc: Doc, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            self.tally.add(decision)
        # What a generator said about an entity stays with it.
        why = explanations_of(doc, self.spans_key)
        kept = [d for d in decisions if d.label]
        candidates = [
            Candidate(d.start, d.end, d.label, d.score, why.get((*d.source_bounds, d.source), "")) for d in kept
        ]
        annotate(
            doc,
            candidates,
            name=self.name,
            spans_key=self.spans_key,
            annotate_ents=self.annotate_ents,
            overwrite_ents=self.overwrite_ents,
            attrs=as_attrs(doc, decisions),
            replaces={(*d.source_bounds, d.source) for d in decisions},
            refines=True,
            later=self._later_components(),
            # The year in "1998 election", which nobody asked for, leaves the election its place.
            behind=frozenset(c for c, d in zip(candidates, kept, strict=True) if d.by == BY_SOURCE),
        )

    def _entities(self, doc: Doc) -> list[Candidate]:
        """Return the entities that come in, in text order, with scores where there are any; 1 for plain statements."""
        if self.source == ENTS:
            candidates = [Candidate(*entity, 1.0) for entity in self._entities_before(doc) if entity[2]]
        else:
            spans = spans_of(doc, self.source)
            scores = (scores_in_step(doc.spans[self.source]) if spans else None) or [1.0] * len(spans)
            scored = zip(spans, scores, strict=True)
            candidates = [Candidate(s.start, s.end, s.label_, p) for s, p in scored if s.label_]
        return sorted(candidates, key=lambda c: (c.start, -c.end))

    def _entities_before(self, doc: Doc) -> list[Entity]:
        """Return the entities of a doc as they were before an earlier run of this component, if there was one."""
        of_later = put_by(doc, self._later_components())
        entities = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
        entities = [entity for entity in entities if entity not in of_later]
        if not is_written_by(doc, self.spans_key, self.name):
            return entities
        written = entities_put(doc, self.spans_key)
        decisions = read_decisions(doc, self.spans_key)
        before = {(d.start, d.end, d.label): (*d.source_bounds, d.source) for d in decisions if d.label}
        entities = [before.get(entity, entity) if entity in written else entity for entity in entities]
        covered = {i for start, end, _ in entities for i in range(start, end)}
        dropped = [(d.start, d.end, d.source) for d in decisions if not d.label]
        return entities + [entity for entity in dropped if covered.isdisjoint(range(*entity[:2]))]

    def _decision(self, doc: Doc, c: Candidate, choices: Mapping[tuple, TypeChoice]) -> Decision:
        position = (c.start, c.end, c.label)
        choice = choices.get((doc, *position))
        if choice is None:
            return self._without_choice(c)
        if choice.label is None:
            return Decision(*position, c.label, c.score, BY_SOURCE, f"{choice.by}: {choice.reason}")
        if choice.label == NONE:
            return self._as_none(c, choice.by, NONE)
        if choice.score < self._threshold_of(choice.label):
            return self._as_none(c, choice.by, BELOW)
        if choice.span is None or not self.correct_bounds:
            return Decision(*position, choice.label, choice.score, choice.by, choice.reason)
        return Decision(*choice.span, c.label, choice.label, choice.score, choice.by, choice.reason, position[:2])

    def _as_none(self, c: Candidate, by: str, reason: str) -> Decision:
        dropped = self.on_none == "drop"
        return Decision(c.start, c.end, c.label, "" if dropped else c.label, c.score, by, reason)

    def _without_choice(self, c: Candidate) -> Decision:
        options = self.options(c.label)
        if options:
            return Decision(c.start, c.end, c.label, options[0], c.score, BY_TABLE)
        label = "" if self.on_unmapped == "drop" else c.label
        return Decision(c.start, c.end, c.label, label, c.score, BY_SOURCE, UNMAPPED)

    def _beside_one_another(self, decisions: list[Decision]) -> list[Decision]:
        """Drop what may not stand beside a better one, and what came to be twice."""
        kept = [d for d in decisions if d.label]
        best: dict[tuple[int, int, str], Decision] = {}
        for decision in kept:
            key = (decision.start, decision.end, decision.label)
            if key not in best or best[key].score < decision.score:
                best[key] = decision
        chosen = {c[:3] for c in choose((Candidate(*key, d.score) for key, d in best.items()), self.overlap)}
        stays = {id(d) for key, d in best.items() if key in chosen}
        return [d if not d.label or id(d) in stays else d._replace(label="", reason=OVERLAPS_BETTER) for d in decisions]

    # Initialisation and serialisation

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: LabelsLike | None = None,
        table: str | Path | Mapping[str, Any] | None = None,
    ) -> None:
        """Load weights, and get a table: the given one, the one that is there, or one by the `alignment` strategy.

        get_examples (Callable): Yields examples, annotated in target types. The components before this one are run on
            them, as they are then.
        nlp (Language | None): The pipeline.
        labels (LabelsLike | None): Target types from now on; unchanged if None.
        table (str | Path | Mapping[str, Any] | None): A file of `AlignmentTable.save`, or what one holds.
        RAISES (OpenNERError): For a table that is none, or has unknown types.
        """
        if labels is not None:
            self.labels = labels
        if table is not None:
            self.table = AlignmentTable.load(table) if isinstance(table, str | Path) else table
        elif self.table is None and self.alignment is not None and nlp is not None:
            self._align(nlp, list(examples_of(get_examples)), self.alignment)
        self.reassigner.initialize()

    def _align(self, nlp: Language, examples: list[Example], alignment: AlignmentStrategy) -> None:
        survey = GoldSurvey(self.spans_key)
        for example in examples:
            survey.add(example.reference)
        if not survey.has_entities:
            survey.warn(self.name)
            return
        targets = self.settings.labels or None
        key, source = self.spans_key, self.source
        self.table = align_labels(
            nlp, examples, alignment, source=source, before=self.name, targets=targets, spans_key=key
        )

    def _save(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.reassigner.save(path)

    def _load(self, path: Path) -> None:
        self.reassigner.load(path)

    def _pack(self) -> bytes:
        return pack(self._save)

    def _unpack(self, data: bytes) -> None:
        unpack(data, self._load)


def _gate_of(reassigner: Reassigner) -> dict[str, float]:
    return dict(reassigner.gate) if isinstance(reassigner, CascadeReassigner) else {}
