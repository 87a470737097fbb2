"""The command line: `python -m spacy_openner`, `spacy-openner` and `python -m spacy openner`.

The Typer functions only gather arguments; the plain functions that they call do the work. spaCy is imported when a
text is processed, not before.
"""

from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from .. import __version__
from .align import align
from .annotate import annotate, explain
from .calibrate import calibrate, reliability
from .convert import convert
from .find import find
from .options import Opt, put, reported
from .run import run
from .serve import serve


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


class CommandOfPaths(TyperCommand):
    """A command that takes no empty text for a path: Python has it mean the current directory, and who gives it has
    most often a variable of the shell that is not set.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Look at what was given before it becomes paths."""
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        for param in self.params:
            if given.get(param.name) == "" and param.name in path_parameters(self.callback):
                raise typer.BadParameter(
                    'an empty path; for the current directory say "."', ctx=ctx, param_hint=param.opts[0]
                )
        return super().parse_args(ctx, args)


def path_parameters(command: Any) -> list[str]:
    """Name the parameters of a command that are paths."""
    return [name for name, kind in get_type_hints(command).items() if Path in (kind, *get_args(kind))]


app = typer.Typer(
    cls=DefaultGroup,
    subcommand_metavar="[TEXT] | COMMAND [ARGS]...",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@reported()
def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        put(f"spacy-openner {__version__}")
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


for command in (find, convert, calibrate, reliability, align, annotate, explain, run, serve):
    app.command(command.__name__, cls=CommandOfPaths)(reported()(command))


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
