"""The command `run`, which annotates a corpus."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..arguments import MOST_THREADS
from ..types import DEFAULT_SPANS_KEY
from .options import Arg, AsJson, Label, Labels, LabelsFile, Opt, Progress, given_labels, is_terminal, put, put_json

if TYPE_CHECKING:
    from ..bulk.run import RunReport

Engine = Enum("Engine", {"local": "local", "ray": "ray"}, type=str)
OutputFormat = Enum("OutputFormat", {"jsonl": "jsonl", "parquet": "parquet", "spacy": "spacy"}, type=str)
# Of the files that could not be annotated, so many are named.
SHOWN_PROBLEMS = 20


def run(
    source: Annotated[str, Arg(metavar="SRC", help="A file, directory, glob or URL: .jsonl .csv .txt .parquet .spacy")],
    dest: Annotated[Path, Arg(metavar="DEST", help="A new directory, or one that this run has begun.")],
    pipeline: Annotated[str, Opt(metavar="P", help="A saved pipeline: directory or package.")],
    labels: Labels = None,
    label: Label = None,
    labels_file: LabelsFile = None,
    engine: Annotated[Engine, Opt(help="local: processes here; ray: a Ray cluster.")] = Engine.local,
    workers: Annotated[int, Opt(min=1, help="Processes or actors, a pipeline each.")] = 1,
    threads: Annotated[int, Opt(min=1, max=MOST_THREADS, help="Of each worker.")] = 1,
    gpus: Annotated[float, Opt(min=0, help="ray: part of a GPU for each worker.")] = 0.0,
    format: Annotated[OutputFormat, Opt(help="Of the output.")] = OutputFormat.jsonl,
    text_field: Annotated[str, Opt(help="Field that holds the text.")] = "text",
    id_field: Annotated[str | None, Opt(help="Field that names a record, for dead letters.")] = None,
    entities_field: Annotated[str, Opt(help="Field that gets the entities.")] = "entities",
    spans_key: Annotated[str, Opt(help="Span group to read, beside doc.ents.")] = DEFAULT_SPANS_KEY,
    shard_size: Annotated[int, Opt(min=1, help="Most records in an output file.")] = 1000,
    batch_size: Annotated[int | None, Opt(min=1, help="Records taken together; else as the pipeline says.")] = None,
    limit: Annotated[int | None, Opt(min=1, help="Most records to annotate.")] = None,
    as_json: AsJson = False,
    progress: Progress = None,
) -> None:
    """Annotate a corpus; the same call again goes on where an interrupted one stopped.

    Output is DEST/part-*; records that fail go to DEST/dead_letters with the reason. The exit code is 1 where files
    could not be annotated to their end.
    """
    import sys
    from contextlib import redirect_stdout

    from ..bulk.run import run_corpus

    label_set = given_labels(labels, label, labels_file) if labels or label or labels_file else None
    # Ray prints on standard output what became of its workers; that is for the report.
    with redirect_stdout(sys.stderr):
        report = run_corpus(
            source,
            dest,
            pipeline,
            labels=label_set,
            engine=engine.value,
            workers=workers,
            threads=threads,
            gpus=gpus,
            format=format.value,
            text_field=text_field,
            id_field=id_field,
            entities_field=entities_field,
            spans_key=spans_key,
            shard_size=shard_size,
            batch_size=batch_size,
            limit=limit,
            progress=is_terminal(sys.stderr) if progress is None else progress,
        )
    _show(report, as_json)
    if not report.is_complete:
        raise typer.Exit(1)


def _show(report: "RunReport", as_json: bool) -> None:
    """Print what was done, and what is left."""
    counts = report.counts
    if as_json:
        about = {"units": report.units, "finished": report.finished, "problems": report.problems}
        put_json({**counts._asdict(), **about, "remade": report.remade})
    else:
        put(f"{counts.records:,} records with {counts.entities:,} entities; {counts.set_aside:,} set aside")
    if report.remade:
        shown = ", ".join(report.remade[:SHOWN_PROBLEMS])
        typer.echo(f"Made anew, since they had changed or were gone: {len(report.remade):,} files: {shown}", err=True)
    for path, reason in report.problems[:SHOWN_PROBLEMS]:
        typer.echo(f"Not finished: {path}: {reason}", err=True)
    if not report.is_complete:
        left = report.units - report.finished
        typer.echo(f"{left:,} of {report.units:,} units are left; the same command tries them again.", err=True)
