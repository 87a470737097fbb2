"""The command `find`, which stands for itself: entities of a text, of a file's lines or of standard input's."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, TextIO

import typer

from ..arguments import MOST
from ..errors import error
from ..files import as_path, refuse_overwriting, replaced_file
from .options import (
    Arg,
    AsJson,
    Label,
    Labels,
    LabelsFile,
    Lang,
    Opt,
    Progress,
    blank_pipeline,
    decoded,
    given_labels,
    is_terminal,
    put,
    put_json,
    with_progress,
)
from .render import doc_record, html_page, render_entities, render_figure
from .tables import one_line

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

Overlap = Enum("Overlap", {"flat": "flat", "nested": "nested", "all": "all", "longest": "longest"}, type=str)
Backend = Enum("Backend", {"torch": "torch", "onnx": "onnx"}, type=str)
Precision = Enum(
    "Precision",
    {"auto": "auto", "float32": "float32", "bfloat16": "bfloat16", "float16": "float16", "int8": "int8"},
    type=str,
)


@dataclass
class TextLines:
    """The texts of a stream, one a line. What is left out is said on standard error.

    stream (BinaryIO): UTF-8.
    texts, blank, refused (int): How many lines were handed on, were blank, and were no text.
    """

    stream: BinaryIO
    texts: int = 0
    blank: int = 0
    refused: int = 0

    def __iter__(self) -> Iterator[str]:
        """Yield the lines that are not blank. One that is no text is reported, and the next ones are read."""
        for number, line in enumerate(self.stream, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as problem:
                self.refused += 1
                name = getattr(self.stream, "name", "the input")
                typer.echo(f"Error: {error('O203', what=f'Line {number} of {name}', reason=problem.reason)}", err=True)
                continue
            if text.strip():
                self.texts += 1
                yield text
            else:
                self.blank += 1
        if self.blank or self.refused or not self.texts:
            refused = f", left out {self.refused} that are no text" if self.refused else ""
            typer.echo(f"Read {self.texts} texts, skipped {self.blank} blank lines{refused}.", err=True)

    def count(self) -> int | None:
        """Count the lines that are not blank and go back; None where the stream cannot go back."""
        if not self.stream.seekable():
            return None
        start = self.stream.tell()
        total = sum(1 for line in self.stream if line.strip())
        self.stream.seek(start)
        return total


def open_texts(text: str | None, file: Path | None, stack: ExitStack) -> TextLines | list[str]:
    """Choose the input: the text, or the file, or else standard input.

    RAISES (typer.BadParameter): For two inputs, or none.
    """
    if text is not None and file is not None:
        raise typer.BadParameter("give either TEXT or --file, not both", param_hint="TEXT")
    if text is not None:
        return [decoded(text)]
    if file is not None and str(file) != "-":
        try:
            return TextLines(stack.enter_context(file.open("rb")))
        except OSError as problem:
            raise typer.BadParameter(f"cannot read {str(file)!r}: {problem.strerror}", param_hint="--file") from problem
    if sys.stdin is None or (file is None and is_terminal(sys.stdin)):
        raise typer.BadParameter("no text; give one, or --file, or pipe in lines", param_hint="TEXT")
    return TextLines(typer.get_binary_stream("stdin"))


def make_nlp(
    labels: list[str] | dict[str, str],
    lang: str = "en",
    threshold: float = 0.5,
    overlap: str = "flat",
    **model: str | None,
) -> "Language":
    """Build a blank pipeline with an `open_ner_span` component.

    labels (list[str] | dict[str, str]): Names, or a mapping to the descriptions that prompts then hold.
    lang (str): Code of the language whose tokenizer is used.
    threshold (float): The lowest score of an entity.
    overlap (str): "flat", "nested", "all" or "longest".
    **model (str | None): Settings of the model: name, revision, precision, backend; None for the default.
    RETURNS (Language): The pipeline; its weights are loaded with the first text.
    RAISES (OpenNERError): For a setting that is not allowed.
    """
    from ..models.architectures import span_architecture

    nlp = blank_pipeline(lang)
    if model.get("name"):
        model["@architectures"] = span_architecture(str(model["name"]))
    config = {
        "labels": labels,
        "use_descriptions": isinstance(labels, dict),
        "threshold": threshold,
        "overlap": overlap,
        "model": {name: value for name, value in model.items() if value is not None},
    }
    nlp.add_pipe("open_ner_span", config=config)
    return nlp


def write_results(docs: Iterable["Doc"], overlap: str, as_json: bool, page: TextIO | None, headed: bool) -> None:
    """Print each doc's entities as soon as they are there, as JSON or a table, or write them to a page.

    as_json (bool): Print JSON lines, always in UTF-8.
    page (TextIO | None): Where to write figures; no tables are printed then.
    headed (bool): Put the text above its table.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    for doc in docs:
        record = doc_record(doc, overlap)
        if page is not None:
            page.write(render_figure(doc, record, overlap))
        if as_json:
            put_json(record)
        elif page is None:
            head, foot = (one_line(doc.text) + "\n", "\n") if headed else ("", "")
            put(head + render_entities(record) + foot, encoding)


