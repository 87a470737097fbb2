"""The commands `calibrate` and `reliability`; `spacy_openner.cli.app` adds them to the others."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import SettingError, error
from ..text_tables import one_line, render_rows

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

    from ..calibration.entities import EntityCalibration, EntityScores
    from ..calibration.reliability import Reliability
    from ..calibration.types import TypeCalibration, TypeCounts

Arg, Opt = typer.Argument, typer.Option
NOTES = {
    "chosen": "",
    "kept": "kept: too few gold spans",
    "unreached": "precision not reached",
    "unannotated": "kept: not annotated, not counted",
}

Pipeline = Annotated[str, Arg(metavar="PIPELINE", help="A saved pipeline: directory or package.")]
GoldFile = Annotated[
    Path,
    Arg(
        metavar="DEV.spacy",
        exists=True,
        dir_okay=False,
        help="Annotated docs. DEV.labels.json beside it may list all types that are annotated.",
    ),
]
Component = Annotated[str, Opt(help="The component that finds entities.")]
AsJson = Annotated[bool, Opt("--json", help="Print one JSON object instead of tables.")]


def load(pipeline: str, gold: Path) -> tuple["Language", list["Doc"], Any]:
    """Load a pipeline and annotated docs.

    RETURNS (tuple): The pipeline, the docs, and the types that are annotated (None if nothing says so).
    RAISES (OpenNERError): For what cannot be read.
    """
    import spacy

    from ..calibration.predictions import read_gold

    try:
        nlp = spacy.load(pipeline)
    except OSError as problem:
        raise error("O426", path=pipeline, reason=problem) from problem
    return nlp, *read_gold(gold, nlp)


def shown(docs: list["Doc"]) -> Iterator["Doc"]:
    """Hand docs on with a progress bar, where `find` would draw one."""
    from .app import with_progress

    return with_progress(docs, None, len(docs))


def figures(scores: "EntityScores") -> tuple[str, ...]:
    """Precision, recall and F1 in percent."""
    return tuple(f"{100 * value:.1f}" for value in (scores.precision, scores.recall, scores.f1))


def render_calibration(result: "EntityCalibration") -> str:
    """Lay out what was chosen, type by type, and what it leads to."""
    rows: list[tuple[str, ...]] = [("type", "threshold", "gold", "precision", "recall", "F1", "F1 before", "")]
    for label, chosen in result.per_type.items():
        silent = chosen.status == "chosen" and not chosen.after.predicted
        note = "finds nothing: its mistakes would cost more" if silent else NOTES[chosen.status]
        numbers = (f"{chosen.threshold:.4g}", str(chosen.after.gold), *figures(chosen.after), figures(chosen.before)[2])
        rows.append((one_line(label), *numbers, note))
    rows.append(("all", "", str(result.after.gold), *figures(result.after), figures(result.before)[2], ""))
    lines = [
        render_rows(rows),
        "",
        "Scores are of the texts that the thresholds were chosen by; expect less of others.",
    ]
    return "\n".join([*lines, *left_out(result)])


def render_reliability(result: "Reliability") -> str:
    """Lay out the shares of right spans by score."""
    rows: list[tuple[str, ...]] = [("score", "spans", "mean score", "right")]
    for each in result.bins:
        means = ("-" if value is None else f"{value:.3f}" for value in (each.mean_score, each.share_right))
        rows.append((f"{each.low:.1f}-{each.high:.1f}", str(each.count), *means))
    lines = [render_rows(rows), ""]
    if result.ece is not None and result.brier is not None:
        lines.append(f"Expected calibration error {result.ece:.3f}, Brier score {result.brier:.3f}.")
    return "\n".join([*lines, *left_out(result)])


def left_out(result: "EntityCalibration | Reliability") -> list[str]:
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
    rows: list[tuple[str, ...]] = [("", "recall", "precision", "types kept")]
    for name, counts in (("before", result.before), ("after", result.after)):
        shares = (counts.recall, counts.precision, counts.share_kept)
        rows.append((name, *(f"{100 * share:.1f}" for share in shares)))
    lines = [
        render_rows(rows),
        "",
        "Shares are of the texts that the thresholds were chosen by; expect less of others.",
    ]
    if result.kept_types:
        lines.append(f"Kept their thresholds, too few docs: {', '.join(map(one_line, result.kept_types))}.")
    return "\n".join(lines)


def filter_record(result: "TypeCalibration") -> dict[str, Any]:
    """Turn a type filter's calibration into plain data, with recall, precision and the share kept."""

    def record(counts: "TypeCounts") -> dict[str, Any]:
        shares = {"recall": counts.recall, "precision": counts.precision, "share_kept": counts.share_kept}
        return {**asdict(counts), **shares}

    return asdict(result) | {"before": record(result.before), "after": record(result.after)}


