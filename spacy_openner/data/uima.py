"""UIMA's XMI files, as INCEpTION, WebAnno and DKPro write them. `dkpro-cassis` reads them."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import error
from .offsets import Mark, OffsetAligner
from .texts import AnnotatedText, Tally
from .webanno import NAMED_ENTITY

TYPE_SYSTEM = "TypeSystem.xml"
TOKEN = "segmentation.type.Token"
FEATURES = ("value", "label", "type", "entityType", "category")


def optional_module(name: str, package: str) -> Any:
    """Import what reads a format.

    RAISES (MissingExtra): Where it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as problem:
        raise error("O301", what=f"This format ({problem})", package=package, extra="formats") from problem


def read_xmi(
    path: str | Path,
    *,
    layer: str | None = None,
    type_system: str | Path | None = None,
    lang: str = "en",
    tally: Tally | None = None,
) -> Iterator[AnnotatedText]:
    """Read the entities of XMI files.

    path (str | Path): A .xmi file, or a directory that is searched with all below it.
    layer (str | None): The type of annotation, by its name or the last part of it; "NamedEntity" if None.
    type_system (str | Path | None): The file that describes the types; "TypeSystem.xml" beside each file if None.
    lang (str): Code of the language whose tokenizer is used where a file has no tokens.
    tally (Tally | None): Where to count entities that are dropped or widened.
    YIELDS (AnnotatedText): Each file, as one text.
    RAISES (OpenNERError): Without dkpro-cassis, for a file that cannot be read, or without such a layer.
    """
    cassis = optional_module("cassis", "dkpro-cassis")
    aligner, path = OffsetAligner(lang, tally), Path(path)
    for file in sorted(path.rglob("*.xmi")) if path.is_dir() else [path]:
        described = Path(type_system) if type_system is not None else file.with_name(TYPE_SYSTEM)
        types = _loaded(cassis.load_typesystem, described)
        cas = _loaded(cassis.load_cas_from_xmi, file, typesystem=types, lenient=True)
        names = [kind.name for kind in types.get_types()]
        chosen = _choose(names, layer, str(file))
        marks = [
            Mark(_label(a, chosen), [(a.begin, a.end)], f"{file}, annotation {a.xmiID}") for a in cas.select(chosen)
        ]
        tokens = [(token.begin, token.end) for name in names if name.endswith(TOKEN) for token in cas.select(name)]
        yield aligner.align(cas.sofa_string or "", marks, str(file), tokens or None)


def _loaded(load: Any, path: Path, **options: Any) -> Any:
    """Load a file.

    RAISES (DataError): O403, whatever the library makes of it.
    """
    try:
        with path.open("rb") as stream:
            return load(stream, **options)
    except OSError as problem:
        raise error("O403", path=str(path), reason=problem) from problem
    except Exception as problem:
        reason = f"it is no such file ({type(problem).__name__}: {problem})"
        raise error("O403", path=str(path), reason=reason) from problem


def _choose(names: list[str], layer: str | None, where: str) -> str:
    wanted = layer or NAMED_ENTITY
    matching = [name for name in names if wanted == name or name.endswith("." + wanted)]
    if len(matching) != 1:
        own = sorted(name.rsplit(".", 1)[-1] for name in names if not name.startswith("uima."))
        raise error("O414", where=where, layers=", ".join(own) or "none")
    return matching[0]


def _label(annotation: Any, name: str) -> str:
    """Return the type of an entity: the feature that holds it, or else the name of the layer."""
    values = [getattr(annotation, feature, None) for feature in FEATURES]
    return next((value for value in values if isinstance(value, str)), "" if values[0] else name.rsplit(".", 1)[-1])