def find(
    text: Annotated[str | None, Arg(metavar="TEXT", help="One text; else --file or standard input.")] = None,
    labels: Labels = None,
    label: Label = None,
    labels_file: LabelsFile = None,
    file: Annotated[
        Path | None,
        Opt(metavar="FILE", help="One text a line, UTF-8. Blank lines are skipped; standard error says how many."),
    ] = None,
    as_json: AsJson = False,
    html: Annotated[
        Path | None, Opt(metavar="FILE", dir_okay=False, help="Write a displaCy page, print no tables.")
    ] = None,
    model: Annotated[
        str | None, Opt(help="Directory of a span model, or hub name of a GLiNER checkpoint; else the default weights.")
    ] = None,
    revision: Annotated[str | None, Opt(help="Commit or tag of a hub name.")] = None,
    threshold: Annotated[float, Opt(min=0, max=1, help="Lowest score of an entity.")] = 0.5,
    overlap: Annotated[Overlap, Opt(help="Which entities may share words.")] = Overlap.flat,
    lang: Lang = "en",
    precision: Annotated[Precision, Opt(help="Of the model; int8 with --backend onnx.")] = Precision.auto,
    backend: Annotated[Backend, Opt(help="What runs the encoder.")] = Backend.torch,
    batch_size: Annotated[int, Opt(min=1, max=MOST, help="Texts read ahead; 1 answers each line at once.")] = 256,
    progress: Progress = None,
) -> None:
    """Print the entities of TEXT, of a file's lines or of standard input's lines.

    A line that is not UTF-8 is reported and left out; the exit code is 1 then.
    """
    names = given_labels(labels, label, labels_file)
    model, revision = (value and decoded(value) for value in (model, revision))
    if file is not None:
        as_path(file, "--file")
    refuse_overwriting([file, labels_file], [html])
    with ExitStack() as stack:
        texts = open_texts(text, file, stack)
        total = len(texts) if isinstance(texts, list) else texts.count()
        run = {"precision": precision.value, "backend": backend.value}
        nlp = make_nlp(names, lang, threshold, overlap.value, name=model, revision=revision, **run)
        page = None if html is None else _opened_page(html, nlp, stack)
        docs = with_progress(nlp.pipe(texts, batch_size=batch_size), progress, total)
        write_results(docs, overlap.value, as_json, page, headed=text is None)
    if isinstance(texts, TextLines) and texts.refused:
        raise typer.Exit(1)


def _opened_page(path: Path, nlp: "Language", stack: ExitStack) -> TextIO:
    """Open a page that takes the place of a file when all its figures are written."""
    stream = stack.enter_context(replaced_file(path)).open("w", encoding="utf-8")
    stack.enter_context(stream)
    stack.enter_context(html_page(stream, nlp))
    return stream
