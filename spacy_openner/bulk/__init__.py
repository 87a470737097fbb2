"""Annotate corpora too large for one process: plan units, run them on an engine, resume after a kill."""
