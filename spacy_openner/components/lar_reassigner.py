"""`lar_reassigner`: entities of source types get target types, by an alignment table and a reassigner (LAR)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab

from ..decoding.span_selection import choose
from ..errors import error, warn
from ..lar.alignment import ENTS, AlignmentStrategy, align_labels
from ..lar.cascade import CascadeReassigner
from ..lar.decisions import Decision, DecisionCounts, as_attrs
from ..lar.reassigner import EntityCase, LabelSpace, Reassigner, TypeChoice
from ..lar.table import AlignmentTable
from ..nn.packing import pack, unpack
from ..prompts.lar import NONE
from ..scoring.gold import GoldSurvey, explanations_of, scores_in_step
from ..settings import check_config_keys
from ..types import Candidate
from .annotate import annotate
from .entity_pipe import SCORE_WEIGHTS, OpenNERPipe

BY_TABLE, BY_SOURCE = "table", "source"
UNMAPPED, BELOW, OVERLAPS_BETTER = "unmapped", "below the threshold", "overlaps a better one"
NONE_WAYS: tuple[str, ...] = ("drop", "keep", "never")
UNMAPPED_WAYS: tuple[str, ...] = ("keep", "drop")


@Language.factory(
    "lar_reassigner",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"],
    default_config={
        "reassigner": {"@misc": "spacy-openner.SpanTypeReassigner.v1"},
        "alignment": {"@misc": "spacy-openner.PseudoLabelAlignment.v1"},
        "table": None,
        "labels": [],
        "source": ENTS,
        "none": "drop",
        "unmapped": "keep",
        "correct_bounds": False,
        "threshold": 0.0,
        "label_thresholds": {},
        "overlap": "all",
        "spans_key": "openner",
        "annotate_ents": True,
        "overwrite_ents": False,
        "scorer": {"@scorers": "spacy-openner.entity_scorer.v1"},
    },
    default_score_weights=SCORE_WEIGHTS,
)
def make_lar_reassigner(
    nlp: Language,
    name: str,
    reassigner: Reassigner,
    alignment: AlignmentStrategy | None,
    table: dict[str, str | list[str]] | None,
    labels: list[str] | dict[str, str],
    source: str,
    none: str,
    unmapped: str,
    correct_bounds: bool,
    threshold: float,
    label_thresholds: dict[str, float],
    overlap: str,
    spans_key: str,
    annotate_ents: bool,
    overwrite_ents: bool,
    scorer: Callable | None,
) -> "LARReassigner":
    """Build the component; see `LARReassigner` for the settings.

    RAISES (SettingError): For keys of mappings that a config file would lose or change, or when a model that is to be
        shared is not there.
    """
    for setting, value in (("labels", labels), ("label_thresholds", label_thresholds), ("table", table)):
        if isinstance(value, dict):
            check_config_keys(setting, value)
    reassigner.attach(name, nlp)
    return LARReassigner(
        nlp.vocab,
        name,
        reassigner=reassigner,
        alignment=alignment,
        table=table,
        source=source,
        none=none,
        unmapped=unmapped,
        correct_bounds=correct_bounds,
        labels=labels,
        threshold=threshold,
        label_thresholds=label_thresholds,
        overlap=overlap,
        spans_key=spans_key,
        annotate_ents=annotate_ents,
        overwrite_ents=overwrite_ents,
        scorer=scorer,
    )


class LARReassigner(OpenNERPipe):
    """Give entities of source types their target types.

    vocab (Vocab): The pipeline's vocabulary.
    name (str): The component's name.
    reassigner (Reassigner): Chooses among the target types that an entity may have.
    alignment (AlignmentStrategy | None): How `initialize` makes a table, where it has annotated docs and none is given.
    table (AlignmentTable | Mapping | None): Which source type each target type belongs to. None: every entity may have
        every type of `labels`.
    source (str): Where entities come from: "ents", or the key of a span group.
    none (str): Entities that have none of their options are dropped ("drop") or keep their source types ("keep");
        "never": this is no option.
    unmapped (str): Entities whose source type no target type belongs to keep it ("keep"), or are dropped ("drop").
    correct_bounds (bool): Move an entity to the neighbouring span that has the score, where its own scores nothing.
    **settings (Any): See `OpenNERPipe`. `labels` are the target types, and may describe them. An entity whose target
        type does not reach its threshold counts as having none. `overwrite_ents` is about entities that did not come in
        through `source`.
    """

    def __init__(
        self,
        vocab: Vocab,
        name: str = "lar_reassigner",
        *,
        reassigner: Reassigner,
        alignment: AlignmentStrategy | None = None,
        table: AlignmentTable | Mapping[str, Any] | None = None,
        source: str = ENTS,
        none: str = "drop",
        unmapped: str = "keep",
        correct_bounds: bool = False,
        **settings: Any,
    ) -> None:
        self.reassigner, self.alignment = reassigner, alignment
        self._table: AlignmentTable | None = None
        self.source = source
        for setting, value, allowed in (("none", none, NONE_WAYS), ("unmapped", unmapped, UNMAPPED_WAYS)):
            if value not in allowed:
                raise error("O001", name=setting, value=value, allowed=", ".join(allowed))
        self.none, self.unmapped, self.correct_bounds = none, unmapped, correct_bounds
        self.tally = DecisionCounts()
        super().__init__(vocab, name, **{"threshold": 0.0, "overlap": "all", **settings})
        self.table = table
        self._given = self._settings()

    # Settings

    @property
    def table(self) -> AlignmentTable | None:
        """Which source type each target type belongs to."""
        return self._table

    @table.setter
    def table(self, value: AlignmentTable | Mapping[str, Any] | None) -> None:
        made = (
            value if value is None or isinstance(value, AlignmentTable) else AlignmentTable.from_dict(value, "`table`")
        )
        if made is not None and len(self._labels):
            made.check_targets(self.labels)
        self._table = made
        for label in made.targets if made is not None else ():
            self.vocab.strings.add(label)

    @property
    def gate(self) -> dict[str, float] | None:
        """Where the second of two reassigners is asked; see `CascadeReassigner`. None for a single one."""
        return self.reassigner.gate if isinstance(self.reassigner, CascadeReassigner) else None

    @gate.setter
    def gate(self, value: Mapping[str, float] | None) -> None:
        if value is None:
            return
        if not isinstance(self.reassigner, CascadeReassigner):
            raise error("O506", name=self.name)
        self.reassigner.gate = dict(value)

    def _settings(self) -> dict[str, Any]:
        table = None if self.table is None else self.table.as_dict()
        return {**super()._settings(), "table": table, "gate": None if self.gate is None else dict(self.gate)}

    @property
    def types(self) -> LabelSpace:
        """The types of both sides."""
        described = self.descriptions
        targets = self.table.targets if self.table is not None else described
        sources = self.table.source_types if self.table is not None else ()
        return LabelSpace(sources, {label: described.get(label, label) for label in targets}, self.none != "never")

    def options(self, source: str) -> tuple[str, ...]:
        """The target types that entities of a source type may have."""
        return self.labels if self.table is None else self.table.options(source)

    # Prediction

    def decide(self, docs: Sequence[Doc]) -> list[list[Decision]]:
        """Settle the types of entities; the docs are not changed.

        docs (Sequence[Doc]): Any docs.
        RETURNS (list[list[Decision]]): Of each doc every entity that came in through `source`, dropped ones too.
        RAISES (SettingError): Without a key where a language model needs one.
        """
        if self.table is None and not self.labels and not self._warned:
            self._warned = True
            warn("W504", name=self.name)
        cases = {case[:4]: case for doc in docs for case in self.cases(doc)}
        chosen = self.reassigner(list(cases.values()), self.types) if cases else []
        choices = dict(zip(cases, chosen, strict=True))
        return [
            self._beside_one_another([self._decision(doc, c, choices) for c in self._entities(doc)]) for doc in docs
        ]

    def cases(self, doc: Doc) -> list[EntityCase]:
        """The entities that the reassigner has to choose for: those of several options, "none" included."""
        least = 2 - (self.none != "never")
        options = ((c, self.options(c.label)) for c in self._entities(doc))
        return [EntityCase(doc, c.start, c.end, c.label, some) for c, some in options if len(some) >= least]

    def predict(self, docs: Sequence[Doc]) -> list[list[Candidate]]:
        """As `decide`, in the form that all components share, without what was dropped."""
        return [[Candidate(d.start, d.end, d.label, d.score) for d in each if d.label] for each in self.decide(docs)]

    def _process(self, docs: Sequence[Doc]) -> None:
        for doc, decisions in zip(docs, self.decide(docs), strict=True):
            self._write(doc, decisions)

    def _write(self, doc: Doc, decisions: Sequence[Decision]) -> None:
        for each in decisions:
            self.tally.add(each)
        # What a generator said about an entity stays with it.
        why = explanations_of(doc, self.spans_key)
        found = [(d, why.get((*d.place, d.source), "")) for d in decisions if d.label]
        annotate(
            doc,
            [Candidate(d.start, d.end, d.label, d.score, text) for d, text in found],
            name=self.name,
            spans_key=self.spans_key,
            annotate_ents=self.annotate_ents,
            overwrite_ents=self.overwrite_ents,
            attrs=as_attrs(decisions),
            replaces={(*d.place, d.source) for d in decisions},
        )

    def _entities(self, doc: Doc) -> list[Candidate]:
        """What comes in, in text order, with scores where there are any; 1 for plain statements."""
        spans = [*(doc.ents if self.source == ENTS else doc.spans.get(self.source, ()))]
        scores = None if self.source == ENTS or not spans else scores_in_step(doc.spans[self.source])
        known = [1.0] * len(spans) if scores is None else scores
        found = [Candidate(s.start, s.end, s.label_, float(p)) for s, p in zip(spans, known, strict=True) if s.label_]
        return sorted(found, key=lambda c: (c.start, -c.end))

    def _decision(self, doc: Doc, c: Candidate, choices: Mapping[tuple, TypeChoice]) -> Decision:
        place = (c.start, c.end, c.label)
        choice = choices.get((doc, *place))
        if choice is None:
            return self._without_choice(c)
        if choice.label is None:
            return Decision(*place, c.label, c.score, BY_SOURCE, f"{choice.by}: {choice.reason}")
        if choice.label == NONE:
            return self._as_none(c, choice.by, NONE)
        if choice.score < self.label_thresholds.get(choice.label, self.threshold):
            return self._as_none(c, choice.by, BELOW)
        if choice.span is None or not self.correct_bounds:
            return Decision(*place, choice.label, choice.score, choice.by, choice.reason)
        return Decision(*choice.span, c.label, choice.label, choice.score, choice.by, choice.reason, place[:2])

    def _as_none(self, c: Candidate, by: str, reason: str) -> Decision:
        dropped = self.none == "drop"
        return Decision(c.start, c.end, c.label, "" if dropped else c.label, c.score, by, reason)

    def _without_choice(self, c: Candidate) -> Decision:
        options = self.options(c.label)
        if options:
            return Decision(c.start, c.end, c.label, options[0], c.score, BY_TABLE)
        label = "" if self.unmapped == "drop" else c.label
        return Decision(c.start, c.end, c.label, label, c.score, BY_SOURCE, UNMAPPED)

    def _beside_one_another(self, decisions: list[Decision]) -> list[Decision]:
        """Drop what may not stand beside a better one, and what came to be twice."""
        kept = [each for each in decisions if each.label]
        best: dict[tuple[int, int, str], Decision] = {}
        for each in kept:
            key = (each.start, each.end, each.label)
            if key not in best or best[key].score < each.score:
                best[key] = each
        chosen = {c[:3] for c in choose((Candidate(*key, each.score) for key, each in best.items()), self.overlap)}
        stays = {id(each) for key, each in best.items() if key in chosen}
        return [
            each if not each.label or id(each) in stays else each._replace(label="", reason=OVERLAPS_BETTER)
            for each in decisions
        ]

    # Initialisation and serialisation

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | Mapping[str, str] | None = None,
        table: str | Path | Mapping[str, Any] | None = None,
    ) -> None:
        """Load weights, and get a table: the given one, the one that is there, or one by the `alignment` strategy.

        get_examples (Callable): Yields examples, annotated in target types. The components before this one are run on
            them, as they are then.
        nlp (Language | None): The pipeline.
        labels (Sequence[str] | Mapping[str, str] | None): Target types from now on; unchanged if None.
        table (str | Path | Mapping[str, Any] | None): A file of `AlignmentTable.save`, or what one holds.
        RAISES (OpenNERError): For a table that is none, or has unknown types.
        """
        if labels is not None:
            self.labels = labels
        if table is not None:
            self.table = AlignmentTable.load(table) if isinstance(table, str | Path) else table
        elif self.table is None and self.alignment is not None and nlp is not None:
            self._align(nlp, list(get_examples()), self.alignment)
        self.reassigner.initialize()

    def _align(self, nlp: Language, examples: list[Example], alignment: AlignmentStrategy) -> None:
        survey = GoldSurvey(self.spans_key)
        for example in examples:
            survey.add(example.reference)
        if not survey.has_entities:
            survey.warn(self.name)
            return
        targets = self._labels if len(self._labels) else None
        self.table = align_labels(
            nlp,
            examples,
            alignment,
            source=self.source,
            before=self.name,
            targets=targets,
            spans_key=self.spans_key,
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
