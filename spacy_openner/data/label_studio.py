"""Label Studio's JSON: tasks with their annotations, or the short form (JSON-MIN)."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import error
from .files import read_values
from .offsets import TURNED, Mark, OffsetAligner, from_utf16
from .texts import AnnotatedText, Tally

EXPECTED = (
    '{"data": {"text": "Kim left"}, "annotations": [{"result": [{"type": "labels", "value": {"start": 0, "end": 3, '
    '"labels": ["person"]}}]}]}, or {"text": "Kim left", "label": [{"start": 0, "end": 3, "labels": ["person"]}]}'
)
# Keys of the short form that hold no text.
OWN_KEYS = ("annotator", "created_at", "updated_at", "lead_time", "file_upload")


def read_label_studio(
    path: str | Path, *, lang: str = "en", text_key: str | None = None, tally: Tally | None = None
) -> Iterator[AnnotatedText]:
    """Read tasks of Label Studio: the regions of plain texts that have labels.

    Of several annotations of a task the ground truth is read, or else the first; cancelled ones and predictions are
    not. Offsets count characters, or UTF-16 units where only these hold the annotated text. Regions of HTML and
    relations are counted.

    path (str | Path): One JSON list, or JSON lines; unpacked where its name ends in ".gz".
    lang (str): Code of the language whose tokenizer is used.
    text_key (str | None): The field of a task that holds its text. None for "text", or the only string.
    tally (Tally | None): Where to count what is left out.
    YIELDS (AnnotatedText): Each annotated task.
    RAISES (OpenNERError): For a task of another form, with its line, or one whose text cannot be told.
    """
    aligner = OffsetAligner(lang, tally)
    for line, task in read_values(Path(path), "label-studio", EXPECTED):
        where = f"{path}, line {line}"
        _require(isinstance(task, dict), task, where)
        data = task["data"] if "data" in task else {key: task[key] for key in task if key not in OWN_KEYS}
        _require(isinstance(data, dict), data, where)
        key = _text_key(data, text_key, where)
        text = data[key]
        regions = _full(task, where, aligner.tally) if "data" in task else _short(task, where, aligner.tally)
        if regions is None:
            aligner.tally.skip("task without annotation", where)
            continue
        others = set(data) - {key}
        marks = [mark for region in regions for mark in _marks(region, text, others, where, aligner.tally)]
        yield aligner.align(text, marks, where)


def _require(holds: bool, value: Any, where: str) -> None:
    """Refuse a task of another form.

    RAISES (DataError): O401.
    """
    if not holds:
        raise error("O401", where=where, expected=EXPECTED, found=repr(value)[:200], kind="label-studio")


def _text_key(data: Mapping[str, Any], text_key: str | None, where: str) -> str:
    """Return the field that holds the text.

    RAISES (DataError): O412.
    """
    strings = {key: value for key, value in data.items() if isinstance(value, str)}
    key = text_key or ("text" if "text" in strings else next(iter(strings), "text"))
    if key not in strings or (text_key is None and key != "text" and len(strings) > 1):
        raise error("O412", where=where, keys=", ".join(strings) or "none")
    return key


def _full(task: Mapping[str, Any], where: str, tally: Tally) -> list[Any] | None:
    """Return the results of a task's annotation; None where it has none."""
    annotations = task.get("annotations", task.get("completions")) or []
    _require(isinstance(annotations, list) and all(isinstance(a, dict) for a in annotations), annotations, where)
    kept = [a for a in annotations if not a.get("was_cancelled")]
    for kind, n in (("cancelled annotation", len(annotations) - len(kept)), ("further annotation", len(kept) - 1)):
        if n > 0:
            tally.leave(f"{kind} of a task", where, n)
    if not kept:
        return None
    chosen = next((a for a in kept if a.get("ground_truth")), kept[0]).get("result")
    _require(isinstance(chosen, list), chosen, where)
    return list(chosen)


def _short(task: Mapping[str, Any], where: str, tally: Tally) -> list[Any] | None:
    """Return the regions of a task in the short form: all lists of objects, by whatever name. Others are choices."""
    lists = {key: value for key, value in task.items() if isinstance(value, list)}
    regions = {key: value for key, value in lists.items() if all(isinstance(item, dict) for item in value)}
    for key in lists.keys() - regions.keys():
        _require(all(isinstance(item, str) for item in lists[key]), lists[key], where)
        tally.leave(f'"{key}" of a task', where)
    if not regions:
        return None
    return [{"type": "labels", "value": region} for listed in regions.values() for region in listed]


def _marks(result: Any, text: str, others: Collection[str], where: str, tally: Tally) -> Iterator[Mark]:
    """Yield the entities of a region, one for each of its labels.

    others (Collection[str]): The fields of the task that do not hold the text.
    """
    _require(isinstance(result, dict), result, where)
    if result.get("to_name") in others:
        tally.leave(f'region of the field "{result["to_name"]}"', where)
        return
    value = result.get("value")
    if not isinstance(value, dict) or result.get("type", "labels") != "labels":
        tally.leave(f"result of type {str(result.get('type'))!r}", where)
        return
    edges, labels = [value.get(key) for key in ("start", "end")], value.get("labels")
    if "startOffset" in value or "globalOffsets" in value or not all(type(edge) is int for edge in edges):
        tally.leave("region of HTML, audio or others", where)
        return
    start, end = int(edges[0] or 0), int(edges[1] or 0)
    labels = [] if labels is None else labels
    _require(isinstance(labels, list) and all(isinstance(label, str) for label in labels), value, where)
    shown = value.get("text") if isinstance(value.get("text"), str) else None
    if shown is None and not text.isascii():
        converted = from_utf16(text, start), from_utf16(text, end)
        if converted != (start, end):
            tally.repair(TURNED.format("UTF-16 units"), where)
            start, end = converted
    if not labels:
        tally.drop("without a label", where)
    for label in labels:
        yield Mark(label, [(start, end)], where, shown)
