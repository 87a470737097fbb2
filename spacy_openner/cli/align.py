"""The command `align`; `spacy_openner.cli.app` adds it. The cascade of reassigners is calibrated by `calibrate`."""

import json
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..files import write_json
from ..text_tables import one_line, render_rows
from .calibrate import AsJson, GoldFile, Opt, Pipeline, load, shown

if TYPE_CHECKING:
    from ..calibration.cascade import CascadeCalibration
    from ..lar.table import AlignmentTable

Strategy = Enum("Strategy", {"predictions": "predictions", "names": "names", "one-to-one": "one-to-one"}, type=str)


def render_alignment(table: "AlignmentTable") -> str:
    """Lay out a table: each target type with its source type, and what was predicted for its entities."""
    rows: list[tuple[str, ...]] = [("target type", "source type", "confidence", "predicted")]
    for target, each in table.targets.items():
        counts = ", ".join(f"{one_line(source) or 'nothing'} {n}" for source, n in each.counts.items())
        sure = "-" if each.confidence is None else f"{each.confidence:.2f}"
        rows.append((one_line(target), ", ".join(map(one_line, each.sources)), sure, counts))
    return render_rows(rows)


def align_types(
    pipeline: Pipeline,
    gold: GoldFile,
    output: Annotated[Path | None, Opt(metavar="TABLE.json", help="Where the table is written.")] = None,
    types: Annotated[
        Path | None,
        Opt(
            metavar="NAME.labels.json",
            help='Where target types are listed, described as "politician, a kind of person", for training on both.',
        ),
    ] = None,
    strategy: Annotated[
        Strategy,
        Opt(
            help="By what the pipeline predicts for the entities; or by the types' names or descriptions: the nearest, "
            "or each source type once at most."
        ),
    ] = Strategy.predictions,
    source: Annotated[str, Opt(help='Where the pipeline puts its entities: "ents", or a key of spans.')] = "ents",
    source_types: Annotated[str, Opt(metavar="A,B", help="Source types; else those that the pipeline names.")] = "",
    encoder: Annotated[str, Opt(help="For names: directory or hub name; else that of the default weights.")] = "",
    miscellaneous: Annotated[str, Opt(help="Source type of what is not recognised.")] = "miscellaneous",
    min_share: Annotated[
        float, Opt(min=0, max=1, help="By predictions: a type of which a smaller share is found at all is that, too.")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Find out which type of PIPELINE each type of DEV.spacy belongs to, for `lar_reassigner`."""
    from ..labels import LabelSet
    from ..lar.alignment import ENTS, AlignmentStrategy, PseudoLabelAlignment_v1, align_labels
    from ..lar.embedding_alignment import EmbeddingAlignment_v1

    nlp, docs, annotated = load(pipeline, gold)
    sources = LabelSet([name.strip() for name in source_types.split(",") if name.strip()])
    if strategy is Strategy.predictions:
        chosen: AlignmentStrategy = PseudoLabelAlignment_v1(miscellaneous, min_share)
    else:
        mode = "nearest" if strategy is Strategy.names else "one-to-one"
        chosen = EmbeddingAlignment_v1(encoder, mode=mode, miscellaneous=miscellaneous)
    table = align_labels(
        nlp,
        shown(docs),
        chosen,
        source=source or ENTS,
        targets=LabelSet(annotated) if annotated else None,
        sources=sources if len(sources) else None,
    )
    if output is not None:
        table.save(output)
    if types is not None:
        write_json(types, table.described())
    text = json.dumps(table.as_dict(), ensure_ascii=False) if as_json else render_alignment(table)
    typer.echo(text.encode())


def render_gate(result: "CascadeCalibration") -> str:
    """Lay out where the second reassigner is asked, and what that leads to."""
    rows: list[tuple[str, ...]] = [("type", "ask below", "entities", "asked", "first", "second", "both", "")]
    for label, each in sorted(result.per_type.items()):
        shares = (f"{100 * n / each.n:.1f}" for n in (each.first, each.second, each.both))
        note = "" if each.status == "chosen" else "kept: too few entities"
        rows.append((one_line(label), f"{each.below:.4g}", str(each.n), str(each.asked), *shares, note))
    lines = [render_rows(rows), "", "Shares of right types, in percent, of the texts that the gate was chosen by."]
    if result.unanswered:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in sorted(result.unanswered.items()))
        lines.append(f"Without an answer of the second, and not counted: {reasons}.")
    return "\n".join(lines)


def gate_record(result: "CascadeCalibration") -> str:
    """A gate as one JSON object."""
    return json.dumps(asdict(result), ensure_ascii=False)
