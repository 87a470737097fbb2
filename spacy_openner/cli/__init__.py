"""The command line: one module per command, thin wrappers over plain functions."""
