"""The command `convert`; `spacy_openner.cli.app` adds it to the others."""

import json
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..data.convert import convert
from ..data.naming import read_label_map, read_types
from ..data.report import render_report
from ..types import DEFAULT_SPANS_KEY

Arg, Opt = typer.Argument, typer.Option
FileOpt = partial(typer.Option, metavar="FILE", exists=True, dir_okay=False)

Format = Enum(
    "Format",
    {"auto": "auto", "columns": "columns", "jsonl": "jsonl", "gliner": "gliner", "spacy": "spacy", "brat": "brat"},
    type=str,
)
Discontinuous = Enum("Discontinuous", {"drop": "drop", "join": "join"}, type=str)


def convert_files(
    source: Annotated[Path, Arg(metavar="SOURCE", exists=True, help="A file, or a directory of brat or spaCy files.")],
    target: Annotated[Path, Arg(metavar="TARGET", help="NAME.spacy, or a directory. Existing files are replaced.")],
    format: Annotated[Format, Opt(help="Of the source; auto looks at names and contents.")] = Format.auto,
    labels: Annotated[Path | None, FileOpt(help="JSON: label -> label to write; null leaves its spans out.")] = None,
    types: Annotated[Path | None, FileOpt(help="JSON: all types annotated, a list, or type -> description.")] = None,
    natural: Annotated[bool, Opt(help='Write other labels as words: "cell_type" as "cell type".')] = True,
    spans_key: Annotated[str, Opt(help="Span group to write.")] = DEFAULT_SPANS_KEY,
    n_sents: Annotated[int, Opt("--n-sents", "-n", min=1, help="Sentences in a doc; documents are kept apart.")] = 1,
    shard: Annotated[int | None, Opt(min=1, metavar="N", help="Write files of N docs: NAME-00001.spacy, ...")] = None,
    word_column: Annotated[int | None, Opt(help="columns: where words stand, from 0; -1 is the last.")] = None,
    tag_column: Annotated[int | None, Opt(help="columns: where tags stand; by default the last.")] = None,
    source_key: Annotated[str | None, Opt(help="spacy: span group to read instead of doc.ents.")] = None,
    lang: Annotated[str | None, Opt(help="brat: language, for the tokenizer; by default en.")] = None,
    discontinuous: Annotated[Discontinuous | None, Opt(help="brat: entities with gaps; by default drop.")] = None,
    as_json: Annotated[bool, Opt("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Convert annotated data to .spacy files with all spans, and list its types beside them."""
    options = {
        "word_column": word_column,
        "tag_column": tag_column,
        "source_key": source_key,
        "lang": lang,
        "discontinuous": discontinuous and discontinuous.value,
    }
    report = convert(
        source,
        target,
        format=format.value,
        labels=read_label_map(labels) if labels else None,
        types=read_types(types) if types else None,
        natural=natural,
        spans_key=spans_key,
        n_sents=n_sents,
        shard=shard,
        **{name: value for name, value in options.items() if value is not None},
    )
    shown = json.dumps(report.to_dict(), ensure_ascii=False) if as_json else render_report(report)
    typer.echo(shown.encode())
