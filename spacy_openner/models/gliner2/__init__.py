"""Checkpoints of the GLiNER2 family: a schema of types in front of the text, span or boundary scores behind it."""
