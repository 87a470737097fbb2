"""The command `align`: which type of a pipeline each type of annotated docs belongs to."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..data.docbin import labels_file
from ..files import as_path, refuse_overwriting
from ..json_files import write_json
from .options import AsJson, GoldFile, Opt, Pipeline, load_with_gold, put, put_json, with_progress
from .tables import one_line, render_table

if TYPE_CHECKING:
    from ..lar.table import AlignmentTable

Strategy = Enum("Strategy", {"predictions": "predictions", "names": "names", "one-to-one": "one-to-one"}, type=str)


def align(
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
    encoder: Annotated[str, Opt(help="For names: directory or hub name; else that of SpanMatcher.")] = "",
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

    # A list of types beside the gold docs is read; where there is none, it is what `types` is meant for.
    listed = labels_file(gold)
    refuse_overwriting([gold, listed if listed.is_file() else None, as_path(pipeline, "PIPELINE")], [output, types])
    nlp, docs, annotated = load_with_gold(pipeline, gold)
    sources = LabelSet([name.strip() for name in source_types.split(",") if name.strip()])
    if strategy is Strategy.predictions:
        chosen: AlignmentStrategy = PseudoLabelAlignment_v1(miscellaneous, min_share)
    else:
        mode = "nearest" if strategy is Strategy.names else "one-to-one"
        chosen = EmbeddingAlignment_v1(encoder, mode=mode, miscellaneous=miscellaneous)
    table = align_labels(
        nlp,
        with_progress(docs),
        chosen,
        source=source or ENTS,
        targets=LabelSet(annotated) if annotated else None,
        sources=sources if len(sources) else None,
    )
    if output is not None:
        table.save(output)
    if types is not None:
        write_json(types, table.described())
    if as_json:
        put_json(table.as_dict())
    else:
        put(render_alignment(table))


def render_alignment(table: "AlignmentTable") -> str:
    """Lay out a table: each target type with its source type, and what was predicted for its entities."""
    rows: list[tuple[str, ...]] = []
    for target, alignment in table.targets.items():
        counts = ", ".join(f"{one_line(source) or 'nothing'} {n}" for source, n in alignment.counts.items())
        sure = "-" if alignment.confidence is None else f"{alignment.confidence:.2f}"
        rows.append((target, ", ".join(alignment.sources), sure, counts))
    return render_table(rows, header=("target type", "source type", "confidence", "predicted"))
