"""Options, inputs and outputs that commands share."""

import json
import math
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from .. import environment
from ..data.files import read_lines
from ..errors import OpenNERError, OpenNERWarning, error
from ..files import is_utf8

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

T = TypeVar("T")

Arg, Opt = typer.Argument, typer.Option
FileOpt = partial(typer.Option, metavar="FILE", exists=True, dir_okay=False)

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
AsJson = Annotated[bool, Opt("--json", help="Print one JSON object instead of text.")]
Labels = Annotated[list[str] | None, Opt(metavar="A,B", help="Labels between commas; repeatable.")]
Label = Annotated[list[str] | None, Opt(metavar="A", help="One label, commas and all; repeatable.")]
LabelsFile = Annotated[Path | None, FileOpt(help="One a line: LABEL, or LABEL<TAB>DESCRIPTION.")]
Lang = Annotated[str, Opt(help="Language of the texts, for the tokenizer.")]
Progress = Annotated[bool | None, Opt(help="A bar; by default above 50 texts, on a terminal.")]

PROGRESS_ABOVE = 50
# spaCy's limit of a million characters is there for its parser and NER, which a blank pipeline has not.
LONGEST_TEXT = 1 << 30


# Labels


def given_labels(labels: list[str] | None, label: list[str] | None, file: Path | None) -> list[str] | dict[str, str]:
    """Put together the labels of the options `--labels`, `--label` and `--labels-file`.

    RETURNS (list[str] | dict[str, str]): The names; a mapping to descriptions where any is described.
    RAISES (typer.BadParameter): Without any.
    RAISES (OpenNERError): For a file that cannot be read, or a name that is no text.
    """
    lists, whole = [decoded(text) for text in labels or ()], [decoded(text) for text in label or ()]
    if file is None:
        names = collect_labels(lists, whole)
    else:
        with file.open("rb") as stream:
            names = collect_labels(lists, whole, read_lines(stream))
    if not names:
        hint = 'say what to look for, for example --labels "person, award"'
        raise typer.BadParameter(f"no labels; {hint}", param_hint="--labels")
    return names


def collect_labels(
    lists: Iterable[str], whole: Iterable[str] = (), described: Iterable[str] = ()
) -> list[str] | dict[str, str]:
    """Put together labels, each once, in order.

    lists (Iterable[str]): Comma-separated names, such as "person, award".
    whole (Iterable[str]): Names that are taken as they are, commas included.
    described (Iterable[str]): Lines of a labels file: a name, or a name, a tab and a description.
    RETURNS (list[str] | dict[str, str]): The names; a mapping to descriptions where any is described.
    RAISES (SettingError): For a description without a name.
    """
    names = [*",".join(lists).split(","), *whole]
    descriptions = dict.fromkeys([name.strip() for name in names], "")
    for line in described:
        name, _, description = (part.strip() for part in line.partition("\t"))
        if description and not name:
            raise error("O003", value=line)
        descriptions[name] = description or descriptions.get(name, "")
    descriptions.pop("", None)
    if any(descriptions.values()):
        return {name: description or name for name, description in descriptions.items()}
    return list(descriptions)


def decoded(text: str) -> str:
    """Decode an argument that the shell's locale could not: its bytes are taken for UTF-8.

    RAISES (TextError): For bytes that are not.
    """
    if is_utf8(text):
        return text
    try:
        return os.fsencode(text).decode()
    except UnicodeError as problem:
        raise error("O203", what=ascii(text), reason="undecoded bytes") from problem


# Pipelines


def blank_pipeline(lang: str) -> "Language":
    """Build a blank pipeline, which takes texts of any length.

    RAISES (OpenNERError): For a language that spaCy does not know, or an installation that does not work.
    """
    nlp = environment.blank_pipeline(lang)
    nlp.max_length = LONGEST_TEXT
    return nlp


def load_with_gold(pipeline: str, gold: Path) -> tuple["Language", list["Doc"], Any]:
    """Load a pipeline and annotated docs.

    RETURNS (tuple): The pipeline, the docs, and the types that are annotated (None if nothing says so).
    RAISES (OpenNERError): For what cannot be read.
    """
    from ..data.docbin import read_annotated

    try:
        nlp = environment.load_pipeline(pipeline)
    except OSError as problem:
        raise error("O426", path=pipeline, reason=problem) from problem
    return nlp, *read_annotated(gold, nlp.vocab)


def with_progress(items: Iterable[T], show: bool | None = None, total: int | None = None) -> Iterator[T]:
    """Hand docs on, and draw a bar on standard error.

    show (bool | None): None for: above 50 texts, if standard error is a terminal.
    total (int | None): How many there will be, where that is known.
    """
    from tqdm import tqdm

    if total is None and isinstance(items, list):
        total = len(items)
    hidden = not (is_terminal(sys.stderr) if show is None else show)
    at_once = show or (total or 0) > PROGRESS_ABOVE
    with tqdm(total=total, unit=" texts", disable=hidden, delay=0 if at_once else math.inf) as bar:
        for number, item in enumerate(items, 1):
            if is_terminal(sys.stdout):
                bar.clear()
            yield item
            if number > PROGRESS_ABOVE:
                bar.delay = 0
            bar.update()


def is_terminal(stream: Any) -> bool:
    """Tell whether a standard stream is there, and a terminal."""
    return stream is not None and bool(stream.isatty())


# Output


def put(text: str, encoding: str = "utf-8") -> None:
    """Print a text and a line end on standard output.

    RAISES (DataError): When it is closed or cannot be written to.
    RAISES (typer.Exit): When its reader left early.
    """
    if sys.stdout is None:
        raise error("O407", path="standard output", reason="it is closed")
    try:
        typer.echo(text.encode(encoding, "replace"))
    except OSError as problem:
        # What could not be written is in a buffer, which Python would try once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(problem, BrokenPipeError):
            raise typer.Exit(1) from problem
        raise error("O407", path="standard output", reason=problem) from problem


def put_json(record: Any) -> None:
    """Print plain data as one line of JSON."""
    put(json.dumps(record, ensure_ascii=False))


@contextmanager
def reported() -> Iterator[None]:
    """Show this package's errors and warnings as plain lines on standard error; errors exit with code 1."""

    def show(message: Any, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
        ours = issubclass(category, OpenNERWarning)
        text = f"Warning: {message}" if ours else warnings.formatwarning(message, category, filename, lineno)
        typer.echo(printable(text.rstrip()), err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        try:
            yield
        except OpenNERError as problem:
            typer.echo(printable(f"Error: {problem}"), err=True)
            raise typer.Exit(1) from problem


def printable(text: str) -> str:
    """Write half characters, which no stream takes, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
