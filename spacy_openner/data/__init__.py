"""Annotated data: converting it, and turning it into what models learn from."""
