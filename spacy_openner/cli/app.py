"""The command line: `python -m spacy_openner`, `spacy-openner` and `python -m spacy openner`.

The Typer functions only gather arguments; the plain functions above them do the work. spaCy is imported when
a text is processed, not before.
"""

import json
import math
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TextIO

import typer
from typer.core import TyperGroup

from .. import __version__
from ..data.files import read_lines
from ..errors import OpenNERError, OpenNERWarning, error
from ..text_tables import one_line
from .align import align_types
from .annotate import annotate_texts, explain_texts
from .calibrate import calibrate_pipeline, measure_reliability
from .convert import convert_files
from .render import doc_record, html_page, render_figure, render_table

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

PROGRESS_ABOVE = 50
Arg, Opt = typer.Argument, typer.Option
FileOpt = partial(typer.Option, metavar="FILE")
FileIn = typer.FileBinaryRead

Overlap = Enum("Overlap", {"flat": "flat", "nested": "nested", "all": "all"}, type=str)
Backend = Enum("Backend", {"torch": "torch", "onnx": "onnx"}, type=str)
Precision = Enum(
    "Precision",
    {"auto": "auto", "float32": "float32", "bfloat16": "bfloat16", "float16": "float16", "int8": "int8"},
    type=str,
)


def collect_labels(
    lists: Iterable[str], whole: Iterable[str] = (), described: Iterable[str] = ()
) -> list[str] | dict[str, str]:
    """Put together the labels of all options, each once, in order.

    lists (Iterable[str]): Comma-separated names, such as "person, award".
    whole (Iterable[str]): Names that are taken as they are, commas included.
    described (Iterable[str]): Lines of a labels file: a name, or a name, a tab and a description.
    RETURNS (list[str] | dict[str, str]): The names; a mapping to descriptions where any is described.
    RAISES (SettingError): For a description without a name.
    """
    names = [*",".join(lists).split(","), *whole]
    found = dict.fromkeys([name.strip() for name in names], "")
    for line in described:
        name, _, description = (part.strip() for part in line.partition("\t"))
        if description and not name:
            raise error("O003", value=line)
        found[name] = description or found.get(name, "")
    found.pop("", None)
    return {name: about or name for name, about in found.items()} if any(found.values()) else list(found)


def require_text(*texts: str) -> None:
    """Refuse what the shell passed on undecoded.

    RAISES (TextError): For a text that holds lone surrogates.
    """
    for text in texts:
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise error("O203", what=ascii(text), reason="undecoded bytes")


def read_texts(stream: BinaryIO) -> Iterator[str]:
    """Yield the lines that are not blank, and say on standard error how many were."""
    texts = blank = 0
    for line in read_lines(stream):
        if line.strip():
            texts += 1
            yield line
        else:
            blank += 1
    if blank or not texts:
        typer.echo(f"Read {texts} texts, skipped {blank} blank lines.", err=True)


def open_texts(text: str | None, file: BinaryIO | None) -> tuple[Iterator[str], int | None]:
    """Choose the input: the text, or the file, or else standard input.

    RETURNS (tuple): The texts, and how many they are where that can be known.
    RAISES (typer.BadParameter): For two inputs, or none.
    """
    if text is not None and file is not None:
        raise typer.BadParameter("give either TEXT or --file, not both", param_hint="TEXT")
    if text is not None:
        return iter([text]), 1
    if file is None and (sys.stdin is None or sys.stdin.isatty()):
        raise typer.BadParameter("no text; give one, or --file, or pipe in lines", param_hint="TEXT")
    stream = file or typer.get_binary_stream("stdin")
    return read_texts(stream), count_texts(stream)


