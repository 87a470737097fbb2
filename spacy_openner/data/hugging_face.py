"""Records of Hugging Face's `datasets`: words, and the number or name of each one's tag."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import error
from ..json_files import read_json
from .columns import TAG, TagReader
from .files import read_values
from .texts import AnnotatedText, Tally

EXPECTED = '{"tokens": ["Kim", "left"], "ner_tags": [1, 0]}, or names of tags: ["B-PER", "O"]'
INFO_FILES = ("dataset_info.json", "dataset_infos.json", "labels.json", "features.json")
# As sets with several layers of entities name the others.
OTHER_TAGS = {"ner_tags", "fine_ner_tags", "coarse_ner_tags", "nested_ner_tags", "ner_coarse_tags", "ner_fine_tags"}
NAMES = 'the names of tags by number, ["O", "B-PER", ...], or a features file that lists them as "names"'


def read_hugging_face(
    path: str | Path,
    *,
    tags_key: str = "ner_tags",
    tag_names: str | Path | None = None,
    tally: Tally | None = None,
) -> Iterator[AnnotatedText]:
    """Read records with "tokens" and "ner_tags", as `Dataset.to_json` writes them.

    path (str | Path): JSON lines, or one JSON list; unpacked where its name ends in ".gz".
    tags_key (str): The field of the tags.
    tag_names (str | Path | None): A file with the names of tags by number: a JSON list, or what describes the features
        of the set. None for one of the usual names beside the file: "dataset_info.json" and others.
    tally (Tally | None): Where to count tags that break their scheme.
    YIELDS (AnnotatedText): Each record.
    RAISES (OpenNERError): For a record of another form, with its line, or numbers without names.
    """
    path, tags, tally, names = Path(path), TagReader(), tally or Tally(), None
    for line, record in read_values(path, "hugging-face", EXPECTED):
        where = f"{path}, line {line}"
        fields: dict[str, Any] = record if isinstance(record, dict) else {}
        words, given = fields.get("tokens", ""), fields.get(tags_key, "")
        if not (_all(words, str) and (_all(given, int) or _all(given, str)) and len(words) == len(given)):
            raise error("O401", where=where, expected=EXPECTED, found=repr(record)[:200], kind="hugging-face")
        if _all(given, int) and given:
            names = names or _names(path, tags_key, tag_names)
            unknown = [number for number in given if not 0 <= number < len(names)]
            if unknown:
                shown = f"the number {unknown[0]}"
                expected = f"numbers of {len(names)} tags ({', '.join(names[:5])}, ...)"
                raise error("O401", where=where, expected=expected, found=shown, kind="hugging-face")
            given = [names[number] for number in given]
        wrong = [tag for tag in given if not TAG.fullmatch(tag)]
        if wrong:
            raise error(
                "O401", where=where, expected="tags such as B-PER or O", found=repr(wrong[0]), kind="hugging-face"
            )
        for key in OTHER_TAGS.intersection(fields) - {tags_key}:
            tally.leave(f'field "{key}", which --tags-key {key} reads', where)
        yield AnnotatedText(tuple(words), tuple(tags.spans(given, where)), where=where)
    tags.report(tally)


def _all(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)


def _names(path: Path, tags_key: str, given: str | Path | None) -> Sequence[str]:
    """Find the names of tags.

    RAISES (DataError): O413 where there are none, O404 for a file of another form.
    """
    beside = [path.with_name(name) for name in INFO_FILES if path.with_name(name).is_file()]
    for file in [Path(given)] if given is not None else beside:
        data = read_json(file, NAMES)
        names = _numbered(data) or _listed(data if isinstance(data, list) else _feature(data, tags_key))
        if names is not None:
            return names
        if given is not None:
            raise error("O404", path=str(file), expected=NAMES, found=repr(data)[:200])
    raise error("O413", path=str(path), key=tags_key, files=", ".join(INFO_FILES))


def _numbered(data: Any) -> list[str] | None:
    """Return the names that a mapping from or to numbers holds, as configs of models have it; None if it is none."""
    for listing in (data, data.get("id2label"), data.get("label2id")) if isinstance(data, dict) else ():
        if isinstance(listing, dict) and listing:
            names = listing if all(type(name) is int for name in listing.values()) else _by_name(listing)
            if sorted(names.values()) == list(range(len(listing))):
                return sorted(names, key=names.__getitem__)
    return None


def _by_name(names: dict[str, Any]) -> dict[str, int]:
    """Turn {"0": "O", "1": "B-PER"} around; an empty one for what is not of this form."""
    is_numbered = all(key.isdecimal() and len(key) < 10 and isinstance(name, str) for key, name in names.items())
    return {name: int(key) for key, name in names.items()} if is_numbered else {}


def _feature(data: Any, key: str) -> Any:
    """Look for the feature of a key, however deep: each set, and each release, nests it otherwise."""
    if isinstance(data, list):
        return next((feature for item in data if (feature := _feature(item, key)) is not None), None)
    if not isinstance(data, dict):
        return None
    if key in data or data.get("name") == key:
        return data.get(key, data)
    return next((feature for part in data.values() if (feature := _feature(part, key)) is not None), None)


def _listed(data: Any) -> list[str] | None:
    """Return the list of names in the description of a feature; None where there is none."""
    if isinstance(data, list) and data and all(isinstance(name, str) for name in data):
        return data
    if isinstance(data, dict):
        names = data.get("names")
        if isinstance(names, dict) and names and all(isinstance(name, str) for name in names.values()):
            # As the cards of sets write them: {"0": "O", "1": "B-PER"}.
            return [names[number] for number in sorted(names, key=int)] if all(map(str.isdigit, names)) else None
        if names is not None:
            return _listed(names)
        return next((feature for part in data.values() if (feature := _listed(part)) is not None), None)
    return None
