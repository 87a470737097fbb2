"""Where weights come from: the package's default, a directory, or a hub name with a revision."""

from pathlib import Path

from ..errors import error, warn

# In an installed package the default lies inside; in a source checkout beside it.
PACKAGE = Path(__file__).resolve().parent.parent
DEFAULT_PLACES = (PACKAGE / "default", PACKAGE.parent / "assets" / "default")
HUB_FILES = ["*.json", "*.txt", "*.model", "model.safetensors", "labels_tokenizer/*", "onnx/encoder.*"]


def find(name: str, revision: str | None) -> Path:
    """Find the directory of a checkpoint, fetching it where the name is a hub's.

    name (str): "" for the default weights; a directory; or a hub name such as "owner/model".
    revision (str | None): Commit or tag; for hub names only. With HF_HUB_OFFLINE=1 only what was
        fetched before is found.
    RETURNS (Path): A local directory.
    RAISES (CheckpointError): When there is nothing.
    """
    if not name:
        return default_directory()
    path = Path(name).expanduser()
    if path.is_file() and path.suffix in (".pt", ".bin"):
        raise error("O102", path=name)
    if path.exists() or path.is_absolute() or name.startswith(".") or name.count("/") != 1:
        if not path.is_dir():
            raise error("O101", path=name, reason="no such directory")
        return path
    if revision is None:
        warn("W002", repo=name)
    return _fetch(name, revision)


def default_directory() -> Path:
    """The directory of the package's own weights.

    RAISES (CheckpointError): When the installation lacks them.
    """
    for place in DEFAULT_PLACES:
        if (place / "gliner_config.json").is_file():
            return place
    raise error("O108", places=" and ".join(map(str, DEFAULT_PLACES)))


def _fetch(repo: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        directory = Path(snapshot_download(repo, revision=revision, allow_patterns=HUB_FILES))
        if not (directory / "model.safetensors").is_file():
            directory = Path(
                snapshot_download(repo, revision=revision, allow_patterns=[*HUB_FILES, "pytorch_model.bin", "*.pt"])
            )
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError, ValueError) as problem:
        reason = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise error("O101", path=repo, reason=reason) from problem
    return directory