def count_texts(stream: BinaryIO) -> int | None:
    """Count the lines that are not blank and go back; None where the stream cannot go back."""
    if not stream.seekable():
        return None
    start = stream.tell()
    total = sum(1 for line in stream if line.strip())
    stream.seek(start)
    return total


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
    overlap (str): "flat", "nested" or "all".
    **model (str | None): Settings of the model: name, revision, precision, backend; None for the default.
    RETURNS (Language): The pipeline; its weights are loaded with the first text.
    RAISES (OpenNERError): For a setting that is not allowed.
    """
    import spacy

    try:
        nlp = spacy.blank(lang)
    except ImportError as err:
        allowed = f"a language that spaCy can load ({err})"
        raise error("O001", name="lang", value=lang, allowed=allowed) from err
    config = {
        "labels": labels,
        "use_descriptions": isinstance(labels, dict),
        "threshold": threshold,
        "overlap": overlap,
        "model": {name: value for name, value in model.items() if value is not None},
    }
    nlp.add_pipe("open_ner_span", config=config)
    return nlp


def with_progress(docs: Iterable["Doc"], show: bool | None, total: int | None) -> Iterator["Doc"]:
    """Hand docs on, and draw a bar on standard error.

    show (bool | None): None for: above 50 texts, if standard error is a terminal.
    total (int | None): How many there will be, where that is known.
    """
    from tqdm import tqdm

    hidden = not (sys.stderr.isatty() if show is None else show)
    at_once = show or (total or 0) > PROGRESS_ABOVE
    with tqdm(total=total, unit=" texts", disable=hidden, delay=0 if at_once else math.inf) as bar:
        for number, doc in enumerate(docs, 1):
            if sys.stdout.isatty():
                bar.clear()
            yield doc
            if number > PROGRESS_ABOVE:
                bar.delay = 0
            bar.update()


def write_results(docs: Iterable["Doc"], overlap: str, as_json: bool, page: TextIO | None, headed: bool) -> None:
    """Print each doc's entities as soon as they are there, as JSON or a table, or write them to a page.

    as_json (bool): Print JSON lines, always in UTF-8.
    page (TextIO | None): Where to write figures; no tables are printed then.
    headed (bool): Put the text above its table.
    """
    encoding = "utf-8" if as_json else sys.stdout.encoding or "utf-8"
    for doc in docs:
        record = doc_record(doc, overlap)
        if page is not None:
            page.write(render_figure(doc, record, overlap))
        if as_json:
            typer.echo(json.dumps(record, ensure_ascii=False).encode())
        elif page is None:
            head, foot = (one_line(doc.text) + "\n", "\n") if headed else ("", "")
            typer.echo((head + render_table(record) + foot).encode(encoding, "replace"))


@contextmanager
def reported() -> Iterator[None]:
    """Show this package's errors and warnings as plain lines on standard error; errors exit with code 1."""

    def show(message: Any, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
        ours = issubclass(category, OpenNERWarning)
        text = f"Warning: {message}" if ours else warnings.formatwarning(message, category, filename, lineno)
        typer.echo(text.rstrip(), err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        try:
            yield
        except OpenNERError as err:
            typer.echo(f"Error: {err}", err=True)
            raise typer.Exit(1) from err


class DefaultGroup(TyperGroup):
    """A group of commands in which `find` needs no name: `TEXT ...` means `find TEXT ...`."""

    default = "find"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command's name first, unless a command or an option of the group stands there."""
        own = {option for param in self.get_params(ctx) for option in param.opts}
        known = args and (args[0] in self.commands or args[0] in own)
        return super().parse_args(ctx, args if known else [self.default, *args])

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Show the default command's options in the group's help too."""
        formatter.write_paragraph()
        formatter.write_text(f"Without a command, `{self.default}` is run:")
        with formatter.indentation():
            self.commands[self.default].format_options(ctx, formatter)
        super().format_options(ctx, formatter)


app = typer.Typer(
    cls=DefaultGroup,
    subcommand_metavar="[TEXT] | COMMAND [ARGS]...",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        typer.echo(f"spacy-openner {__version__}")
        raise typer.Exit


@app.callback()
def group(
    version: Annotated[
        bool, Opt("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Find entities of the types that you name, in plain words.

    \b
    python -m spacy_openner "Marie Curie won the Nobel Prize." --labels "person, award"
    """


@app.command()
def find(
    text: Annotated[str | None, Arg(metavar="TEXT", help="One text; else --file or standard input.")] = None,
    labels: Annotated[list[str] | None, Opt(metavar="A,B", help="Labels between commas; repeatable.")] = None,
    label: Annotated[list[str] | None, Opt(metavar="A", help="One label, commas and all; repeatable.")] = None,
    labels_file: Annotated[FileIn | None, FileOpt(help="One a line: LABEL, or LABEL<TAB>DESCRIPTION.")] = None,
    file: Annotated[
        FileIn | None, FileOpt(help="One text a line, UTF-8. Blank lines are skipped; standard error says how many.")
    ] = None,
    as_json: Annotated[bool, Opt("--json", help="Print one JSON object a text.")] = False,
    html: Annotated[
        typer.FileTextWrite | None, FileOpt(encoding="utf-8", help="Write a displaCy page, print no tables.")
    ] = None,
    model: Annotated[str | None, Opt(help="Directory or hub name; else the default weights.")] = None,
    revision: Annotated[str | None, Opt(help="Commit or tag of a hub name.")] = None,
    threshold: Annotated[float, Opt(min=0, max=1, help="Lowest score of an entity.")] = 0.5,
    overlap: Annotated[Overlap, Opt(help="Which entities may share words.")] = Overlap.flat,
    lang: Annotated[str, Opt(help="Language of the texts, for the tokenizer.")] = "en",
    precision: Annotated[Precision, Opt(help="Of the model; int8 with --backend onnx.")] = Precision.auto,
    backend: Annotated[Backend, Opt(help="What runs the encoder.")] = Backend.torch,
    batch_size: Annotated[int, Opt(min=1, help="Texts read ahead; 1 answers each line at once.")] = 256,
    progress: Annotated[bool | None, Opt(help="A bar; by default above 50 texts, on a terminal.")] = None,
) -> None:
    """Print the entities of TEXT, of a file's lines or of standard input's lines."""
    with reported():
        require_text(text or "", *(labels or ()), *(label or ()))
        names = collect_labels(labels or (), label or (), read_lines(labels_file) if labels_file else ())
        if not names:
            hint = 'say what to look for, for example --labels "person, award"'
            raise typer.BadParameter(f"no labels; {hint}", param_hint="--labels")
        texts, total = open_texts(text, file)
        run = {"precision": precision.value, "backend": backend.value}
        nlp = make_nlp(names, lang, threshold, overlap.value, name=model, revision=revision, **run)
        docs = with_progress(nlp.pipe(texts, batch_size=batch_size), progress, total)
        with html_page(html, nlp) if html else nullcontext():
            write_results(docs, overlap.value, as_json, html, headed=text is None)


app.command("convert")(reported()(convert_files))
app.command("calibrate")(reported()(calibrate_pipeline))
app.command("align")(reported()(align_types))
app.command("annotate")(reported()(annotate_texts))
app.command("explain")(reported()(explain_texts))
app.command("reliability")(reported()(measure_reliability))


def main() -> None:
    """Run the command line."""
    app()


def __getattr__(name: str) -> typer.Typer:
    """Make `spacy_command`, which is what the entry point in the group `spacy_cli` names.

    spaCy's CLI loads its entry points and leaves it to them to add their commands; nothing else asks for it.
    """
    if name != "spacy_command":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from spacy.cli._util import app as spacy_app

    if all(info.typer_instance is not app for info in spacy_app.registered_groups):
        spacy_app.add_typer(app, name="openner")
    return app