def render_settings(result: "EntityCalibration | TypeCalibration") -> str:
    """Write the thresholds as a part of a config, or as Python where a config cannot hold the types' names."""
    from ..settings import check_config_keys

    values = json.dumps(result.label_thresholds, ensure_ascii=False)
    try:
        check_config_keys("label_thresholds", result.label_thresholds)
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


def calibrate_pipeline(
    pipeline: Pipeline,
    gold: GoldFile,
    output: Annotated[Path | None, Opt(metavar="DIR", help="Save the pipeline with the thresholds there.")] = None,
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
    from ..calibration.entities import COMPONENT, calibrate_entities

    if recall is not None:
        if precision is not None:
            raise typer.BadParameter("give either --precision or --recall, not both", param_hint="--recall")
        calibrate_filter(pipeline, gold, output, component, recall, not one_threshold, min_gold, as_json)
        return
    nlp, docs, types = load(pipeline, gold)
    if component is not None and has_gate(nlp, component):
        calibrate_its_gate(nlp, docs, component, min_gold, output, as_json)
        return
    options = {"precision": precision, "one_threshold": one_threshold, "min_gold": min_gold, "types": types}
    result = calibrate_entities(nlp, shown(docs), component or COMPONENT, **options)
    text = json.dumps(calibration_record(result), ensure_ascii=False) if as_json else render_calibration(result)
    result.apply(nlp)
    deliver(nlp, text, "" if as_json else render_settings(result), output)


def deliver(nlp: "Language", text: str, settings: str, output: Path | None) -> None:
    """Print a result; save the pipeline, to which it is applied, or print what to put into a config instead."""
    typer.echo(text.encode())
    if output is not None:
        nlp.to_disk(output)
    elif settings:
        typer.echo(f"\n{settings}".encode())


def calibrate_filter(
    pipeline: str,
    gold: Path,
    output: Path | None,
    component: str | None,
    recall: float,
    per_type: bool,
    min_gold: int,
    as_json: bool,
) -> None:
    """As `calibrate_pipeline`, for a type filter."""
    from ..calibration.types import COMPONENT, calibrate_types

    nlp, docs, types = load(pipeline, gold)
    options = {"recall": recall, "per_type": per_type, "min_gold": min_gold, "types": types}
    result = calibrate_types(nlp, shown(docs), component or COMPONENT, **options)
    text = json.dumps(filter_record(result), ensure_ascii=False) if as_json else render_filter(result)
    result.apply(nlp)
    deliver(nlp, text, "" if as_json else render_settings(result), output)


def has_gate(nlp: "Language", component: str) -> bool:
    """Whether a component is one with a gate between two reassigners."""
    return getattr(dict(nlp.components).get(component), "gate", None) is not None


def calibrate_its_gate(
    nlp: "Language", docs: list["Doc"], component: str, min_cases: int, output: Path | None, as_json: bool
) -> None:
    """Choose where a component's second reassigner is asked."""
    from ..calibration.cascade import calibrate_cascade
    from .align import gate_record, render_gate

    result = calibrate_cascade(nlp, shown(docs), component, min_cases=min_cases)
    result.apply(nlp)
    settings = "" if as_json else f"gate = {json.dumps(result.gate, ensure_ascii=False)}"
    deliver(nlp, gate_record(result) if as_json else render_gate(result), settings, output)


def measure_reliability(
    pipeline: Pipeline,
    gold: GoldFile,
    component: Component = "open_ner_span",
    threshold: Annotated[float, Opt(min=0, max=1, help="Spans of lower scores are left out.")] = 0.05,
    as_json: AsJson = False,
) -> None:
    """Show how often what PIPELINE finds is right, by score, on annotated docs."""
    from ..calibration import reliability

    nlp, docs, types = load(pipeline, gold)
    result = reliability.measure_reliability(nlp, shown(docs), component, threshold=threshold, types=types)
    text = json.dumps(asdict(result), ensure_ascii=False) if as_json else render_reliability(result)
    typer.echo(text.encode())
