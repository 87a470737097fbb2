"""Apache Arrow, which the extra `parquet` installs."""

from typing import Any

from ..errors import error


def import_arrow() -> Any:
    """Return the module `pyarrow`.

    RAISES (MissingExtra): Where it is not installed.
    """
    try:
        import pyarrow
    except ImportError as problem:
        raise error("O604", package="pyarrow", extra="parquet") from problem
    return pyarrow


def import_parquet() -> Any:
    """Return the module `pyarrow.parquet`.

    RAISES (MissingExtra): Where it is not installed.
    """
    import_arrow()
    import pyarrow.parquet

    return pyarrow.parquet
