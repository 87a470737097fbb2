"""Sources of weights: the package's default, a directory, or a hub name with a revision."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..errors import error, warn
from ..files import as_local_path

# In an installed package the defaults lie inside; in a source checkout beside it.
PACKAGE = Path(__file__).resolve().parents[1]


class Kind(NamedTuple):
    """The files of one kind of model.

    default: Name of the directory of the package's own, in an installation.
    config: The file by which a directory of it is known.
    files: What to fetch from a hub.
    pickles: What to fetch beside these where a hub has no safetensors.
    code: Of the error when there is none.
    missing: Of the error when the package's own is not there.
    asset: Name of its directory in a checkout; "" for the same.
    """

    default: str
    config: str
    files: tuple[str, ...]
    pickles: tuple[str, ...]
    code: str
    missing: str
    asset: str = ""

    @property
    def directories(self) -> tuple[Path, Path]:
        """Directories where the package's own may lie."""
        return (PACKAGE / self.default, PACKAGE.parent / "assets" / (self.asset or self.default))


TEXTS = ("*.json", "*.txt", "*.model")
MATCHER = Kind(
    "default",
    "gliner_config.json",
    (*TEXTS, "model.safetensors", "labels_tokenizer/*", "onnx/encoder.*"),
    ("pytorch_model.bin", "*.pt"),
    "O101",
    "O108",
)
TYPE_MATCHER = Kind(
    "type_filter_default",
    "type_matcher.json",
    (*TEXTS, "model*.safetensors"),
    ("pytorch_model*.bin",),
    "O115",
    "O116",
    "type_filter",
)
TYPE_CACHE = Kind(
    "type_cache_default",
    "type_cache.json",
    (*TEXTS, "model*.safetensors"),
    ("pytorch_model*.bin",),
    "O131",
    "O132",
    "type_cache",
)
GENERATOR = Kind(
    "generator", "config.json", (*TEXTS, "*.jinja", "*.safetensors"), ("pytorch_model*.bin",), "O113", "O114"
)


def find(name: str, revision: str | None, kind: Kind = MATCHER) -> Path:
    """Find the directory of a model, fetching it where the name is a hub's.

    name (str): "" for the package's own; a directory; or a hub name such as "owner/model".
    revision (str | None): Commit or tag; for hub names only. With HF_HUB_OFFLINE=1 only what was
        fetched before is found.
    kind (Kind): Of the model.
    RETURNS (Path): A local directory.
    RAISES (CheckpointError): When there is nothing.
    """
    if not name:
        return default_directory(kind)
    path = as_local_path(name, "name")
    if path.is_file() and path.suffix in (".pt", ".bin") and kind is MATCHER:
        raise error("O102", path=name)
    if path.exists() or path.is_absolute() or name.startswith(".") or name.count("/") != 1:
        if not path.is_dir():
            raise error(kind.code, path=name, reason="no such directory")
        return path
    if revision is None:
        warn("W002", repo=name)
    return _fetch(name, revision, kind)


def default_directory(kind: Kind = MATCHER) -> Path:
    """The directory of the package's own weights.

    RAISES (CheckpointError): When the installation lacks them.
    """
    for directory in kind.directories:
        if (directory / kind.config).is_file():
            return directory
    raise error(kind.missing, places=" and ".join(map(str, kind.directories)))


def _fetch(repo: str, revision: str | None, kind: Kind) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    # From release 1 on, a commit that lies in the cache is looked up on the hub, offline too, unless told not to be.
    download = partial(snapshot_download, repo, revision=revision, local_files_only=constants.HF_HUB_OFFLINE)
    try:
        directory = Path(download(allow_patterns=[*kind.files]))
        if not any(directory.glob("*.safetensors")):
            directory = Path(download(allow_patterns=[*kind.files, *kind.pickles]))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError, ValueError) as problem:
        reason = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise error(kind.code, path=repo, reason=reason) from problem
    return directory
