"""Open named entity recognition for spaCy. Importing this package loads nothing heavy."""

__version__ = "0.1.0"
__all__ = ["__version__"]
