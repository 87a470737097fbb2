"""Asking large language models over the network."""
