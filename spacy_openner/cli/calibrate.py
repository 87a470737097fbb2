"""The commands `calibrate` and `reliability`: thresholds by annotated docs, and how far scores can be believed."""

import json
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import SettingError
from ..files import refuse_overwriting, replaced_directory
from .options import AsJson, GoldFile, Opt, Pipeline, load_with_gold, put, put_json, with_progress
from .tables import one_line, render_table

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

    from ..calibration.cascade import CascadeCalibration
    from ..calibration.entities import EntityCalibration, EntityScores
    from ..calibration.reliability import Reliability
    from ..calibration.types import TypeCalibration, TypeCounts

NOTES = {
    "chosen": "",
    "kept": "kept: too few gold spans",
    "unreached": "precision not reached",
    "unannotated": "kept: not annotated, not counted",
}
COLUMNS = ("type", "threshold", "gold", "precision", "recall", "F1", "F1 before", "")
CASCADE_COLUMNS = ("type", "ask below", "entities", "asked", "first", "second", "both", "")


@dataclass(frozen=True)
class Outcome:
    """Result of a calibration; the pipeline has it already.

    record (dict[str, Any]): Plain data, for JSON.
    text (str): For people.
    settings (str): What to put into a config, or into Python.
    """

    record: dict[str, Any]
    text: str
    settings: str


