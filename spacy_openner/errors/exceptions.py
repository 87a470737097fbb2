"""The exceptions of the package and its warning."""


class OpenNERError(ValueError):
    """Base of all errors that this package raises on purpose."""


class SettingError(OpenNERError):
    """A setting or an argument has a value that is not allowed."""


class CheckpointError(OpenNERError):
    """A checkpoint cannot be found, read, or is of an unsupported kind."""


class TextError(OpenNERError):
    """A text cannot be processed as asked."""


class DataError(OpenNERError):
    """A data file cannot be read or written as asked."""


class MissingExtra(OpenNERError):
    """An optional dependency is not installed."""


class InstallationError(OpenNERError):
    """Packages are installed that do not work together."""


class OpenNERWarning(UserWarning):
    """Something works, but perhaps not as meant."""
