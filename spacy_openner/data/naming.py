"""Names of entity types: from a corpus's codes to words, and the types that a corpus annotates."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ..arguments import as_mapping
from ..errors import error, warn
from ..json_files import read_json

# "timeRange" -> "time Range", "HTMLTag" -> "HTML Tag"; "mRNA" and "DNAs" stay. GermEval's "PERpart" -> "PER part".
CAMEL = re.compile(
    r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[A-Z]{2})(?=(?:part|deriv)$)"
    r"|(?<=[A-Z])(?=[A-Z][a-z]{2})(?![A-Z](?:part|deriv)$)"
)


def natural_label(label: str) -> str:
    """Write a label as words: "cell_type" -> "cell type", "person-artist" -> "person artist", "GPE" -> "gpe".

    Hyphens and capitals divide words only in labels without blanks, which are not natural language yet.

    label (str): The label of a corpus.
    RETURNS (str): Lower case, with single spaces; the label as it is if nothing would be left of it.
    """
    words = label if re.search(r"\s", label) else CAMEL.sub(" ", label.replace("-", " "))
    return " ".join(words.replace("_", " ").lower().split()) or label


def make_renamer(labels: Mapping[str, str | None] | None = None, natural: bool = True) -> Callable[[str], str | None]:
    """Make a function from a corpus's labels to those to be written.

    labels (Mapping[str, str | None] | None): Label -> new label, or None for a label to be left out.
    natural (bool): Write the other labels as words; else they stay as they are.
    RETURNS (Callable[[str], str | None]): Gives None for what is to be left out.
    RAISES (SettingError): For what is no mapping, and a new label that is not a non-empty string.
    """
    known = (
        {} if labels is None else as_mapping(labels, "labels", "a mapping from the data's labels to words, or to None")
    )
    for new in known.values():
        if new is not None and not (isinstance(new, str) and new.strip()):
            raise error("O003", value=new)

    @cache
    def rename(label: str) -> str | None:
        return known[label] if label in known else natural_label(label) if natural else label

    return rename


def list_types(
    occurring: Iterable[str],
    types: Mapping[str, str] | Sequence[str] | None = None,
    labels: Mapping[str, str | None] | None = None,
) -> dict[str, str]:
    """List all types that a corpus annotates: what it has no span of is known to be absent.

    occurring (Iterable[str]): The types of its spans.
    types (Mapping[str, str] | Sequence[str] | None): The list, if it is known, or type -> description.
    labels (Mapping[str, str | None] | None): Else its types are those found and those that labels are mapped to.
    RETURNS (dict[str, str]): Type -> description, which is the type itself where there is no other.
    RAISES (SettingError): For something else, or an empty name or description.
    """
    # Not at the top: it imports spaCy, and the command line shows its help without.
    from ..labels import LabelSet

    given = LabelSet([label for label in (labels or {}).values() if label is not None] if types is None else types)
    unlisted = sorted(set(occurring) - set(given))
    if types is not None and unlisted:
        warn("W401", labels=unlisted)
    return dict(given) | {label: label for label in unlisted}


def read_label_map(path: str | Path) -> dict[str, str | None]:
    """Read a JSON file such as {"PER": "person", "MISC": null}.

    RAISES (DataError): For another form.
    """
    expected = 'a mapping from labels to words, or null for what is left out: {"PER": "person", "MISC": null}'
    data = read_json(Path(path), expected)
    if not isinstance(data, dict) or not all(value is None or isinstance(value, str) for value in data.values()):
        raise error("O404", path=str(path), expected=expected, found=repr(data)[:200])
    return data


def read_types(path: str | Path) -> list[str] | dict[str, str]:
    """Read a JSON file such as ["person", "city"] or {"person": "a human being"}.

    RAISES (DataError): For another form.
    """
    expected = 'a list of types, or a mapping to descriptions: ["person"] or {"person": "a human being"}'
    data: Any = read_json(Path(path), expected)
    values = data.values() if isinstance(data, dict) else data
    if not isinstance(data, (list, dict)) or not all(isinstance(value, str) for value in values):
        raise error("O404", path=str(path), expected=expected, found=repr(data)[:200])
    return data
