"""Sets of entity types, and the only reader and writer of the types that a doc has of its own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple, TypeAlias, overload

from spacy.tokens import Doc

from .arguments import as_mapping, as_number, is_text
from .doc_arguments import as_doc
from .errors import error

LABELS_ATTRIBUTE = "openner_labels"
LABEL_SCORES_ATTRIBUTE = "openner_type_scores"
FILTERED = "openner_filtered"
"""In `doc.user_data`: a note of each filter that has narrowed the doc's types, in order."""

LabelsLike: TypeAlias = Sequence[str] | Mapping[str, str] | AbstractSet[str]
"""Names of types, or names with descriptions."""


class LabelSet(Mapping[str, str]):
    """Entity types in order, each with its description: its own name where none was given. Immutable.

    labels (LabelsLike): Names, or names with descriptions. Repeated names count once; sets are sorted.
    RAISES (SettingError): For anything else, and for names or descriptions that are empty.
    """

    __slots__ = ("_descriptions", "descriptions", "names")

    def __init__(self, labels: LabelsLike = ()) -> None:
        if isinstance(labels, str | bytes) or not isinstance(labels, Sequence | Mapping | AbstractSet):
            raise error("O002", kind=type(labels).__name__, value=labels)
        names = sorted(labels, key=str) if isinstance(labels, AbstractSet) else labels
        for name in names:
            if not is_text(name):
                raise error("O003", value=name)
        self._descriptions = dict(labels) if isinstance(labels, Mapping) else {name: name for name in names}
        for name, text in self._descriptions.items():
            if not is_text(text):
                raise error("O004", label=name, value=text)
        self.names: tuple[str, ...] = tuple(self._descriptions)
        self.descriptions: tuple[str, ...] = tuple(self._descriptions.values())

    def __getitem__(self, name: str) -> str:
        return self._descriptions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        """Sets of labels are equal in equal order only, as the order of types in a prompt matters."""
        if isinstance(other, LabelSet):
            return self.names == other.names and self.descriptions == other.descriptions
        return NotImplemented if not isinstance(other, Mapping) else self._descriptions == dict(other)

    def __hash__(self) -> int:
        return hash((self.names, self.descriptions))

    def __repr__(self) -> str:
        return f"LabelSet({self.plain()!r})"

    def prompt_texts(self, use_descriptions: bool) -> tuple[str, ...]:
        """Return the texts that stand for the types in prompts."""
        return self.descriptions if use_descriptions else self.names

    def select(self, indices: Iterable[int]) -> "LabelSet":
        """Return the types at some indices, in that order."""
        return LabelSet({self.names[i]: self.descriptions[i] for i in indices})

    def plain(self) -> list[str] | dict[str, str]:
        """Return what JSON can hold: names, or names with descriptions where there are any."""
        return list(self.names) if self.names == self.descriptions else dict(self._descriptions)


@overload
def get_labels(doc: Doc) -> LabelSet | None: ...
@overload
def get_labels(doc: Doc, default: LabelSet) -> LabelSet: ...
def get_labels(doc: Doc, default: LabelSet | None = None) -> LabelSet | None:
    """Return the types that a doc has of its own in `doc._.openner_labels`: components look for these instead of their
    own labels.

    default (LabelSet | None): What a doc without types of its own gets.
    RAISES (SettingError): When the doc's own are malformed.
    """
    own = as_doc(doc)._.get(LABELS_ATTRIBUTE)
    return default if own is None else LabelSet(own)


def set_labels(doc: Doc, labels: LabelsLike | None, scores: Mapping[str, float] | None = None) -> None:
    """Set the types that the next components look for in a doc; None for the components' own.

    scores (Mapping[str, float] | None): How likely the doc holds each of the types that there were to choose from, kept
        or not. They join those that are there already; None leaves these alone.
    RAISES (SettingError): For malformed labels.
    """
    as_doc(doc)
    if scores is not None:
        given = as_mapping(scores, "scores", "a mapping from labels to numbers")
        scores = {label: as_number(score, f"scores[{label!r}]") for label, score in given.items()}
    if labels is not None:
        parsed = LabelSet(labels)
        has_own_form = isinstance(labels, Mapping) and not isinstance(labels, LabelSet)
        labels = dict(parsed) if has_own_form else parsed.plain()
    doc._.set(LABELS_ATTRIBUTE, labels)
    if scores is not None:
        doc._.set(LABEL_SCORES_ATTRIBUTE, {**get_label_scores(doc), **scores})


def labels_before(doc: Doc, name: str) -> LabelSet | None:
    """Return the types that a doc has of its own, as they were before a filter.

    In an earlier run over the doc, the filter itself and those behind it may have narrowed them: that is undone.

    name (str): The filter.
    RETURNS (LabelSet | None): None where the doc has none.
    """
    given = _given_to(doc, name)
    return get_labels(doc) if given is None else given.before


def narrow_labels(doc: Doc, name: str, labels: LabelSet | None, scores: Mapping[str, float]) -> None:
    """Set the types that a filter leaves to the next components, and note that it was the filter.

    labels (LabelSet | None): None to leave them as they were before the filter.
    scores (Mapping[str, float]): See `set_labels`.
    """
    given = _given_to(doc, name)
    earlier, before = ([*_notes(doc)], get_labels(doc)) if given is None else given
    if not earlier and given is not None:
        # All scores are of an earlier run.
        doc._.set(LABEL_SCORES_ATTRIBUTE, None)
    if labels is None:
        if given is not None:
            set_labels(doc, before)
            doc.user_data[FILTERED] = earlier
        return
    set_labels(doc, labels, scores)
    plain = None if before is None else before.plain()
    doc.user_data[FILTERED] = [*earlier, {"name": name, "before": plain, "after": labels.plain()}]


class _Given(NamedTuple):
    """The input of a filter in an earlier run: the notes of the filters before it, and the doc's own types."""

    notes: list[dict[str, Any]]
    before: LabelSet | None


def _notes(doc: Doc) -> list[dict[str, Any]]:
    """Return what filters noted, if the doc's types are still what the last of them left."""
    notes = doc.user_data.get(FILTERED) or []
    own = get_labels(doc)
    return notes if notes and own is not None and own == LabelSet(notes[-1]["after"]) else []


def _given_to(doc: Doc, name: str) -> _Given | None:
    notes = _notes(doc)
    index = next((i for i, note in enumerate(notes) if note["name"] == name), None)
    if index is None:
        return None
    before = notes[index]["before"]
    return _Given(list(notes[:index]), None if before is None else LabelSet(before))


def get_label_scores(doc: Doc) -> dict[str, float]:
    """Return how likely the doc holds each type that a filter has scored; none where no filter has."""
    own = as_doc(doc)._.get(LABEL_SCORES_ATTRIBUTE)
    return {} if own is None else as_mapping(own, f"doc._.{LABEL_SCORES_ATTRIBUTE}", "a mapping from labels to numbers")


# At import, so that a pickled pipeline or doc finds the attributes in any process that can unpickle it.
for _attribute in (LABELS_ATTRIBUTE, LABEL_SCORES_ATTRIBUTE):
    if not Doc.has_extension(_attribute):
        Doc.set_extension(_attribute, default=None)
