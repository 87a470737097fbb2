"""The command `convert`: annotated data to .spacy files."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..data import convert as conversion
from ..data.docbin import labels_file
from ..data.formats import READERS
from ..data.naming import read_label_map, read_types
from ..files import refuse_overwriting
from ..types import DEFAULT_SPANS_KEY
from .options import Arg, AsJson, FileOpt, Opt, put, put_json
from .tables import render_table

if TYPE_CHECKING:
    from ..data.report import ConversionReport, Finding

Format = Enum("Format", {kind: kind for kind in ("auto", *READERS)}, type=str)  # type: ignore[misc]
Discontinuous = Enum("Discontinuous", {"drop": "drop", "join": "join"}, type=str)

HEADINGS = {"dropped": "Dropped spans", "repaired": "Repaired", "skipped": "Skipped texts", "unread": "Not read"}


def convert(
    source: Annotated[Path, Arg(metavar="SOURCE", exists=True, help="A file, or a directory of files.")],
    target: Annotated[Path, Arg(metavar="TARGET", help="NAME.spacy, or a directory. Existing files are replaced.")],
    format: Annotated[Format, Opt(help="Of the source; auto looks at names and contents.")] = Format.auto,  # type: ignore[attr-defined]
    labels: Annotated[Path | None, FileOpt(help="JSON: label -> label to write; null leaves its spans out.")] = None,
    types: Annotated[Path | None, FileOpt(help="JSON: all types annotated, a list, or type -> description.")] = None,
    natural: Annotated[bool, Opt(help='Write other labels as words: "cell_type" as "cell type".')] = True,
    spans_key: Annotated[str, Opt(help="Span group to write.")] = DEFAULT_SPANS_KEY,
    n_sents: Annotated[int, Opt("--n-sents", "-n", min=1, help="Sentences in a doc; documents are kept apart.")] = 1,
    shard: Annotated[int | None, Opt(min=1, metavar="N", help="Write files of N docs: NAME-00001.spacy, ...")] = None,
    word_column: Annotated[int | None, Opt(help="columns: where words stand, from 0; -1 is the last.")] = None,
    tag_column: Annotated[
        list[int] | None, Opt(help="columns: where tags stand, by default the last; once for each nested layer.")
    ] = None,
    text_key: Annotated[str | None, Opt(help="label-studio: field of the text.")] = None,
    tags_key: Annotated[str | None, Opt(help="hugging-face: field of the tags; by default ner_tags.")] = None,
    tag_names: Annotated[Path | None, FileOpt(help="hugging-face: JSON with the names of tags by number.")] = None,
    layer: Annotated[str | None, Opt(help="webanno, xmi: layer of entities; by default NamedEntity.")] = None,
    type_system: Annotated[Path | None, FileOpt(help="xmi: description of types; TypeSystem.xml beside it.")] = None,
    source_key: Annotated[str | None, Opt(help="spacy: span group to read instead of doc.ents.")] = None,
    lang: Annotated[str | None, Opt(help="Language whose tokenizer splits plain texts; by default en.")] = None,
    discontinuous: Annotated[Discontinuous | None, Opt(help="brat, bioc: entities with gaps; by default drop.")] = None,
    as_json: AsJson = False,
) -> None:
    """Convert annotated data to .spacy files with all spans, and list its types beside them."""
    written = conversion.target_file(source, target)
    refuse_overwriting([labels, types, tag_names, type_system], [written, labels_file(written)])
    options = {
        "word_column": word_column,
        "tag_column": tag_column or None,
        "text_key": text_key,
        "tags_key": tags_key,
        "tag_names": tag_names,
        "layer": layer,
        "type_system": type_system,
        "source_key": source_key,
        "lang": lang,
        "discontinuous": discontinuous and discontinuous.value,
    }
    report = conversion.convert(
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
    if as_json:
        put_json(report.to_dict())
    else:
        put(render_report(report))


def render_report(report: "ConversionReport") -> str:
    """Lay out what a conversion wrote, and what it did not."""
    first, last = report.files[0], report.files[-1]
    files = first if first == last else f"{first} to {last}"
    lines = [
        f"Read {report.source} as {report.format}, wrote {files} and {report.labels_file}.",
        f"Texts: {report.texts}, docs: {report.docs}, tokens: {report.tokens}, spans: {report.spans}, "
        f"types: {len(report.types)}",
        _counted([(str(count), label) for label, count in report.types.items()]),
    ]
    for name, heading in HEADINGS.items():
        findings: dict[str, Finding] = getattr(report, name)
        if findings:
            lines.append(f"{heading}: {sum(finding.count for finding in findings.values())}")
            lines.append(_counted([(str(f.count), why, f"first: {f.example}") for why, f in findings.items()]))
    return "\n".join(line for line in lines if line)


def _counted(rows: list[tuple[str, ...]]) -> str:
    return render_table(rows, indent=2, numbers=[0]) if rows else ""
