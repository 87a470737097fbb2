"""ToNER: the similarity of a text and a type."""
