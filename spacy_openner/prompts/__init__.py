"""Formats of prompts and answers: text in, text out. Each module renders one format and parses it."""
