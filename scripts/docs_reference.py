"""Pages of the documentation that are made from the code: settings, command line, Python API, errors.

MkDocs calls `on_files` when it builds the site (`hooks` in mkdocs.yml), so these pages are never out of date, and in no
commit. `python scripts/docs_reference.py` prints them.
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import spacy
import typer
from docs_docstrings import parse
from spacy.language import Language
from spacy.util import registry

import spacy_openner
import spacy_openner.errors as errors
from spacy_openner.cli.app import app

FACTORIES = ("open_ner_span", "gner_generator", "type_filter", "lar_reassigner")
# Group of the registry, what a heading calls it, where such a part stands in a config.
GROUPS = (
    ("architectures", "Models", "[components.NAME.model]"),
    ("misc", "Prompts, losses, samplers, reassigners, clients", "@misc"),
    ("readers", "Corpora", "[corpora.NAME]"),
    ("scorers", "Scorers", "[components.NAME.scorer]"),
    ("optimizers", "Optimizers", "[training.optimizer]"),
    ("schedules", "Schedules", "[training.optimizer.learn_rate]"),
)
EXPLAINED = (
    ("Settings", "A setting or an argument has a value that is not allowed.", "O0"),
    ("Checkpoints", "A checkpoint cannot be found, read, or is of an unsupported kind.", "O1"),
    ("Texts", "A text cannot be processed as asked.", "O2"),
    ("Optional packages", "An optional dependency is not installed.", "O3"),
    ("Data and calibration", "A data file, or annotated docs, cannot be used as asked.", "O4"),
    ("Alignment, reassignment, language models", "LAR, and the client for chat-completions servers.", "O5"),
)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Write a Markdown table."""
    lines = [list(head), ["---"] * len(list(head)), *map(list, rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(value: Any) -> str:
    """Write a value as a config does."""
    if value is None or isinstance(value, bool):
        return f"`{str(value).lower().replace('none', 'null')}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def meanings(*documented: Any) -> dict[str, str]:
    """Read what the docstrings of objects say of names; the first one that names them counts."""
    texts: dict[str, str] = {}
    for documented_object in documented:
        for entry in parse(inspect.getdoc(documented_object) or "").entries:
            for name in entry.name.split(", "):
                texts.setdefault(name, entry.text)
    return texts


# Settings


def settings_page() -> str:
    """Describe every setting of every component and registered function, with its default."""
    sections = [
        "# Settings",
        "Made from the code: default configs, signatures and docstrings. All of them can stand in a config file, in "
        "`nlp.add_pipe(..., config={...})`, and in the overrides of `spacy.load` and `spacy train`. Most settings of "
        "components are attributes too, and may be changed at any time.",
    ]
    sections += [section for name in FACTORIES for section in _component(name)]
    for group, title, place in GROUPS:
        sections += [f"## {title}", f"In a config: `{place}`." if place.startswith("[") else ""]
        sections += [section for name in _registered(group) for section in _function(group, name)]
    return "\n\n".join(filter(None, sections)) + "\n"


def _component(factory: str) -> Iterator[str]:
    spacy.blank("en")  # loads the entry points of factories
    function = inspect.unwrap(registry.factories.get(factory))
    meta = Language.get_factory_meta(factory)
    annotation = inspect.signature(function).return_annotation
    module = inspect.getmodule(function)
    kind = getattr(module, annotation.strip('"')) if isinstance(annotation, str) else annotation
    about = meanings(*_documented(kind))
    yield f"## {factory}"
    yield f"Factory `{factory}`, class `{kind.__name__}`. {_summary(kind)}"
    rows = []
    for name, default in meta.default_config.items():
        shown = default
        if isinstance(default, Mapping) and any(key.startswith("@") for key in default):
            shown = next(value for key, value in default.items() if key.startswith("@"))
        text = about.get(name, "")
        if not text:
            raise ValueError(f"the setting {name!r} of {factory} has no description in the docstring of its class")
        rows.append((f"`{name}`", code(shown), text))
    yield table(("setting", "default", "meaning"), rows)


def _documented(kind: type) -> Iterator[Any]:
    """The classes that may describe settings: the component's own, its bases, and its settings' dataclasses."""
    for base in kind.__mro__:
        if not base.__module__.startswith("spacy_openner"):
            continue
        yield base
        for value in vars(base).values():
            if inspect.isclass(value) and value.__module__.startswith("spacy_openner"):
                yield from (base for base in value.__mro__ if base.__module__.startswith("spacy_openner"))
    import spacy_openner.settings as settings

    for value in vars(settings).values():
        if inspect.isclass(value) and value.__module__ == settings.__name__:
            yield value


def _registered(group: str) -> list[str]:
    registry.ensure_populated()
    return sorted(name for name in getattr(registry, group).get_all() if name.startswith("spacy-openner."))


def _function(group: str, name: str) -> Iterator[str]:
    function = getattr(registry, group).get(name)
    about = meanings(function)
    yield f"### {name}"
    yield _summary(function)
    rows = []
    for parameter in inspect.signature(function).parameters.values():
        required = parameter.default is inspect.Parameter.empty
        default = "required" if required else code(parameter.default)
        rows.append((f"`{parameter.name}`", default, about.get(parameter.name, "")))
    if rows:
        yield table(("setting", "default", "meaning"), rows)


def _summary(documented: Any) -> str:
    """Give the prose of a docstring."""
    return "\n".join(parse(inspect.getdoc(documented) or "").prose).strip()


# Command line


def command_line_page() -> str:
    """Show the help of every command."""
    group: Any = typer.main.get_command(app)
    sections = [
        "# Command line",
        "`spacy-openner`, `python -m spacy_openner` and `python -m spacy openner` are one program. Without a command, "
        "`find` is run. Each command ends with 0, with 1 after an error (its code is on standard error), or with 2 for "
        "arguments that do not fit. This page is made from the program's own help.",
    ]
    with group.context_class(group, info_name="spacy-openner") as root:
        for name in group.list_commands(root):
            command = group.get_command(root, name)
            with command.context_class(command, info_name=name, parent=root) as context:
                sections += [f"## {name}", *_command(command, context)]
    return "\n\n".join(sections) + "\n"


def _command(command: Any, context: Any) -> Iterator[str]:
    yield (command.help or "").replace("\b\n", "")
    yield f"```text\n{command.get_usage(context)}\n```"
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in record[0]:
            rows.append((f"`{record[0]}`", record[1].replace("<", "&lt;")))
    yield table(("argument", "meaning"), rows)


# Errors


def errors_page() -> str:
    """List all errors and warnings by code, with the exception tree."""
    tree = (inspect.getdoc(errors) or "").partition("::\n")[2].strip("\n")
    sections = [
        "# Errors and warnings",
        "Every error has a code, the value that was wrong, and what to do. All are `ValueError`s of one tree; words in "
        "braces stand for values.",
        f"```text\n{inspect.cleandoc(tree)}\n```",
    ]
    for title, about, prefix in EXPLAINED:
        rows = [
            (f'<a id="{name}"></a>`{name}`', f"`{kind.__name__}`", _escape(message))
            for name, (kind, message) in sorted(errors.MESSAGES.items())
            if name.startswith(prefix)
        ]
        if rows:
            sections += [f"## {title}", about, table(("code", "class", "message"), rows)]
    rows = [(f'<a id="{name}"></a>`{name}`', _escape(message)) for name, message in sorted(errors.WARNINGS.items())]
    sections += [
        "## Warnings",
        "Warnings are `OpenNERWarning`s; `warnings.filterwarnings` turns them off or into errors.".replace(
            "OpenNERWarning", _warning_class()
        ),
        table(("code", "message"), rows),
    ]
    return "\n\n".join(sections) + "\n"


def _warning_class() -> str:
    return next(name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Warning))


def _escape(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}").replace("<", "&lt;").replace("*", "\\*")


# Python API


def api_page() -> str:
    """Name the objects of the public face; mkdocstrings describes them, where they are defined."""
    sections = [
        "# Python API",
        "These names can be imported from `spacy_openner`, and stay. All others are private.",
    ]
    groups: dict[str, list[str]] = {"Components": [], "Functions": [], "Results and other classes": [], "Errors": []}
    for name in spacy_openner.__all__:
        value = getattr(spacy_openner, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            groups[_group(value)].append(f"::: {value.__module__}.{value.__qualname__}")
    for title, names in groups.items():
        if names:
            sections += [f"## {title}", *names]
    return "\n\n".join(sections) + "\n"


def _group(value: Any) -> str:
    if inspect.isfunction(value):
        return "Functions"
    if issubclass(value, Exception):
        return "Errors"
    return "Components" if value.__module__.startswith("spacy_openner.components") else "Results and other classes"


PAGES: dict[str, Callable[[], str]] = {
    "reference/settings.md": settings_page,
    "reference/command_line.md": command_line_page,
    "reference/api.md": api_page,
    "reference/errors.md": errors_page,
}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages; MkDocs calls this."""
    from mkdocs.structure.files import File

    for path, make in PAGES.items():
        files.append(File.generated(config, path, content=make()))
    return files


if __name__ == "__main__":
    for make in PAGES.values():
        print(make())
