"""GNER: generative models that tag every word."""
