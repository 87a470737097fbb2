"""Formats of generative models: each module renders one format and reads it back."""
