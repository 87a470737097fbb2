"""A span matcher whose types are encoded apart from texts, once, and kept: types read once."""