def calibrate(
    pipeline: Pipeline,
    gold: GoldFile,
    output: Annotated[
        Path | None, Opt(metavar="DIR", file_okay=False, help="Save the pipeline with the thresholds there.")
    ] = None,
    component: Annotated[
        str | None,
        Opt(help="The component that finds entities (open_ner_span), or with --recall chooses types (type_filter)."),
    ] = None,
    precision: Annotated[
        float | None, Opt(help="For each type the lowest threshold with this precision, instead of the best F1.")
    ] = None,
    recall: Annotated[
        float | None, Opt(help="Of a type filter: the highest threshold that keeps this share of the present types.")
    ] = None,
    one_threshold: Annotated[bool, Opt("--global", help="One threshold for all types.")] = False,
    min_gold: Annotated[int, Opt(min=1, help="Types with fewer gold spans keep their threshold.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Choose the thresholds of PIPELINE's types by annotated docs, for the best F1 or a wanted precision; or those of
    its type filter, for a wanted recall.

    Of a lar_reassigner with a gate: where its second reassigner is asked, for the most right types.
    """
    if recall is not None and precision is not None:
        raise typer.BadParameter("give either --precision or --recall, not both", param_hint="--recall")
    refuse_overwriting([gold], [output])
    # Opened before the work, which takes long: a target that cannot be written is refused at once.
    saving = replaced_directory(output, parents=True, keep_others=True) if output is not None else nullcontext()
    with saving as directory:
        nlp, docs, types = load_with_gold(pipeline, gold)
        if recall is not None:
            outcome = _calibrate_filter(nlp, docs, component, recall, not one_threshold, min_gold, types)
        elif component is not None and _has_cascade(nlp, component):
            outcome = _calibrate_cascade(nlp, docs, component, min_gold)
        else:
            options = {"precision": precision, "one_threshold": one_threshold, "min_gold": min_gold, "types": types}
            outcome = _calibrate_entities(nlp, docs, component, options)
        if directory is not None:
            nlp.to_disk(directory)
    if as_json:
        put_json(outcome.record)
    else:
        put(outcome.text + (f"\n\n{outcome.settings}" if output is None else ""))


def reliability(
    pipeline: Pipeline,
    gold: GoldFile,
    component: Annotated[str, Opt(help="The component that finds entities.")] = "open_ner_span",
    threshold: Annotated[float, Opt(min=0, max=1, help="Spans of lower scores are left out.")] = 0.05,
    as_json: AsJson = False,
) -> None:
    """Show how often what PIPELINE finds is right, by score, on annotated docs."""
    from ..calibration.reliability import measure_reliability

    nlp, docs, types = load_with_gold(pipeline, gold)
    result = measure_reliability(nlp, with_progress(docs), component, threshold=threshold, types=types)
    if as_json:
        put_json(asdict(result))
    else:
        put(render_reliability(result))


def _calibrate_entities(nlp: "Language", docs: list["Doc"], component: str | None, options: dict[str, Any]) -> Outcome:
    from ..calibration.entities import COMPONENT, calibrate_entities

    result = calibrate_entities(nlp, with_progress(docs), component or COMPONENT, **options)
    result.apply(nlp)
    return Outcome(calibration_record(result), render_calibration(result), render_settings(result))


def _calibrate_filter(
    nlp: "Language",
    docs: list["Doc"],
    component: str | None,
    recall: float,
    per_type: bool,
    min_gold: int,
    types: Any,
) -> Outcome:
    from ..calibration.types import COMPONENT, calibrate_types

    options = {"recall": recall, "per_type": per_type, "min_gold": min_gold, "types": types}
    result = calibrate_types(nlp, with_progress(docs), component or COMPONENT, **options)
    result.apply(nlp)
    return Outcome(filter_record(result), render_filter(result), render_settings(result))


def _has_cascade(nlp: "Language", component: str) -> bool:
    """Tell whether a component has a gate between two reassigners."""
    return getattr(dict(nlp.components).get(component), "gate", None) is not None


def _calibrate_cascade(nlp: "Language", docs: list["Doc"], component: str, min_cases: int) -> Outcome:
    from ..calibration.cascade import calibrate_cascade

    result = calibrate_cascade(nlp, with_progress(docs), component, min_cases=min_cases)
    result.apply(nlp)
    settings = f"gate = {json.dumps(result.gate, ensure_ascii=False)}"
    return Outcome(asdict(result), render_cascade(result), settings)


# Renderings


def percentages(scores: "EntityScores") -> tuple[str, ...]:
    """Precision, recall and F1 in percent."""
    return tuple(f"{100 * value:.1f}" for value in (scores.precision, scores.recall, scores.f1))


def render_calibration(result: "EntityCalibration") -> str:
    """Lay out what was chosen, type by type, and what it leads to."""
    rows: list[tuple[str, ...]] = []
    for label, chosen in result.per_type.items():
        silent = chosen.status == "chosen" and not chosen.after.predicted
        note = "finds nothing: its mistakes would cost more" if silent else NOTES[chosen.status]
        after, before = percentages(chosen.after), percentages(chosen.before)
        rows.append((label, f"{chosen.threshold:.4g}", str(chosen.after.gold), *after, before[2], note))
    rows.append(("all", "", str(result.after.gold), *percentages(result.after), percentages(result.before)[2], ""))
    lines = [
        render_table(rows, header=COLUMNS),
        "",
        "Scores are of the texts that the thresholds were chosen by; expect less of others.",
    ]
    return "\n".join([*lines, *_left_out(result)])


def render_reliability(result: "Reliability") -> str:
    """Lay out the shares of right spans by score."""
    rows: list[tuple[str, ...]] = []
    for score_bin in result.bins:
        means = ("-" if value is None else f"{value:.3f}" for value in (score_bin.mean_score, score_bin.share_right))
        rows.append((f"{score_bin.low:.1f}-{score_bin.high:.1f}", str(score_bin.count), *means))
    lines = [render_table(rows, header=("score", "spans", "mean score", "right")), ""]
    if result.ece is not None and result.brier is not None:
        lines.append(f"Expected calibration error {result.ece:.3f}, Brier score {result.brier:.3f}.")
    return "\n".join([*lines, *_left_out(result)])


def _left_out(result: "EntityCalibration | Reliability") -> list[str]:
    """Say what the figures do not cover."""
    lines = []
    if result.not_asked:
        types = ", ".join(f"{one_line(label)} ({n})" for label, n in sorted(result.not_asked.items()))
        lines.append(f"Annotated, but not asked for: {types}.")
    if result.skipped:
        lines.append(f"Docs without any annotation: {result.skipped}.")
    return lines


def render_filter(result: "TypeCalibration") -> str:
    """Lay out what a type filter keeps, before and after."""
    rows: list[tuple[str, ...]] = []
    for name, counts in (("before", result.before), ("after", result.after)):
        shares = (counts.recall, counts.precision, counts.share_kept)
        rows.append((name, *(f"{100 * share:.1f}" for share in shares)))
    lines = [
        render_table(rows, header=("", "recall", "precision", "types kept")),
        "",
        "Shares are of the texts that the thresholds were chosen by; expect less of others.",
    ]
    if result.kept_types:
        lines.append(f"Kept their thresholds, too few docs: {', '.join(map(one_line, result.kept_types))}.")
    return "\n".join(lines)


def render_cascade(result: "CascadeCalibration") -> str:
    """Lay out where the second reassigner is asked, and what that leads to."""
    rows: list[tuple[str, ...]] = []
    for label, cutoff in sorted(result.per_type.items()):
        shares = (f"{100 * n / cutoff.n:.1f}" for n in (cutoff.first, cutoff.second, cutoff.both))
        note = "" if cutoff.status == "chosen" else "kept: too few entities"
        rows.append((label, f"{cutoff.below:.4g}", str(cutoff.n), str(cutoff.asked), *shares, note))
    lines = [
        render_table(rows, header=CASCADE_COLUMNS),
        "",
        "Shares of right types, in percent, of the texts that the gate was chosen by.",
    ]
    if result.unanswered:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in sorted(result.unanswered.items()))
        lines.append(f"Without an answer of the second, and not counted: {reasons}.")
    return "\n".join(lines)


def render_settings(result: "EntityCalibration | TypeCalibration") -> str:
    """Write the thresholds as a part of a config, or as Python where a config cannot hold the types' names."""
    from ..config_format import check_config_value

    values = json.dumps(result.label_thresholds, ensure_ascii=False)
    try:
        check_config_value("label_thresholds", result.label_thresholds)
    except SettingError:
        pipe = f"nlp.get_pipe({result.component!r})"
        return f"{pipe}.threshold = {result.threshold}\n{pipe}.label_thresholds = {values}"
    head = f"[components.{result.component}]"
    return f"{head}\nthreshold = {result.threshold}\nlabel_thresholds = {values}"


def calibration_record(result: "EntityCalibration") -> dict[str, Any]:
    """Turn a calibration into plain data, with precision, recall and F1."""

    def record(scores: "EntityScores") -> dict[str, Any]:
        return {**asdict(scores), "precision": scores.precision, "recall": scores.recall, "f1": scores.f1}

    types = {
        label: asdict(chosen) | {"before": record(chosen.before), "after": record(chosen.after)}
        for label, chosen in result.per_type.items()
    }
    return asdict(result) | {"before": record(result.before), "after": record(result.after), "per_type": types}


def filter_record(result: "TypeCalibration") -> dict[str, Any]:
    """Turn a type filter's calibration into plain data, with recall, precision and the share kept."""

    def record(counts: "TypeCounts") -> dict[str, Any]:
        shares = {"recall": counts.recall, "precision": counts.precision, "share_kept": counts.share_kept}
        return {**asdict(counts), **shares}

    return asdict(result) | {"before": record(result.before), "after": record(result.after)}
